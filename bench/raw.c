/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program does by hand that wants no library: epoll(7) and its relatives. */
#include "bench.h"
#include "files.h"
#include "loop.h"
#include "single.h"
#include "timers.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH	64

#ifndef P_PIDFD
#define P_PIDFD	3
#endif

static int ep = -1;
static struct epoll_event items[LOOP_ROOM];

static void
open_epoll(void)
{
	ep = (int)must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
}

static void
control(int op, int fd, uint32_t events)
{
	struct epoll_event item = { .events = events, .data.fd = fd };

	must(epoll_ctl(ep, op, fd, &item), "epoll_ctl");
}

static long
bytes_of(int fd)
{
	int bytes = 0;

	if (no_counts)
		return 1;
	must(ioctl(fd, FIONREAD, &bytes), "FIONREAD");
	return bytes;
}

void
loop_open(int max)
{
	(void)max;
	open_epoll();
}

void
loop_add(int fd)
{
	control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP);
}

int
loop_turn(int room, bool block)
{
	int n = epoll_wait(ep, items, room, block ? -1 : 0);

	for (int i = 0; i < n; i++)
		ready(items[i].data.fd, bytes_of(items[i].data.fd));
	return n;
}

void
load_add_delete(long n)
{
	static int here[500], there[500];
	long done = 0;

	make_pairs(here, there, 500);
	open_epoll();
	while (done < n) {
		clock_start();
		for (int i = 0; i < 1000; i++)
			control(EPOLL_CTL_ADD, i < 500 ? here[i] : there[i - 500],
			    EPOLLIN | EPOLLRDHUP);
		clock_stop();
		clock_start();
		for (int i = 0; i < 1000; i++)
			control(EPOLL_CTL_DEL, i < 500 ? here[i] : there[i - 500], 0);
		clock_stop();
		done += 1000;
	}
	result(done, -1);
}

static volatile long sink;

void
load_oneshot(long n)
{
	static int here[BATCH], there[BATCH];
	const uint32_t once = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
	long done = 0;
	int got;

	make_pairs(here, there, BATCH);
	open_epoll();
	for (int i = 0; i < BATCH; i++) {
		must(write(there[i], "x", 1), "write");
		control(EPOLL_CTL_ADD, here[i], once);
	}
	got = (int)must(epoll_wait(ep, items, BATCH, -1), "epoll_wait");
	clock_start();
	while (done < n) {
		for (int i = 0; i < got; i++)
			control(EPOLL_CTL_MOD, items[i].data.fd, once);
		got = (int)must(epoll_wait(ep, items, BATCH, -1), "epoll_wait");
		for (int i = 0; i < got; i++)
			sink += bytes_of(items[i].data.fd);
		done += got;
	}
	clock_stop();
	result(done, -1);
}

void
load_dispatch(long n)
{
	load_oneshot(n);
}

void
load_write(long n)
{
	static int here[1000], there[1000];
	long done = 0;
	int got, size, queued;
	socklen_t length;

	make_pairs(here, there, 1000);
	open_epoll();
	for (int i = 0; i < 1000; i++) {
		control(EPOLL_CTL_ADD, here[i], EPOLLOUT);
		if (i >= 512)
			stuff(here[i]);
	}
	clock_start();
	while (done < n) {
		got = (int)must(epoll_wait(ep, items, BATCH, -1), "epoll_wait");
		for (int i = 0; i < got; i++) {
			length = sizeof(size);
			must(getsockopt(items[i].data.fd, SOL_SOCKET, SO_SNDBUF, &size, &length),
			    "SO_SNDBUF");
			must(ioctl(items[i].data.fd, SIOCOUTQ, &queued), "SIOCOUTQ");
			sink += size - queued;
		}
		done += got;
	}
	clock_stop();
	result(done, -1);
}

/* An eventfd that is never read: each write is an edge. */
static int
open_bell(void)
{
	int bell = (int)must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");

	open_epoll();
	control(EPOLL_CTL_ADD, bell, EPOLLIN | EPOLLET);
	return bell;
}

static void
ring(int bell)
{
	uint64_t one = 1;

	must(write(bell, &one, sizeof(one)), "write");
}

void
load_user1(long n)
{
	int bell = open_bell();

	clock_start();
	for (long i = 0; i < n; i++) {
		ring(bell);
		must(epoll_wait(ep, items, 1, -1), "epoll_wait");
	}
	clock_stop();
	result(n, -1);
}

void
load_user2(long n)
{
	load_user1(n);
}

static int table[2], bells[2];
static long strokes;

static void *
player(void *arg)
{
	int side = arg != NULL;
	struct epoll_event item;

	for (long i = 0; i < strokes; i++) {
		if (side == 0)
			ring(bells[1]);
		must(epoll_wait(table[side], &item, 1, -1), "epoll_wait");
		if (side == 1)
			ring(bells[0]);
	}
	return NULL;
}

void
load_user_pingpong(long n)
{
	pthread_t thread;

	strokes = n;
	for (int side = 0; side < 2; side++) {
		bells[side] = open_bell();
		table[side] = ep;
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
	struct signalfd_siginfo info;
	_Atomic long *seen;
	sigset_t set;
	int pid, fd;

	open_epoll();
	pid = make_sender(n, &seen);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = (int)must(signalfd(-1, &set, SFD_CLOEXEC), "signalfd");
	control(EPOLL_CTL_ADD, fd, EPOLLIN);
	atomic_store(seen, 0);
	clock_start();
	for (long i = 0; i < n; i++) {
		must(epoll_wait(ep, items, 1, -1), "epoll_wait");
		must(read(fd, &info, sizeof(info)), "read");
		atomic_store(seen, i + 1);
	}
	clock_stop();
	waitpid(pid, NULL, 0);
	result(n, -1);
}

/* Timers: a binary heap whose entries know where they are, and one timer descriptor. */

struct timer {
	int64_t	deadline;
	long	place;		/* in the heap */
};

static struct timer **heap, *timer;
static long heap_count;
static int timer_fd = -1;

static void
heap_put(long place, struct timer *t)
{
	heap[place] = t;
	t->place = place;
}

static void
heap_sift(long place, struct timer *t)
{
	long child;

	for (; place > 0 && heap[(place - 1) / 2]->deadline > t->deadline; place = (place - 1) / 2)
		heap_put(place, heap[(place - 1) / 2]);
	while ((child = 2 * place + 1) < heap_count) {
		if (child + 1 < heap_count && heap[child + 1]->deadline < heap[child]->deadline)
			child++;
		if (heap[child]->deadline >= t->deadline)
			break;
		heap_put(place, heap[child]);
		place = child;
	}
	heap_put(place, t);
}

static void
timer_set(void)
{
	struct itimerspec at = { .it_value = { heap[0]->deadline / 1000000000,
		heap[0]->deadline % 1000000000 } };

	must(timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL), "timerfd_settime");
}

static void
timer_arm(long i, int64_t ns)
{
	struct timer *t = &timer[i];

	t->deadline = clock_now() + ns;
	heap_sift(heap_count++, t);
	if (t->place == 0)
		timer_set();
}

static void
timer_remove(struct timer *t)
{
	struct timer *last = heap[--heap_count];
	long place = t->place;

	if (last != t)
		heap_sift(place, last);
	if (place == 0 && heap_count > 0)
		timer_set();
}

static void
timers_open(long n)
{
	open_epoll();
	heap = calloc((size_t)n, sizeof(*heap));
	timer = calloc((size_t)n, sizeof(*timer));
	if (heap == NULL || timer == NULL)
		must(-1, "calloc");
	timer_fd = (int)must(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
	    "timerfd_create");
	control(EPOLL_CTL_ADD, timer_fd, EPOLLIN);
}

static void
timer_start(long i)
{
	timer_arm(i, TIMER_LATER() * 1000000);
}

static void
timer_stop(long i)
{
	timer_remove(&timer[i]);
}

/* By hand, there are no lists of timers. */
void
load_timer_arm_batch(long n)
{
	load_timer_arm(n);
}

void
load_timer_burst(long n)
{
	int64_t *late = calloc((size_t)n, sizeof(*late)), now;
	uint64_t times;
	long done = 0;

	timers_open(n);
	clock_start();
	for (long i = 0; i < n; i++)
		timer_arm(i, TIMER_SOON() * 1000);
	while (done < n) {
		must(epoll_wait(ep, items, BATCH, -1), "epoll_wait");
		if (read(timer_fd, &times, sizeof(times)) == -1 && errno != EAGAIN)
			must(-1, "read");
		now = clock_now();
		while (heap_count > 0 && heap[0]->deadline <= now) {
			struct timer *t = heap[0], *last = heap[--heap_count];

			late[done++] = now - t->deadline;
			if (last != t)
				heap_sift(0, last);
		}
		if (heap_count > 0)
			timer_set();
	}
	clock_stop();
	result(n, late_hundredth(late, n));
}

/* Files: one inotify instance, and a look at the file when it is registered and at each event. */

static void
look_at_events(int inotify, const int fd_of[], long n)
{
	_Alignas(struct inotify_event) char buffer[4096];
	const struct inotify_event *event;
	struct stat st;
	long seen = 0;
	ssize_t got;

	while (seen < n) {
		must(epoll_wait(ep, items, BATCH, -1), "epoll_wait");
		got = (ssize_t)must(read(inotify, buffer, sizeof(buffer)), "read");
		for (char *p = buffer; p < buffer + got; p += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)(void *)p;
			must(fstat(fd_of[event->wd], &st), "fstat");
			sink += st.st_size;
			seen++;
		}
	}
}

static void
files(long n, enum part part)
{
	int *fds = calloc((size_t)n, sizeof(*fds)), *wds = calloc((size_t)n, sizeof(*wds));
	int *fd_of = calloc((size_t)n + 1, sizeof(*fd_of));
	int inotify = (int)must(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify_init1");
	char path[32];
	struct stat st;

	make_files(fds, (int)n);
	open_epoll();
	control(EPOLL_CTL_ADD, inotify, EPOLLIN);
	clock_pause(part != ADDING);
	clock_start();
	for (long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
		wds[i] = (int)must(inotify_add_watch(inotify, path, IN_MODIFY), "inotify_add_watch");
		must(fstat(fds[i], &st), "fstat");
		fd_of[wds[i]] = fds[i];
	}
	clock_stop();
	clock_pause(part != HAPPENING);
	for (long first = 0; first < n; first += BATCH) {
		long last = first + BATCH < n ? first + BATCH : n;

		for (long i = first; i < last; i++)
			must(write(fds[i], "x", 1), "write");
		clock_start();
		look_at_events(inotify, fd_of, last - first);
		clock_stop();
	}
	clock_pause(part != DELETING);
	clock_start();
	for (long i = 0; i < n; i++)
		must(inotify_rm_watch(inotify, wds[i]), "inotify_rm_watch");
	clock_stop();
	result(n, -1);
}

void
load_proc(long n)
{
	int *pids = calloc((size_t)n, sizeof(*pids)), got, pidfd;
	siginfo_t info;

	open_epoll();
	make_children(pids, (int)n);
	clock_start();
	for (long i = 0; i < n; i++) {
		pidfd = (int)must(syscall(SYS_pidfd_open, pids[i], 0), "pidfd_open");
		control(EPOLL_CTL_ADD, pidfd, EPOLLIN);
	}
	clock_stop();
	release_children(pids, (int)n);
	clock_start();
	for (long done = 0; done < n; done += got) {
		got = (int)must(epoll_wait(ep, items, BATCH, -1), "epoll_wait");
		for (int i = 0; i < got; i++) {
			pidfd = items[i].data.fd;
			must(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOWAIT), "waitid");
			close(pidfd);
		}
	}
	clock_stop();
	reap_children(pids, (int)n);
	result(n, -1);
}

static void
queue_once(void)
{
	close((int)must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
}

static _Atomic long worked;
static long to_do;

static void *
worker(void *arg)
{
	const uint32_t once = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
	struct epoll_event item;
	int n = 0;

	(void)arg;
	while (atomic_load(&worked) < to_do) {
		if (n > 0)
			control(EPOLL_CTL_MOD, item.data.fd, once);
		n = (int)must(epoll_wait(ep, &item, 1, -1), "epoll_wait");
		must(bytes_of(item.data.fd), "FIONREAD");
		work_a_little();
		atomic_fetch_add(&worked, n);
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
	open_epoll();
	for (int i = 0; i < BATCH; i++) {
		must(write(there[i], "x", 1), "write");
		control(EPOLL_CTL_ADD, here[i], EPOLLIN | EPOLLRDHUP | EPOLLONESHOT);
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
	{ NULL, NULL, 0, 0 }
};
