/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's own descriptors: out of the program's way, not open as far as
 * the program can tell, and safe from what it does to every number there is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "numbers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 };

static int kq, fds[2];

/* Registers what makes the library open descriptors of its own. */
static void
begin(void)
{
	pair(PAIR_UNIX, fds);
	kq = full_queue(fds);
}

/* All of it works still. */
static void
check_works(void)
{
	no_event(kq);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	get(fds[0], 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
	event_of(kq, 3, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 4, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME | NOTE_SECONDS, 1, NULL), 0);
	event_of(kq, 4, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	raise(SIGUSR1);
	event_of(kq, SIGUSR1, EVFILT_SIGNAL);
	no_event(kq);
}

static void
end(void)
{
	check_works();
	close_pair(fds);
	close(kq);
}

/* Whether a number is open, and not by the program, which has files and sockets only. */
static bool
is_hidden(int fd)
{
	static const char kind[] = "anon_inode:";

	return fd != kq && strncmp(kind_of(fd), kind, sizeof(kind) - 1) == 0;
}

static int
hidden(int numbers[MOST])
{
	int count = 0;

	for (int fd = 0; fd < 65536 && count < MOST; fd++)
		if (is_hidden(fd))
			numbers[count++] = fd;
	return count;
}

START_TEST(kqueue_hidden__own_descriptors_are_out_of_the_way)
{
	int numbers[MOST], n, next;

	signal(SIGUSR1, SIG_IGN);
	next = open("/dev/null", O_RDONLY);
	close(next);
	begin();
	/* The pair, then the queue: nothing else took a low number. */
	ck_assert_int_eq(fds[0], next);
	ck_assert_int_lt(kq, 256);
	n = hidden(numbers);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_ge(numbers[i], 256);
	next = open("/dev/null", O_RDONLY);
	ck_assert_int_lt(next, 256);
	close(next);
	end();
}
END_TEST

/* A limit that was low for a while leaves no mark on what is opened later. */
START_TEST(kqueue_hidden__lowered_limit_is_not_remembered)
{
	struct rlimit limit, few;
	int numbers[MOST], before, low, next, n;

	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_ge(next = open("/dev/null", O_RDONLY), 0);
	close(next);
	before = hidden(numbers);
	few = (struct rlimit){ .rlim_cur = (rlim_t)next + 8, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	low = queue();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	kq = low;
	ck_assert_int_eq(hidden(numbers), before + 1);
	ck_assert_int_lt(numbers[0], 256);
	close(low);
	begin();
	n = hidden(numbers);
	for (int i = 0; i < n; i++)
		ck_assert_int_ge(numbers[i], 256);
	end();
}
END_TEST

START_TEST(kqueue_hidden__close_says_they_are_not_open)
{
	int numbers[MOST], n;

	signal(SIGUSR1, SIG_IGN);
	begin();
	n = hidden(numbers);
	for (int i = 0; i < n; i++) {
		errno = 0;
		ck_assert_int_eq(close(numbers[i]), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	end();
}
END_TEST

START_TEST(kqueue_hidden__close_range_passes_over_them)
{
#ifdef CLOSE_RANGE_UNSHARE
	int numbers[MOST];

	signal(SIGUSR1, SIG_IGN);
	begin();
	ck_assert_int_gt(hidden(numbers), 0);
	ck_assert_int_eq(close_range((unsigned int)numbers[0], ~0u, 0), 0);
	check_works();
	/* With a table of descriptors for this thread alone, too: it goes on to use the queue. */
	ck_assert_int_eq(close_range((unsigned int)numbers[0], ~0u, CLOSE_RANGE_UNSHARE), 0);
	end();
#endif
}
END_TEST

START_TEST(kqueue_hidden__closing_every_number_passes_over_them)
{
	signal(SIGUSR1, SIG_IGN);
	begin();
	for (int fd = kq + 1; fd < 65536; fd++)
		if (is_hidden(fd) || fcntl(fd, F_GETFD) == -1)
			close(fd);
	end();
}
END_TEST

/* The program may have any number it wants: ours moves out of the way first. */
START_TEST(kqueue_hidden__dup2_onto_one_moves_it)
{
	int numbers[MOST], n, file = open("/dev/null", O_RDWR);

	signal(SIGUSR1, SIG_IGN);
	begin();
	n = hidden(numbers);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(dup2(file, numbers[i]), numbers[i]);
		ck_assert_int_eq(write(numbers[i], "x", 1), 1);
		check_works();
	}
	/* They are the program's now. */
	for (int i = 0; i < n; i++) {
		ck_assert_int_ge(fcntl(numbers[i], F_GETFD), 0);
		ck_assert_int_eq(close(numbers[i]), 0);
	}
	close(file);
	end();
}
END_TEST

/* What waits for them goes on: a process that ends, a file that changes, a waiting thread. */
START_TEST(kqueue_hidden__moved_sources_report)
{
	int numbers[MOST], n, file = open("/dev/null", O_RDWR), go[2], other;
	char path[128], c;
	struct waiter w;
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	begin();
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(other = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(pipe(go), 0);
	if ((pid = fork()) == 0)
		_exit(read(go[0], &c, 1) == 1 ? 7 : 1);
	ck_assert_int_eq(change(kq, (uintptr_t)other, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
	waiter_start(&w, kq, 30000);
	n = hidden(numbers);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(dup3(file, numbers[i], O_CLOEXEC), numbers[i]);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.filter, EVFILT_USER);
	ck_assert_int_eq(write(other, "x", 1), 1);
	event_of(kq, (uintptr_t)other, EVFILT_VNODE);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	ck_assert_int_eq(event_of(kq, (uintptr_t)pid, EVFILT_PROC).data, 7 << 8);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(close(numbers[i]), 0);
	close_pair(go);
	close(other);
	close(file);
	end();
}
END_TEST

/* A number the program took stays open when the queue that had it ends. */
START_TEST(kqueue_hidden__number_taken_is_not_closed_with_the_queue)
{
	int numbers[MOST], n, file = open("/dev/null", O_RDWR);

	signal(SIGUSR1, SIG_IGN);
	begin();
	n = hidden(numbers);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(dup2(file, numbers[i]), numbers[i]);
	end();
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(write(numbers[i], "x", 1), 1);
		ck_assert_int_eq(close(numbers[i]), 0);
	}
	close(file);
}
END_TEST

static _Atomic bool stop;

static void *
use_queue(void *arg)
{
	int own = *(const int *)arg, timer = 100;
	struct kevent event;

	while (!stop) {
		ck_assert_int_eq(change(own, (uintptr_t)timer, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, 50, NULL), 0);
		ck_assert_int_eq(collect(own, &event, 1, 10000), 1);
		ck_assert_int_eq(event.filter, EVFILT_TIMER);
		ck_assert_int_eq(change(own, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		ck_assert_int_eq(collect(own, &event, 1, 10000), 1);
		ck_assert_int_eq(event.filter, EVFILT_USER);
	}
	return NULL;
}

/* The process's own number moves again and again while threads ring by it. */
START_TEST(kqueue_hidden__bell_moves_under_busy_threads)
{
	enum { THREADS = 3 };
	int own[THREADS], file = open("/dev/null", O_RDWR), at;
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++) {
		own[i] = queue();
		ck_assert_int_eq(change(own[i], 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		ck_assert_int_eq(pthread_create(&thread[i], NULL, use_queue, &own[i]), 0);
	}
	for (int round = 0; round < 200; round++) {
		at = bell();
		ck_assert_int_eq(dup2(file, at), at);
		ck_assert_int_eq(close(at), 0);
	}
	stop = true;
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_int_eq(change(own[i], 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		event_of(own[i], 1, EVFILT_USER);
		no_event(own[i]);
		ck_assert(!readable(own[i], 0));
		close(own[i]);
	}
	close(file);
}
END_TEST

START_TEST(kqueue_hidden__one_cannot_be_duplicated)
{
	int numbers[MOST], n;

	signal(SIGUSR1, SIG_IGN);
	begin();
	n = hidden(numbers);
	for (int i = 0; i < n; i++) {
		errno = 0;
		ck_assert_int_eq(dup2(numbers[i], fds[0]), -1);
		ck_assert_int_eq(errno, EBADF);
		errno = 0;
		ck_assert_int_eq(dup3(numbers[i], fds[0], O_CLOEXEC), -1);
		ck_assert_int_eq(errno, EBADF);
		errno = 0;
		ck_assert_int_eq(dup(numbers[i]), -1);
		ck_assert_int_eq(errno, EBADF);
		errno = 0;
		ck_assert_int_eq(fcntl(numbers[i], F_DUPFD, 0), -1);
		ck_assert_int_eq(errno, EBADF);
		errno = 0;
		ck_assert_int_eq(fcntl(numbers[i], F_DUPFD_CLOEXEC, 0), -1);
		ck_assert_int_eq(errno, EBADF);
		errno = 0;
		ck_assert_int_eq(shutdown(numbers[i], SHUT_WR), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	end();
}
END_TEST

/* As daemons do, with a queue from before. */
START_TEST(kqueue_hidden__queue_is_closed_with_all_the_rest)
{
	pid_t pid;
	int status;

	if ((pid = fork()) == 0) {
		struct kevent event;
		int own = kqueue();

		change(own, 1, EVFILT_TIMER, EV_ADD, 0, 1, NULL);
		for (int fd = 0; fd < 65536; fd++)
			close(fd);
		if (kevent(own, NULL, 0, &event, 1, NULL) != -1 || errno != EBADF)
			_exit(1);
		if ((own = kqueue()) == -1 || change(own, 1, EVFILT_TIMER, EV_ADD, 0, 1, NULL) != 0)
			_exit(2);
		_exit(kevent(own, NULL, 0, &event, 1, NULL) == 1 ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static void *
wait_for_timers(void *arg)
{
	struct timespec timeout = { 0, 20000 };
	int own = *(const int *)arg, n;
	struct kevent event;

	for (int i = 0; !stop; i++) {
		n = kevent(own, NULL, 0, &event, 1, &timeout);
		ck_assert_msg(n >= 0, "wait %d: %s", i, strerror(errno));
	}
	return NULL;
}

/* The queue's own epoll moves while threads are about to wait for it. */
START_TEST(kqueue_hidden__epoll_moves_under_waiting_threads)
{
	enum { THREADS = 3, ROUNDS = 2000 };
	int own = queue(), file = open("/dev/null", O_RDWR), at = 0, n = 0;
	pthread_t thread[THREADS];

	ck_assert_int_eq(change(own, 1, EVFILT_TIMER, EV_ADD, NOTE_USECONDS, 100, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, wait_for_timers, &own), 0);
	for (int round = 0; round < ROUNDS; round++) {
		/* It moves to the lowest number that is free up there, and back. */
		for (int fd = at == 0 ? 256 : at; fd < (at == 0 ? 65536 : at + 16); fd++) {
			if (strstr(kind_of(fd), "eventpoll") == NULL)
				continue;
			if (at == 0)
				at = fd - 8;
			n++;
			ck_assert_int_eq(dup2(file, fd), fd);
			ck_assert_int_eq(close(fd), 0);
			break;
		}
	}
	stop = true;
	ck_assert_int_ge(n, ROUNDS / 2);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	event_of(own, 1, EVFILT_TIMER);
	close(own);
	close(file);
}
END_TEST

/* It cannot move if every other number is taken: who wants its number is told so, and has not got it. */
START_TEST(kqueue_hidden__one_that_cannot_move_stays)
{
	int file = open("/dev/null", O_RDWR), copy[8192], n = 0, last;
	struct rlimit limit, low;

	signal(SIGUSR1, SIG_IGN);
	begin();
	last = bell();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)last + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	while ((copy[n] = dup(file)) >= 0)
		n++;
	errno = 0;
	ck_assert_int_eq(dup2(file, last), -1);
	ck_assert_int_eq(errno, EMFILE);
	errno = 0;
	ck_assert_int_eq(dup3(file, last, O_CLOEXEC), -1);
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_str_eq(kind_of(last), "anon_inode:[eventfd]");
	close(copy[--n]);
	ck_assert_int_eq(dup2(file, last), last);
	while (n > 0)
		close(copy[--n]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(last);
	close(file);
	end();
}
END_TEST

/*
 * A child of vfork() has descriptors of its own: what it does to the number of one of ours moves nothing, and what it
 * has put there can be used like any other.
 */
static int
vfork_child_takes(int file, int number)
{
	pid_t pid = vfork();
	int status, copy;

	if (pid == 0)
		_exit(dup2(file, number) != number ? 1 : (copy = dup(number)) == -1 ? 2 : dup2(number, copy) == -1 ? 3 :
		    close(number) == -1 ? 4 : fcntl(number, F_GETFD) != -1 ? 5 : 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(kqueue_hidden__vfork_child_takes_its_own)
{
	int file = open("/dev/null", O_RDWR), number;

	signal(SIGUSR1, SIG_IGN);
	begin();
	number = bell();
	ck_assert_int_eq(vfork_child_takes(file, number), 0);
	ck_assert_int_eq(bell(), number);
	close(file);
	end();
}
END_TEST

HARNESS_MAIN("kqueue_hidden",
    kqueue_hidden__epoll_moves_under_waiting_threads,
    kqueue_hidden__own_descriptors_are_out_of_the_way,
    kqueue_hidden__lowered_limit_is_not_remembered,
    kqueue_hidden__close_says_they_are_not_open,
    kqueue_hidden__close_range_passes_over_them,
    kqueue_hidden__closing_every_number_passes_over_them,
    kqueue_hidden__dup2_onto_one_moves_it,
    kqueue_hidden__moved_sources_report,
    kqueue_hidden__number_taken_is_not_closed_with_the_queue,
    kqueue_hidden__bell_moves_under_busy_threads,
    kqueue_hidden__one_cannot_be_duplicated,
    kqueue_hidden__one_that_cannot_move_stays,
    kqueue_hidden__vfork_child_takes_its_own,
    kqueue_hidden__queue_is_closed_with_all_the_rest)
