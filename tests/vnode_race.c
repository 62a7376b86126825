/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_VNODE while the file changes: what is seen early must still be told. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child: empties and removes the directory. */
static void
remove_it(const char *dir, const char *file)
{
	unlink(file);
	_exit(rmdir(dir) == 0 ? 0 : 1);
}

/*
 * The last entry's event may be looked at when the directory is gone already,
 * but its parent's watch has not told so.
 */
START_TEST(vnode_race__removal_after_the_last_entry_is_told)
{
	char dir[96], file[112];
	int kq = queue();

	snprintf(dir, sizeof(dir), "%s/dir", scratch_dir());
	snprintf(file, sizeof(file), "%s/file", dir);
	for (int i = 0; i < 300; i++) {
		unsigned seen = 0;
		int fd, status;
		pid_t pid;

		ck_assert_int_eq(mkdir(dir, 0755), 0);
		close(open(file, O_WRONLY | O_CREAT, 0644));
		fd = open(dir, O_RDONLY | O_DIRECTORY);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR,
		    NOTE_DELETE | NOTE_WRITE, 0, NULL), 0);
		pid = fork();
		if (pid == 0)
			remove_it(dir, file);
		while ((seen & NOTE_DELETE) == 0)
			seen |= event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags;
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		close(fd);
	}
	close(kq);
}
END_TEST

HARNESS_MAIN("vnode_race", vnode_race__removal_after_the_last_entry_is_told)
