/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that has more rights than who starts it reads no variable of the library's.  It is this one: a copy of it
 * is made to change its group when it is executed, by root, to whom that is no gain, but AT_SECURE all the same.
 */
#include "child.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP	65534
#define BAIT	"MEMORY_PRESSURE_WATCH"

/* What the copy ends with. */
enum { DONE = 10, INSECURE, UNSET };

/* The copy: everything that may look at the environment. */
static int
use_everything(void)
{
	struct kevent event;
	int kq = kqueue();

	if (getenv(BAIT) == NULL)
		return UNSET;
	EV_SET(&event, 0, EVFILT_MEMORYSTATUS, EV_ADD, NOTE_MEMORYSTATUS_PRESSURE_WARN, 0, NULL);
	kevent(kq, &event, 1, NULL, 0, NULL);
	close(kq);
	return getauxval(AT_SECURE) != 0 ? DONE : INSECURE;
}

/* A copy of this program, of that group if there is one, with these rights; false: it may not be. */
static bool
copy_program(const char *copy, bool group, mode_t mode)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	struct stat st;
	bool given;

	ck_assert_int_ge(from, 0);
	ck_assert_int_ge(to, 0);
	ck_assert_int_eq(fstat(from, &st), 0);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);

		ck_assert_int_gt(n, 0);
		left -= n;
	}
	given = (!group || fchown(to, (uid_t)-1, GROUP) == 0) && fchmod(to, mode) == 0;
	close(from);
	close(to);
	return given;
}

/* What the copy ends with, and whether it opened the file that the variable names. */
static int
run_copy(bool group, mode_t mode, bool *opened)
{
	char copy[96], bait[96], events[512];
	int file, status, watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s/copy", scratch_dir());
	snprintf(bait, sizeof(bait), "%s/bait", scratch_dir());
	if (!copy_program(copy, group, mode))
		return INSECURE;
	ck_assert_int_ge(file = open(bait, O_WRONLY | O_CREAT | O_CLOEXEC, 0666), 0);
	close(file);
	ck_assert_int_ge(watch, 0);
	ck_assert_int_ge(inotify_add_watch(watch, bait, IN_OPEN), 0);
	pid = fork();
	if (pid == 0) {
		setenv(BAIT, bait, 1);
		execl(copy, copy, "copy", (char *)NULL);
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "the copy's status is %#x", (unsigned)status);
	*opened = read(watch, events, sizeof(events)) > 0;
	close(watch);
	return WEXITSTATUS(status);
}

/* That the next test would see it. */
START_TEST(setid__variable_is_read_in_an_ordinary_program)
{
	bool opened;

	ck_assert_int_eq(run_copy(false, 0700, &opened), INSECURE);
	ck_assert(opened);
}
END_TEST

START_TEST(setid__variable_is_ignored_with_another_group_s_rights)
{
	bool opened = false;
	int result;

	/* It runs with scattered mappings, however it was started. */
	if (THREAD_SANITIZER) {
		fprintf(stderr, "skipped: the thread sanitizer may not run set-gid\n");
		return;
	}
	result = run_copy(true, 02755, &opened);
	if (result == INSECURE) {
		fprintf(stderr, "skipped: it takes root, and a file system where set-gid counts\n");
		return;
	}
	ck_assert_int_eq(result, DONE);
	ck_assert(!opened);
}
END_TEST

int
main(int argc, char **argv)
{
	const TTest *const tests[] = {
		setid__variable_is_read_in_an_ordinary_program,
		setid__variable_is_ignored_with_another_group_s_rights,
	};

	if (argc > 1 && strcmp(argv[1], "copy") == 0)
		return use_everything();
	return harness_run("setid", tests, sizeof(tests) / sizeof(tests[0]));
}
