/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time that stands still until it is moved.  These are doubles of clock_gettime()
 * and of the timer descriptors, which the library finds in their place: the real
 * descriptors are there, and go off when this clock says so.
 */
#ifndef KQ_TESTS_CLOCK_H
#define KQ_TESTS_CLOCK_H

#include <stdint.h>

/* Both in nanoseconds.  Timers that are due by then have gone off on return.  0, 0: the kernel's clocks. */
void	clock_set(int64_t monotonic, int64_t date);

/* What the kernel's own monotonic clock says. */
int64_t	clock_real(void);

#endif
