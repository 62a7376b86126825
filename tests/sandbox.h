/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process takes from itself: system calls, root's rights, the mounts of others. */
#ifndef KQ_TESTS_SANDBOX_H
#define KQ_TESTS_SANDBOX_H

#include "harness.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY	65534

/* From here on the system call fails with error, in this process.  False: none can be refused here. */
static inline bool
refuse_call(unsigned int number, unsigned int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Root becomes an ordinary user, for good. */
static inline bool
become_nobody(void)
{
	return setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

static inline bool
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

/* An ordinary user becomes root of a user name space. */
static inline bool
enter_mount_namespace(void)
{
	char users[64], groups[64];

	if (unshare(CLONE_NEWNS) == 0)
		return true;
	snprintf(users, sizeof(users), "0 %d 1\n", (int)getuid());
	snprintf(groups, sizeof(groups), "0 %d 1\n", (int)getgid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	    write_file("/proc/self/setgroups", "deny") &&
	    write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups);
}

/* A mount name space of the test's own, with two directories to mount on; false: this cannot be tested. */
static inline bool
mounts_of_our_own(char one[128], char two[128])
{
	if (!enter_mount_namespace()) {
		fprintf(stderr, "skipped: no mount name space: it takes root or a user name space\n");
		return false;
	}
	ck_assert_int_eq(mount("none", "/", "", MS_REC | MS_PRIVATE, NULL), 0);
	snprintf(one, 128, "%s/one", scratch_dir());
	snprintf(two, 128, "%s/two", scratch_dir());
	ck_assert_int_eq(mkdir(one, 0700), 0);
	ck_assert_int_eq(mkdir(two, 0700), 0);
	return true;
}

#endif
