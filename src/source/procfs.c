/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls are made directly: libc's open() and read() are cancellation
 * points, and the queue's lock is held here; opendir() would allocate.
 */
#include "procfs.h"

#include "../hidden.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int
procfs_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | flags);
}

static char *
procfs_append(char *end, const char *text)
{
	while ((*end = *text++) != '\0')
		end++;
	return end;
}

void
procfs_fd(char path[PROCFS_FD], const char *self, int fd, const char *behind)
{
	char digits[12], *first = digits + sizeof(digits) - 1;
	unsigned number = (unsigned)fd;

	*first = '\0';
	do
		*--first = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	path = procfs_append(path, "/proc/");
	path = procfs_append(path, self);
	path = procfs_append(path, "/fd/");
	path = procfs_append(path, first);
	procfs_append(path, behind);
}

bool
procfs_read(const char *path, char *text, size_t size)
{
	int fd = procfs_open(path, 0);
	ssize_t n;

	if (fd < 0)
		return false;
	n = syscall(SYS_read, fd, text, size - 1);
	hidden_close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The second field, a name in parentheses, may hold anything. */
const char *
procfs_field(const char *text, int number)
{
	const char *field = strrchr(text, ')');

	for (int i = 2; i < number && field != NULL; i++)
		field = strchr(field + 1, ' ');
	return field;
}

int64_t
procfs_now(void)
{
	int64_t tick = sysconf(_SC_CLK_TCK);
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * tick + ts.tv_nsec / (1000000000 / tick);
}

static bool
procfs_process(int pid, struct procfs_process *p)
{
	const char *parent, *start;
	char path[40], text[2048];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!procfs_read(path, text, sizeof(text)))
		return false;
	parent = procfs_field(text, 4);
	start = procfs_field(text, 22);
	if (parent == NULL || start == NULL)
		return false;
	p->pp_pid = pid;
	p->pp_parent = (pid_t)strtol(parent, NULL, 10);
	p->pp_start = strtoll(start, NULL, 10);
	return true;
}

void
procfs_processes(void (*found)(void *arg, const struct procfs_process *), void *arg)
{
	_Alignas(struct procfs_entry) char buffer[4096];
	int fd = procfs_open("/proc", O_DIRECTORY);
	struct procfs_process process;
	long n, at;
	int pid;

	if (fd < 0)
		return;
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (at = 0; (pid = procfs_next(buffer, n, &at)) >= 0;)
			if (pid > 0 && procfs_process(pid, &process))
				found(arg, &process);
	hidden_close(fd);
}
