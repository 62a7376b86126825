/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What closes a descriptor, or starts a program, without passing through close() and execve():
 * it all the same does as kq(7) says, in a static program, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/event.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int kq, failures;

static void
check(int good, const char *name, const char *what)
{
	if (good)
		return;
	printf("%s: %s\n", name, what);
	failures++;
}

static void
need(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static int
change(int fd, short filter, unsigned short flags, unsigned fflags)
{
	struct kevent kev;

	EV_SET(&kev, (uintptr_t)fd, filter, flags, fflags, 0, NULL);
	return kevent(kq, &kev, 1, NULL, 0, NULL) == -1 ? errno : 0;
}

static int
events(struct kevent *event)
{
	const struct timespec zero = { 0, 0 };

	return kevent(kq, NULL, 0, event, 1, &zero);
}

/* The functions that close: fd is watched, and ready. */

static FILE *stream;

static void
by_fclose(int fd)
{
	need((stream = fdopen(fd, "r")) != NULL, "fdopen");
	errno = EDOM;
	check(fclose(stream) == 0 && errno == EDOM, "fclose", "result or errno");
	stream = NULL;
}

static void
by_fclose_of_a_writer(int fd)
{
	need((stream = fdopen(fd, "w")) != NULL, "fdopen");
	fputs("x", stream);
	fclose(stream);
	stream = NULL;
}

static void
by_freopen(int fd)
{
	need((stream = fdopen(fd, "r")) != NULL, "fdopen");
	check(freopen("/dev/null", "r", stream) == stream && fileno(stream) == fd, "freopen", "result");
}

static void
by_freopen64(int fd)
{
#ifdef __GLIBC__
	need((stream = fdopen(fd, "r")) != NULL, "fdopen");
	check(freopen64("/dev/null", "r", stream) == stream && fileno(stream) == fd, "freopen64", "result");
#else
	by_freopen(fd);
#endif
}

static void
by_freopen_that_fails(int fd)
{
	need((stream = fdopen(fd, "r")) != NULL, "fdopen");
	check(freopen("/nonexistent", "r", stream) == NULL && errno == ENOENT, "freopen", "error");
	stream = NULL;
}

static const struct {
	const char *name;
	void	(*close)(int);
	int	end;		/* of a pipe: 0 reads, 1 writes */
} ways[] = {
	{ "fclose", by_fclose, 0 },
	{ "fclose of a writer", by_fclose_of_a_writer, 1 },
	{ "freopen", by_freopen, 0 },
	{ "freopen64", by_freopen64, 0 },
	{ "freopen that fails", by_freopen_that_fails, 0 },
};

/* The number is nobody's, or somebody else's. */
static void
is_forgotten(const char *name, int fd, short filter)
{
	struct kevent event;
	int other;

	check(events(&event) == 0, name, "an event of what was closed");
	if (fcntl(fd, F_GETFD) == -1) {
		need((other = open("/dev/null", O_RDWR)) != -1, "/dev/null");
		need(other == fd || dup2(other, fd) == fd, "dup2");
		if (other != fd)
			close(other);
	}
	check(change(fd, filter, EV_DELETE, NOTE_WRITE) == ENOENT, name, "still registered");
	check(change(fd, filter, EV_ENABLE, NOTE_WRITE) == ENOENT, name, "still registered");
	check(events(&event) == 0, name, "an event of what is not registered");
}

static void
closes(size_t way)
{
	int ends[2], fd, duplicate;
	struct kevent event;
	short filter = ways[way].end == 0 ? EVFILT_READ : EVFILT_WRITE;

	need(pipe(ends) == 0, "pipe");
	fd = ends[ways[way].end];
	need((duplicate = dup(fd)) >= 0, "dup");
	need(write(ends[1], "x", 1) == 1, "write");
	need(change(fd, filter, EV_ADD, 0) == 0, "EV_ADD");
	need(events(&event) == 1, "ready");
	ways[way].close(fd);
	is_forgotten(ways[way].name, fd, filter);
	if (stream != NULL)
		fclose(stream);
	else
		close(fd);
	stream = NULL;
	close(ends[1 - ways[way].end]);
	close(duplicate);
}

static void
pclose_closes(void)
{
	struct kevent event;
	FILE *pipe_of;
	int fd, duplicate;

	need((pipe_of = popen("echo x; exit 3", "r")) != NULL, "popen");
	need((duplicate = dup(fd = fileno(pipe_of))) >= 0, "dup");
	need(change(fd, EVFILT_READ, EV_ADD, 0) == 0, "EV_ADD");
	need(kevent(kq, NULL, 0, &event, 1, NULL) == 1, "ready");
	check(WEXITSTATUS(pclose(pipe_of)) == 3, "pclose", "result");
	is_forgotten("pclose", fd, EVFILT_READ);
	close(fd);
	close(duplicate);
}

static void
closedir_closes(void)
{
	int fd, duplicate;
	DIR *dir;

	need((dir = opendir(".")) != NULL, "opendir");
	need((duplicate = dup(fd = dirfd(dir))) >= 0, "dup");
	need(change(fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE) == 0, "EV_ADD");
	check(closedir(dir) == 0, "closedir", "result");
	is_forgotten("closedir", fd, EVFILT_VNODE);
	close(fd);
	close(duplicate);
}

/* A stream over a queue: the queue ends, and who uses it is told so. */
static void
fclose_ends_a_queue(void)
{
	struct kevent event;
	int saved = kq, number;

	need((kq = kqueue()) >= 0 && (number = dup(kq)) >= 0, "kqueue");
	fclose(fdopen(kq, "r"));
	check(events(&event) == -1 && errno == EBADF, "fclose of a queue", "still a queue");
	kq = number;
	check(events(&event) == 0, "fclose of a queue", "its duplicate is none");
	fclose(fdopen(kq, "r"));
	check(events(&event) == -1 && errno == EBADF, "fclose of a queue's last number", "still a queue");
	kq = saved;
}

/* The child of vfork() shares the memory, not the descriptors. */
static void
a_vfork_child_closes_its_own(void)
{
	struct kevent event;
	FILE *input;
	int ends[2];
	pid_t pid;

	need(pipe(ends) == 0 && (input = fdopen(ends[0], "r")) != NULL, "pipe");
	need(write(ends[1], "x", 1) == 1, "write");
	need(change(ends[0], EVFILT_READ, EV_ADD, 0) == 0, "EV_ADD");
	need((pid = vfork()) >= 0, "vfork");
	if (pid == 0) {
		fclose(input);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	check(events(&event) == 1, "vfork", "the child took the parent's registration");
	close(ends[0]);
	close(ends[1]);
}

/* The functions that start a program: what does it ignore? */

enum { HANDLED = SIGUSR1, IGNORED = SIGTERM, ALSO = SIGHUP, DEFAULT = SIGWINCH };

static char command[] = "/proc/self/exe", argument[] = "dispositions";
static char shell_command[] = "grep SigIgn: /proc/self/status";

static void
handler(int signo)
{
	(void)signo;
}

/* Bit by bit: IGNORED, ALSO, HANDLED, DEFAULT. */
static int
ignored_here(void)
{
	static const int signals[] = { IGNORED, ALSO, HANDLED, DEFAULT };
	struct sigaction sa;
	int bits = 0;

	for (int i = 0; i < 4; i++)
		if (sigaction(signals[i], NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			bits |= 1 << i;
	return bits;
}

static int
ignored_in(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
spawned(int search, const posix_spawnattr_t *attr)
{
	char *const argv[] = { command, argument, NULL };
	extern char **environ;
	pid_t pid;

	need((search ? posix_spawnp : posix_spawn)(&pid, command, NULL, attr, argv, environ) == 0, "spawn");
	return ignored_in(pid);
}

static int
ignored_by_popen(void)
{
	unsigned long long set = 0;
	char line[256] = "";

	need((stream = popen(shell_command, "r")) != NULL, "popen");
	need(fgets(line, sizeof(line), stream) != NULL, "fgets");
	need(pclose(stream) == 0, "pclose");
	stream = NULL;
	sscanf(line, "SigIgn: %llx", &set);
	return (int)((set >> (IGNORED - 1) & 1) | (set >> (ALSO - 1) & 1) << 1 |
	    (set >> (HANDLED - 1) & 1) << 2 | (set >> (DEFAULT - 1) & 1) << 3);
}

static void
all_count(const char *name)
{
	struct kevent event;
	const int signals[] = { IGNORED, ALSO, HANDLED, DEFAULT };

	for (int i = 0; i < 4; i++) {
		raise(signals[i]);
		check(events(&event) == 1 && event.ident == (uintptr_t)signals[i] && event.data == 1,
		    name, "does not count afterwards");
	}
	check(events(&event) == 0, name, "counts too much");
}

static void
programs_inherit(void)
{
	const int signals[] = { IGNORED, ALSO, HANDLED, DEFAULT };
	posix_spawnattr_t attr;
	sigset_t set;

	signal(HANDLED, handler);
	signal(IGNORED, SIG_IGN);
	signal(ALSO, SIG_IGN);
	for (int i = 0; i < 4; i++)
		need(change(signals[i], EVFILT_SIGNAL, EV_ADD, 0) == 0, "EVFILT_SIGNAL");
	check(spawned(0, NULL) == 3, "posix_spawn", "SIG_IGN is not inherited, or too much");
	all_count("posix_spawn");
	check(spawned(1, NULL) == 3, "posix_spawnp", "SIG_IGN is not inherited, or too much");
	all_count("posix_spawnp");
	check(ignored_by_popen() == 3, "popen", "SIG_IGN is not inherited, or too much");
	all_count("popen");
	check(WEXITSTATUS(system("/proc/$PPID/exe dispositions")) == 3, "system", "SIG_IGN is not inherited");
	all_count("system");

	posix_spawnattr_init(&attr);
	sigemptyset(&set);
	sigaddset(&set, ALSO);
	sigaddset(&set, DEFAULT);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	check(spawned(0, &attr) == 1, "POSIX_SPAWN_SETSIGDEF", "not obeyed");
	all_count("POSIX_SPAWN_SETSIGDEF");
	posix_spawnattr_destroy(&attr);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], argument) == 0)
		return ignored_here();
	need((kq = kqueue()) >= 0, "kqueue");
	for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
		closes(way);
	pclose_closes();
	closedir_closes();
	fclose_ends_a_queue();
	a_vfork_child_closes_its_own();
	programs_inherit();
	close(kq);
	if (failures == 0)
		puts("ok");
	return failures != 0;
}
