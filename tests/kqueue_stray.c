/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Strays: epoll goes on telling of a descriptor whose close was not seen, while a duplicate or a child has its file.
 * Nobody hears of it, and nobody spins.
 */
#include "unseen.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Has fd watched; a duplicate of it, which keeps its file when it is closed. */
static int
watch_copied(int kq, int fd, short filter, unsigned short flags)
{
	int copy;

	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, EV_ADD | flags,
	    filter == EVFILT_EXCEPT ? NOTE_OOB : 0, 0, &old_mark), 0);
	ck_assert_int_ge(copy = fcntl(fd, F_DUPFD_CLOEXEC, 50), 0);
	return copy;
}

/* Until it is closed, nothing is told of it; and a wait is not longer than was asked for. */
static void
is_idle(int kq)
{
	int64_t start = now_ns();

	asleep(kq, 200);
	ck_assert_int_ge(now_ns() - start, 200000000);
	ck_assert_int_lt(now_ns() - start, 20000000000);
	no_event(kq);
}

/* A duplicate goes on being ready: nothing is told of it, and nobody spins. */
START_TEST(kqueue_stray__duplicate_neither_reports_nor_spins)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 4; i++)
		for (int taken = 0; taken < 2; taken++) {
			int kq = queue(), fds[2], copy, file = -1;

			pair(PAIR_UNIX, fds);
			copy = watch_copied(kq, fds[0], EVFILT_READ, flags[i]);
			put(fds[1], 1);
			unseen_close(fds[0]);
			if (taken)
				ck_assert_int_eq(file = open("/dev/null", O_RDWR), fds[0]);
			asleep(kq, 200);
			ck_assert(!readable(kq, 0));
			/* An edge comes once; unless each report is checked, nobody has noticed. */
			if (taken && (UNSEEN_ALL || i == 0))
				ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
			if (taken)
				close(file);
			close(copy);
			close(fds[1]);
			close(kq);
		}
	close(queue());
}
END_TEST

/* What can be written can be, always. */
START_TEST(kqueue_stray__duplicate_that_can_be_written_is_silent)
{
	static const enum pair kinds[] = { PAIR_UNIX, PAIR_TCP, PAIR_PIPE };

	for (int i = 0; i < 3; i++) {
		int kq = queue(), fds[2], copy;

		pair(kinds[i], fds);
		copy = watch_copied(kq, fds[1], EVFILT_WRITE, 0);
		unseen_close(fds[1]);
		is_idle(kq);
		ck_assert(!readable(kq, 0));
		close(copy);
		close(fds[0]);
		close(kq);
	}
	close(queue());
}
END_TEST

/* The end of a file that is closed is no news either. */
START_TEST(kqueue_stray__duplicate_at_its_end_is_silent)
{
	static const short filters[] = { EVFILT_READ, EVFILT_EXCEPT };

	for (int i = 0; i < 2; i++) {
		int kq = queue(), fds[2], copy;

		pair(PAIR_UNIX, fds);
		copy = watch_copied(kq, fds[0], filters[i], 0);
		unseen_close(fds[0]);
		close(fds[1]);
		is_idle(kq);
		ck_assert(!readable(kq, 0));
		close(copy);
		close(kq);
	}
	close(queue());
}
END_TEST

/* The number is something else by now, which has no connections. */
START_TEST(kqueue_stray__duplicate_that_listens_is_silent)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int kq = queue(), listener, copy, counter, client[2];
	socklen_t size = sizeof(own);

	ck_assert_int_ge(listener = socket(AF_INET, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&own, size), 0);
	ck_assert_int_eq(listen(listener, 5), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&own, &size), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_ge(client[i] = socket(AF_INET, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)listener, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(connect(client[0], (struct sockaddr *)&own, size), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)listener, EVFILT_READ).data, 1);
	ck_assert_int_ge(copy = fcntl(listener, F_DUPFD_CLOEXEC, 50), 0);
	ck_assert_int_ge(counter = eventfd(0, EFD_CLOEXEC), 0);
	ck_assert_int_eq(syscall(SYS_dup3, counter, listener, 0), listener);
	ck_assert_int_eq(connect(client[1], (struct sockaddr *)&own, size), 0);
	is_idle(kq);
	ck_assert(!readable(kq, 0));
	for (int i = 0; i < 2; i++)
		close(client[i]);
	close(counter);
	close(listener);
	close(copy);
	close(kq);
	close(queue());
}
END_TEST

/* What drains, or is full for good, is nobody's. */
START_TEST(kqueue_stray__send_queue_is_silent)
{
	int kq = queue(), fds[2], copy;

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	copy = watch_copied(kq, fds[1], EVFILT_EMPTY, 0);
	no_event(kq);
	unseen_close(fds[1]);
	get(fds[0], 1);
	is_idle(kq);
	ck_assert(!readable(kq, 0));
	close(copy);
	close(fds[0]);
	close(kq);
	close(queue());
}
END_TEST

/* Many at once: they are silenced one by one, and others are told of meanwhile and afterwards. */
START_TEST(kqueue_stray__many_duplicates_do_not_hide_what_is_ready)
{
	int kq = queue(), fds[2], live[2], copies[8];

	pair(PAIR_PIPE, live);
	ck_assert_int_eq(change(kq, (uintptr_t)live[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < 8; i++) {
		pair(PAIR_UNIX, fds);
		copies[i] = watch_copied(kq, fds[0], EVFILT_READ, 0);
		put(fds[1], 1);
		unseen_close(fds[0]);
		close(fds[1]);
	}
	for (int i = 0; i < 6; i++) {
		put(live[1], 1);
		event_of(kq, (uintptr_t)live[0], EVFILT_READ);
		get(live[0], 1);
		is_idle(kq);
	}
	ck_assert(!readable(kq, 0));
	for (int i = 0; i < 8; i++)
		close(copies[i]);
	close_pair(live);
	close(kq);
	close(queue());
}
END_TEST

/* The owner of the number today loses nothing when the item of its former owner goes. */
START_TEST(kqueue_stray__number_registered_anew_keeps_its_registration)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 4; i++) {
		int kq = queue(), fds[2], again[2], copies[2];

		pair(PAIR_UNIX, fds);
		copies[0] = watch_copied(kq, fds[0], EVFILT_READ, 0);
		put(fds[1], 1);
		unseen_close(fds[0]);
		pair(PAIR_UNIX, again);
		ck_assert_int_eq(again[0], fds[0]);
		ck_assert_int_ge(copies[1] = fcntl(again[0], F_DUPFD_CLOEXEC, 50), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)again[0], EVFILT_READ, EV_ADD | flags[i], 0, 0, &new_mark), 0);
		is_idle(kq);
		put(again[1], 1);
		ck_assert_ptr_eq(event_of(kq, (uintptr_t)again[0], EVFILT_READ).udata, &new_mark);
		get(again[0], 1);
		is_idle(kq);
		ck_assert(!readable(kq, 0));
		close(copies[0]);
		close(copies[1]);
		close_pair(again);
		close(fds[1]);
		close(kq);
	}
	close(queue());
}
END_TEST

/* Deleted or closed as ever, after the close that was not seen: the former owner is silent. */
START_TEST(kqueue_stray__deleting_does_not_bring_it_back)
{
	for (int closes = 0; closes < 2; closes++) {
		int kq = queue(), fds[2], file, copy, error;

		pair(PAIR_UNIX, fds);
		copy = watch_copied(kq, fds[0], EVFILT_READ, 0);
		put(fds[1], 1);
		unseen_close(fds[0]);
		ck_assert_int_eq(file = open("/dev/null", O_RDWR), fds[0]);
		if (closes)
			close(file);
		error = change(kq, (uintptr_t)file, EVFILT_READ, EV_DELETE, 0, 0, NULL);
		ck_assert(error == 0 || error == ENOENT || (closes && error == EBADF));
		is_idle(kq);
		ck_assert(!readable(kq, 0));
		if (!closes)
			close(file);
		close(copy);
		close(fds[1]);
		close(kq);
	}
	close(queue());
}
END_TEST

/* A queue in another one is no exception. */
START_TEST(kqueue_stray__duplicate_in_a_nested_queue_is_silent)
{
	int outer = queue(), inner = queue(), fds[2], copy;

	pair(PAIR_UNIX, fds);
	copy = watch_copied(inner, fds[0], EVFILT_READ, 0);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	put(fds[1], 1);
	unseen_close(fds[0]);
	is_idle(outer);
	ck_assert(!readable(outer, 0));
	close(copy);
	close(fds[1]);
	close(inner);
	close(outer);
	close(queue());
}
END_TEST

/*
 * Only a child has the file: the queue may stay readable, but who waits sleeps,
 * and is told of what else is ready.
 */
START_TEST(kqueue_stray__file_that_a_child_has_does_not_keep_us_busy)
{
	int kq = queue(), fds[2], live[2], hold[2];
	pid_t pid;

	pair(PAIR_UNIX, fds);
	pair(PAIR_PIPE, live);
	pair(PAIR_PIPE, hold);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)live[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		close(hold[1]);
		_exit(read(hold[0], &byte, 1) != 0);
	}
	put(fds[1], 1);
	unseen_close(fds[0]);
	for (int i = 0; i < 3; i++) {
		is_idle(kq);
		put(live[1], 1);
		event_of(kq, (uintptr_t)live[0], EVFILT_READ);
		get(live[0], 1);
	}
	close_pair(hold);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	is_idle(kq);
	ck_assert(!readable(kq, 0));
	close(fds[1]);
	close_pair(live);
	close(kq);
	close(queue());
}
END_TEST

HARNESS_MAIN("kqueue_stray",
    kqueue_stray__duplicate_neither_reports_nor_spins,
    kqueue_stray__duplicate_that_can_be_written_is_silent,
    kqueue_stray__duplicate_at_its_end_is_silent,
    kqueue_stray__duplicate_that_listens_is_silent,
    kqueue_stray__send_queue_is_silent,
    kqueue_stray__many_duplicates_do_not_hide_what_is_ready,
    kqueue_stray__number_registered_anew_keeps_its_registration,
    kqueue_stray__deleting_does_not_bring_it_back,
    kqueue_stray__duplicate_in_a_nested_queue_is_silent,
    kqueue_stray__file_that_a_child_has_does_not_keep_us_busy)
