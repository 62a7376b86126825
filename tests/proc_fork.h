/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes whose forks are watched. */
#ifndef KQ_TESTS_PROC_FORK_H
#define KQ_TESTS_PROC_FORK_H

#include "proc.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void
watch(int kq, pid_t pid, unsigned int fflags)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD, fflags), 0);
}

/* A child of this process that came and went. */
static inline void
fork_once(void)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		_exit(0);
	reap(pid);
}

static inline void
check(int kq, pid_t pid, unsigned int fflags, unsigned int flags, int64_t data)
{
	struct kevent event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);

	ck_assert_uint_eq(event.fflags, fflags);
	ck_assert_uint_eq(event.flags, flags);
	ck_assert_int_eq(event.data, data);
	no_event(kq);
}

/* A child that does what it is told, letter by letter: fork, exec, ... */
struct servant {
	pid_t	pid;
	int	talk[2];
};

static inline void
servant_work(struct servant *s)
{
	char order;

	for (;;) {
		if (read(s->talk[1], &order, 1) != 1)
			_exit(0);
		if (order == 'f')
			fork_once();
		if (order == 'e')
			execl("/bin/sh", "sh", "-c", "echo x >&0; read x; exit 5", (char *)NULL);
		if (order == 'q')
			_exit(7);
		put(s->talk[1], 1);
	}
}

static inline void
servant_start(struct servant *s)
{
	pair(PAIR_UNIX, s->talk);
	s->pid = fork();
	ck_assert_int_ne(s->pid, -1);
	if (s->pid == 0) {
		close(s->talk[0]);
		dup2(s->talk[1], 0);
		servant_work(s);
	}
}

static inline void
servant_tell(struct servant *s, char order)
{
	ck_assert_int_eq(write(s->talk[0], &order, 1), 1);
}

/* It says when it is done, which for 'e' the new program does. */
static inline void
servant_do(struct servant *s, char order)
{
	char line[2];

	servant_tell(s, order);
	ck_assert_int_eq(read(s->talk[0], line, order == 'e' ? 2 : 1), order == 'e' ? 2 : 1);
}

static inline int
servant_end(struct servant *s)
{
	int status;

	/* It would end by itself if it were talked to no more. */
	kill(s->pid, SIGKILL);
	close_pair(s->talk);
	ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
	return status;
}

#endif
