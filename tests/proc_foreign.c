/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC on processes that are not our children. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc.h"
#include "sandbox.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
watch(int kq, pid_t pid)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), 0);
}

/*
 * A child whose own child tells its number and waits to be killed.  The child
 * then waits for a byte before it reaps.
 */
struct family {
	pid_t	child, grandchild;
	int	talk[2];
};

static void
family_start(struct family *f)
{
	pair(PAIR_UNIX, f->talk);
	f->child = fork();
	ck_assert_int_ne(f->child, -1);
	if (f->child == 0) {
		pid_t pid = sleeper();

		if (write(f->talk[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		get(f->talk[1], 1);
		_exit(waitpid(pid, NULL, 0) == pid ? 0 : 2);
	}
	ck_assert_int_eq(read(f->talk[0], &f->grandchild, sizeof(pid_t)), sizeof(pid_t));
}

static void
family_end(struct family *f)
{
	put(f->talk[0], 1);
	ck_assert_int_eq(reap(f->child), 0);
	close_pair(f->talk);
}

/* The event must come while nobody reaps; its status if that is ours to know. */
static void
check_grandchild(bool status)
{
	struct family f;
	struct kevent event;
	int kq = queue();

	family_start(&f);
	watch(kq, f.grandchild);
	no_event(kq);
	ck_assert_int_eq(kill(f.grandchild, SIGUSR2), 0);
	event = event_of(kq, (uintptr_t)f.grandchild, EVFILT_PROC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	ck_assert_uint_eq(event.flags, EV_EOF | EV_ONESHOT | EV_CLEAR);
	ck_assert(event.data == SIGUSR2 || (!status && event.data == 0));
	/* It is a zombie still. */
	watch(kq, f.grandchild);
	event = event_of(kq, (uintptr_t)f.grandchild, EVFILT_PROC);
	ck_assert(event.data == SIGUSR2 || (!status && event.data == 0));
	family_end(&f);
	ck_assert_int_eq(proc(kq, f.grandchild, EV_ADD, NOTE_EXIT), ESRCH);
	no_event(kq);
	close(kq);
}

START_TEST(proc_foreign__fires_before_it_is_reaped)
{
	check_grandchild(true);
}
END_TEST

START_TEST(proc_foreign__fires_after_it_was_reaped)
{
	struct family f;
	struct kevent event;
	int kq = queue();

	family_start(&f);
	watch(kq, f.grandchild);
	ck_assert_int_eq(kill(f.grandchild, SIGUSR2), 0);
	family_end(&f);
	event = event_of(kq, (uintptr_t)f.grandchild, EVFILT_PROC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	ck_assert(event.data == SIGUSR2 || event.data == 0);
	close(kq);
}
END_TEST

START_TEST(proc_foreign__ordinary_user)
{
	pid_t pid;

	if (getuid() != 0)
		return;		/* then every other test was one */
	pid = fork();
	if (pid == 0) {
		int kq;

		if (!become_nobody())
			_exit(1);
		check_grandchild(false);
		kq = queue();
		watch(kq, 1);
		no_event(kq);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
}
END_TEST

/* Whether the kernel tells us how processes end that /proc does not show to us. */
static bool
connected(int kq)
{
	int error = proc(kq, getpid(), EV_ADD, NOTE_FORK);

	ck_assert(error == 0 || error == ENOTSUP);
	if (error == 0)
		ck_assert_int_eq(proc(kq, getpid(), EV_DELETE, 0), 0);
	else
		fprintf(stderr, "skipped: the process connector does not answer here\n");
	return error == 0;
}

static void *
thread_that_ends_the_process(void *arg)
{
	get(*(int *)arg, 1);
	await_state(getpid(), 'Z');	/* after the first has gone */
	_exit(6);
}

enum way { EXITS, EXITS_WELL, KILLED, ENDED_BY_A_THREAD, WAYS };

/* A process that ends in one of these ways once there is a byte; what wait(2) makes of it. */
static pid_t
stranger(enum way way, int go, int *status)
{
	static const int statuses[] = { W_EXITCODE(7, 0), 0, SIGKILL, W_EXITCODE(6, 0) };
	pthread_t thread;
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	*status = statuses[way];
	if (pid != 0)
		return pid;
	if (way == ENDED_BY_A_THREAD) {
		if (pthread_create(&thread, NULL, thread_that_ends_the_process, &go) != 0)
			_exit(1);
		syscall(SYS_exit, 0);
	}
	get(go, 1);
	if (way == KILLED)
		kill(getpid(), SIGKILL);
	_exit(way == EXITS ? 7 : 0);
}

/* Runs watcher as an ordinary user, who sees strangers end in every way, unreaped. */
static void
check_strangers(void (*watcher)(int kq, pid_t pid, int status, int go), int each)
{
	int status, go[2];
	pid_t pid, user;

	if (getuid() != 0) {
		fprintf(stderr, "skipped: only root has two users\n");
		return;
	}
	for (int i = 0; i < WAYS * each; i++) {
		pair(PAIR_UNIX, go);
		pid = stranger((enum way)(i % WAYS), go[1], &status);
		user = fork();
		if (user == 0) {
			int kq;

			if (!become_nobody())
				_exit(1);
			kq = queue();
			if (connected(kq))
				watcher(kq, pid, status, go[0]);
			else
				put(go[0], 1);
			close(kq);
			_exit(0);
		}
		ck_assert_int_eq(reap(user), 0);
		ck_assert_int_eq(reap(pid), status);
		close_pair(go);
	}
}

/* The waiter wakes with the first word of it, which comes before the status. */
static void
wait_for_it(int kq, pid_t pid, int status, int go)
{
	watch(kq, pid);
	no_event(kq);
	put(go, 1);
	told_end(kq, pid, status);
}

START_TEST(proc_foreign__status_of_a_stranger)
{
	check_strangers(wait_for_it, 10);
}
END_TEST

static void
look_later(int kq, pid_t pid, int status, int go)
{
	watch(kq, pid);
	put(go, 1);
	nap(50);
	told_end(kq, pid, status);
}

START_TEST(proc_foreign__status_of_a_stranger_seen_later)
{
	check_strangers(look_later, 2);
}
END_TEST

static void
enable_later(int kq, pid_t pid, int status, int go)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD | EV_DISABLE, NOTE_EXIT), 0);
	put(go, 1);
	no_event(kq);
	nap(50);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
	told_end(kq, pid, status);
}

START_TEST(proc_foreign__status_of_a_stranger_while_disabled)
{
	check_strangers(enable_later, 2);
}
END_TEST

/* Asked for after the registration was made, and together with other notes. */
static void
ask_later(int kq, pid_t pid, int status, int go)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_FORK | NOTE_EXEC), 0);
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT | NOTE_FORK), 0);
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT | NOTE_TRACK), 0);
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), 0);
	put(go, 1);
	told_end(kq, pid, status);
}

START_TEST(proc_foreign__status_of_a_stranger_asked_for_later)
{
	check_strangers(ask_later, 2);
}
END_TEST

/* The queue sleeps while others come and go. */
static void
sleep_well(int kq, pid_t pid, int status, int go)
{
	watch(kq, pid);
	nap(50);	/* its first thread may be going */
	no_event(kq);
	for (int i = 0; i < 20; i++) {
		pid_t other = fork();

		if (other == 0)
			_exit(3);
		reap(other);
		ck_assert(!readable(kq, 0));
	}
	put(go, 1);
	told_end(kq, pid, status);
}

START_TEST(proc_foreign__only_the_stranger_wakes)
{
	check_strangers(sleep_well, 1);
}
END_TEST

/* What the queue has for it goes with the registration. */
static void
leave_nothing(int kq, pid_t pid, int status, int go)
{
	int before = open_descriptors();

	watch(kq, pid);
	ck_assert_int_ge(open_descriptors(), before + 2);
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), 0);
	ck_assert_int_eq(open_descriptors(), before);
	watch(kq, pid);
	put(go, 1);
	told_end(kq, pid, status);
	/* But for the timer, if there was need of one. */
	ck_assert_int_le(open_descriptors(), before + 1);
}

START_TEST(proc_foreign__leaves_nothing)
{
	check_strangers(leave_nothing, 1);
}
END_TEST

/* The kernel finds no memory for its messages, so to say: the library's socket passes none. */
static void
silence(void)
{
	struct sock_filter drop = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog program = { 1, &drop };
	int found = 0;

	for (int fd = 3; fd < 8192; fd++) {
		int protocol = -1;
		socklen_t size = sizeof(protocol);

		if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
		    protocol == NETLINK_CONNECTOR) {
			ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
			    sizeof(program)), 0);
			found++;
		}
	}
	ck_assert_int_eq(found, 1);
}

static void
hear_nothing(int kq, pid_t pid, int status, int go)
{
	(void)status;
	watch(kq, pid);
	silence();
	put(go, 1);
	told_end(kq, pid, 0);
	/* A zombie now: nobody will say, so nothing is waited for. */
	watch(kq, pid);
	ck_assert(readable(kq, 0));
	told_end(kq, pid, 0);
}

START_TEST(proc_foreign__status_that_never_comes)
{
	check_strangers(hear_nothing, 1);
}
END_TEST

/* While the status is waited for. */
static void
change_meanwhile(int kq, pid_t pid, int status, int go)
{
	int before = open_descriptors();
	struct kevent event;

	watch(kq, pid);
	silence();
	put(go, 1);
	/* Until the end is told, and waited no longer. */
	while (kill(pid, 0) == -1 && errno == EPERM && !readable(kq, 100))
		;
	collect(kq, NULL, 0, 0);
	switch (pid % 3) {
	case 0:
		ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), 0);
		break;
	case 1:
		ck_assert_int_eq(proc(kq, pid, EV_DISABLE, 0), 0);
		nap(50);
		no_event(kq);
		ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
		told_end(kq, pid, 0);
		break;
	default:
		/* The library asks anew, and may hear. */
		ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT | NOTE_FORK), 0);
		event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);
		ck_assert_uint_eq(event.fflags, NOTE_EXIT);
		ck_assert(event.data == 0 || event.data == status);
	}
	no_event(kq);
	ck_assert_int_le(open_descriptors(), before + 1);
}

START_TEST(proc_foreign__changed_while_the_status_is_due)
{
	check_strangers(change_meanwhile, 2);
}
END_TEST

/* In another network name space there is no connector. */
START_TEST(proc_foreign__no_connector)
{
	int go[2];
	pid_t pid, user;

	if (getuid() != 0)
		return;
	pair(PAIR_UNIX, go);
	if ((pid = fork()) == 0) {
		get(go[1], 1);
		_exit(7);
	}
	if ((user = fork()) == 0) {
		int before, kq;

		if (unshare(CLONE_NEWNET) == -1)
			fprintf(stderr, "skipped: no other name space\n");
		else if (become_nobody()) {
			kq = queue();
			before = open_descriptors();
			watch(kq, pid);
			ck_assert_int_eq(open_descriptors(), before + 1);
			put(go[0], 1);
			told_end(kq, pid, 0);
			ck_assert_int_eq(open_descriptors(), before);
			close(kq);
			_exit(0);
		}
		put(go[0], 1);
		_exit(0);
	}
	ck_assert_int_eq(reap(user), 0);
	reap(pid);
	close_pair(go);
}
END_TEST

/* A process of the same user that /proc shows to nobody. */
START_TEST(proc_foreign__not_dumpable)
{
	struct family f;
	pid_t pid;

	if (getuid() != 0)
		return;
	if ((pid = fork()) == 0) {
		int kq;

		if (!become_nobody() || prctl(PR_SET_DUMPABLE, 0) == -1)
			_exit(1);
		kq = queue();
		family_start(&f);
		if (connected(kq)) {
			watch(kq, f.grandchild);
			kill(f.grandchild, SIGUSR2);
			told_end(kq, f.grandchild, SIGUSR2);
		} else {
			kill(f.grandchild, SIGUSR2);
		}
		family_end(&f);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
}
END_TEST

/* More than the kernel sorts out by number. */
START_TEST(proc_foreign__many_strangers)
{
	enum { N = 300 };
	static pid_t pid[N];
	struct kevent events[16];
	int go[2], seen = 0;
	pid_t user;

	if (getuid() != 0)
		return;
	pair(PAIR_UNIX, go);
	for (int i = 0; i < N; i++) {
		ck_assert_int_ne(pid[i] = fork(), -1);
		if (pid[i] == 0) {
			get(go[1], 1);
			_exit(i % 255 + 1);
		}
	}
	if ((user = fork()) == 0) {
		int kq;

		if (!become_nobody())
			_exit(1);
		kq = queue();
		for (int i = 0; i < N; i++)
			watch(kq, pid[i]);
		no_event(kq);
		put(go[0], N);
		while (seen < N) {
			int n = collect(kq, events, 16, 5000);

			ck_assert_int_gt(n, 0);
			for (int j = 0; j < n; j++)
				for (int i = 0; i < N; i++)
					if ((uintptr_t)pid[i] == events[j].ident) {
						seen++;
						if (connected(kq))
							ck_assert_int_eq(events[j].data,
							    W_EXITCODE(i % 255 + 1, 0));
					}
		}
		close(kq);
		_exit(0);
	}
	ck_assert_int_eq(reap(user), 0);
	for (int i = 0; i < N; i++)
		reap(pid[i]);
	close_pair(go);
}
END_TEST

HARNESS_MAIN("proc_foreign",
    proc_foreign__fires_before_it_is_reaped,
    proc_foreign__fires_after_it_was_reaped,
    proc_foreign__ordinary_user,
    proc_foreign__status_of_a_stranger,
    proc_foreign__status_of_a_stranger_seen_later,
    proc_foreign__status_of_a_stranger_while_disabled,
    proc_foreign__status_of_a_stranger_asked_for_later,
    proc_foreign__only_the_stranger_wakes,
    proc_foreign__leaves_nothing,
    proc_foreign__status_that_never_comes,
    proc_foreign__changed_while_the_status_is_due,
    proc_foreign__no_connector,
    proc_foreign__not_dumpable,
    proc_foreign__many_strangers)
