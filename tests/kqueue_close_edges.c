/* SPDX-License-Identifier: BSD-2-Clause */
/* Closing many descriptors at once: ranges that end oddly, flags, tables of a thread's own, and nothing to ask. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "child.h"
#include "numbers.h"
#include "sandbox.h"

#include <sys/resource.h>
#include <sys/syscall.h>

/* Older headers have neither. */
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE	2
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC	4
#endif

/* musl declares neither. */
int	close_range(unsigned int first, unsigned int last, int flags);
void	closefrom(int first);

static int kq, fds[2];

static void
begin(void)
{
	signal(SIGUSR1, SIG_IGN);
	pair(PAIR_UNIX, fds);
	kq = full_queue(fds);
}

static void
end(void)
{
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	get(fds[0], 1);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	close_pair(fds);
	close(kq);
}

/* A kernel that has no close_range(2) is another test's business. */
static bool
cannot_close_ranges(void)
{
	if (syscall(SYS_close_range, ~0u, ~0u, 0) == 0)
		return false;
	fprintf(stderr, "skipped: no close_range(2)\n");
	return true;
}

START_TEST(kqueue_close_edges__ranges_that_end_at_one_of_ours)
{
	int own, below;

	if (cannot_close_ranges())
		return;
	begin();
	own = bell();
	below = fcntl(fds[0], F_DUPFD, own / 2);
	ck_assert_int_eq(change(kq, (uintptr_t)below, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(close_range((unsigned int)own, (unsigned int)own, 0), 0);
	ck_assert_int_eq(close_range((unsigned int)below, (unsigned int)own, 0), 0);
	ck_assert_int_eq(fcntl(below, F_GETFD), -1);
	ck_assert_int_eq(change(kq, (uintptr_t)below, EVFILT_READ, EV_DELETE, 0, 0, NULL), EBADF);
	end();
}
END_TEST

START_TEST(kqueue_close_edges__what_the_kernel_refuses_closes_nothing)
{
	unsigned int first, last;

	if (cannot_close_ranges())
		return;
	begin();
	first = (unsigned int)(fds[0] < fds[1] ? fds[0] : fds[1]);
	last = (unsigned int)(fds[0] < fds[1] ? fds[1] : fds[0]);
	ck_assert_int_eq(close_range(last, first, 0), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(close_range(first, last, 1 << 30), -1);
	ck_assert_int_eq(errno, EINVAL);
	end();
}
END_TEST

START_TEST(kqueue_close_edges__close_on_exec_closes_nothing_yet)
{
	if (cannot_close_ranges())
		return;
	begin();
	if (close_range((unsigned int)fds[0], (unsigned int)fds[0], CLOSE_RANGE_CLOEXEC) == 0)
		ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	else
		ck_assert_int_eq(errno, EINVAL);	/* before Linux 5.11 */
	end();
}
END_TEST

static void *
unsharing_thread(void *arg)
{
	ck_assert_int_eq(close_range((unsigned int)fds[0], (unsigned int)fds[0], CLOSE_RANGE_UNSHARE), 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
	return arg;
}

/* What a thread closes in a table of its own is open in the others'. */
START_TEST(kqueue_close_edges__thread_with_a_table_of_its_own)
{
	pthread_t thread;

	if (cannot_close_ranges())
		return;
	begin();
	ck_assert_int_eq(pthread_create(&thread, NULL, unsharing_thread, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	end();
}
END_TEST

/* Who is alone has the same table as before, and its registrations go. */
START_TEST(kqueue_close_edges__unshared_by_who_is_alone)
{
	int high;

	if (cannot_close_ranges())
		return;
	begin();
	high = fcntl(fds[0], F_DUPFD, 900);
	ck_assert_int_eq(change(kq, (uintptr_t)high, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)high, EVFILT_WRITE);
	ck_assert_int_eq(close_range((unsigned int)high, (unsigned int)high, CLOSE_RANGE_UNSHARE), 0);
	no_event(kq);
	end();
}
END_TEST

/* In a child that has closed all it had. */
static void
begins_anew(void)
{
	struct kevent kev;
	int own;

	for (int fd = 0; fd < 2048; fd++)
		if (syscall(SYS_fcntl, fd, F_GETFD) != -1)
			_exit(10);
	if ((own = kqueue()) != 0)
		_exit(11);
	EV_SET(&kev, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL);
	if (kevent(own, &kev, 1, &kev, 1, NULL) != 1 || kev.filter != EVFILT_USER)
		_exit(12);
	if (close(own) != 0)
		_exit(13);
	_exit(0);
}

START_TEST(kqueue_close_edges__closefrom_less_than_nothing)
{
	pid_t pid;

	begin();
	pid = fork();
	if (pid == 0) {
		closefrom(-3);
		begins_anew();
	}
	child_succeeds(pid);
	end();
}
END_TEST

/* The list of what is open is itself open meanwhile. */
START_TEST(kqueue_close_edges__closefrom_goes_by_the_list)
{
	pid_t pid;

	begin();
	pid = fork();
	if (pid == 0) {
		CHILD_CHECK(refuse_call(SYS_close_range, ENOSYS));
		closefrom(0);
		begins_anew();
	}
	child_succeeds(pid);
	end();
}
END_TEST

/* Neither the call nor the list: all numbers below the limit are closed, one by one. */
START_TEST(kqueue_close_edges__closefrom_without_a_list)
{
	struct rlimit limit = { 2048, 2048 };
	int status;
	pid_t pid;

	begin();
	pid = fork();
	if (pid == 0) {
		if (!enter_mount_namespace() || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == -1 ||
		    mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == -1)
			_exit(77);
		CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		CHILD_CHECK(refuse_call(SYS_close_range, ENOSYS));
		closefrom(0);
		begins_anew();
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (status == 77 << 8)
		fprintf(stderr, "skipped: no mount name space: it takes root or a user name space\n");
	else
		ck_assert_int_eq(status, 0);
	end();
}
END_TEST

HARNESS_MAIN("kqueue_close_edges",
    kqueue_close_edges__ranges_that_end_at_one_of_ours,
    kqueue_close_edges__what_the_kernel_refuses_closes_nothing,
    kqueue_close_edges__close_on_exec_closes_nothing_yet,
    kqueue_close_edges__thread_with_a_table_of_its_own,
    kqueue_close_edges__unshared_by_who_is_alone,
    kqueue_close_edges__closefrom_less_than_nothing,
    kqueue_close_edges__closefrom_goes_by_the_list,
    kqueue_close_edges__closefrom_without_a_list)
