/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * system() where signals are watched is the library's own: it is cancelled, interrupted, and called by several
 * threads as the C library's may be, and says as much if nothing can be started.
 */
#include "child.h"
#include "sandbox.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int kq;
static _Atomic int handled;

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

/* What is done with SIGINT, which system() ignores. */
static void (*at_interrupt(void))(int)
{
	struct sigaction sa;

	ck_assert_int_eq(sigaction(SIGINT, NULL, &sa), 0);
	return sa.sa_handler;
}

static void
begin(void)
{
	signal(SIGINT, handler);
	kq = queue();
	ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

static void
end(void)
{
	ck_assert(at_interrupt() == handler);
	ck_assert_int_eq(WEXITSTATUS(system("exit 6")), 6);
	raise(SIGWINCH);
	ck_assert_int_eq(event_of(kq, SIGWINCH, EVFILT_SIGNAL).data, 1);
	close(kq);
}

/* A command that says that it runs, and ends when it is told to; in a thread. */
struct command {
	pthread_t	thread;
	char		runs[160], go[160], text[400];
	int		fd;		/* it has the other end while it runs */
	int		status;
};

static void *
command_thread(void *arg)
{
	struct command *c = arg;

	c->status = system(c->text);
	return NULL;
}

static void
command_start(struct command *c, const char *name)
{
	char byte;

	snprintf(c->runs, sizeof(c->runs), "%s/%s.runs", scratch_dir(), name);
	snprintf(c->go, sizeof(c->go), "%s/%s.go", scratch_dir(), name);
	ck_assert_int_eq(mkfifo(c->runs, 0600), 0);
	ck_assert_int_eq(mkfifo(c->go, 0600), 0);
	snprintf(c->text, sizeof(c->text), "exec 3> %s; echo >&3; read line < %s; exit 5", c->runs, c->go);
	c->status = -2;
	ck_assert_int_eq(pthread_create(&c->thread, NULL, command_thread, c), 0);
	ck_assert_int_ge(c->fd = open(c->runs, O_RDONLY | O_CLOEXEC), 0);
	ck_assert_int_eq(read(c->fd, &byte, 1), 1);
}

static void
command_go(const struct command *c)
{
	int fd = open(c->go, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "\n", 1), 1);
	close(fd);
}

static void
command_ends(struct command *c, void *result)
{
	void *value;
	char byte;

	ck_assert_int_eq(pthread_join(c->thread, &value), 0);
	ck_assert_ptr_eq(value, result);
	ck_assert_int_eq(read(c->fd, &byte, 1), 0);	/* nobody has the other end any more */
	close(c->fd);
}

START_TEST(system__where_nothing_is_watched)
{
	ck_assert_int_ne(system(NULL), 0);
	ck_assert_int_eq(WEXITSTATUS(system("exit 7")), 7);
}
END_TEST

/* Its command goes with the thread, and nothing of it is left. */
START_TEST(system__cancelled)
{
	struct command c;

	begin();
	command_start(&c, "one");
	ck_assert(at_interrupt() == SIG_IGN);
	ck_assert_int_eq(pthread_cancel(c.thread), 0);
	command_ends(&c, PTHREAD_CANCELED);
	ck_assert_int_eq(c.status, -2);
	end();
}
END_TEST

START_TEST(system__a_handler_does_not_end_it)
{
	struct sigaction sa = { .sa_handler = handler };
	struct command c;

	begin();
	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	command_start(&c, "one");
	for (int i = 0; i < 3; i++) {
		int before = handled;

		ck_assert_int_eq(pthread_kill(c.thread, SIGUSR1), 0);
		while (handled == before)
			nap(1);
	}
	command_go(&c);
	command_ends(&c, NULL);
	ck_assert_int_eq(WEXITSTATUS(c.status), 5);
	end();
}
END_TEST

/* What is ignored meanwhile is so until the last is through. */
START_TEST(system__two_at_once)
{
	struct command one, two;

	begin();
	command_start(&one, "one");
	command_start(&two, "two");
	command_go(&one);
	command_ends(&one, NULL);
	ck_assert(at_interrupt() == SIG_IGN);
	raise(SIGINT);
	ck_assert_int_eq(handled, 0);
	command_go(&two);
	command_ends(&two, NULL);
	ck_assert_int_eq(WEXITSTATUS(one.status), 5);
	ck_assert_int_eq(WEXITSTATUS(two.status), 5);
	end();
}
END_TEST

/* In a child, since what is refused is refused for good. */
START_TEST(system__without_a_shell)
{
	pid_t pid = fork();

	if (pid == 0) {
		begin();
		CHILD_CHECK(refuse_call(SYS_execve, EACCES));
		CHILD_CHECK(system("exit 7") == 127 << 8);
		CHILD_CHECK(system(NULL) == 0);
		_exit(0);
	}
	child_succeeds(pid);
}
END_TEST

START_TEST(system__without_a_process)
{
	pid_t pid = fork();

	if (pid == 0) {
		begin();
#ifdef SYS_vfork
		CHILD_CHECK(refuse_call(SYS_vfork, EAGAIN));
#endif
		CHILD_CHECK(refuse_call(SYS_clone, EAGAIN));
		errno = 0;
		CHILD_CHECK(system("exit 7") == -1 && errno == EAGAIN);
		CHILD_CHECK(at_interrupt() == handler);
		_exit(0);
	}
	child_succeeds(pid);
}
END_TEST

HARNESS_MAIN("system",
    system__where_nothing_is_watched,
    system__cancelled,
    system__a_handler_does_not_end_it,
    system__two_at_once,
    system__without_a_shell,
    system__without_a_process)
