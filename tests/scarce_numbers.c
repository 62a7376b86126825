/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of descriptors' numbers grows with them, and may find no memory; and the first queue of a process makes
 * what all have in common, and may find neither memory nor descriptors.  Each is an error and is gone with its cause.
 */
#include "child.h"
#include "sandbox.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* The table has this many numbers in one piece; what is beyond them takes another. */
enum { PIECE = 16384, HIGH = PIECE + 500 };

static struct rlimit before;

/* Its runtime ends the program where there is no memory. */
#define NEEDS_MEMORY	THREAD_SANITIZER

/* From here on nothing can be mapped, until memory_is_back(). */
static void
memory_is_gone(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	limit.rlim_cur = 1;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void
memory_is_back(void)
{
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
}

static bool
can_be_tested(void)
{
	struct rlimit limit;

	if (NEEDS_MEMORY)
		return false;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > HIGH + 10) {
		limit.rlim_cur = limit.rlim_max;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		return true;
	}
	fprintf(stderr, "skipped: no more than %ju descriptors\n", (uintmax_t)limit.rlim_max);
	return false;
}

/* A queue works, and sees what is closed.  Nothing here is Check's, so that any child can call it. */
static void
works(int kq)
{
	const struct timespec zero = { 0, 0 };
	struct kevent kev;
	int fds[2];

	CHILD_CHECK(pipe(fds) == 0);
	EV_SET(&kev, fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
	CHILD_CHECK(kevent(kq, &kev, 1, NULL, 0, NULL) == 0);
	CHILD_CHECK(write(fds[1], "x", 1) == 1);
	CHILD_CHECK(kevent(kq, NULL, 0, &kev, 1, &zero) == 1 && kev.ident == (uintptr_t)fds[0]);
	CHILD_CHECK(close(fds[0]) == 0);
	CHILD_CHECK(kevent(kq, NULL, 0, &kev, 1, &zero) == 0);
	CHILD_CHECK(close(fds[1]) == 0);
}

/* How many descriptors are open below 2048, where the library's own are, too. */
static int
opened(void)
{
	int n = 0;

	for (int fd = 0; fd < 2048; fd++)
		n += syscall(SYS_fcntl, fd, F_GETFD) != -1;
	return n;
}

/* In a new program, since the harness has made a queue in this one. */
static void
first_without_memory(void)
{
	enum { MOST = 450 };
	struct rlimit limit, low;
	int kq, error, first = -1;

	CHILD_CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
	low = limit;
	low.rlim_cur = 1;
	CHILD_CHECK(setrlimit(RLIMIT_AS, &low) == 0);
	/* The first may do with what a process has from its beginning; the last cannot. */
	for (int n = 0; (kq = kqueue()) >= 0 && n < MOST; n++)
		if (first == -1)
			first = kq;
	error = errno;
	CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	CHILD_CHECK(kq == -1 && error == ENOMEM);
	if (first >= 0)
		works(first);
	CHILD_CHECK((kq = kqueue()) >= 0);
	works(kq);
	close(kq);
}

/* There is room for so many descriptors, which are too few. */
static void
first_without_descriptors(int spare)
{
	struct rlimit limit, low;
	int lowest = dup(0), before_it = opened(), kq, error;

	CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	low = limit;
	low.rlim_cur = (rlim_t)(lowest + 1 + spare);
	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	kq = kqueue();
	error = errno;
	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHILD_CHECK(kq == -1 && error == EMFILE);
	CHILD_CHECK(opened() <= before_it + 1);		/* what all queues have in common may stay */
	CHILD_CHECK((kq = kqueue()) >= 0);
	works(kq);
	close(kq);
	CHILD_CHECK(opened() == before_it + 1);
}

/* The limit is not told: then ours begin where they do without one. */
static void
first_without_limit(void)
{
	int kq, most = 1024;

#ifdef SYS_getrlimit
	CHILD_CHECK(refuse_call(SYS_getrlimit, EPERM));
#endif
	CHILD_CHECK(refuse_call(SYS_prlimit64, EPERM));
	CHILD_CHECK((kq = kqueue()) >= 0);
	works(kq);
	while (most < 1100 && syscall(SYS_fcntl, most, F_GETFD) == -1)
		most++;
	CHILD_CHECK(most < 1100);
	CHILD_CHECK(close(kq) == 0);
}

static void
first_queue(const char *without)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "scarce_numbers", without, (char *)NULL);
		_exit(127);
	}
	child_succeeds(pid);
}

START_TEST(scarce_numbers__first_queue_without_memory)
{
	if (!NEEDS_MEMORY)
		first_queue("memory");
}
END_TEST

START_TEST(scarce_numbers__first_queue_without_descriptors)
{
	first_queue("0");
	first_queue("1");
	first_queue("2");
}
END_TEST

START_TEST(scarce_numbers__first_queue_without_a_limit)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur > 1100)
		first_queue("limit");
}
END_TEST

/* In a child whose table has a hole where it found no memory. */
static void
child_of_the_table(int kq, int high)
{
	int own;

	CHILD_CHECK(kevent(kq, NULL, 0, NULL, 0, NULL) == -1 && errno == EBADF);
	CHILD_CHECK((own = kqueue()) >= 0);
	works(own);
	CHILD_CHECK(close(high) == 0);
	CHILD_CHECK(close(own) == 0);
	_exit(0);
}

START_TEST(scarce_numbers__table_that_cannot_grow)
{
	int kq, fds[2], high, unseen, copy, error[4];
	pid_t pid;

	if (!can_be_tested())
		return;
	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	high = fcntl(fds[0], F_DUPFD, HIGH);
	unseen = (int)syscall(SYS_fcntl, kq, F_DUPFD, HIGH + 1);
	memory_is_gone();
	error[0] = change(kq, (uintptr_t)high, EVFILT_READ, EV_ADD, 0, 0, NULL);
	copy = fcntl(kq, F_DUPFD, HIGH + 2);
	error[1] = change(copy, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	error[2] = change(unseen, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	error[3] = shutdown(high, SHUT_WR);
	memory_is_back();
	ck_assert_int_eq(error[0], ENOMEM);
	/* A duplicate is one, but cannot be known for one until there is memory. */
	ck_assert_int_eq(copy, HIGH + 2);
	ck_assert_int_eq(error[1], EBADF);
	ck_assert_int_eq(error[2], EBADF);
	ck_assert_int_eq(error[3], 0);
	pid = fork();
	if (pid == 0)
		child_of_the_table(kq, high);
	child_succeeds(pid);
	ck_assert_int_eq(change(copy, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(unseen, 1, EVFILT_USER);
	ck_assert_int_eq(change(kq, (uintptr_t)high, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)high, EVFILT_READ);
	/* All three numbers are counted: the last one ends it. */
	ck_assert_int_eq(close(kq), 0);
	event_of(copy, (uintptr_t)high, EVFILT_READ);
	ck_assert_int_eq(close(copy), 0);
	event_of(unseen, (uintptr_t)high, EVFILT_READ);
	ck_assert_int_eq(close(unseen), 0);
	ck_assert_int_eq(close(high), 0);
	close_pair(fds);
}
END_TEST

/* Every number of the table's first piece is taken: a queue's own, then those of the library's. */
START_TEST(scarce_numbers__queue_beyond_the_table)
{
	static bool taken[PIECE];
	int fd, kq[2], error[2], spare;

	if (!can_be_tested())
		return;
	close(queue());
	for (fd = dup(0); fd < PIECE; fd = dup(0)) {
		ck_assert_int_ge(fd, 0);
		taken[fd] = true;
	}
	close(fd);
	memory_is_gone();
	kq[0] = kqueue();
	error[0] = errno;
	for (spare = 0; !taken[spare]; spare++)
		;
	taken[spare] = false;
	close(spare);
	kq[1] = kqueue();
	error[1] = errno;
	memory_is_back();
	ck_assert_int_eq(kq[0], -1);
	ck_assert_int_eq(error[0], ENOMEM);
	ck_assert_int_eq(kq[1], -1);
	ck_assert_int_eq(error[1], ENOMEM);
	kq[1] = queue();
	ck_assert_int_eq(kq[1], spare);
	kq[0] = queue();
	ck_assert_int_ge(kq[0], PIECE);
	works(kq[0]);
	works(kq[1]);
	close(kq[0]);
	close(kq[1]);
	for (fd = 0; fd < PIECE; fd++)
		if (taken[fd])
			close(fd);
}
END_TEST

int
main(int argc, char **argv)
{
	const TTest *const tests[] = {
		scarce_numbers__first_queue_without_memory,
		scarce_numbers__first_queue_without_descriptors,
		scarce_numbers__first_queue_without_a_limit,
		scarce_numbers__table_that_cannot_grow,
		scarce_numbers__queue_beyond_the_table,
	};

	if (argc == 1)
		return harness_run("scarce_numbers", tests, sizeof(tests) / sizeof(tests[0]));
	if (argv[1][0] == 'm')
		first_without_memory();
	else if (argv[1][0] == 'l')
		first_without_limit();
	else
		first_without_descriptors(atoi(argv[1]));
	return 0;
}
