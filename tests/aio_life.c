/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_AIO: what is used again, closed, forked or nested meanwhile, and many at once. */
#include "aio.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(aio_life__an_aiocb_can_be_used_again)
{
	int kq = queue(), fd = file_with("abc"), fds[2];
	struct aiocb cb;
	char c = '\0';	/* valgrind sees nothing of what io_uring writes */

	pair(PAIR_PIPE, fds);
	set(&cb, fd, &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	end_of(kq, &cb);
	/* Its result was not taken: it never will be. */
	cb.aio_offset = 2;
	ck_assert_int_eq(aio_read(&cb), 0);
	end_of(kq, &cb);
	ck_assert_int_eq(c, 'c');
	ck_assert_int_eq(aio_return(&cb), 1);
	/* But not while it is under way. */
	cb.aio_fildes = fds[0];
	ck_assert_int_eq(aio_read(&cb), 0);
	ck_assert_int_eq(aio_read(&cb), -1);
	ck_assert_int_eq(errno, EINVAL);
	put(fds[1], 1);
	end_of(kq, &cb);
	ck_assert_int_eq(aio_return(&cb), 1);
	no_event(kq);
	close_pair(fds);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio_life__what_asks_for_no_event_is_left_alone)
{
	int kq = queue(), fd = file_with("x");
	const struct aiocb *list[1];
	struct aiocb cb;
	char c;

	set(&cb, fd, &c, 1, 0);
	cb.aio_sigevent.sigev_notify = SIGEV_NONE;
	list[0] = &cb;
	ck_assert_int_eq(aio_read(&cb), 0);
	while (aio_error(&cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	ck_assert_int_eq(aio_return(&cb), 1);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio_life__a_queue_may_be_closed_first)
{
	int kq = queue(), fds[2], next;
	struct aiocb cb;
	char c;

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	close(kq);
	next = queue();		/* likely in the same place */
	put(fds[1], 1);
	while (aio_error(&cb) == EINPROGRESS)
		nap(1);
	nap(20);
	no_event(next);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(next);
	rest();
}
END_TEST

START_TEST(aio_life__a_descriptor_may_be_closed_first)
{
	int kq = queue(), fds[2];
	struct kevent event;
	struct aiocb cb;
	char c;

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	begins_to_wait();
	close(fds[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)!write(fds[1], "x", 1);
	close(fds[1]);
	event = end_of(kq, &cb);
	ck_assert_int_eq(event.data, aio_error(&cb));
	ck_assert_int_eq(aio_return(&cb), event.data == 0 ? 1 : -1);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio_life__a_child_has_none_of_it)
{
	int kq = queue(), fds[2], status;
	struct aiocb cb, own, *list[1] = { &own };
	struct kevent event;
	pid_t pid;
	char c;

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	pid = fork();
	if (pid == 0) {
		set(&own, fds[0], &c, 1, 0);
		set_event(&own.aio_sigevent, kq, 0, NULL);
		if (aio_read(&own) != -1 || errno != EBADF)
			_exit(1);
		own.aio_lio_opcode = LIO_READ;
		if (lio_listio(LIO_NOWAIT, list, 1, NULL) != -1 || errno != EBADF)
			_exit(1);
		if (aio_error(&cb) == EBADF)
			_exit(2);
		kq = kqueue();
		if (kq == -1 || collect(kq, &event, 1, 0) != 0)
			_exit(3);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	put(fds[1], 1);
	end_of(kq, &cb);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio_life__two_queues)
{
	int kq[2] = { queue(), queue() }, fds[2][2];
	struct aiocb cb[2];
	char c[2];

	for (int i = 0; i < 2; i++) {
		pair(PAIR_PIPE, fds[i]);
		set(&cb[i], fds[i][0], &c[i], 1, 0);
		set_event(&cb[i].aio_sigevent, kq[i], 0, NULL);
		ck_assert_int_eq(aio_read(&cb[i]), 0);
	}
	put(fds[1][1], 1);
	end_of(kq[1], &cb[1]);
	no_event(kq[0]);
	put(fds[0][1], 1);
	end_of(kq[0], &cb[0]);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(aio_return(&cb[i]), 1);
		close_pair(fds[i]);
		close(kq[i]);
	}
	rest();
}
END_TEST

/* In another queue, too. */
START_TEST(aio_life__a_nested_queue)
{
	int outer = queue(), kq = queue(), fds[2];
	struct aiocb cb;
	char c;

	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	no_event(outer);
	put(fds[1], 1);
	while (aio_error(&cb) == EINPROGRESS)
		nap(1);
	ck_assert_int_eq(event_of(outer, (uintptr_t)kq, EVFILT_READ).data, 1);
	end_of(kq, &cb);
	ck_assert_int_eq(aio_return(&cb), 1);
	no_event(outer);
	close_pair(fds);
	close(kq);
	close(outer);
	rest();
}
END_TEST

#define MANY 500

START_TEST(aio_life__many_each_once)
{
	static struct aiocb cb[MANY];
	static char c[MANY];
	int kq = queue(), fd, left = MANY, n;
	struct kevent events[16];
	char contents[MANY + 1];

	memset(contents, 'q', MANY);
	contents[MANY] = '\0';
	fd = file_with(contents);
	for (int i = 0; i < MANY; i++) {
		set(&cb[i], fd, &c[i], 1, i);
		set_event(&cb[i].aio_sigevent, kq, i % 2 == 0 ? EV_ONESHOT : EV_CLEAR, &c[i]);
		ck_assert_int_eq(aio_read(&cb[i]), 0);
	}
	while (left > 0) {
		n = collect(kq, events, 16, LONG_MS);
		ck_assert_int_ge(n, 1);
		for (int i = 0; i < n; i++, left--) {
			ck_assert_int_eq(*(char *)events[i].udata, 'q');
			*(char *)events[i].udata = 'x';
			ck_assert_int_eq(aio_return((struct aiocb *)events[i].ident), 1);
		}
	}
	nap(20);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

static struct aiocb handled;
static volatile sig_atomic_t handled_error, handled_result;

static void
handle(int signo)
{
	(void)signo;
	handled_error = aio_error(&handled);
	handled_result = (sig_atomic_t)aio_return(&handled);
}

START_TEST(aio_life__a_handler_may_take_the_result)
{
	int kq = queue(), fd = file_with("x");
	char c;

	(void)signal(SIGUSR1, handle);
	set(&handled, fd, &c, 1, 0);
	set_event(&handled.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&handled), 0);
	end_of(kq, &handled);
	ck_assert_int_eq(raise(SIGUSR1), 0);
	nap(1);
	ck_assert_int_eq(handled_error, 0);
	ck_assert_int_eq(handled_result, 1);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

AIO_MAIN("aio_life", 0,
    aio_life__an_aiocb_can_be_used_again,
    aio_life__what_asks_for_no_event_is_left_alone,
    aio_life__a_queue_may_be_closed_first,
    aio_life__a_descriptor_may_be_closed_first,
    aio_life__a_child_has_none_of_it,
    aio_life__two_queues,
    aio_life__a_nested_queue,
    aio_life__many_each_once,
    aio_life__a_handler_may_take_the_result)
