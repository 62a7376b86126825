/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's outer edge: functions that its users can see, and errno, which is set nowhere else. */
#ifndef KQ_PUBLIC_H
#define KQ_PUBLIC_H

#include <errno.h>

/* All that has not this is hidden (CMakeLists.txt). */
#define KQ_PUBLIC __attribute__((visibility("default")))

/* What the program is told of a result, which is not negative, or -errno. */
static inline int
public_result(int result)
{
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

#endif
