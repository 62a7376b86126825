/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking signals that are watched, with sigwait(3) and its like: interrupted, in vain, refused. */
#include "sandbox.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

static int kq;
static sigset_t taken;
static _Atomic int handled, tid;

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

static void
begin(void)
{
	struct sigaction sa = { .sa_handler = handler };

	sigemptyset(&taken);
	sigaddset(&taken, SIGUSR1);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &taken, NULL), 0);
	ck_assert_int_eq(sigaction(SIGUSR2, &sa, NULL), 0);
	kq = queue();
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

static void *
taking_thread(void *arg)
{
	int signo = -1;

	tid = (int)syscall(SYS_gettid);
	*(int *)arg = sigwait(&taken, &signo);
	return (void *)(intptr_t)signo;
}

/* A handler runs, and the wait goes on; what comes then is taken, and counted once. */
START_TEST(signal_take__a_handler_does_not_end_sigwait)
{
	int result = -1;
	pthread_t thread;
	void *signo;

	begin();
	ck_assert_int_eq(pthread_create(&thread, NULL, taking_thread, &result), 0);
	await_sleep(&tid);
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(pthread_kill(thread, SIGUSR2), 0);
		while (handled < i)
			nap(1);
		await_state(tid, 'S');
	}
	ck_assert_int_eq(pthread_kill(thread, SIGUSR1), 0);
	ck_assert_int_eq(pthread_join(thread, &signo), 0);
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq((int)(intptr_t)signo, SIGUSR1);
	ck_assert_int_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 1);
	no_event(kq);
	close(kq);
}
END_TEST

/* It waits as long as it was told, to the end. */
START_TEST(signal_take__sigtimedwait_in_vain)
{
	const struct timespec moment = { .tv_nsec = 30000000 };
	int64_t start;
	siginfo_t info;

	begin();
	start = now_ns();
	ck_assert_int_eq(sigtimedwait(&taken, &info, &moment), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_ge(now_ns() - start, moment.tv_nsec);
	no_event(kq);
	raise(SIGUSR1);
	ck_assert_int_eq(sigtimedwait(&taken, &info, &moment), SIGUSR1);
	ck_assert_int_eq(info.si_signo, SIGUSR1);
	ck_assert_int_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 1);
	raise(SIGUSR1);
	ck_assert_int_eq(sigwaitinfo(&taken, NULL), SIGUSR1);
	ck_assert_int_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 1);
	close(kq);
}
END_TEST

/* Its error is its result, and errno is as before. */
START_TEST(signal_take__sigwait_refused)
{
	int signo = -7;

	begin();
	ck_assert(refuse_call(SYS_rt_sigtimedwait, EPERM));
#ifdef SYS_rt_sigtimedwait_time64
	ck_assert(refuse_call(SYS_rt_sigtimedwait_time64, EPERM));
#endif
	errno = EDOM;
	ck_assert_int_eq(sigwait(&taken, &signo), EPERM);
	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_eq(signo, -7);
	no_event(kq);
	close(kq);
}
END_TEST

HARNESS_MAIN("signal_take",
    signal_take__a_handler_does_not_end_sigwait,
    signal_take__sigtimedwait_in_vain,
    signal_take__sigwait_refused)
