/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests that "model" prints: included behind "harness.h", in a file of their own beside it. */
#ifndef KQ_TESTS_PASTE_H
#define KQ_TESTS_PASTE_H

#include "acts.h"
#include "clock.c"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define UNUSED __attribute__((unused))

UNUSED static struct kevent kl[CHANGES], ev[EVENTS];
UNUSED static int fd[14];
UNUSED static int n, p[2], pid[3];
UNUSED static char bytes[65536];
UNUSED static struct call waiter;
UNUSED static pthread_t waiting;

/* What must or may be told next. */
static struct due {
	bool		sure;
	struct kevent	kev;
	unsigned	open, may;	/* flags that are left open; fflags */
	int64_t		most;
} due[256];
static int dues;

static void
program_begins(int64_t clock, int64_t date)
{
	clock_set(clock, date);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGRTMIN + 3, SIG_IGN);
}

/* A file in a directory of the test's own; two names are remembered. */
UNUSED static const char *
name(const char *leaf)
{
	static char names[2][256];
	static int which;

	which = !which;
	snprintf(names[which], sizeof(names[which]), "%s/%s", scratch_dir(), leaf);
	return names[which];
}

UNUSED static int
kevent_apart(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
    const struct timespec *timeout)
{
	struct call c = { .c_kq = kq, .c_nchanges = nchanges, .c_nevents = nevents, .c_timeout = timeout };
	pthread_t thread;

	memcpy(c.c_change, changes, (size_t)nchanges * sizeof(*changes));
	ck_assert_int_eq(pthread_create(&thread, NULL, call_make, &c), 0);
	pthread_join(thread, NULL);
	if (c.c_result > 0)
		memcpy(events, c.c_event, (size_t)c.c_result * sizeof(*events));
	errno = c.c_error;
	return c.c_result;
}

/* What the waiter got. */
UNUSED static int
waited(void)
{
	pthread_join(waiting, NULL);
	memcpy(ev, waiter.c_event, sizeof(ev));
	errno = waiter.c_error;
	return waiter.c_result;
}

UNUSED static void
answer(const struct kevent *got, uintptr_t ident, int filter, unsigned flags, int error)
{
	ck_assert_uint_eq(got->ident, ident);
	ck_assert_int_eq(got->filter, filter);
	ck_assert_uint_eq(got->flags, flags);
	ck_assert_int_eq(got->data, error);
}

UNUSED static void
expect(bool sure, uintptr_t ident, int filter, unsigned flags, unsigned open, unsigned must, unsigned may,
    int64_t least, int64_t most, uintptr_t udata)
{
	struct due *d = &due[dues++];

	EV_SET(&d->kev, ident, (short)filter, (unsigned short)flags, must, least, (void *)udata);
	d->sure = sure;
	d->open = open;
	d->may = may;
	d->most = most;
}

static bool
fits(const struct due *d, const struct kevent *got)
{
	return got->ident == d->kev.ident && got->filter == d->kev.filter && got->udata == d->kev.udata &&
	    ((got->flags ^ d->kev.flags) & ~d->open) == 0 && (got->fflags & d->kev.fflags) == d->kev.fflags &&
	    (got->fflags & ~d->may) == 0 && got->data >= d->kev.data && got->data <= d->most;
}

/* Looks at n events that came where there was room for some more or for none; all: each that must come had to. */
UNUSED static void
told(const struct kevent *got, int count, int room, bool all)
{
	int i, sure = 0;

	ck_assert_int_ge(count, 0);
	for (i = 0; i < dues; i++)
		sure += due[i].sure;
	ck_assert(all || sure == 0 || count > 0);
	for (int at = 0; at < count; at++) {
		for (i = 0; i < dues && !fits(&due[i], &got[at]); i++)
			;
		ck_assert_msg(i < dues, "event %d of %d: ident %ld filter %d: not expected", at, count,
		    (long)got[at].ident, got[at].filter);
		sure -= due[i].sure;
		due[i] = due[--dues];
	}
	ck_assert_msg(!all || count == room || sure == 0, "%d returned, %d more are ready", count, sure);
	dues = 0;
}

#endif
