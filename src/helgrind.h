/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What valgrind's helgrind cannot know by itself: the option KQ_HELGRIND; nothing without it.
 *
 *	HELGRIND_TAKEN, _DROPPED	a lock, since it knows of pthread's only
 *	HELGRIND_GONE			the end of a lock: in which order it was taken with others says nothing of the next
 *	HELGRIND_FRESH			memory that is given out anew: what its last owner did is over
 *	HELGRIND_ALONE			memory that is read and written by C's atomics only, which it takes for races
 */
#ifndef KQ_HELGRIND_H
#define KQ_HELGRIND_H

#ifdef KQ_HELGRIND
#include <valgrind/helgrind.h>
#define HELGRIND_TAKEN(lk)		do {					\
		VALGRIND_HG_MUTEX_LOCK_POST(lk);				\
		HELGRIND_ALONE(lk, sizeof(*(lk)));				\
	} while (0)
#define HELGRIND_DROPPED(lk)		VALGRIND_HG_MUTEX_UNLOCK_PRE(lk)
#define HELGRIND_GONE(lk)		VALGRIND_HG_MUTEX_DESTROY_PRE(lk)
#define HELGRIND_FRESH(p, size)		VALGRIND_HG_CLEAN_MEMORY(p, size)
#define HELGRIND_ALONE(p, size)		VALGRIND_HG_DISABLE_CHECKING(p, size)
#else
#define HELGRIND_TAKEN(lk)		((void)(lk))
#define HELGRIND_DROPPED(lk)		((void)(lk))
#define HELGRIND_GONE(lk)		((void)(lk))
#define HELGRIND_FRESH(p, size)		((void)(p), (void)(size))
#define HELGRIND_ALONE(p, size)		((void)(p), (void)(size))
#endif

#endif
