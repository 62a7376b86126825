/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the exec family looks for a program, and what it says if there is none: the library has its own, which must
 * be as the C library's.  A signal that is ignored is watched meanwhile, so that there is something to hand on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* execvpe() */
#endif
#include "child.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { IGNORED = SIGTERM };

static char name[] = "kq-test-program";
static char *const argv[] = { name, NULL };
static char *const no_arguments[] = { NULL };
static int kq;

static void
begin(void)
{
	signal(IGNORED, SIG_IGN);
	kq = queue();
	ck_assert_int_eq(change(kq, IGNORED, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

/* What failed has changed nothing. */
static void
end(void)
{
	no_event(kq);
	raise(IGNORED);
	ck_assert_int_eq(event_of(kq, IGNORED, EVFILT_SIGNAL).data, 1);
	close(kq);
}

/* A directory in the scratch directory, in which there is a script of that name, unless mode is 0. */
static const char *
directory(const char *which, mode_t mode, int status)
{
	static char path[256];
	char file[320];
	FILE *script;

	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), which);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	if (mode == 0)
		return path;
	snprintf(file, sizeof(file), "%s/%s", path, name);
	ck_assert_ptr_nonnull(script = fopen(file, "w"));
	fprintf(script, "exit %d\n", status);
	ck_assert_int_eq(fchmod(fileno(script), mode), 0);
	fclose(script);
	return path;
}

/* $PATH becomes what it was and another directory. */
static void
search(const char *more)
{
	const char *before = getenv("PATH");
	size_t size = strlen(before) + strlen(more) + 2;
	char *path = malloc(size);

	snprintf(path, size, "%s%s%s", before, *before == '\0' ? "" : ":", more);
	ck_assert_int_eq(setenv("PATH", path, 1), 0);
	free(path);
}

/* What a child that executes it ends with. */
static int
status_of(const char *file, char *const arguments[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvpe(file, arguments, environ);
		_exit(errno == EACCES ? 100 : errno == ENOENT ? 101 : 102);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* What execvp() says in this very process. */
static int
error_of(const char *file)
{
	errno = 0;
	ck_assert_int_eq(execvp(file, argv), -1);
	return errno;
}

START_TEST(exec_search__bad_descriptor_and_long_names)
{
	char *file = malloc(PATH_MAX + 8);

	begin();
	ck_assert_int_eq(fexecve(-1, argv, environ), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fexecve(kq, argv, environ), -1);
	ck_assert_int_eq(errno, EACCES);
	memset(file, 'x', PATH_MAX + 7);
	file[NAME_MAX + 1] = '\0';
	ck_assert_int_eq(error_of(file), ENAMETOOLONG);
	file[NAME_MAX + 1] = 'x';
	file[0] = '/';
	file[PATH_MAX + 1] = '\0';
	ck_assert_int_eq(error_of(file), ENAMETOOLONG);
	free(file);
	end();
}
END_TEST

/* Who may not execute the first goes on looking; only if there is no other it is said so. */
START_TEST(exec_search__what_is_denied_is_passed_by)
{
	begin();
	setenv("PATH", directory("denied", 0644, 3), 1);
	ck_assert_int_eq(error_of(name), EACCES);
	search("/nonexistent");
	ck_assert_int_eq(error_of(name), EACCES);
	search(directory("allowed", 0755, 4));
	ck_assert_int_eq(status_of(name, argv), 4);
	end();
}
END_TEST

/* What is there but cannot be used is the end of the search. */
START_TEST(exec_search__other_errors_end_the_search)
{
	char file[320];

	begin();
	snprintf(file, sizeof(file), "%s/%s", directory("loop", 0, 0), name);
	ck_assert_int_eq(symlink(name, file), 0);
	*strrchr(file, '/') = '\0';
	setenv("PATH", file, 1);
	search(directory("behind", 0755, 5));
	ck_assert_int_eq(error_of(name), ELOOP);
	end();
}
END_TEST

/* A directory that is no directory, or whose name is longer than names can be, is passed by. */
START_TEST(exec_search__directories_that_are_none)
{
	char *longest = malloc(PATH_MAX + 2);

	begin();
	memset(longest, 'x', PATH_MAX + 1);
	longest[PATH_MAX + 1] = '\0';
	setenv("PATH", "/dev/null", 1);
	search(longest);
	search("/nonexistent");
	ck_assert_int_eq(error_of(name), ENOENT);
	search(directory("there", 0755, 6));
	ck_assert_int_eq(status_of(name, argv), 6);
	free(longest);
	end();
}
END_TEST

START_TEST(exec_search__without_a_path_there_are_the_usual_places)
{
	begin();
	unsetenv("PATH");
	ck_assert_int_eq(status_of("true", argv), 0);
	ck_assert_int_eq(status_of(name, argv), 101);
	end();
}
END_TEST

/* Not even its own name. */
START_TEST(exec_search__a_script_without_arguments)
{
	begin();
	setenv("PATH", directory("script", 0755, 7), 1);
	ck_assert_int_eq(status_of(name, no_arguments), 7);
	end();
}
END_TEST

HARNESS_MAIN("exec_search",
    exec_search__bad_descriptor_and_long_names,
    exec_search__what_is_denied_is_passed_by,
    exec_search__other_errors_end_the_search,
    exec_search__directories_that_are_none,
    exec_search__without_a_path_there_are_the_usual_places,
    exec_search__a_script_without_arguments)
