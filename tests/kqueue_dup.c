/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A duplicate of a queue's number is the same queue, which ends with its last
 * number, whichever that is and however it is closed; then nothing of it is left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "numbers.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HIGH = 100 };

static int by_dup(int fd) { return dup(fd); }
static int by_dup2(int fd) { return dup2(fd, HIGH); }
static int by_dup3(int fd) { return dup3(fd, HIGH, O_CLOEXEC); }
static int by_fcntl(int fd) { return fcntl(fd, F_DUPFD, HIGH); }
static int by_fcntl_cloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, HIGH); }

static const struct { const char *name; int (*make)(int); } duplicates[] = {
	{ "dup", by_dup }, { "dup2", by_dup2 }, { "dup3", by_dup3 },
	{ "F_DUPFD", by_fcntl }, { "F_DUPFD_CLOEXEC", by_fcntl_cloexec },
};
enum { DUPLICATES = sizeof(duplicates) / sizeof(duplicates[0]) };

static void close_close(int fd) { ck_assert_int_eq(close(fd), 0); }
static void close_dup2(int fd) { int other = open("/dev/null", O_RDONLY); dup2(other, fd); close(other); close(fd); }
static void close_dup3(int fd) { int other = open("/dev/null", O_RDONLY); dup3(other, fd, O_CLOEXEC); close(other); close(fd); }
static void close_fclose(int fd) { ck_assert_int_eq(fclose(fdopen(fd, "r")), 0); }
#ifdef CLOSE_RANGE_UNSHARE
static void close_ranged(int fd) { ck_assert_int_eq(close_range((unsigned int)fd, (unsigned int)fd, 0), 0); }
#endif
#if GLIBC_SINCE(2, 34)
/* Above what the test may have inherited. */
static void close_from(int fd) { dup2(fd, 1000); close(fd); closefrom(1000); }
#endif

static const struct { const char *name; void (*close)(int); } closes[] = {
	{ "close", close_close }, { "dup2", close_dup2 }, { "dup3", close_dup3 },
	{ "fclose", close_fclose },
#ifdef CLOSE_RANGE_UNSHARE
	{ "close_range", close_ranged },
#endif
#if GLIBC_SINCE(2, 34)
	{ "closefrom", close_from },
#endif
};
enum { CLOSES = sizeof(closes) / sizeof(closes[0]) };

/* What the process keeps is made by its first queue and signal. */
static void
warm_up(int fds[2])
{
	signal(SIGUSR1, SIG_IGN);
	pair(PAIR_UNIX, fds);
	close(full_queue(fds));
}

START_TEST(kqueue_dup__duplicate_lives_when_the_first_is_closed)
{
	int fds[2], before;

	warm_up(fds);
	before = open_descriptors();
	for (int i = 0; i < DUPLICATES; i++) {
		int kq = full_queue(fds), copy = duplicates[i].make(kq);

		ck_assert_msg(copy >= 0, "%s", duplicates[i].name);
		ck_assert_int_eq(close(kq), 0);
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
		ck_assert_msg(change(copy, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) == 0, "%s: the queue is gone", duplicates[i].name);
		event_of(copy, 1, EVFILT_USER);
		ck_assert_int_eq(close(copy), 0);
		ck_assert_int_eq(change(copy, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
		ck_assert_msg(open_descriptors() == before, "%s: descriptors are left", duplicates[i].name);
	}
	close_pair(fds);
}
END_TEST

START_TEST(kqueue_dup__duplicate_of_a_duplicate_is_the_queue)
{
	int kq = queue(), copies[4];

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_ge(copies[i] = dup(i == 0 ? kq : copies[i - 1]), 0);
		close(i == 0 ? kq : copies[i - 1]);
	}
	ck_assert_int_eq(change(copies[3], 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(copies[3], 1, EVFILT_USER);
	close(copies[3]);
}
END_TEST

/* Hands a descriptor over a socket. */
static void
hand(int socket, int fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec byte = { .iov_base = &control, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};

	memset(&control, 0, sizeof(control));
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(socket, &message, 0), 1);
}

static int
take(int socket)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	int fd = -1;

	ck_assert_int_eq(recvmsg(socket, &message, 0), 1);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/* A queue that comes over a socket: the process's own is found again, whatever its number. */
START_TEST(kqueue_dup__handed_over_in_the_process_is_the_queue)
{
	int fds[2], kq = queue(), copy;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	hand(fds[1], kq);
	copy = take(fds[0]);
	ck_assert_int_eq(change(copy, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	ck_assert_int_eq(close(kq), 0);
	no_event(copy);
	ck_assert_int_eq(close(copy), 0);
	close_pair(fds);
}
END_TEST

/*
 * Two processes that are alike in everything, each with one queue: that of the
 * other is none here, least of all the process's own.
 */
START_TEST(kqueue_dup__handed_over_by_another_process_is_none)
{
	struct kevent event;
	int fds[2], status;
	pid_t pids[2];

	pair(PAIR_UNIX, fds);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		int kq = queue(), other;

		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		hand(fds[i], kq);
		other = take(fds[i]);
		ck_assert_int_eq(change(other, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
		no_event(kq);
		ck_assert_int_eq(kevent(other, NULL, 0, &event, 1, &(struct timespec){ 0, 0 }), -1);
		ck_assert_int_eq(close(other), 0);
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		event_of(kq, 1, EVFILT_USER);
		ck_assert_int_eq(close(kq), 0);
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_msg(status == 0, "process %d: status %#x", i, (unsigned)status);
	}
	close_pair(fds);
}
END_TEST

/* The waiter came by a number that is closed; the queue is not. */
START_TEST(kqueue_dup__waiter_stays_while_a_duplicate_does)
{
	int kq = queue(), copy;
	struct waiter w;

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_ge(copy = dup(kq), 0);
	waiter_start(&w, kq, 30000);
	close(kq);
	ck_assert_int_eq(change(copy, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.filter, EVFILT_USER);
	waiter_start(&w, copy, 30000);
	close(copy);
	waiter_join(&w);
	ck_assert_int_eq(w.count, -1);
	ck_assert_int_eq(w.error, EBADF);
}
END_TEST

START_TEST(kqueue_dup__dup2_onto_another_queue_closes_that)
{
	int one = queue(), two = queue();

	ck_assert_int_eq(change(one, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(dup2(one, two), two);
	ck_assert_int_eq(dup2(one, one), one);
	ck_assert_int_eq(change(two, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(one, 1, EVFILT_USER);
	ck_assert_int_eq(dup2(two, one), one);
	close(one);
	ck_assert_int_eq(change(two, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(two, 1, EVFILT_USER);
	close(two);
}
END_TEST

START_TEST(kqueue_dup__failed_duplicate_counts_for_nothing)
{
	int fds[2], before, kq;

	warm_up(fds);
	before = open_descriptors();
	kq = full_queue(fds);
	ck_assert_int_eq(dup2(kq, -1), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(dup3(kq, kq, 0), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(dup3(kq, HIGH, O_APPEND), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fcntl(kq, F_DUPFD, INT32_MAX), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(dup(-1), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(dup2(kq, kq), kq);
	ck_assert_int_eq(dup2(HIGH + 7, HIGH + 7), -1);
	ck_assert_int_eq(errno, EBADF);
	close(kq);
	ck_assert_int_eq(open_descriptors(), before);
	close_pair(fds);
}
END_TEST

START_TEST(kqueue_dup__every_way_to_close_frees_everything)
{
	int fds[2], before;

	warm_up(fds);
	before = open_descriptors();
	for (int i = 0; i < CLOSES; i++)
		for (int copies = 0; copies < 2; copies++) {
			int kq = full_queue(fds), copy = copies ? dup(kq) : -1;

			closes[i].close(kq);
			if (copies)
				closes[i].close(copy);
			ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
			ck_assert_msg(open_descriptors() == before, "%s: %d descriptors are left, not %d", closes[i].name, open_descriptors(), before);
		}
	close_pair(fds);
}
END_TEST

START_TEST(kqueue_dup__a_queue_costs_two_descriptors)
{
	int first = queue(), before = open_descriptors(), kq = queue();

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)first, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_le(open_descriptors(), before + 2);
	close(kq);
	close(first);
}
END_TEST

/* The resident memory of this process, in kilobytes. */
static long
memory(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long total, resident;

	if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2)
		resident = 0;
	if (file != NULL)
		fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

START_TEST(kqueue_dup__ten_thousand_queues_leak_nothing)
{
	int fds[2], before;
	long size = 0;

	warm_up(fds);
	before = open_descriptors();
	for (int i = 0; i < 10000; i++) {
		int kq = full_queue(fds), copy = dup(kq);

		close(kq);
		close(copy);
		if (i == 500)
			size = memory();
	}
	ck_assert_int_eq(open_descriptors(), before);
	/* Sanitizers keep what is freed. */
	if (!ADDRESS_SANITIZER && !THREAD_SANITIZER)
		ck_assert_int_le(memory() - size, 2000);
	close_pair(fds);
}
END_TEST

/* All else that fcntl() does, it does. */
START_TEST(kqueue_dup__fcntl_is_what_it_was)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 7 };
	int fds[2], file, copy, status;
	char path[128];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(fcntl(file, F_SETLK, &lock), 0);
	if ((pid = fork()) == 0) {
		struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		_exit(fcntl(file, F_GETLK, &other) == 0 && other.l_type == F_WRLCK &&
		    other.l_start == 5 && other.l_len == 7 && other.l_pid == getppid() ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDWR);
	ck_assert_int_eq(fcntl(fds[0], F_SETFD, FD_CLOEXEC), 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fds[0], F_SETOWN, -getpgrp()), 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETOWN), -getpgrp());
	ck_assert_int_ge(copy = fcntl(fds[0], F_DUPFD_CLOEXEC, HIGH), HIGH);
	ck_assert_int_eq(fcntl(copy, F_GETFD), FD_CLOEXEC);
	close(copy);
#ifdef __GLIBC__
	ck_assert_int_eq(copy = fcntl64(fds[0], F_DUPFD, HIGH), HIGH);
	ck_assert_int_eq(fcntl64(copy, F_GETFD), 0);
	close(copy);
#endif
	errno = 0;
	ck_assert_int_eq(fcntl(fds[0], -1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fcntl(copy, F_GETFD), -1);
	ck_assert_int_eq(errno, EBADF);
	close_pair(fds);
	close(file);
}
END_TEST

/* The number is above a limit that was lowered: it stays what it is. */
START_TEST(kqueue_dup__that_fails_closes_nothing)
{
	int kq = queue(), fds[2], high;
	struct rlimit limit, low;

	pair(PAIR_PIPE, fds);
	ck_assert_int_ge(high = fcntl(fds[0], F_DUPFD_CLOEXEC, HIGH), HIGH);
	ck_assert_int_eq(change(kq, (uintptr_t)high, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){ .rlim_cur = (rlim_t)high, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert_int_eq(dup2(fds[1], high), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(dup3(fds[1], high, O_CLOEXEC), -1);
	ck_assert_int_eq(errno, EBADF);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)high, EVFILT_READ);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(high);
	close_pair(fds);
	close(kq);
}
END_TEST

/* What a child of vfork() duplicates and closes is its own. */
START_TEST(kqueue_dup__vfork_child_changes_nothing)
{
	int kq = queue(), before = open_descriptors(), status;
	pid_t pid;

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	if ((pid = vfork()) == 0) {
		int copy = dup(kq);

		dup2(kq, copy + HIGH);
		close(kq);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(open_descriptors(), before);
	ck_assert_int_eq(change(kq + 1 + HIGH, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	close(kq);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
}
END_TEST

/* A duplicate is made at the number of a queue that was closed unseen, which ends then. */
START_TEST(kqueue_dup__at_the_number_of_a_queue_closed_unseen)
{
	int before, one, two, fds[2];

	warm_up(fds);
	before = open_descriptors();
	one = queue();
	two = full_queue(fds);
	ck_assert_int_eq(change(one, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq((int)syscall(SYS_close, one), 0);
	ck_assert_int_eq(fcntl(two, F_DUPFD, one), one);
	ck_assert_int_eq(change(one, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(two, 1, EVFILT_USER);
	ck_assert_int_eq(close(two), 0);
	ck_assert_int_eq(change(one, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(one, 1, EVFILT_USER);
	ck_assert_int_eq(close(one), 0);
	ck_assert_int_eq(open_descriptors(), before);
	close_pair(fds);
}
END_TEST

/* What the queue's items are to its epoll: the data of the one with that number. */
static uint64_t
data_of(int kq, int number)
{
	unsigned long long data;
	char path[64], line[256];
	FILE *info;
	int tfd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", kq);
	ck_assert_ptr_nonnull(info = fopen(path, "r"));
	while (fgets(line, sizeof(line), info) != NULL)
		if (sscanf(line, "tfd: %d events: %*x data: %llx", &tfd, &data) == 2 && tfd == number) {
			fclose(info);
			return data;
		}
	ck_abort_msg("no item of %d", number);
}

/* An epoll of the program's own is no queue, however much it looks like one. */
START_TEST(kqueue_dup__epoll_that_looks_like_a_queue_is_none)
{
	struct epoll_event item = { .events = EPOLLET };
	int fds[2], kq, ep, number;
	uint64_t data[5];

	warm_up(fds);
	kq = full_queue(fds);
	number = bell();
	data[0] = data_of(kq, number);
	data[1] = 0;
	data[2] = data[0] ^ UINT64_C(1) << 63;		/* another queue's */
	data[3] = data[0] ^ UINT64_C(1) << 31;		/* not the library's own */
	data[4] = data[0] ^ UINT64_C(1) << 27;		/* another item of the library's own */
	for (int i = 0; i < 5; i++) {
		ep = epoll_create1(EPOLL_CLOEXEC);
		item.data.u64 = data[i];
		ck_assert_int_eq((int)syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, number, &item), 0);
		ck_assert_int_eq(change(ep, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
		close(ep);
	}
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	ck_assert_int_eq(close(kq), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
	close_pair(fds);
}
END_TEST

HARNESS_MAIN("kqueue_dup",
    kqueue_dup__handed_over_in_the_process_is_the_queue,
    kqueue_dup__handed_over_by_another_process_is_none,
    kqueue_dup__duplicate_lives_when_the_first_is_closed,
    kqueue_dup__duplicate_of_a_duplicate_is_the_queue,
    kqueue_dup__waiter_stays_while_a_duplicate_does,
    kqueue_dup__dup2_onto_another_queue_closes_that,
    kqueue_dup__failed_duplicate_counts_for_nothing,
    kqueue_dup__every_way_to_close_frees_everything,
    kqueue_dup__a_queue_costs_two_descriptors,
    kqueue_dup__ten_thousand_queues_leak_nothing,
    kqueue_dup__fcntl_is_what_it_was,
    kqueue_dup__that_fails_closes_nothing,
    kqueue_dup__vfork_child_changes_nothing,
    kqueue_dup__at_the_number_of_a_queue_closed_unseen,
    kqueue_dup__epoll_that_looks_like_a_queue_is_none)
