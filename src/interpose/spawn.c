/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of libc that run a program in a new process, without passing
 * through fork() or our execve(): see exec.c.  They are libc's own, during
 * which SIG_IGN is put back where we stand in for it: what another thread is
 * sent then is not counted.  For the calling thread posix_spawn() blocks
 * signals anyway; they are taken when we are back.  In a static program there
 * is nothing to pass the call on to: see sigaction.c, and system.c.
 */
#if KQ_INTERPOSE && KQ_INTERPOSE_STREAMS

#include "interpose/next.h"
#include "source/disposition.h"

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>

typedef int spawn_function(pid_t *restrict, const char *restrict,
    const posix_spawn_file_actions_t *, const posix_spawnattr_t *restrict,
    char *const restrict [], char *const restrict []);

static struct {
	spawn_function	*posix_spawn, *posix_spawnp;
	FILE	*(*popen)(const char *, const char *);
} next;

void
spawn_resolve(void)
{
	NEXT_RESOLVE(next, posix_spawn);
	NEXT_RESOLVE(next, posix_spawnp);
	NEXT_RESOLVE(next, popen);
}

/* Other libraries' constructors may come here before ours. */
static void
spawn_begin(void)
{
	if (next.popen == NULL)
		spawn_resolve();
}

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
	spawn_begin();
	return spawn(next.posix_spawn, pid, path, actions, attr, argv, envp);
}

KQ_WRAPPER int
posix_spawnp(pid_t *restrict pid, const char *restrict file,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
    char *const argv[restrict], char *const envp[restrict])
{
	spawn_begin();
	return spawn(next.posix_spawnp, pid, file, actions, attr, argv, envp);
}

KQ_WRAPPER FILE *
popen(const char *command, const char *type)
{
	struct disposition_lent lent;
	FILE *stream;

	spawn_begin();
	disposition_lend(&lent);
	stream = next.popen(command, type);
	disposition_take_back(&lent);
	return stream;
}

#else
typedef int spawn_is_not_wrapped;
#endif
