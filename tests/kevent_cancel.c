/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that is cancelled while it waits in kevent(), or is about to. */
#include "kevent_wait.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int cancelled;	/* which thread */

static void *
wait_to_be_cancelled(void *arg)
{
	struct kevent event;

	cancelled = (int)syscall(SYS_gettid);
	kevent(*(int *)arg, NULL, 0, &event, 1, NULL);
	return NULL;
}

START_TEST(kevent_cancel__cancelling_leaves_the_queue_whole)
{
	pthread_t thread;
	void *result;
	int kq = queue();

	add(kq, 1, EVFILT_USER, EV_CLEAR);
	for (int i = 0; i < 20; i++) {
		cancelled = 0;
		ck_assert_int_eq(pthread_create(&thread, NULL, wait_to_be_cancelled, &kq), 0);
		if (i % 2 == 0)
			await_sleep(&cancelled);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		ck_assert_int_eq(pthread_join(thread, &result), 0);
		ck_assert_ptr_eq(result, PTHREAD_CANCELED);
		trigger(kq, 1);
		event_of(kq, 1, EVFILT_USER);
		no_event(kq);
	}
	close(kq);
}
END_TEST

/*
 * A thread that is cancelled in epoll_wait() makes the thread sanitizer forget
 * that locks order anything: a correct dozen lines are a race to it.
 */
#define CANCEL_ROUNDS (THREAD_SANITIZER ? 0 : 2000)

static atomic_int collected;

static void *
collect_until_cancelled(void *arg)
{
	struct kevent event;

	for (;;)
		if (kevent(*(int *)arg, NULL, 0, &event, 1, NULL) == 1)
			atomic_fetch_add(&collected, 1);
	return NULL;
}

/* An event goes to who was not cancelled: none is lost with a thread that was. */
START_TEST(kevent_cancel__cancelled_call_takes_no_event)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, EV_CLEAR);
	add(kq, 1, EVFILT_USER, EV_CLEAR);
	for (int i = 0; i < CANCEL_ROUNDS; i++) {
		struct kevent events[4];
		pthread_t thread;
		int taken;

		atomic_store(&collected, 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, collect_until_cancelled, &kq), 0);
		for (int j = 0; j < i % 50; j++)
			sched_yield();
		if (i % 2 == 0)
			put(fds[1], 1);
		else
			trigger(kq, 1);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		taken = atomic_load(&collected);
		ck_assert_int_le(taken, 1);
		ck_assert_msg(collect(kq, events, 4, 0) == 1 - taken, "round %d: the event %s",
		    i, taken == 1 ? "came twice" : "is lost");
		if (i % 2 == 0)
			get(fds[0], 1);
	}
	close_pair(fds);
	close(kq);
}
END_TEST

enum { SORTS = 7 };	/* of events that are ready at once */

struct batch {
	int		kq;
	atomic_int	seen[SORTS];
};

static void
batch_count(const struct kevent *events, int n)
{
	for (int i = 0; i < n; i++)
		if (events[i].udata != NULL)
			atomic_fetch_add((atomic_int *)events[i].udata, 1);
}

static void *
collect_batches(void *arg)
{
	struct batch *b = arg;
	struct kevent events[2 * SORTS];
	int state, n;

	for (;;) {
		n = kevent(b->kq, NULL, 0, events, 2 * SORTS, NULL);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		batch_count(events, n);
		pthread_setcancelstate(state, NULL);
	}
	return NULL;
}

/* The same with many events of every source at once, all of which come once. */
START_TEST(kevent_cancel__cancelled_call_takes_none_of_many)
{
	int fds[2], file;
	char path[128];

	signal(SIGUSR2, SIG_IGN);
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	pair(PAIR_UNIX, fds);
	for (int i = 0; i < CANCEL_ROUNDS / 10; i++) {
		struct batch b = { .kq = queue() };
		struct kevent events[2 * SORTS], all[SORTS];
		int64_t start = now_ns();
		pthread_t thread;
		pid_t pid = fork();
		int missing;

		if (pid == 0) {
			for (;;)
				pause();
		}
		EV_SET(&all[0], (uintptr_t)pid, EVFILT_PROC, EV_ADD | EV_UDATA_SPECIFIC, NOTE_EXIT, 0, &b.seen[0]);
		EV_SET(&all[1], (uintptr_t)pid, EVFILT_PROC, EV_ADD | EV_UDATA_SPECIFIC, NOTE_EXIT, 0, &b.seen[1]);
		EV_SET(&all[2], (uintptr_t)file, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, &b.seen[2]);
		EV_SET(&all[3], (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, &b.seen[3]);
		EV_SET(&all[4], (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_ONESHOT | EV_DISABLE, 0, 0, &b.seen[4]);
		EV_SET(&all[5], 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, &b.seen[5]);
		EV_SET(&all[6], SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0, &b.seen[6]);
		ck_assert_int_eq(kevent(b.kq, all, SORTS, NULL, 0, NULL), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, collect_batches, &b), 0);
		if (i % 2 == 0)
			nap(1);
		else
			for (int j = 0; j < i % 50; j++)
				sched_yield();
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(fchmod(file, i % 2 == 0 ? 0640 : 0600), 0);
		put(fds[1], 1);
		raise(SIGUSR2);
		ck_assert_int_eq(change(b.kq, 1, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER, 0, NULL), 0);
		ck_assert_int_eq(change(b.kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE | EV_KEEPUDATA, 0, 0, NULL), 0);
		if (i % 4 == 1)
			waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		for (;;) {
			missing = -1;
			for (int j = 0; j < SORTS; j++)
				if (atomic_load(&b.seen[j]) == 0)
					missing = j;
			if (missing == -1)
				break;
			ck_assert_msg(now_ns() - start < INT64_C(5000000000), "round %d: event %d is lost", i, missing);
			batch_count(events, collect(b.kq, events, 2 * SORTS, 1000));
		}
		ck_assert_int_eq(collect(b.kq, events, 2 * SORTS, 0), 0);
			for (int j = 0; j < SORTS; j++)
			ck_assert_msg(atomic_load(&b.seen[j]) == 1, "round %d: event %d came %d times", i, j,
			    atomic_load(&b.seen[j]));
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		get(fds[0], 1);
		ck_assert_int_eq(close(b.kq), 0);
	}
	close_pair(fds);
	close(file);
}
END_TEST

static void *
change_with_a_cancel_pending(void *arg)
{
	pthread_cancel(pthread_self());
	change(*(int *)arg, 1, EVFILT_USER, EV_ADD, 0, 0, NULL);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return arg;
}

START_TEST(kevent_cancel__call_that_cannot_wait_is_no_cancellation_point)
{
	pthread_t thread;
	void *result;
	int kq = queue();

	ck_assert_int_eq(pthread_create(&thread, NULL, change_with_a_cancel_pending, &kq), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_eq(result, &kq);
	trigger(kq, 1);
	event_of(kq, 1, EVFILT_USER);
	close(kq);
}
END_TEST

HARNESS_MAIN("kevent_cancel",
    kevent_cancel__cancelling_leaves_the_queue_whole,
    kevent_cancel__cancelled_call_takes_no_event,
    kevent_cancel__cancelled_call_takes_none_of_many,
    kevent_cancel__call_that_cannot_wait_is_no_cancellation_point)
