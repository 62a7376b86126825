/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process forks while another thread of it makes its first queue: the child can make queues of its own.
 * Without the harness, which makes a queue first of all.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int	__real_madvise(void *p, size_t size, int advice);
int	__wrap_madvise(void *p, size_t size, int advice);
int	__real_eventfd(unsigned int count, int flags);
int	__wrap_eventfd(unsigned int count, int flags);

enum place { AT_PAGE, AT_EVENTFD };

static _Thread_local bool held_up;
static enum place place;
static sem_t arrived, go;

static void
hold_up(enum place here)
{
	if (!held_up || here != place)
		return;
	held_up = false;
	sem_post(&arrived);
	while (sem_wait(&go) == -1)
		;
}

int
__wrap_madvise(void *p, size_t size, int advice)
{
	if (advice == MADV_WIPEONFORK)
		hold_up(AT_PAGE);
	return __real_madvise(p, size, advice);
}

int
__wrap_eventfd(unsigned int count, int flags)
{
	hold_up(AT_EVENTFD);
	return __real_eventfd(count, flags);
}

static void *
make(void *made)
{
	held_up = true;
	*(int *)made = kqueue();
	return NULL;
}

/* Whether a new queue works. */
static bool
works(int kq)
{
	struct kevent event;

	EV_SET(&event, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL);
	return kq >= 0 && kevent(kq, &event, 1, &event, 1, NULL) == 1 && event.ident == 1;
}

static bool
ends_well(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* One that would wait for ever ends by the signal. */
#define LIMIT 20

static bool
fork_meanwhile(bool handlers)
{
	bool child;
	int made = -1;
	pthread_t thread;
	pid_t pid;

	sem_init(&arrived, 0, 0);
	sem_init(&go, 0, 0);
	if (pthread_create(&thread, NULL, make, &made) != 0)
		return false;
	while (sem_wait(&arrived) == -1)
		;
	pid = handlers ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		alarm(LIMIT);
		_exit(!works(kqueue()));
	}
	child = ends_well(pid);
	sem_post(&go);
	pthread_join(thread, NULL);
	return works(made) && child;
}

int
main(void)
{
	int failed = 0;
	pid_t pid;

	for (int i = 0; i < 4; i++) {
		place = i / 2 == 0 ? AT_PAGE : AT_EVENTFD;
		pid = fork();
		if (pid == 0)
			_exit(!fork_meanwhile(i % 2 == 0));
		if (ends_well(pid))
			continue;
		failed++;
		printf("a child %s while the first queue is made cannot make one (%d)\n",
		    i % 2 == 0 ? "forked" : "cloned", (int)place);
	}
	return failed != 0;
}
