/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exec family.  A new program inherits SIG_IGN, but where we stand in for
 * it the kernel would hand on SIG_DFL: so it is put back first.  libc's own
 * functions do not pass through our execve(), so all are here, complete, since
 * a static program has no others.  They are weak: musl's static library brings
 * its execvp() along with posix_spawnp(), and that one does call our execve().
 */
#include "exec.h"

#if KQ_INTERPOSE

#include "next.h"
#include "../source/disposition.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXEC_WRAPPER KQ_WRAPPER __attribute__((weak))

static struct {
	int	(*execve)(const char *, char *const [], char *const []);
} next;

void
exec_resolve(void)
{
	NEXT_RESOLVE(next, execve);
}

int
exec_next(const char *path, char *const argv[], char *const envp[])
{
	return next.execve != NULL ? next.execve(path, argv, envp) :
	    (int)syscall(SYS_execve, path, argv, envp);
}

EXEC_WRAPPER int
execve(const char *path, char *const argv[], char *const envp[])
{
	struct disposition_lent lent;

	disposition_lend(&lent);
	exec_next(path, argv, envp);
	disposition_take_back(&lent);
	return -1;
}

EXEC_WRAPPER int
execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

static int
exec_at(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct disposition_lent lent;

	disposition_lend(&lent);
	syscall(SYS_execveat, fd, path, argv, envp, flags);
	disposition_take_back(&lent);
	return -1;
}

EXEC_WRAPPER int
fexecve(int fd, char *const argv[], char *const envp[])
{
	if (fd >= 0)
		return exec_at(fd, "", argv, envp, AT_EMPTY_PATH);
	errno = EINVAL;
	return -1;
}

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 34)
EXEC_WRAPPER int
execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return exec_at(fd, path, argv, envp, flags);
}
#endif
#endif

/* A file that is executable but no program is given to the shell. */
static void
exec_file(const char *path, char *const argv[], char *const envp[])
{
	char **shell;
	size_t n = 0;

	exec_next(path, argv, envp);
	if (errno != ENOEXEC)
		return;
	while (argv[n] != NULL)
		n++;
	/* The shell, the path, the arguments but the first, NULL. */
	shell = __builtin_alloca((n + 3) * sizeof(*shell));
	memcpy(shell, (const char *[]){ _PATH_BSHELL, path, NULL }, 3 * sizeof(*shell));
	if (n > 0)
		memcpy(&shell[2], &argv[1], n * sizeof(*shell));
	exec_next(_PATH_BSHELL, shell, envp);
}

/* Errors that say no more than that the file is not in this directory. */
static bool
exec_try_on(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE ||
	    error == ENODEV || error == ETIMEDOUT;
}

/* In the directories of $PATH; an empty one is the current directory. */
static void
exec_search(const char *file, char *const argv[], char *const envp[])
{
	const char *dir = getenv("PATH"), *end;
	size_t len = strlen(file);
	char path[PATH_MAX + NAME_MAX + 2];
	bool denied = false;

	if (dir == NULL)
		dir = "/bin:/usr/bin";
	errno = ENOENT;
	for (; dir != NULL; dir = *end == ':' ? end + 1 : NULL) {
		size_t n = (size_t)((end = strchrnul(dir, ':')) - dir);

		if (n > PATH_MAX)
			continue;
		memcpy(path, dir, n);
		path[n] = '/';
		memcpy(path + n + (n > 0), file, len + 1);
		exec_file(path, argv, envp);
		denied |= errno == EACCES;
		if (!exec_try_on(errno))
			return;
	}
	if (denied)
		errno = EACCES;
}

EXEC_WRAPPER int
execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct disposition_lent lent;

	if (*file == '\0' || strlen(file) > (strchr(file, '/') == NULL ? NAME_MAX : PATH_MAX)) {
		errno = *file == '\0' ? ENOENT : ENAMETOOLONG;
		return -1;
	}
	disposition_lend(&lent);
	if (strchr(file, '/') != NULL)
		exec_file(file, argv, envp);
	else
		exec_search(file, argv, envp);
	disposition_take_back(&lent);
	return -1;
}

EXEC_WRAPPER int
execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* Of the arguments that follow the first one: how many there are, without the NULL. */
static size_t
exec_count(va_list args)
{
	size_t n = 0;

	while (va_arg(args, char *) != NULL)
		n++;
	return n;
}

/* The n arguments after first, and the NULL. */
static void
exec_gather(char **argv, const char *first, size_t n, va_list *args)
{
	memcpy(argv, &first, sizeof(first));
	for (size_t i = 1; i <= n + 1; i++)
		argv[i] = va_arg(*args, char *);
}

/* Declares argv in its caller's stack, where it has to be. */
#define EXEC_GATHER(argv, arg, args)						\
	char **argv;								\
	size_t argc_;								\
	va_list args;								\
										\
	va_start(args, arg);							\
	argc_ = exec_count(args);						\
	va_end(args);								\
	argv = __builtin_alloca((argc_ + 2) * sizeof(*argv));			\
	va_start(args, arg);							\
	exec_gather(argv, arg, argc_, &args)

EXEC_WRAPPER int
execl(const char *path, const char *arg, ...)
{
	EXEC_GATHER(argv, arg, args);
	va_end(args);
	return execve(path, argv, environ);
}

EXEC_WRAPPER int
execle(const char *path, const char *arg, ...)
{
	char **envp;

	EXEC_GATHER(argv, arg, args);
	envp = va_arg(args, char **);
	va_end(args);
	return execve(path, argv, envp);
}

EXEC_WRAPPER int
execlp(const char *file, const char *arg, ...)
{
	EXEC_GATHER(argv, arg, args);
	va_end(args);
	return execvpe(file, argv, environ);
}

#endif
