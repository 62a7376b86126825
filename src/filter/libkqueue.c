/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_LIBKQUEUE: questions to the library and settings of it, as libkqueue
 * has them.  A change is answered with an entry; nothing is ever registered.
 * Settings are the process's; each answers with what was set before.
 */
#include "../filter.h"

#include "../kqueue.h"
#include "../trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

/* Addresses below this are nobody's. */
#define LIBKQUEUE_PAGE	4096

/* The library is safe with threads whatever is set; it is kept to be told. */
static _Atomic bool libkqueue_thread_safe = true;

/* MMmmpprr of the libkqueue whose interface is kept; there are no release candidates. */
static int64_t
libkqueue_version(void)
{
	unsigned int major = 0, minor = 0, patch = 0;

	sscanf(KQ_LIBKQUEUE_VERSION, "%u.%u.%u", &major, &minor, &patch);
	return (int64_t)major << 24 | (int64_t)minor << 16 | (int64_t)patch << 8;
}

static bool
libkqueue_bad_pointer(int64_t data)
{
	return data != 0 && (uintptr_t)data < LIBKQUEUE_PAGE;
}

static int
libkqueue_answer(struct kevent *kev)
{
	static char version[] = KQ_LIBKQUEUE_VERSION " (libkq " KQ_VERSION ")";

	switch (kev->fflags) {
	case NOTE_VERSION:
		kev->data = libkqueue_version();
		return 0;
	case NOTE_VERSION_STR:
		kev->udata = version;
		return 0;
	case NOTE_THREAD_SAFE:
		kev->data = atomic_exchange(&libkqueue_thread_safe, kev->data > 0);
		return 0;
	case NOTE_FORK_CLEANUP:
		kev->data = kqueue_set_fork_cleanup(kev->data > 0);
		return 0;
	case NOTE_DEBUG:
		kev->data = trace_switch(kev->data > 0);
		return 0;
	case NOTE_DEBUG_PREFIX:
		if (libkqueue_bad_pointer(kev->data))
			return -EFAULT;
		trace_set_prefix((const char *)(uintptr_t)kev->data);
		return 0;
	case NOTE_DEBUG_FUNC:
		if (libkqueue_bad_pointer(kev->data))
			return -EFAULT;
		trace_set_print((trace_print *)(uintptr_t)kev->data);
		return 0;
	case NOTE_FILE_POLL_INTERVAL:
		return -ENOSYS;		/* files are not polled */
	default:
		return -EINVAL;
	}
}

const struct filterops filter_libkqueue = {
	.fo_answer = libkqueue_answer,
};
