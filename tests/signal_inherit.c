/* SPDX-License-Identifier: BSD-2-Clause */
/* What children and new programs inherit of watched signals. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* execvpe() */
#endif
#include "disposition.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The signals of these tests: one has a handler, one is ignored, one has its
 * default.  All are watched, and a program that is run must find that the
 * second is ignored and the others are not.
 */
enum { HANDLED = SIGUSR1, IGNORED = SIGTERM, DEFAULT = SIGWINCH };

static int kq;
static _Atomic int handled;
static char grep[] = "grep", what[] = "SigIgn", where[] = "/proc/self/status";
static char *const argv[] = { grep, what, where, NULL };
static const char command[] = "grep SigIgn /proc/self/status";

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

static void
begin(void)
{
	const int signals[] = { HANDLED, IGNORED, DEFAULT };

	signal(HANDLED, handler);
	signal(IGNORED, SIG_IGN);
	kq = queue();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)signals[i], EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

/* They are still watched, and count from nothing. */
static void
end(void)
{
	no_event(kq);
	raise(IGNORED);
	ck_assert_int_eq(event_of(kq, IGNORED, EVFILT_SIGNAL).data, 1);
	raise(DEFAULT);
	ck_assert_int_eq(event_of(kq, DEFAULT, EVFILT_SIGNAL).data, 1);
	handled = 0;
	raise(HANDLED);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(event_of(kq, HANDLED, EVFILT_SIGNAL).data, 1);
	close(kq);
}

static void
ignored_are_right(const char *line)
{
	unsigned long long ignored;

	ck_assert_msg(sscanf(line, "SigIgn: %llx", &ignored) == 1, "\"%s\"", line);
	ck_assert_msg((ignored >> (IGNORED - 1) & 1) == 1, "not ignored: %s", line);
	ck_assert_msg((ignored >> (HANDLED - 1) & 1) == 0, "ignored: %s", line);
	ck_assert_msg((ignored >> (DEFAULT - 1) & 1) == 0, "ignored: %s", line);
}

/* What a child writes to its standard output. */
static int out[2];

static void
output_begin(void)
{
	ck_assert_int_eq(pipe(out), 0);
}

static void
output_is_right(pid_t pid)
{
	char line[256] = "";
	ssize_t n = 0, some;
	int status;

	ck_assert_int_gt(pid, 0);
	close(out[1]);
	while ((some = read(out[0], line + n, sizeof(line) - 1 - (size_t)n)) > 0)
		n += some;
	close(out[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ignored_are_right(line);
}

#ifdef __GLIBC__
#if GLIBC_SINCE(2, 34)
#define EXEC_WAYS 9		/* it has execveat() */
#endif
#endif
#ifndef EXEC_WAYS
#define EXEC_WAYS 8
#endif

static void
exec_by(int way)
{
	int fd;

	switch (way) {
	case 0:
		execve("/bin/grep", argv, environ);
		break;
	case 1:
		execv("/bin/grep", argv);
		break;
	case 2:
		execvp("grep", argv);
		break;
	case 3:
		execvpe("grep", argv, environ);
		break;
	case 4:
		execl("/bin/grep", argv[0], argv[1], argv[2], (char *)NULL);
		break;
	case 5:
		execlp("grep", argv[0], argv[1], argv[2], (char *)NULL);
		break;
	case 6:
		execle("/bin/grep", argv[0], argv[1], argv[2], (char *)NULL, environ);
		break;
	case 7:
		fd = open("/bin/grep", O_RDONLY | O_CLOEXEC);
		fexecve(fd, argv, environ);
		break;
#if EXEC_WAYS > 8
	case 8:
		execveat(AT_FDCWD, "/bin/grep", argv, environ, 0);
		break;
#endif
	}
	_exit(9);
}

START_TEST(inherit__fork_and_exec)
{
	pid_t pid;

	begin();
	for (int way = 0; way < EXEC_WAYS; way++) {
		output_begin();
		if ((pid = fork()) == 0) {
			dup2(out[1], 1);
			exec_by(way);
		}
		output_is_right(pid);
	}
	end();
}
END_TEST

START_TEST(inherit__vfork_and_exec)
{
	pid_t pid;

	begin();
	output_begin();
	if ((pid = vfork()) == 0) {
		dup2(out[1], 1);
		execve("/bin/grep", argv, environ);
		_exit(9);
	}
	output_is_right(pid);
	end();
}
END_TEST

/* Exec in the very process that watches. */
/* What the child sets itself is what its program gets. */
static char shell[] = "sh", with[] = "-c", term[] = "kill -TERM $$; exit 3";
static char *const end_by_term[] = { shell, with, term, NULL };

START_TEST(inherit__vfork_and_exec_with_a_default_again)
{
	int status;
	pid_t pid;

	begin();
	if ((pid = vfork()) == 0) {
		signal(IGNORED, SIG_DFL);
		execve("/bin/sh", end_by_term, environ);
		_exit(9);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, IGNORED);
	end();
}
END_TEST

START_TEST(inherit__posix_spawn_with_a_default_again)
{
	posix_spawnattr_t attr;
	sigset_t defaults;
	int status;
	pid_t pid;

	begin();
	sigemptyset(&defaults);
	sigaddset(&defaults, IGNORED);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, &attr, end_by_term, environ), 0);
	posix_spawnattr_destroy(&attr);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, IGNORED);
	end();
}
END_TEST

START_TEST(inherit__exec)
{
	pid_t pid;

	for (int way = 0; way < EXEC_WAYS; way++) {
		output_begin();
		if ((pid = fork()) == 0) {
			dup2(out[1], 1);
			begin();
			exec_by(way);
		}
		output_is_right(pid);
	}
}
END_TEST

START_TEST(inherit__exec_that_fails_changes_nothing)
{
	char *const none[] = { NULL };

	begin();
	ck_assert_int_eq(execve("/nonexistent", argv, environ), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(execvp("no-such-program-here", argv), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(execlp("", "", (char *)NULL), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(execv("/tmp", none), -1);
	ck_assert_int_eq(errno, EACCES);
	end();
}
END_TEST

/* A file without #! is given to the shell; $PATH is searched, also in the current directory. */
START_TEST(inherit__execvp_searches_and_runs_scripts)
{
	char path[256];
	FILE *script;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/kq-test-script", scratch_dir());
	ck_assert_ptr_nonnull(script = fopen(path, "w"));
	fprintf(script, "test \"$1 $2\" = 'one two' && %s\n", command);
	ck_assert_int_eq(fchmod(fileno(script), 0755), 0);
	fclose(script);
	begin();
	for (int way = 0; way < 3; way++) {
		output_begin();
		if ((pid = fork()) == 0) {
			dup2(out[1], 1);
			if (chdir(scratch_dir()) != 0)
				_exit(8);
			setenv("PATH", way == 0 ? "/nonexistent::/bin:/usr/bin" : "/bin:/usr/bin:", 1);
			execlp(way == 2 ? path : "kq-test-script", "x", "one", "two", (char *)NULL);
			_exit(9);
		}
		output_is_right(pid);
	}
	end();
}
END_TEST

START_TEST(inherit__posix_spawn)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t mask;
	pid_t pid;

	begin();
	for (int way = 0; way < 3; way++) {
		output_begin();
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, out[1], 1);
		posix_spawnattr_init(&attr);
		if (way == 0)
			ck_assert_int_eq(posix_spawn(&pid, "/bin/grep", &actions, NULL, argv, environ), 0);
		else if (way == 1)
			ck_assert_int_eq(posix_spawnp(&pid, "grep", &actions, NULL, argv, environ), 0);
		else
			ck_assert_int_eq(posix_spawnp(&pid, "grep", &actions, &attr, argv, environ), 0);
		posix_spawnattr_destroy(&attr);
		posix_spawn_file_actions_destroy(&actions);
		output_is_right(pid);
	}
	ck_assert_int_eq(posix_spawn(&pid, "/nonexistent", NULL, NULL, argv, environ), ENOENT);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, IGNORED), 0);
	end();
}
END_TEST

/* The child's mask is that of the caller. */
START_TEST(inherit__posix_spawn_keeps_the_mask)
{
	char sh[] = "sh", option[] = "-c", script[] = "kill -USR2 $$; exit 3";
	char *const args[] = { sh, option, script, NULL };
	posix_spawnattr_t attr;
	sigset_t mask;
	int status;
	pid_t pid;

	begin();
	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, args, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, SIGUSR2);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, args, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 3);
	/* Unless it is given another. */
	sigdelset(&mask, SIGUSR2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &mask);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, &attr, args, environ), 0);
	posix_spawnattr_destroy(&attr);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, SIGUSR2);
	end();
}
END_TEST

/* For a moment the kernel has SIG_IGN itself, and drops what is pending. */
START_TEST(inherit__posix_spawn_keeps_what_is_pending)
{
	sigset_t mask;
	pid_t pid;

	begin();
	sigemptyset(&mask);
	sigaddset(&mask, IGNORED);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	raise(IGNORED);
	ck_assert_int_eq(event_of(kq, IGNORED, EVFILT_SIGNAL).data, 1);
	output_begin();
	{
		posix_spawn_file_actions_t actions;

		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, out[1], 1);
		ck_assert_int_eq(posix_spawn(&pid, "/bin/grep", &actions, NULL, argv, environ), 0);
		posix_spawn_file_actions_destroy(&actions);
	}
	output_is_right(pid);
	sigpending(&mask);
	ck_assert_int_eq(sigismember(&mask, IGNORED), 1);
	sigemptyset(&mask);
	sigaddset(&mask, IGNORED);
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	end();
}
END_TEST

START_TEST(inherit__popen)
{
	char line[256];
	FILE *stream;

	begin();
	ck_assert_ptr_nonnull(stream = popen(command, "r"));
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
	ck_assert_int_eq(pclose(stream), 0);
	ignored_are_right(line);
	end();
}
END_TEST

START_TEST(inherit__system)
{
	char run[512], line[256];
	FILE *file;

	begin();
	snprintf(run, sizeof(run), "%s > %s/out", command, scratch_dir());
	ck_assert_int_eq(system(run), 0);
	snprintf(run, sizeof(run), "%s/out", scratch_dir());
	ck_assert_ptr_nonnull(file = fopen(run, "r"));
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	ignored_are_right(line);
	ck_assert_int_ne(system(NULL), 0);
	ck_assert_int_eq(WEXITSTATUS(system("exit 7")), 7);
	ck_assert_int_eq(WTERMSIG(system("kill -USR2 $$")), SIGUSR2);
	ck_assert_int_eq(WEXITSTATUS(system("no-such-program-here 2> /dev/null")), 127);
	end();
}
END_TEST

/* SIGINT ends the command, not the program, and counts. */
START_TEST(inherit__system_ignores_interrupts_and_they_count)
{
	struct sigaction sa;

	begin();
	signal(SIGINT, handler);
	ck_assert_int_eq(change(kq, SIGINT, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(system("kill -INT $PPID; kill -INT $$"), SIGINT);
	ck_assert_int_eq(handled, 0);
	ck_assert_int_eq(event_of(kq, SIGINT, EVFILT_SIGNAL).data, 1);
	ck_assert_int_eq(sigaction(SIGINT, NULL, &sa), 0);
	ck_assert_ptr_eq(sa.sa_handler, handler);
	raise(SIGINT);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(event_of(kq, SIGINT, EVFILT_SIGNAL).data, 1);
	end();
}
END_TEST

/* Whether a child that does this to itself counts here: it must not. */
static void
in_a_child(pid_t pid)
{
	if (pid == 0) {
		raise(IGNORED);
		raise(HANDLED);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	no_event(kq);
}

START_TEST(inherit__a_childs_signals_are_its_own)
{
	begin();
	in_a_child(fork());
	in_a_child(vfork());
	in_a_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	end();
}
END_TEST

START_TEST(inherit__a_childs_dispositions_are_its_own)
{
	struct sigaction sa;
	pid_t pid;

	begin();
	if ((pid = vfork()) == 0) {
		signal(IGNORED, SIG_DFL);
		signal(HANDLED, SIG_IGN);
		sigaction(IGNORED, NULL, &sa);
		_exit(sa.sa_handler != SIG_DFL);
	}
	ck_assert_int_eq(waitpid(pid, &(int){ -1 }, 0), pid);
	sigaction(IGNORED, NULL, &sa);
	ck_assert_ptr_eq(sa.sa_handler, SIG_IGN);
	sigaction(HANDLED, NULL, &sa);
	ck_assert_ptr_eq(sa.sa_handler, handler);
	end();
}
END_TEST

START_TEST(inherit__a_forked_child_has_them_back_and_can_watch)
{
	struct kevent kev, event;
	const struct timespec zero = { 0, 0 };
	int status;
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		if (kernels(IGNORED) != SIG_IGN || kernels(DEFAULT) != SIG_DFL ||
		    (kernels(HANDLED) != handler && !THREAD_SANITIZER))
			_exit(1);
		if ((kq = kqueue()) == -1)
			_exit(2);
		EV_SET(&kev, IGNORED, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
		if (kevent(kq, &kev, 1, NULL, 0, NULL) == -1)
			_exit(3);
		raise(IGNORED);
		raise(HANDLED);
		if (kevent(kq, NULL, 0, &event, 1, &zero) != 1 || event.data != 1)
			_exit(4);
		close(kq);
		_exit(kernels(IGNORED) == SIG_IGN ? 0 : 5);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	end();
}
END_TEST

HARNESS_MAIN("signal_inherit",
    inherit__fork_and_exec,
    inherit__vfork_and_exec,
    inherit__vfork_and_exec_with_a_default_again,
    inherit__posix_spawn_with_a_default_again,
    inherit__exec,
    inherit__exec_that_fails_changes_nothing,
    inherit__execvp_searches_and_runs_scripts,
    inherit__posix_spawn,
    inherit__posix_spawn_keeps_the_mask,
    inherit__posix_spawn_keeps_what_is_pending,
    inherit__popen,
    inherit__system,
    inherit__system_ignores_interrupts_and_they_count,
    inherit__a_childs_signals_are_its_own,
    inherit__a_childs_dispositions_are_its_own,
    inherit__a_forked_child_has_them_back_and_can_watch)
