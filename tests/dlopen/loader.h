/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KQ_TESTS_LOADER_H
#define KQ_TESTS_LOADER_H

/* What dlopen(3) gave. */
extern void *loader_library;

#endif
