/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations that differ in udata alone, of one pair of descriptors. */
#ifndef KQ_TESTS_UDATA_H
#define KQ_TESTS_UDATA_H

#include "harness.h"

#include <unistd.h>

#define SPECIFIC EV_UDATA_SPECIFIC

static char tags[8];
#define TAG(i) ((void *)&tags[i])

static int kq, fds[2];

/* The events there are now, without waiting: bit i for TAG(i), each once at the most. */
static inline unsigned
told(void)
{
	struct kevent events[32];
	int n = collect(kq, events, 32, 0);
	unsigned set = 0, bit;

	for (int i = 0; i < n; i++) {
		bit = 1u << ((char *)events[i].udata - tags);
		ck_assert_msg((set & bit) == 0, "%x came twice", bit);
		set |= bit;
	}
	return set;
}

static inline int
on(short filter, int tag, unsigned flags)
{
	return change(kq, (uintptr_t)fds[filter == EVFILT_READ ? 0 : 1], filter,
	    (unsigned short)(flags | SPECIFIC), 0, 0, TAG(tag));
}

static inline int
on_read(int tag, unsigned flags)
{
	return on(EVFILT_READ, tag, flags);
}

static inline void
start(enum pair kind)
{
	kq = queue();
	pair(kind, fds);
}

static inline void
stop(void)
{
	close_pair(fds);
	close(kq);
}

#endif
