/* SPDX-License-Identifier: BSD-2-Clause */
/* kqueue: ours, or any other that a program can be linked with. */
#include "bench.h"
#include "files.h"
#include "loop.h"
#include "single.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/event.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH	64

static int kq = -1;
static struct kevent *changes, *events;
static const struct timespec at_once;

static void
open_queue(int room)
{
	kq = (int)must(kqueue(), "kqueue");
	changes = calloc((size_t)room, sizeof(*changes));
	events = calloc((size_t)room, sizeof(*events));
	if (changes == NULL || events == NULL)
		must(-1, "calloc");
}

static void
change(uintptr_t ident, int filter, int flags, unsigned fflags, int64_t data)
{
	EV_SET(&changes[0], ident, (short)filter, (unsigned short)flags, fflags, data, NULL);
	must(kevent(kq, changes, 1, NULL, 0, NULL), "kevent");
}

void
loop_open(int max)
{
	(void)max;
	open_queue(LOOP_ROOM);
}

void
loop_add(int fd)
{
#ifdef NOTE_NOCOUNT
	change((uintptr_t)fd, EVFILT_READ, EV_ADD, no_counts ? NOTE_NOCOUNT : 0, 0);
#else
	change((uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0);
#endif
}

int
loop_turn(int room, bool block)
{
	int n = kevent(kq, NULL, 0, events, room, block ? NULL : &at_once);

	for (int i = 0; i < n; i++)
		ready((int)events[i].ident, (long)events[i].data);
	return n;
}

void
load_add_delete(long n)
{
	static int here[500], there[500];
	long done = 0;

	make_pairs(here, there, 500);
	open_queue(1000);
	while (done < n) {
		for (int i = 0; i < 1000; i++)
			EV_SET(&changes[i], i < 500 ? here[i] : there[i - 500], EVFILT_READ,
			    EV_ADD, 0, 0, NULL);
		clock_start();
		must(kevent(kq, changes, 1000, NULL, 0, NULL), "kevent");
		clock_stop();
		for (int i = 0; i < 1000; i++)
			changes[i].flags = EV_DELETE;
		clock_start();
		must(kevent(kq, changes, 1000, NULL, 0, NULL), "kevent");
		clock_stop();
		done += 1000;
	}
	result(done, -1);
}

/* again: what the call that waits next says of each. */
static void
rearm(long n, int flags, int again)
{
	static int here[BATCH], there[BATCH];
	long done = 0;
	int got;

	make_pairs(here, there, BATCH);
	open_queue(BATCH);
	for (int i = 0; i < BATCH; i++) {
		must(write(there[i], "x", 1), "write");
		change((uintptr_t)here[i], EVFILT_READ, flags, 0, 0);
		EV_SET(&changes[i], here[i], EVFILT_READ, flags, 0, 0, NULL);
	}
	got = (int)must(kevent(kq, NULL, 0, events, BATCH, NULL), "kevent");
	clock_start();
	while (done < n) {
		for (int i = 0; i < got; i++)
			EV_SET(&changes[i], events[i].ident, EVFILT_READ, again, 0, 0, NULL);
		got = (int)must(kevent(kq, changes, got, events, BATCH, NULL), "kevent");
		done += got;
	}
	clock_stop();
	result(done, -1);
}

void
load_oneshot(long n)
{
	rearm(n, EV_ADD | EV_ONESHOT, EV_ADD | EV_ONESHOT);
}

void
load_dispatch(long n)
{
	rearm(n, EV_ADD | EV_DISPATCH, EV_ENABLE);
}

void
load_write(long n)
{
	static int here[1000], there[1000];
	long done = 0;

	make_pairs(here, there, 1000);
	open_queue(BATCH);
	for (int i = 0; i < 1000; i++) {
		change((uintptr_t)here[i], EVFILT_WRITE, EV_ADD, 0, 0);
		if (i >= 512)
			stuff(here[i]);
	}
	clock_start();
	while (done < n)
		done += must(kevent(kq, NULL, 0, events, BATCH, NULL), "kevent");
	clock_stop();
	result(done, -1);
}

void
load_user1(long n)
{
	open_queue(1);
	change(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0);
	EV_SET(&changes[0], 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	clock_start();
	for (long i = 0; i < n; i++)
		must(kevent(kq, changes, 1, events, 1, NULL), "kevent");
	clock_stop();
	result(n, -1);
}

void
load_user2(long n)
{
	open_queue(1);
	change(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0);
	EV_SET(&changes[0], 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	clock_start();
	for (long i = 0; i < n; i++) {
		must(kevent(kq, changes, 1, NULL, 0, NULL), "kevent");
		must(kevent(kq, NULL, 0, events, 1, NULL), "kevent");
	}
	clock_stop();
	result(n, -1);
}

/* Two threads, each with a queue of its own that the other triggers. */
static int table[2];
static long strokes;

static void *
player(void *arg)
{
	int side = arg != NULL;
	struct kevent event, trigger;

	EV_SET(&trigger, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	for (long i = 0; i < strokes; i++) {
		if (side == 0)
			must(kevent(table[1], &trigger, 1, NULL, 0, NULL), "kevent");
		must(kevent(table[side], NULL, 0, &event, 1, NULL), "kevent");
		if (side == 1)
			must(kevent(table[0], &trigger, 1, NULL, 0, NULL), "kevent");
	}
	return NULL;
}

void
load_user_pingpong(long n)
{
	pthread_t thread;

	strokes = n;
	for (int side = 0; side < 2; side++) {
		open_queue(1);
		table[side] = kq;
		change(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0);
	}
	clock_start();
	pthread_create(&thread, NULL, player, table);
	player(NULL);
	pthread_join(thread, NULL);
	clock_stop();
	result(n, -1);
}

void
load_signal(long n)
{
	_Atomic long *seen;
	int pid;

	signal(SIGUSR1, SIG_IGN);
	open_queue(1);
	pid = make_sender(n, &seen);
	change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0);
	atomic_store(seen, 0);
	clock_start();
	for (long i = 0; i < n; i++) {
		must(kevent(kq, NULL, 0, events, 1, NULL), "kevent");
		atomic_store(seen, i + 1);
	}
	clock_stop();
	waitpid(pid, NULL, 0);
	result(n, -1);
}

/* Arms timers first to last, many in a call. */
static void
arm(uintptr_t first, uintptr_t last, int flags)
{
	int n = 0;

	for (uintptr_t ident = first; ident < last; ident++) {
		EV_SET(&changes[n++], ident, EVFILT_TIMER, flags, 0,
		    flags == EV_DELETE ? 0 : TIMER_LATER(), NULL);
		if (n < 1000 && ident + 1 < last)
			continue;
		clock_start();
		must(kevent(kq, changes, n, NULL, 0, NULL), "kevent");
		clock_stop();
		n = 0;
	}
}

enum timer_part { ARM_ONE, ARM_MANY, DELETE_MANY };

/* Arms and removes more beside those that are pending, and counts the time of one part of it. */
static void
timers(long pending, enum timer_part part)
{
	uintptr_t n = (uintptr_t)pending;

	open_queue(1000);
	clock_pause(true);
	arm(0, n, EV_ADD);
	for (int round = 0; round < 10; round++) {
		clock_pause(part != ARM_ONE && part != ARM_MANY);
		if (part == ARM_ONE) {
			clock_start();
			for (uintptr_t i = 0; i < TIMER_MORE; i++)
				change(n + i, EVFILT_TIMER, EV_ADD, 0, TIMER_LATER());
			clock_stop();
		} else {
			arm(n, n + TIMER_MORE, EV_ADD);
		}
		clock_pause(part != DELETE_MANY);
		arm(n, n + TIMER_MORE, EV_DELETE);
	}
	result(10 * TIMER_MORE, -1);
}

void
load_timer_arm(long n)
{
	timers(n, ARM_ONE);
}

void
load_timer_arm_batch(long n)
{
	timers(n, ARM_MANY);
}

void
load_timer_delete(long n)
{
	timers(n, DELETE_MANY);
}

void
load_timer_burst(long n)
{
	int64_t *due = calloc((size_t)n, sizeof(*due)), *late = calloc((size_t)n, sizeof(*late));
	int64_t now;
	long done = 0;
	int got;

	open_queue(BATCH);
	clock_start();
	for (long i = 0; i < n; i++) {
		int64_t us = TIMER_SOON();

		due[i] = clock_now() + us * 1000;
		change((uintptr_t)i, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, us);
	}
	while (done < n) {
		got = (int)must(kevent(kq, NULL, 0, events, BATCH, NULL), "kevent");
		now = clock_now();
		for (int i = 0; i < got; i++)
			late[done++] = now - due[events[i].ident];
	}
	clock_stop();
	result(n, late_hundredth(late, n));
}

static void
files(long n, enum part part)
{
	int *fds = calloc((size_t)n, sizeof(*fds)), got;

	make_files(fds, (int)n);
	open_queue((int)n);
	for (long i = 0; i < n; i++)
		EV_SET(&changes[i], fds[i], EVFILT_VNODE, EV_ADD | EV_CLEAR,
		    NOTE_WRITE | NOTE_EXTEND, 0, NULL);
	clock_pause(part != ADDING);
	clock_start();
	must(kevent(kq, changes, (int)n, NULL, 0, NULL), "kevent");
	clock_stop();
	clock_pause(part != HAPPENING);
	for (long first = 0; first < n; first += BATCH) {
		long last = first + BATCH < n ? first + BATCH : n;

		for (long i = first; i < last; i++)
			must(write(fds[i], "x", 1), "write");
		clock_start();
		for (long i = first; i < last; i += got)
			got = (int)must(kevent(kq, NULL, 0, events, BATCH, NULL), "kevent");
		clock_stop();
	}
	clock_pause(part != DELETING);
	for (long i = 0; i < n; i++)
		changes[i].flags = EV_DELETE;
	clock_start();
	must(kevent(kq, changes, (int)n, NULL, 0, NULL), "kevent");
	clock_stop();
	result(n, -1);
}

void
load_proc(long n)
{
	int *pids = calloc((size_t)n, sizeof(*pids));

	open_queue((int)n);
	make_children(pids, (int)n);
	clock_start();
	for (long i = 0; i < n; i++)
		change((uintptr_t)pids[i], EVFILT_PROC, EV_ADD, NOTE_EXIT, 0);
	clock_stop();
	release_children(pids, (int)n);
	clock_start();
	for (long done = 0; done < n;)
		done += must(kevent(kq, NULL, 0, events, BATCH, NULL), "kevent");
	clock_stop();
	reap_children(pids, (int)n);
	result(n, -1);
}

static void
queue_once(void)
{
	close((int)must(kqueue(), "kqueue"));
}

/* Bytes a registration: of descriptors (here: of the duplicates of one), of timers. */
static void
load_memory_read(long n)
{
	int fds[2];
	long before;

	must(pipe(fds), "pipe");
	open_queue(1000);
	change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0);
	before = memory();
	clock_start();
	for (long i = 0; i < n; i++)
		change((uintptr_t)must(dup(fds[0]), "dup"), EVFILT_READ, EV_ADD, 0, 0);
	clock_stop();
	result(n, (double)(memory() - before) / (double)n);
}

static void
load_memory_timer(long n)
{
	long before;

	open_queue(1000);
	change((uintptr_t)n, EVFILT_TIMER, EV_ADD, 0, TIMER_LATER());
	before = memory();
	clock_start();
	for (long i = 0; i < n; i++)
		change((uintptr_t)i, EVFILT_TIMER, EV_ADD, 0, TIMER_LATER());
	clock_stop();
	result(n, (double)(memory() - before) / (double)n);
}

static _Atomic long worked;
static long to_do;

static void *
worker(void *arg)
{
	struct kevent event;
	int n = 0;

	(void)arg;
	while (atomic_load(&worked) < to_do) {
		n = (int)must(kevent(kq, &event, n, &event, 1, NULL), "kevent");
		work_a_little();
		atomic_fetch_add(&worked, n);
		event.flags = EV_ENABLE;
	}
	return NULL;
}

static void
threads(long n, int count)
{
	static int here[BATCH], there[BATCH];
	pthread_t thread[8];

	by_wall = true;
	to_do = n;
	make_pairs(here, there, BATCH);
	open_queue(BATCH);
	for (int i = 0; i < BATCH; i++) {
		must(write(there[i], "x", 1), "write");
		change((uintptr_t)here[i], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0);
	}
	clock_start();
	for (int i = 1; i < count; i++)
		pthread_create(&thread[i], NULL, worker, NULL);
	worker(NULL);
	for (int i = 1; i < count; i++)
		pthread_join(thread[i], NULL);
	clock_stop();
	result(n, -1);
}

void
load_threads1(long n)
{
	threads(n, 1);
}

void
load_threads2(long n)
{
	threads(n, 2);
}

const struct workload workloads[] = {
	LOOP_WORKLOADS,
	SINGLE_WORKLOADS,
	{ "memory-read", load_memory_read, 10000, 100 },
	{ "memory-timer", load_memory_timer, 10000, 100 },
	{ NULL, NULL, 0, 0 }
};
