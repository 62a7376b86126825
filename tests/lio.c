/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_LIO: lio_listio() with SIGEV_KEVENT. */
#include "aio.h"

#include <signal.h>
#include <sys/time.h>

#define N 3

/* Operations of every kind on one file: what the first is to read, the second has to write. */
static void
set_list(struct aiocb cb[N], struct aiocb *list[N], int fd, char *buf)
{
	for (int i = 0; i < N; i++) {
		set(&cb[i], fd, &buf[i], 1, i);
		cb[i].aio_sigevent.sigev_notify = SIGEV_NONE;
		cb[i].aio_lio_opcode = i == 1 ? LIO_WRITE : LIO_READ;
		list[i] = &cb[i];
	}
}

START_TEST(lio__the_end_of_all_is_an_event)
{
	int kq = queue(), fd = file_with("abc"), mark;
	struct aiocb cb[N], *list[N];
	struct sigevent event;
	char buf[N + 1] = "?B?";
	struct kevent kev;

	set_list(cb, list, fd, buf);
	set_event(&event, kq, 0, &mark);
	errno = 77;
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), 0);
	ck_assert_int_eq(errno, 77);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(collect(kq, &kev, 1, LONG_MS), 1);
		ck_assert_uint_eq(kev.ident, (uintptr_t)list);
		ck_assert_int_eq(kev.filter, EVFILT_LIO);
		ck_assert_uint_eq(kev.flags, 0);
		ck_assert_uint_eq(kev.fflags, 0);
		ck_assert_int_eq(kev.data, 0);
		ck_assert_ptr_eq(kev.udata, &mark);
	}
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(collect(kq, &kev, 1, 0), 1);
		ck_assert_int_eq(aio_error(&cb[i]), 0);
		ck_assert_int_eq(aio_return(&cb[i]), 1);
	}
	/* It stays until the last result was taken. */
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, (uintptr_t)list, EVFILT_LIO, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_str_eq(buf, "aBc");
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(lio__not_before_the_last_has_ended)
{
	int kq = queue(), fds[2];
	struct aiocb cb[2], *list[2] = { &cb[0], &cb[1] };
	struct sigevent event;
	char c[2];

	pair(PAIR_PIPE, fds);
	for (int i = 0; i < 2; i++) {
		set(&cb[i], fds[0], &c[i], 1, 0);
		cb[i].aio_lio_opcode = LIO_READ;
		set_event(&cb[i].aio_sigevent, kq, EV_ONESHOT, NULL);
	}
	set_event(&event, kq, EV_ONESHOT, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
	no_event(kq);
	put(fds[1], 1);
	ck_assert_int_eq(collect(kq, &(struct kevent){ 0 }, 1, LONG_MS), 1);
	nap(20);
	no_event(kq);
	put(fds[1], 1);
	{
		struct kevent kev[2];
		int n = 0, aio = 0, lio = 0;

		while (n < 2)
			n += collect(kq, kev + n, 2 - n, LONG_MS);
		for (int i = 0; i < 2; i++) {
			aio += kev[i].filter == EVFILT_AIO;
			lio += kev[i].filter == EVFILT_LIO;
		}
		ck_assert_int_eq(aio, 1);
		ck_assert_int_eq(lio, 1);
	}
	no_event(kq);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(aio_return(&cb[i]), 1);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

START_TEST(lio__members_alone_may_ask)
{
	int kq = queue(), fd = file_with("abc");
	struct aiocb cb[N], *list[N];
	char buf[N + 1] = "?B?";
	int mode[] = { LIO_NOWAIT, LIO_WAIT };

	for (int m = 0; m < 2; m++) {
		set_list(cb, list, fd, buf);
		set_event(&cb[2].aio_sigevent, kq, 0, NULL);
		ck_assert_int_eq(lio_listio(mode[m], list, N, NULL), 0);
		if (mode[m] == LIO_WAIT)
			for (int i = 0; i < N; i++)
				ck_assert_int_eq(aio_error(&cb[i]), 0);
		else
			event_of(kq, (uintptr_t)&cb[2], EVFILT_AIO);
		event_of(kq, (uintptr_t)&cb[2], EVFILT_AIO);
		for (int i = 0; i < N; i++) {
			while (aio_error(&cb[i]) == EINPROGRESS)
				nap(1);
			ck_assert_int_eq(aio_return(&cb[i]), 1);
		}
		no_event(kq);
	}
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(lio__one_that_cannot_be_started)
{
	int kq = queue(), fd = file_with("abc");
	struct aiocb cb[N], *list[N];
	struct sigevent event;
	char buf[N + 1] = "?B?";

	set_list(cb, list, fd, buf);
	cb[1].aio_fildes = -1;
	set_event(&event, kq, 0, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), -1);
	ck_assert_int_eq(errno, EIO);
	event_of(kq, (uintptr_t)list, EVFILT_LIO);
	ck_assert_int_eq(aio_error(&cb[1]), EBADF);
	ck_assert_int_eq(aio_return(&cb[1]), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(aio_return(&cb[0]), 1);
	event_of(kq, (uintptr_t)list, EVFILT_LIO);
	ck_assert_int_eq(aio_return(&cb[2]), 1);
	no_event(kq);
	/* With LIO_WAIT, too. */
	set_list(cb, list, fd, buf);
	cb[1].aio_fildes = -1;
	set_event(&cb[0].aio_sigevent, kq, EV_ONESHOT, NULL);
	ck_assert_int_eq(lio_listio(LIO_WAIT, list, N, NULL), -1);
	ck_assert_int_eq(errno, EIO);
	event_of(kq, (uintptr_t)&cb[0], EVFILT_AIO);
	ck_assert_int_eq(aio_return(&cb[0]), 1);
	ck_assert_int_eq(aio_return(&cb[1]), -1);
	ck_assert_int_eq(aio_return(&cb[2]), 1);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(lio__a_bad_request_starts_nothing)
{
	int kq = queue(), fd = file_with("abc");
	struct aiocb cb[N], *list[N];
	struct sigevent event;
	char buf[N + 1] = "?B?";

	set_list(cb, list, fd, buf);
	set_event(&event, fd, 0, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), -1);
	ck_assert_int_eq(errno, EBADF);
	set_event(&event, kq, EV_DISABLE, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), -1);
	ck_assert_int_eq(errno, EINVAL);
	set_event(&event, kq, 0, NULL);
	ck_assert_int_eq(lio_listio(77, list, N, &event), -1);
	ck_assert_int_eq(errno, EINVAL);
	/* A list that asks for a thread cannot have members that ask for an event. */
	set_event(&cb[0].aio_sigevent, kq, 0, NULL);
	event.sigev_notify = SIGEV_THREAD;
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), -1);
	ck_assert_int_eq(errno, EINVAL);
	nap(20);
	ck_assert_str_eq(buf, "?B?");
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(lio__an_unknown_operation_is_refused)
{
	int kq = queue(), fd = file_with("abc");
	struct aiocb cb[N], *list[N];
	struct sigevent event;
	char buf[N + 1] = "?B?";

	set_list(cb, list, fd, buf);
	cb[1].aio_lio_opcode = 77;
	set_event(&event, kq, 0, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), -1);
	ck_assert_int_eq(errno, EIO);
	/* The others are done. */
	event_of(kq, (uintptr_t)list, EVFILT_LIO);
	ck_assert_int_eq(aio_return(&cb[0]), 1);
	ck_assert_int_eq(aio_return(&cb[2]), 1);
	no_event(kq);
	ck_assert_str_eq(buf, "aBc");
	close(fd);
	close(kq);
	rest();
}
END_TEST

static volatile sig_atomic_t interrupts;

static void
on_alarm(int signo)
{
	(void)signo;
	interrupts++;
}

/* A handler ends the waiting; what was begun goes on. */
START_TEST(lio__waiting_is_interrupted)
{
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction act = { .sa_handler = on_alarm };
	int kq = queue(), fds[2];
	struct aiocb cb, *list[1] = { &cb };
	char c = '?';

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	cb.aio_lio_opcode = LIO_READ;
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(sigaction(SIGALRM, &act, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	ck_assert_int_eq(lio_listio(LIO_WAIT, list, 1, NULL), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	ck_assert_int_gt(interrupts, 0);
	ck_assert_int_eq(aio_error(&cb), EINPROGRESS);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)&cb, EVFILT_AIO);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

/* As on FreeBSD: there is nothing whose end could be told. */
START_TEST(lio__a_list_of_nothing)
{
	int kq = queue();
	struct aiocb cb, *list[2] = { NULL, &cb };
	struct sigevent event;

	set(&cb, -1, NULL, 0, 0);
	cb.aio_lio_opcode = LIO_NOP;
	set_event(&event, kq, 0, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
	nap(20);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)list, EVFILT_LIO, EV_DELETE, 0, 0, NULL), ENOENT);
	close(kq);
	rest();
}
END_TEST

START_TEST(lio__a_list_can_be_used_again)
{
	int kq = queue(), fds[2];
	struct aiocb cb, *list[1] = { &cb };
	struct sigevent event;
	char c;

	pair(PAIR_PIPE, fds);
	for (int i = 0; i < 3; i++) {
		set(&cb, fds[0], &c, 1, 0);
		cb.aio_lio_opcode = LIO_READ;
		cb.aio_sigevent.sigev_notify = SIGEV_NONE;
		set_event(&event, kq, i == 1 ? EV_ONESHOT : 0, NULL);
		ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, 1, &event), 0);
		/* But not while it is under way. */
		ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, 1, &event), -1);
		ck_assert_int_eq(errno, EINVAL);
		put(fds[1], 1);
		event_of(kq, (uintptr_t)list, EVFILT_LIO);
		ck_assert_int_eq(aio_return(&cb), 1);
		no_event(kq);
	}
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

static volatile sig_atomic_t signalled;
static void *volatile signal_value;

static void
on_signal(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	if (info->si_code == SI_ASYNCIO)
		signal_value = info->si_value.sival_ptr;
	signalled++;
}

START_TEST(lio__a_member_keeps_its_own_signal)
{
	int kq = queue(), fd = file_with("abc");
	struct aiocb cb[N], *list[N];
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct sigevent event;
	char buf[N + 1] = "?B?";

	if (!AIO_THREADS) {
		close(fd);
		close(kq);
		return;
	}
	ck_assert_int_eq(sigaction(SIGUSR2, &act, NULL), 0);
	set_list(cb, list, fd, buf);
	cb[0].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
	cb[0].aio_sigevent.sigev_signo = SIGUSR2;
	cb[0].aio_sigevent.sigev_value.sival_ptr = buf;
	set_event(&event, kq, EV_ONESHOT, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), 0);
	event_of(kq, (uintptr_t)list, EVFILT_LIO);
	for (int i = 0; i < 500 && signalled == 0; i++)
		nap(10);
	ck_assert_int_eq(signalled, 1);
	ck_assert_ptr_eq(signal_value, buf);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(aio_return(&cb[i]), 1);
	close(fd);
	close(kq);
	rest();
}
END_TEST

static _Atomic(void *) thread_value;

static void
on_thread(union sigval value)
{
	thread_value = value.sival_ptr;
}

/* And what it wants the thread to be like. */
START_TEST(lio__a_member_keeps_its_own_thread)
{
	int kq = queue(), fd = file_with("abc");
	struct aiocb cb[N], *list[N];
	struct sigevent event;
	pthread_attr_t attr;
	char buf[N + 1] = "?B?";

	if (!AIO_THREADS) {
		close(fd);
		close(kq);
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	set_list(cb, list, fd, buf);
	cb[0].aio_sigevent.sigev_notify = SIGEV_THREAD;
	cb[0].aio_sigevent.sigev_notify_function = on_thread;
	cb[0].aio_sigevent.sigev_notify_attributes = &attr;
	cb[0].aio_sigevent.sigev_value.sival_ptr = buf;
	set_event(&event, kq, EV_ONESHOT, NULL);
	ck_assert_int_eq(lio_listio(LIO_NOWAIT, list, N, &event), 0);
	event_of(kq, (uintptr_t)list, EVFILT_LIO);
	for (int i = 0; i < 500 && thread_value == NULL; i++)
		nap(10);
	ck_assert_ptr_eq(thread_value, buf);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(aio_return(&cb[i]), 1);
	pthread_attr_destroy(&attr);
	close(fd);
	close(kq);
	rest();
}
END_TEST

AIO_MAIN("lio", 2,
    lio__a_bad_request_starts_nothing,
    lio__a_list_of_nothing,
    lio__the_end_of_all_is_an_event,
    lio__not_before_the_last_has_ended,
    lio__members_alone_may_ask,
    lio__one_that_cannot_be_started,
    lio__an_unknown_operation_is_refused,
    lio__waiting_is_interrupted,
    lio__a_list_can_be_used_again,
    lio__a_member_keeps_its_own_signal,
    lio__a_member_keeps_its_own_thread)
