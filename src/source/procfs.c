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

/* getdents64(2)'s. */
struct entry {
	uint64_t	e_ino;
	int64_t		e_off;
	unsigned short	e_size;
	unsigned char	e_type;
	char		e_name[];
};

static int
procfs_open(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | flags);
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
procfs_process(const char *name, struct procfs_process *p)
{
	const char *parent, *start;
	char path[40], text[2048];

	snprintf(path, sizeof(path), "/proc/%.16s/stat", name);
	if (!procfs_read(path, text, sizeof(text)))
		return false;
	parent = procfs_field(text, 4);
	start = procfs_field(text, 22);
	if (start == NULL)
		return false;
	p->pp_pid = (pid_t)strtol(name, NULL, 10);
	p->pp_parent = (pid_t)strtol(parent, NULL, 10);
	p->pp_start = strtoll(start, NULL, 10);
	return true;
}

void
procfs_processes(void (*found)(void *arg, const struct procfs_process *), void *arg)
{
	_Alignas(struct entry) char buffer[4096];
	int fd = procfs_open("/proc", O_DIRECTORY);
	struct procfs_process process;
	const struct entry *e;
	long n;

	if (fd < 0)
		return;
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n; at += e->e_size) {
			e = (const void *)(buffer + at);
			if (e->e_name[0] >= '1' && e->e_name[0] <= '9' &&
			    procfs_process(e->e_name, &process))
				found(arg, &process);
		}
	hidden_close(fd);
}
