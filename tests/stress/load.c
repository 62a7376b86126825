/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load [scale]: holds as much as it is told (1: everything, 100: a hundredth)
 * and prints what that takes: time, memory and descriptors, and what is left of
 * them afterwards.  Each event is numbered and must come exactly once.  What is
 * left of the first of four rounds must do for the others.
 */
#include "../sanitizer.h"
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH 1024
#define THREADS 8
#define ROUNDS 4
#define SLACK_MEMORY 8192	/* kilobytes */

static void
must(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static long
resident(void)
{
	long kilobytes = held_memory();

	must(kilobytes >= 0, "statm");
	return kilobytes;
}

static double began;
static long memory;
static int opened, turn;

static void
begin(void)
{
	memory = resident();
	opened = held_descriptors();
	began = seconds();
}

/* What it takes while it is held. */
static void
hold(const char *what, long n)
{
	long now = resident() - memory;

	printf("%-12s %8ld  %7.2f s  %8ld KB (%5.0f bytes each)  %7d descriptors\n", what, n,
	    seconds() - began, now, (double)now * 1024 / (double)n, held_descriptors() - opened);
}

static void
end(const char *what)
{
	printf("%-12s    after  %7.2f s  %8ld KB left,                %7d descriptors left\n", what,
	    seconds() - began, resident() - memory, held_descriptors() - opened);
	fflush(stdout);
	must(turn == 0 || held_descriptors() <= opened, "descriptors are left");
}

/*
 * A round is over.  What it left must do for the others; how much of it the kernel finds in memory
 * is not the same each time.  What is freed stays with a sanitizer for a while.
 */
static void
end_round(void)
{
	static long first;
	long now = resident();

	if (turn == 0)
		first = now;
	printf("round %d: %ld KB\n", turn + 1, now);
	fflush(stdout);
	must(THREAD_SANITIZER || ADDRESS_SANITIZER || now <= first + SLACK_MEMORY + first / 16, "memory is left");
}

static void
add(int kq, uintptr_t ident, short filter, unsigned flags, unsigned fflags, int64_t data, intptr_t number)
{
	struct kevent kev;

	EV_SET(&kev, ident, filter, (unsigned short)flags, fflags, data, (void *)number);
	must(kevent(kq, &kev, 1, NULL, 0, NULL) == 0, "EV_ADD");
}

/* Takes n events: each number below n, once. */
static void
account(int kq, long n)
{
	unsigned char *seen = calloc(1, (size_t)n);
	struct timespec wait = { 60, 0 };
	struct kevent events[BATCH];
	long taken = 0;

	must(seen != NULL, "calloc");
	while (taken < n) {
		int got = kevent(kq, NULL, 0, events, BATCH, &wait);

		must(got > 0, "an event was lost");
		for (int i = 0; i < got; i++)
			must(!seen[(intptr_t)events[i].udata]++, "an event came twice");
		taken += got;
	}
	wait.tv_sec = 0;
	must(kevent(kq, NULL, 0, events, 1, &wait) == 0, "one event too many");
	free(seen);
}

static void
load_descriptors(long n)
{
	int *fds = calloc((size_t)n, sizeof(*fds)), kq;

	begin();
	kq = kqueue();
	for (long i = 0; i < n; i++) {
		must((fds[i] = eventfd(0, EFD_CLOEXEC)) != -1, "eventfd");
		add(kq, (uintptr_t)fds[i], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, i);
	}
	hold("descriptors", n);
	for (long i = 0; i < n; i++)
		must(write(fds[i], &(uint64_t){ 1 }, 8) == 8, "write");
	account(kq, n);
	for (long i = 0; i < n; i++)
		close(fds[i]);
	close(kq);
	free(fds);
	end("descriptors");
}

static void
load_timers(long n)
{
	int kq;

	begin();
	kq = kqueue();
	for (long i = 0; i < n; i++)
		add(kq, (uintptr_t)i, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1 + i * 7919 % 5000, i);
	hold("timers", n);
	account(kq, n);
	close(kq);
	end("timers");
}

static void
load_files(long n)
{
	char dir[] = "/tmp/kq-load.XXXXXX", path[64];
	unsigned char *seen = calloc(1, (size_t)n);
	int *fds = calloc((size_t)n, sizeof(*fds)), kq;

	must(seen != NULL && mkdtemp(dir) != NULL, "mkdtemp");
	begin();
	kq = kqueue();
	for (long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%ld", dir, i);
		must((fds[i] = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600)) != -1, "open");
		add(kq, (uintptr_t)fds[i], EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, i);
	}
	hold("files", n);
	/* The kernel queues 16,384 events at most: a batch at a time, as a program would. */
	for (long first = 0; first < n; first += BATCH) {
		struct timespec wait = { 60, 0 };
		struct kevent events[BATCH];
		long last = first + BATCH < n ? first + BATCH : n;
		long due = last - first;

		for (long i = first; i < last; i++)
			must(write(fds[i], "x", 1) == 1, "write");
		while (due > 0) {
			int got = kevent(kq, NULL, 0, events, BATCH, &wait);

			must(got > 0, "a write was lost");
			for (int i = 0; i < got; i++) {
				intptr_t number = (intptr_t)events[i].udata;

				must(number >= first && number < last, "another file's event");
				must(!seen[number]++, "a write came twice");
			}
			due -= got;
		}
	}
	for (long i = 0; i < n; i++) {
		close(fds[i]);
		snprintf(path, sizeof(path), "%s/%ld", dir, i);
		unlink(path);
	}
	rmdir(dir);
	close(kq);
	free(fds);
	free(seen);
	end("files");
}

static void
account_one(int kq)
{
	struct timespec wait = { 60, 0 };
	struct kevent event;

	must(kevent(kq, NULL, 0, &event, 1, &wait) == 1 && event.ident == 1, "a trigger was lost");
}

static void
load_queues(long n)
{
	int *kq = calloc((size_t)n, sizeof(*kq));

	begin();
	for (long i = 0; i < n; i++) {
		must((kq[i] = kqueue()) != -1, "kqueue");
		add(kq[i], 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, 0);
	}
	hold("queues", n);
	for (long i = 0; i < n; i++) {
		account_one(kq[i]);
		close(kq[i]);
	}
	free(kq);
	end("queues");
}

static int shared;
static long per_thread;
static _Atomic unsigned char *taken;	/* by number */

/*
 * Eight threads on one queue.  Each takes one event for each it has triggered, whoever's it is; one that
 * triggers anew what nobody has taken yet would merge with it, so each has its numbers for itself.
 */
static void *
numbered(void *arg)
{
	uintptr_t self = (uintptr_t)arg;
	struct timespec wait = { 60, 0 };
	struct kevent kev;

	for (long i = 0; i < per_thread; i++) {
		add(shared, self + (uintptr_t)i * THREADS, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, 0);
		must(kevent(shared, NULL, 0, &kev, 1, &wait) == 1, "a trigger was lost");
		must(kev.ident < (uintptr_t)per_thread * THREADS, "a trigger that was none");
		must(!taken[kev.ident]++, "a trigger came twice");
	}
	return NULL;
}

static void
load_threads(long n)
{
	pthread_t thread[THREADS];

	begin();
	shared = kqueue();
	per_thread = n / THREADS;
	taken = calloc((size_t)per_thread, THREADS);
	must(taken != NULL, "calloc");
	for (intptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&thread[i], NULL, numbered, (void *)i) == 0, "pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (long i = 0; i < per_thread * THREADS; i++)
		must(taken[i] == 1, "a trigger was lost");
	hold("8 threads", per_thread * THREADS);
	close(shared);
	free((void *)taken);
	end("8 threads");
}

/* As many as the limit on descriptors leaves room for. */
static long
at_most(long n, long limit)
{
	return n < limit ? n : limit;
}

int
main(int argc, char *argv[])
{
	long scale = argc > 1 ? atol(argv[1]) : 1;
	struct rlimit limit;
	long room;

	must(scale > 0, "the scale");
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	room = limit.rlim_cur > 1000000 ? 1000000 : (long)limit.rlim_cur;
	room -= 100;
	close(kqueue());
	for (turn = 0; turn < ROUNDS; turn++) {
		load_descriptors(at_most(50000 / scale, room));
		load_timers(1000000 / scale);
		load_files(at_most(100000 / scale, room));
		load_queues(at_most(10000 / scale, room / 2));
		load_threads(1000000 / scale);
		end_round();
	}
	return 0;
}
