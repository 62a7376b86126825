/* SPDX-License-Identifier: BSD-2-Clause */
/* What AddressSanitizer cannot know by itself; nothing where it is not built in. */
#ifndef KQ_ASAN_H
#define KQ_ASAN_H

#if defined(__SANITIZE_ADDRESS__)
#define KQ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KQ_ASAN 1
#endif
#endif

#ifdef KQ_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, size)	((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size)	((void)(p), (void)(size))
#endif

/*
 * For what is called when a cancelled thread has jumped back to its caller: the
 * frames that were below are no more, whatever was marked in them.
 */
#define ASAN_LEFT_FRAMES()	do {						\
		char *frame_ = __builtin_frame_address(0);			\
										\
		ASAN_UNPOISON_MEMORY_REGION(frame_ - ASAN_FRAMES, ASAN_FRAMES);	\
	} while (0)
#define ASAN_FRAMES	16384

#endif
