/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests that "model" prints: included behind "harness.h", in a file of their own beside it. */
#ifndef KQ_TESTS_PASTE_H
#define KQ_TESTS_PASTE_H

#include "acts.h"
#include "clock.c"
#include "sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define UNUSED __attribute__((unused))

UNUSED static struct kevent kl[CHANGES], ev[EVENTS];
UNUSED static int fd[14];
UNUSED static int n, p[2], pid[3];
UNUSED static char bytes[65536];
UNUSED static struct call waiter[WAITERS], calls[EVENTS];
UNUSED static struct kevent64_s wide[CHANGES], wide_ev[EVENTS];
UNUSED static uint64_t exts[EVENTS][2];

/* What must or may be told next. */
static struct due {
	bool		sure;
	struct kevent	kev;
	unsigned	open, may;	/* flags that are left open; fflags */
	int64_t		most;
	bool		wide;
	uint64_t	ext[2];
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

	memcpy(c.c_change, changes, (size_t)nchanges * sizeof(*changes));
	calls_together(&c, 1);
	if (c.c_result > 0)
		memcpy(events, c.c_event, (size_t)c.c_result * sizeof(*events));
	errno = c.c_error;
	return c.c_result;
}

/* What a call in a thread got. */
static int
got_by(const struct call *c)
{
	memcpy(ev, c->c_event, sizeof(ev));
	errno = c->c_error;
	return c->c_result;
}

UNUSED static int
called(int i)
{
	return got_by(&calls[i]);
}

UNUSED static void
waiters_end(int count)
{
	for (int i = 0; i < count; i++)
		pthread_join(waiter[i].c_thread, NULL);
}

UNUSED static int
waited(int i)
{
	return got_by(&waiter[i]);
}

/* What kevent64() returned, with exts beside it. */
UNUSED static int
narrow(const struct kevent64_s *w, int count)
{
	int error = errno;

	for (int i = 0; i < count; i++) {
		EV_SET(&ev[i], (uintptr_t)w[i].ident, w[i].filter, w[i].flags, w[i].fflags, w[i].data,
		    (void *)(uintptr_t)w[i].udata);
		memcpy(exts[i], w[i].ext, sizeof(exts[i]));
	}
	errno = error;
	return count;
}

UNUSED static void
answer_ext(int i, uint64_t ext0, uint64_t ext1)
{
	ck_assert_uint_eq(exts[i][0], ext0);
	ck_assert_uint_eq(exts[i][1], ext1);
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
	d->wide = false;
}

/* Of what was expected last. */
UNUSED static void
expect_ext(uint64_t ext0, uint64_t ext1)
{
	struct due *d = &due[dues - 1];

	d->wide = true;
	d->ext[0] = ext0;
	d->ext[1] = ext1;
}

static bool
fits(const struct due *d, const struct kevent *got, const uint64_t ext[2])
{
	return (!d->wide || memcmp(d->ext, ext, sizeof(d->ext)) == 0) &&
	    got->ident == d->kev.ident && got->filter == d->kev.filter && got->udata == d->kev.udata &&
	    ((got->flags ^ d->kev.flags) & ~d->open) == 0 && (got->fflags & d->kev.fflags) == d->kev.fflags &&
	    (got->fflags & ~d->may) == 0 && got->data >= d->kev.data && got->data <= d->most;
}

/* Looks at n events that came where there was room for some more or for none. */
UNUSED static void
told(const struct kevent *got, int count, int room, enum share share)
{
	int i, sure = 0;

	ck_assert_int_ge(count, 0);
	for (i = 0; i < dues; i++)
		sure += due[i].sure;
	ck_assert(share != SOME || sure == 0 || count > 0);
	for (int at = 0; at < count; at++) {
		for (i = 0; i < dues && !fits(&due[i], &got[at], exts[at]); i++)
			;
		ck_assert_msg(i < dues, "event %d of %d: ident %ld filter %d: not expected", at, count,
		    (long)got[at].ident, got[at].filter);
		sure -= due[i].sure;
		due[i] = due[--dues];
	}
	ck_assert_msg(share != ALL || count == room || sure == 0, "%d returned, %d more are ready", count, sure);
	dues = 0;
}

#endif
