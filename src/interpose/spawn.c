/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of libc that run a program in a new process, without passing
 * through fork() or our execve().  See exec.c.
 */
#include "exec.h"

#if KQ_INTERPOSE

#include "next.h"
#include "../lock.h"
#include "../source/disposition.h"

#include <errno.h>
#include <paths.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * system(): ignores SIGINT and SIGQUIT through our sigaction(), so that they
 * are counted meanwhile.  Several threads may be in it: the first sets, the
 * last puts back.
 */

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

#if KQ_INTERPOSE_STREAMS

/*
 * The others are libc's own, during which SIG_IGN is put back where we stand in
 * for it: what another thread is sent then is not counted.  For the calling
 * thread posix_spawn() blocks signals anyway; they are taken when we are back.
 * A static program has nothing to pass the call on to.
 */

typedef int spawn_function(pid_t *restrict, const char *restrict,
    const posix_spawn_file_actions_t *, const posix_spawnattr_t *restrict,
    char *const restrict [], char *const restrict []);

static struct {
	spawn_function	*posix_spawn, *posix_spawnp;
	FILE	*(*popen)(const char *, const char *);
} next;

static int
spawn(spawn_function *real, pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[])
{
	struct disposition_lent lent;
	posix_spawnattr_t with_mask;
	sigset_t all, mask;
	short flags;
	int error;

	if (atomic_load(&disposition_stood_in) == 0)
		return real(pid, path, actions, attr, argv, envp);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	disposition_lend(&lent);
	/* The child shall have the mask of before, unless it is given one. */
	if (attr != NULL)
		with_mask = *attr;
	else
		posix_spawnattr_init(&with_mask);
	posix_spawnattr_getflags(&with_mask, &flags);
	if ((flags & POSIX_SPAWN_SETSIGMASK) == 0) {
		posix_spawnattr_setflags(&with_mask, (short)(flags | POSIX_SPAWN_SETSIGMASK));
		posix_spawnattr_setsigmask(&with_mask, &mask);
	}
	error = real(pid, path, actions, &with_mask, argv, envp);
	disposition_take_back(&lent);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return error;
}

KQ_WRAPPER int
posix_spawn(pid_t *restrict pid, const char *restrict path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
    char *const argv[restrict], char *const envp[restrict])
{
	return spawn(next.posix_spawn, pid, path, actions, attr, argv, envp);
}

KQ_WRAPPER int
posix_spawnp(pid_t *restrict pid, const char *restrict file,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
    char *const argv[restrict], char *const envp[restrict])
{
	return spawn(next.posix_spawnp, pid, file, actions, attr, argv, envp);
}

KQ_WRAPPER FILE *
popen(const char *command, const char *type)
{
	struct disposition_lent lent;
	FILE *stream;

	disposition_lend(&lent);
	stream = next.popen(command, type);
	disposition_take_back(&lent);
	return stream;
}

static void
spawn_resolve_shared(void)
{
	NEXT_RESOLVE(next, posix_spawn);
	NEXT_RESOLVE(next, posix_spawnp);
	NEXT_RESOLVE(next, popen);
}

#else

static void
spawn_resolve_shared(void)
{
}

#endif

void
spawn_resolve(void)
{
	*(void **)(void *)&next_system = next_symbol("system");
	pthread_atfork(NULL, NULL, system_fork_child);
	spawn_resolve_shared();
}

#endif
