/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_TIMER where it takes long to arm the timer descriptor, as on a virtual machine, and the next timer is due
 * soon.  This program stands in for the calls that read the clocks and wait for them, so that they stand still but
 * for what a test lets pass, and for what it takes to arm.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "numbers.h"
#include "timer.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define US INT64_C(1000)

/* What it takes to arm. */
#define TAKES (25 * US)

/* Dates are larger than this. */
#define DATES INT64_C(1000000000000000000)

/* A clock: what it says, and its timer descriptor. */
static struct {
	int64_t	now;
	int	fd;
	int64_t	when;		/* 0: it is not armed, or has gone off */
} clocks[2];
static pthread_mutex_t clocks_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int armings;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t now;

	if (id != CLOCK_MONOTONIC && id != CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	pthread_mutex_lock(&clocks_lock);
	now = clocks[id == CLOCK_REALTIME].now;
	pthread_mutex_unlock(&clocks_lock);
	*ts = (struct timespec){ .tv_sec = (time_t)(now / SEC), .tv_nsec = (long)(now % SEC) };
	return 0;
}

/* Time passes: which timer descriptor goes off? */
static void
clocks_pass(int64_t ns)
{
	const struct itimerspec past = { .it_value = { .tv_nsec = 1 } };

	for (int i = 0; i < 2; i++) {
		clocks[i].now += ns;
		if (clocks[i].when == 0 || clocks[i].when > clocks[i].now)
			continue;
		clocks[i].when = 0;
		syscall(SYS_timerfd_settime, clocks[i].fd, TFD_TIMER_ABSTIME, &past, NULL);
		/* That takes an interrupt, which may come late. */
		ck_assert(readable(clocks[i].fd, HARNESS_TIMEOUT * 500));
	}
}

int
timerfd_settime(int fd, int flags, const struct itimerspec *spec, struct itimerspec *old)
{
	const struct itimerspec never = { .it_value = { .tv_nsec = 0 } };
	int64_t when = spec->it_value.tv_sec * SEC + spec->it_value.tv_nsec;
	int i = when == 0 ? clocks[1].fd == fd : when > DATES;

	(void)old;
	ck_assert_int_eq(flags, TFD_TIMER_ABSTIME);
	armings++;
	pthread_mutex_lock(&clocks_lock);
	clocks[i].fd = fd;
	clocks[i].when = when;
	syscall(SYS_timerfd_settime, fd, 0, &never, NULL);
	clocks_pass(TAKES);
	pthread_mutex_unlock(&clocks_lock);
	return 0;
}

static void
go_by(int64_t ns)
{
	pthread_mutex_lock(&clocks_lock);
	clocks_pass(ns);
	pthread_mutex_unlock(&clocks_lock);
}

static int64_t
clock_of(bool date)
{
	return clocks[date].now;
}

/* Adds one that expires once, at a moment of its clock. */
static void
at(int kq, uintptr_t ident, bool date, int64_t when)
{
	ck_assert_int_eq(date ?
	    timer(kq, ident, EV_ADD | EV_ONESHOT, NOTE_ABSTIME | NOTE_NSECONDS, when) :
	    timer(kq, ident, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, when - clock_of(false)), 0);
}

/* How many events the queue has to tell of, when something has expired. */
static int
polled(int kq)
{
	struct kevent events[8];

	ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
	return collect(kq, events, 8, 0);
}

/* A queue that has found out how long it takes to arm. */
static int
learned_queue(bool date)
{
	int kq = queue();

	clocks[0].now = SEC;
	clocks[1].now = 2 * DATES;
	clocks[0].fd = clocks[1].fd = -1;
	clocks[0].when = clocks[1].when = 0;
	for (int i = 0; i < 16; i++) {
		int64_t start = clock_of(date) + MS;

		at(kq, 1, date, start);
		at(kq, 2, date, start + 10 * US);
		go_by(start - clock_of(date));
		if (polled(kq) == 1)
			ck_assert_int_eq(polled(kq), 1);
	}
	no_event(kq);
	return kq;
}

/* The same; timer 1 has just expired, and timer 2 does in 40 microseconds, so long after its beginning. */
static int64_t
begin(int *kq, bool date)
{
	int64_t start;

	*kq = learned_queue(date);
	start = clock_of(date) + MS;
	at(*kq, 1, date, start);
	at(*kq, 2, date, start + 40 * US);
	go_by(start - clock_of(date));
	armings = 0;
	return start;
}

/* The same; timer 1 was told, and what is to be done about timer 2 was put off. */
static int64_t
begin_put_off(int *kq)
{
	int64_t start = begin(kq, false);

	event_of(*kq, 1, EVFILT_TIMER);
	return start;
}

/* Nothing is due: no call says so, and the queue is not readable from then on. */
static void
nothing(int kq)
{
	no_event(kq);
	ck_assert(!readable(kq, 0));
}

/* To arm would make timer 1 late: it is told at once, with all that is to be done about timer 2 put off. */
START_TEST(timer_soon__who_waits_is_told_before_the_next_is_armed)
{
	struct kevent events[8];
	int kq;

	for (int date = 0; date < 2; date++) {
		int64_t start = begin(&kq, date);

		ck_assert_int_eq(collect(kq, events, 8, date ? HARNESS_TIMEOUT * 500 : -1), 1);
		ck_assert_uint_eq(events[0].ident, 1);
		ck_assert_int_eq(clock_of(date), start);
		/* It comes without having been armed for. */
		go_by(40 * US);
		event_of(kq, 2, EVFILT_TIMER);
		ck_assert_int_eq(armings, 0);
		nothing(kq);
		close(kq);
	}
}
END_TEST

START_TEST(timer_soon__who_waits_again_sleeps_until_the_next)
{
	struct waiter w;
	int kq;

	begin_put_off(&kq);
	waiter_start(&w, kq, -1);
	ck_assert_int_eq(armings, 1);
	go_by(40 * US - TAKES);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, 2);
	nothing(kq);
	close(kq);
}
END_TEST

/* Once it has said that there is nothing, the queue is not readable until there is. */
START_TEST(timer_soon__who_polls_next_is_told_exactly)
{
	struct epoll_event item = { .events = EPOLLIN };
	int kq, ep = epoll_create1(EPOLL_CLOEXEC);

	begin(&kq, false);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, kq, &item), 0);
	event_of(kq, 1, EVFILT_TIMER);
	no_event(kq);
	ck_assert_int_eq(epoll_wait(ep, &item, 1, 0), 0);
	go_by(40 * US - TAKES - 1);
	ck_assert_int_eq(epoll_wait(ep, &item, 1, 0), 0);
	go_by(1);
	ck_assert_int_eq(epoll_wait(ep, &item, 1, HARNESS_TIMEOUT * 500), 1);
	event_of(kq, 2, EVFILT_TIMER);
	nothing(kq);
	close(ep);
	close(kq);
}
END_TEST

/* It is told by the descriptor that the program polls, in the first place, too. */
START_TEST(timer_soon__who_polls_and_does_not_wait_finds_it_armed)
{
	int kq;

	for (int date = 0; date < 2; date++) {
		begin(&kq, date);
		ck_assert_int_eq(polled(kq), 1);
		ck_assert_int_eq(armings, 1);
		ck_assert(!readable(kq, 0));
		go_by(40 * US - TAKES);
		ck_assert_int_eq(polled(kq), 1);
		nothing(kq);
		close(kq);
	}
}
END_TEST

START_TEST(timer_soon__inner_queue_is_told_exactly)
{
	int outer = queue(), kq;

	begin(&kq, false);
	ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(armings, 1);
	nothing(outer);
	go_by(40 * US - TAKES);
	ck_assert_int_eq(event_of(outer, (uintptr_t)kq, EVFILT_READ).data, 1);
	event_of(kq, 2, EVFILT_TIMER);
	nothing(outer);
	close(outer);
	close(kq);
}
END_TEST

/* What is put off is for nobody any more, or for another moment. */
START_TEST(timer_soon__next_is_withdrawn)
{
	int64_t start;
	int kq;

	start = begin_put_off(&kq);
	ck_assert_int_eq(timer(kq, 2, EV_DELETE, 0, 0), 0);
	nothing(kq);
	close(kq);

	start = begin_put_off(&kq);
	ck_assert_int_eq(timer(kq, 2, EV_DISABLE, 0, 0), 0);
	nothing(kq);
	go_by(start + 40 * US - clock_of(false));
	nothing(kq);
	ck_assert_int_eq(timer(kq, 2, EV_ENABLE, 0, 0), 0);
	event_of(kq, 2, EVFILT_TIMER);
	nothing(kq);
	close(kq);

	start = begin_put_off(&kq);
	at(kq, 2, false, start + 5 * MS);
	at(kq, 3, false, start + 3 * MS);
	at(kq, 4, false, start + 2 * MS);
	nothing(kq);
	go_by(start + 2 * MS - 2 * TAKES - clock_of(false));
	nothing(kq);
	go_by(2 * TAKES);
	event_of(kq, 4, EVFILT_TIMER);
	go_by(start + 5 * MS - clock_of(false));
	ck_assert_int_eq(polled(kq), 2);
	nothing(kq);
	close(kq);
}
END_TEST

/* One that is due before what was put off. */
START_TEST(timer_soon__another_comes_first)
{
	int64_t start;
	int kq;

	start = begin_put_off(&kq);
	at(kq, 3, false, start + 30 * US);
	go_by(start + 30 * US - clock_of(false));
	event_of(kq, 3, EVFILT_TIMER);
	go_by(start + 40 * US - clock_of(false));
	event_of(kq, 2, EVFILT_TIMER);
	nothing(kq);
	close(kq);
}
END_TEST

START_TEST(timer_soon__date_is_set_back)
{
	int kq;

	begin(&kq, true);
	event_of(kq, 1, EVFILT_TIMER);
	pthread_mutex_lock(&clocks_lock);
	clocks[1].now -= 60 * SEC;
	pthread_mutex_unlock(&clocks_lock);
	nothing(kq);
	go_by(30 * SEC);
	nothing(kq);
	go_by(30 * SEC + 40 * US);
	event_of(kq, 2, EVFILT_TIMER);
	nothing(kq);
	close(kq);
}
END_TEST

/* Two wait: what comes next wakes the other. */
START_TEST(timer_soon__each_of_two_threads_gets_one)
{
	struct waiter w[2];
	int64_t start;
	int kq = learned_queue(false), ended;

	start = clock_of(false) + MS;
	at(kq, 1, false, start);
	at(kq, 2, false, start + 40 * US);
	waiter_start(&w[0], kq, -1);
	waiter_start(&w[1], kq, HARNESS_TIMEOUT * 500);
	go_by(start - clock_of(false));
	while ((ended = pthread_tryjoin_np(w[0].thread, NULL) == 0 ? 0 :
	    pthread_tryjoin_np(w[1].thread, NULL) == 0 ? 1 : 2) == 2)
		nap(1);
	go_by(40 * US);
	waiter_join(&w[1 - ended]);
	ck_assert_int_eq(w[0].count, 1);
	ck_assert_int_eq(w[1].count, 1);
	ck_assert_uint_eq(w[0].event.ident + w[1].event.ident, 3);
	nothing(kq);
	close(kq);
}
END_TEST

START_TEST(timer_soon__forked_child_takes_nothing_of_it)
{
	struct kevent event;
	int kq, status;
	pid_t pid;

	begin_put_off(&kq);
	pid = fork();
	if (pid == 0)
		_exit(kevent(kq, NULL, 0, &event, 1, NULL) == -1 && errno == EBADF ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	go_by(40 * US);
	event_of(kq, 2, EVFILT_TIMER);
	nothing(kq);
	close(kq);
}
END_TEST

/* The program takes the timer descriptor's number: what is at it then is its own. */
START_TEST(timer_soon__timer_descriptor_is_moved)
{
	int64_t start;
	int kq, fds[2], number;

	start = begin_put_off(&kq);
	number = clocks[0].fd;
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(dup2(fds[0], number), number);
	for (clocks[0].fd = 256; strcmp(kind_of(clocks[0].fd), "anon_inode:[timerfd]") != 0; clocks[0].fd++)
		ck_assert_int_lt(clocks[0].fd, 65536);
	ck_assert_int_eq(change(kq, (uintptr_t)number, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	nothing(kq);
	go_by(start + 40 * US - clock_of(false));
	event_of(kq, 2, EVFILT_TIMER);
	for (int i = 0; i < 3; i++) {
		start = clock_of(false) + MS;
		at(kq, 1, false, start);
		at(kq, 2, false, start + 40 * US);
		go_by(start - clock_of(false));
		event_of(kq, 1, EVFILT_TIMER);
		put(fds[1], 1);
		event_of(kq, (uintptr_t)number, EVFILT_READ);
		get(number, 1);
		nothing(kq);
		go_by(start + 40 * US - clock_of(false));
		event_of(kq, 2, EVFILT_TIMER);
		nothing(kq);
	}
	close(number);
	close_pair(fds);
	close(kq);
}
END_TEST

/* What a timer of the program below is to tell. */
struct expected {
	bool	there, date, disabled;
	int	flags;
	int64_t	when, period;
};

enum { TIMERS = 24 };

static struct expected expected[TIMERS];

static unsigned
any(unsigned n)
{
	static uint32_t state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static int
due(void)
{
	int n = 0;

	for (int i = 0; i < TIMERS; i++)
		n += expected[i].there && !expected[i].disabled &&
		    expected[i].when <= clock_of(expected[i].date);
	return n;
}

static void
change_any(int kq)
{
	static const int flags[] = { 0, EV_ONESHOT, EV_DISPATCH };
	unsigned i = any(TIMERS);
	struct expected *e = &expected[i];
	int64_t us = 1 + any(200);

	switch (e->there ? any(5) : 4) {
	case 0:
		ck_assert_int_eq(timer(kq, i, EV_DELETE, 0, 0), 0);
		e->there = false;
		break;
	case 1:
	case 2:
		ck_assert_int_eq(timer(kq, i, e->disabled ? EV_ENABLE : EV_DISABLE, 0, 0), 0);
		e->disabled = !e->disabled;
		break;
	case 3:		/* from now on anew; a disabled one stays so */
	default:
		if (!e->there)
			*e = (struct expected){ .there = true, .date = any(4) == 0, .flags = flags[any(3)] };
		if (e->date)
			e->flags = EV_ONESHOT;
		e->when = clock_of(e->date) + us * US;
		e->period = e->flags == EV_ONESHOT ? 0 : us * US;
		ck_assert_int_eq(timer(kq, i, EV_ADD | e->flags, e->date ? NOTE_ABSTIME | NOTE_NSECONDS : NOTE_USECONDS,
		    e->date ? e->when : us), 0);
		break;
	}
}

/* Events of a call that began when the clocks said that: none too early, and none counts too few. */
static void
told(const struct kevent *events, int n, const int64_t began[2])
{
	struct expected *e;
	int64_t data;

	for (int i = 0; i < n; i++) {
		e = &expected[events[i].ident];
		data = events[i].data;
		ck_assert(e->there && !e->disabled);
		ck_assert_int_ge(data, 1);
		ck_assert_int_le(e->when + (data - 1) * e->period, clock_of(e->date));
		ck_assert(e->period == 0 ? data == 1 : e->when + data * e->period > began[e->date]);
		e->when += data * e->period;
		e->there = e->flags != EV_ONESHOT;
		e->disabled = e->flags == EV_DISPATCH;
	}
}

/* Whatever is done with timers that are so close, each is told when it is due, and the queue is readable then. */
START_TEST(timer_soon__none_is_lost_and_none_early)
{
	struct kevent events[TIMERS];
	int kq = learned_queue(false);

	for (int i = 0; i < 5000; i++) {
		int64_t began[2];
		int n, ready, room = 1 + (int)any(TIMERS);

		for (unsigned changes = any(3); changes > 0; changes--)
			change_any(kq);
		go_by(any(60) * US);
		ready = due();
		began[0] = clock_of(false);
		began[1] = clock_of(true);
		if (ready > 0 && any(2) == 0)
			ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
		n = collect(kq, events, room, ready == 0 ? 0 : any(2) == 0 ? -1 : HARNESS_TIMEOUT * 500);
		ck_assert_int_ge(n, ready > 0);
		told(events, n, began);
		if (due() > 0)
			ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
		else if (n == 0)
			ck_assert(!readable(kq, 0) || due() > 0);
	}
	close(kq);
}
END_TEST

HARNESS_MAIN("timer_soon",
    timer_soon__who_waits_is_told_before_the_next_is_armed,
    timer_soon__who_waits_again_sleeps_until_the_next,
    timer_soon__who_polls_next_is_told_exactly,
    timer_soon__who_polls_and_does_not_wait_finds_it_armed,
    timer_soon__inner_queue_is_told_exactly,
    timer_soon__next_is_withdrawn,
    timer_soon__another_comes_first,
    timer_soon__date_is_set_back,
    timer_soon__each_of_two_threads_gets_one,
    timer_soon__forked_child_takes_nothing_of_it,
    timer_soon__timer_descriptor_is_moved,
    timer_soon__none_is_lost_and_none_early)
