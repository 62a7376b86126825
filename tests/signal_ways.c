/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every function that sets what is done with a signal, before, during and after a watch of it.  ThreadSanitizer has
 * some of these functions itself, so with it they are left out.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "disposition.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* sigset(), siginterrupt() and their like are old, and old programs call them: so must this. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

typedef void disposition(int);

/* Not all of them are declared everywhere. */
disposition *bsd_signal(int, disposition *);
disposition *ssignal(int, disposition *);
#ifdef __GLIBC__
disposition *sysv_signal(int, disposition *);
disposition *__sysv_signal(int, disposition *);
#endif

static disposition *
by_sigaction(int signo, disposition *wanted)
{
	struct sigaction sa = { .sa_handler = wanted }, old;

	return sigaction(signo, &sa, &old) == -1 ? SIG_ERR : old.sa_handler;
}

static const struct way {
	const char *name;
	disposition *(*set)(int, disposition *);
	bool once;		/* the handler is gone after it ran */
	bool restarts;
} ways[] = {
	{ "sigaction", by_sigaction, false, false },
	{ "signal", signal, false, true },
	{ "bsd_signal", bsd_signal, false, true },
	{ "ssignal", ssignal, false, true },
	{ "sigset", sigset, false, false },
#ifdef __GLIBC__
	{ "sysv_signal", sysv_signal, true, false },
	{ "__sysv_signal", __sysv_signal, true, false },
#endif
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static _Atomic int handled;

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

static void
other_handler(int signo)
{
	(void)signo;
	handled += 100;
}

static int64_t
count(int kq)
{
	return event_of(kq, SIGWINCH, EVFILT_SIGNAL).data;
}

/* SIGWINCH, since its default does no harm. */
START_TEST(ways__a_handler_runs_and_is_shown)
{
	struct sigaction alone, watched;
	int kq = queue();

	for (int i = 0; i < WAYS && !THREAD_SANITIZER; i++) {
		const struct way *way = &ways[i];

		ck_assert_ptr_ne(signal(SIGWINCH, SIG_DFL), SIG_ERR);
		ck_assert_ptr_eq(way->set(SIGWINCH, handler), SIG_DFL);
		alone = shown(SIGWINCH);
		ck_assert_ptr_eq(alone.sa_handler, handler);
		ck_assert_msg(((alone.sa_flags & SA_RESTART) != 0) == way->restarts, "%s", way->name);
		ck_assert_msg(((alone.sa_flags & (int)SA_RESETHAND) != 0) == way->once, "%s", way->name);

		/* Before the watch: it says the same, and runs. */
		ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
		watched = shown(SIGWINCH);
		ck_assert_msg(same(&alone, &watched), "%s", way->name);
		handled = 0;
		raise(SIGWINCH);
		raise(SIGWINCH);
		ck_assert_msg(handled == (way->once ? 1 : 2), "%s: %d", way->name, handled);
		ck_assert_int_eq(count(kq), 2);

		/* While it is watched: as before, and returns what was there. */
		ck_assert_msg(way->set(SIGWINCH, other_handler) == (way->once ? SIG_DFL : handler),
		    "%s", way->name);
		ck_assert_ptr_eq(way->set(SIGWINCH, handler), other_handler);
		watched = shown(SIGWINCH);
		ck_assert_msg(same(&alone, &watched), "%s", way->name);
		handled = 0;
		raise(SIGWINCH);
		ck_assert_int_eq(handled, 1);
		ck_assert_int_eq(count(kq), 1);

		/* Ignored, and by default. */
		ck_assert_ptr_eq(way->set(SIGWINCH, SIG_IGN), way->once ? SIG_DFL : handler);
		ck_assert_ptr_eq(shown(SIGWINCH).sa_handler, SIG_IGN);
		raise(SIGWINCH);
		ck_assert_ptr_eq(way->set(SIGWINCH, SIG_DFL), SIG_IGN);
		raise(SIGWINCH);
		ck_assert_ptr_eq(way->set(SIGWINCH, handler), SIG_DFL);
		ck_assert_int_eq(handled, 1);
		ck_assert_int_eq(count(kq), 2);

		/* After the watch: as it was set last. */
		ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
		watched = shown(SIGWINCH);
		ck_assert_msg(same(&alone, &watched), "%s", way->name);
		raise(SIGWINCH);
		ck_assert_int_eq(handled, 2);
		no_event(kq);
	}
	close(kq);
}
END_TEST

/* What is wrong is wrong while it is watched, and changes nothing. */
START_TEST(ways__errors_are_as_they_were)
{
	const int signals[] = { 0, -1, 65, 1000, SIGKILL, SIGSTOP };
	int kq = queue();

	ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < WAYS && !THREAD_SANITIZER; i++) {
		for (size_t s = 0; s < sizeof(signals) / sizeof(signals[0]); s++) {
			errno = 0;
			ck_assert_msg(ways[i].set(signals[s], SIG_IGN) == SIG_ERR, "%s of %d", ways[i].name,
			    signals[s]);
			ck_assert_int_eq(errno, EINVAL);
		}
		ck_assert_ptr_eq(ways[i].set(SIGWINCH, handler), SIG_DFL);
		ck_assert_ptr_ne(ways[i].set(SIGWINCH, SIG_DFL), SIG_ERR);
	}
	close(kq);
}
END_TEST

/* siginterrupt() before the watch decides what signal() makes of it later, and the other way round. */
START_TEST(ways__siginterrupt)
{
	int kq = queue();

	if (THREAD_SANITIZER) {
		close(kq);
		return;
	}
	ck_assert_int_eq(siginterrupt(SIGWINCH, 1), 0);
	ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	signal(SIGWINCH, handler);
	ck_assert_int_eq(shown(SIGWINCH).sa_flags & SA_RESTART, 0);
	ck_assert_int_eq(siginterrupt(SIGWINCH, 0), 0);
	ck_assert_int_ne(shown(SIGWINCH).sa_flags & SA_RESTART, 0);
	ck_assert_int_eq(siginterrupt(SIGWINCH, 1), 0);
	ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(shown(SIGWINCH).sa_flags & SA_RESTART, 0);
	signal(SIGWINCH, handler);
	ck_assert_int_eq(shown(SIGWINCH).sa_flags & SA_RESTART, 0);
	ck_assert_int_eq(siginterrupt(1000, 1), -1);
	ck_assert_int_eq(errno, EINVAL);
	close(kq);
}
END_TEST

/* The old mask functions: what is held is pending, reported once, and comes when it is let go. */
START_TEST(ways__hold_and_release)
{
	int kq = queue();

	if (THREAD_SANITIZER) {
		close(kq);
		return;
	}
	ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	by_sigaction(SIGWINCH, handler);
	ck_assert_int_eq(sighold(SIGWINCH), 0);
	raise(SIGWINCH);
	ck_assert_int_eq(handled, 0);
	ck_assert_int_eq(count(kq), 1);
	ck_assert_int_eq(sigrelse(SIGWINCH), 0);
	ck_assert_int_eq(handled, 1);
	no_event(kq);
	ck_assert_int_eq(sigignore(SIGKILL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(sigignore(SIGWINCH), 0);
	raise(SIGWINCH);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(count(kq), 1);
	close(kq);
}
END_TEST

HARNESS_MAIN("signal_ways",
    ways__a_handler_runs_and_is_shown,
    ways__errors_are_as_they_were,
    ways__siginterrupt,
    ways__hold_and_release)
