/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program does besides single calls; a failed program that is printed as C does the same. */
#ifndef KQ_TESTS_ACTS_H
#define KQ_TESTS_ACTS_H

#include "../thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/event.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANGES	4	/* of one call */
#define EVENTS	6
#define WAITERS	3	/* threads that wait at once */

/* Of what must come a call has all that there is room for, some, or what others have left. */
enum share { ALL, SOME, ANY };

/* A call of kevent(), perhaps in a thread of its own. */
struct call {
	int		c_kq;
	struct kevent	c_change[CHANGES], c_event[EVENTS];
	int		c_nchanges, c_nevents;
	const struct timespec *c_timeout;
	struct timespec	c_time;		/* where it may be */
	bool		c_same;		/* both arrays are one */
	bool		c_wide;		/* it is kevent64(), with these flags and numbers */
	unsigned	c_flags;
	uint64_t	c_given[CHANGES][2], c_ext[EVENTS][2];
	int		c_result, c_error;
	int64_t		c_took;		/* nanoseconds */
	_Atomic int	c_tid;
	_Atomic bool	c_done;
	_Atomic int	*c_gate;	/* as many as c_parties come here before they go on, if that does not take long */
	int		c_parties;
	pthread_t	c_thread;
};

static volatile sig_atomic_t handled;
__attribute__((unused)) static const struct timespec at_once;

/* Signals are counted. */
__attribute__((unused)) static void
handler(int signo)
{
	(void)signo;
	handled++;
}

/* A child that is stopped, and will exit with this code: its number. */
__attribute__((unused)) static pid_t
child_begin(int code)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* It must not hold the other ends of anything. */
		syscall(SYS_close_range, 3, ~0u, 0);
		raise(SIGSTOP);
		_exit(code);
	}
	while (pid > 0 && waitpid(pid, &status, WUNTRACED) == -1 && errno == EINTR)
		;
	return pid;
}

/* It ends, and is not reaped. */
__attribute__((unused)) static void
child_end(pid_t pid, bool killed)
{
	siginfo_t info;

	kill(pid, killed ? SIGKILL : SIGCONT);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == -1 && errno == EINTR)
		;
}

__attribute__((unused)) static void
child_reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

/* In a forked child, which has none of these queues, and can make its own: 0, or what it found. */
static int
child_finds(const int *queues, int nqueues, const int *fds, int nfds)
{
	struct kevent kev;
	int kq;

	for (int i = 0; i < nqueues; i++) {
		EV_SET(&kev, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL);
		if (kevent(queues[i], &kev, 1, NULL, 0, NULL) != -1 || errno != EBADF)
			return 1;
		close(queues[i]);
	}
	for (int i = 0; i < nfds; i++)
		if (close(fds[i]) != 0)
			return 2;
	kq = kqueue();
	EV_SET(&kev, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 7, NULL);
	if (kq < 0 || kevent(kq, &kev, 1, NULL, 0, NULL) != 0)
		return 3;
	memset(&kev, 0, sizeof(kev));
	if (kevent(kq, NULL, 0, &kev, 1, NULL) != 1 || kev.data != 7)
		return 4;
	return close(kq) == 0 ? 0 : 5;
}

/* What it does, and closes, harms none of ours.  Its status. */
__attribute__((unused)) static int
child_forked(const int *queues, int nqueues, const int *fds, int nfds)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(child_finds(queues, nqueues, fds, nfds));
	while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return status;
}

/* By kevent64(). */
static int
call_wide(struct call *c)
{
	struct kevent64_s changes[EVENTS], events[EVENTS], *out = c->c_same ? changes : events;
	struct kevent *k = c->c_change;
	int n;

	for (int i = 0; i < c->c_nchanges; i++, k++)
		EV_SET64(&changes[i], k->ident, k->filter, k->flags, k->fflags, k->data, (uintptr_t)k->udata,
		    c->c_given[i][0], c->c_given[i][1]);
	n = kevent64(c->c_kq, changes, c->c_nchanges, out, c->c_nevents, c->c_flags, c->c_timeout);
	for (int i = 0; i < n; i++) {
		EV_SET(&c->c_event[i], (uintptr_t)out[i].ident, out[i].filter, out[i].flags, out[i].fflags, out[i].data,
		    (void *)(uintptr_t)out[i].udata);
		memcpy(c->c_ext[i], out[i].ext, sizeof(c->c_ext[i]));
	}
	return n;
}

static int64_t
call_clock(void)
{
	struct timespec ts;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Makes a call; the argument of a thread. */
__attribute__((unused)) static void *
call_make(void *arg)
{
	struct call *c = arg;
	struct kevent *out = c->c_same ? c->c_change : c->c_event;
	int64_t begun = call_clock();

	if (c->c_gate != NULL)
		(*c->c_gate)++;
	for (int tries = 0; c->c_gate != NULL && *c->c_gate < c->c_parties && tries < 20000; tries++)
		;
	c->c_tid = (int)syscall(SYS_gettid);
	errno = 0;
	c->c_result = c->c_wide ? call_wide(c) :
	    kevent(c->c_kq, c->c_change, c->c_nchanges, out, c->c_nevents, c->c_timeout);
	c->c_error = errno;
	if (c->c_same && !c->c_wide && c->c_result > 0)
		memcpy(c->c_event, c->c_change, (size_t)c->c_result * sizeof(*out));
	c->c_took = call_clock() - begun;
	c->c_done = true;
	return NULL;
}

/* Makes calls at the same time, in a thread each. */
__attribute__((unused)) static void
calls_together(struct call *calls, int n)
{
	_Atomic int gate = 0;
	bool threads[EVENTS];

	for (int i = 0; i < n; i++) {
		calls[i].c_gate = n > 1 ? &gate : NULL;
		calls[i].c_parties = n;
		threads[i] = pthread_create(&calls[i].c_thread, NULL, call_make, &calls[i]) == 0;
	}
	for (int i = 0; i < n; i++)
		if (threads[i])
			pthread_join(calls[i].c_thread, NULL);
		else
			call_make(&calls[i]);
}

/* A thread waits on a queue for ns, or for ever if that is negative, when this returns; false: there is none. */
__attribute__((unused)) static bool
call_waits(struct call *c, int kq, int room, int64_t ns)
{
	memset(c, 0, sizeof(*c));
	c->c_kq = kq;
	c->c_nevents = room;
	c->c_time.tv_sec = (time_t)(ns / 1000000000);
	c->c_time.tv_nsec = (long)(ns % 1000000000);
	c->c_timeout = ns < 0 ? NULL : &c->c_time;
	if (pthread_create(&c->c_thread, NULL, call_make, c) != 0)
		return false;
	/* Nothing tells that a thread has begun to wait but its state, which has to be looked at. */
	while (c->c_tid == 0 || (!c->c_done && !thread_is(c->c_tid, 'S')))
		usleep(100);
	return true;
}

/* One of those that wait has returned. */
__attribute__((unused)) static void
calls_await_one(const struct call *calls, int n)
{
	for (int i = 0; !calls[i].c_done; i = (i + 1) % n)
		usleep(50);
}

#endif
