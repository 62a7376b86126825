/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * system(): ignores SIGINT and SIGQUIT through our sigaction(), so that they
 * are counted meanwhile.  Several threads may be in it: the first sets, the
 * last puts back.
 */
#include "exec.h"

#if KQ_INTERPOSE

#include "next.h"
#include "../asan.h"
#include "../lock.h"
#include "../source/disposition.h"

#include <errno.h>
#include <paths.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int (*next_system)(const char *);

static struct lock system_lock;
static unsigned system_calls;				/* system_lock */
static struct sigaction system_int, system_quit;	/* system_lock */

static void
system_fork_child(void)
{
	atomic_store(&system_lock.lk_word, 0);
	system_calls = 0;
}

static void
system_begin(void)
{
	static const struct sigaction ignore = { .sa_handler = SIG_IGN };

	lock_take(&system_lock);
	if (system_calls++ == 0) {
		sigaction(SIGINT, &ignore, &system_int);
		sigaction(SIGQUIT, &ignore, &system_quit);
	}
	lock_drop(&system_lock);
}

static void
system_end(void)
{
	lock_take(&system_lock);
	if (--system_calls == 0) {
		sigaction(SIGINT, &system_int, NULL);
		sigaction(SIGQUIT, &system_quit, NULL);
	}
	lock_drop(&system_lock);
}

/*
 * A child of vfork(): it has our memory, so no handler may run in it.  What is
 * ignored stays so, the rest is SIG_DFL, as exec would have it.
 */
static _Noreturn void
system_shell(const char *command, const sigset_t *mask)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	char *args[4];
	struct sigaction sa;

	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++) {
		if (sigaction(signo, NULL, &sa) == -1)
			continue;
		if (signo == SIGINT || signo == SIGQUIT)
			sa = signo == SIGINT ? system_int : system_quit;
		if (sa.sa_handler != SIG_IGN)
			sa.sa_handler = SIG_DFL;
		sigaction_next(signo, &sa, NULL);
	}
	pthread_sigmask(SIG_SETMASK, mask, NULL);
	memcpy(args, argv, sizeof(args));
	exec_next(_PATH_BSHELL, args, environ);
	_exit(127);
}

static pid_t
system_start(const char *command, const sigset_t *mask)
{
	sigset_t all, saved;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	pid = vfork();
	if (pid == 0)
		system_shell(command, mask);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return pid;
}

/* The calling thread is cancelled while it waits. */
static void
system_cancelled(void *arg)
{
	const pid_t *pid = arg;

	ASAN_LEFT_FRAMES();
	kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, 0) == -1 && errno == EINTR)
		;
	system_end();
}

static int
system_run(const char *command)
{
	sigset_t child, mask;
	int status = -1;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	system_begin();
	pthread_sigmask(SIG_BLOCK, &child, &mask);
	pid = system_start(command, &mask);
	if (pid > 0) {
		pthread_cleanup_push(system_cancelled, &pid);
		while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
			;
		pthread_cleanup_pop(0);
	}
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	system_end();
	return status;
}

KQ_WRAPPER int
system(const char *command)
{
	if (next_system != NULL && atomic_load(&disposition_watched) == 0)
		return next_system(command);
	if (command == NULL)
		return system_run("exit 0") == 0;
	return system_run(command);
}

void
system_resolve(void)
{
	*(void **)(void *)&next_system = next_symbol("system");
	pthread_atfork(NULL, NULL, system_fork_child);
}

#endif
