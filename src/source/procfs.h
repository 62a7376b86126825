/* SPDX-License-Identifier: BSD-2-Clause */
/* What /proc tells of processes.  Nothing here blocks or is a cancellation point. */
#ifndef KQ_PROCFS_H
#define KQ_PROCFS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct procfs_process {
	pid_t	pp_pid;
	pid_t	pp_parent;
	int64_t	pp_start;	/* in the unit of procfs_now() */
};

/* What getdents64(2) writes: no libc's struct dirent on every machine. */
struct procfs_entry {
	uint64_t	pe_ino;
	int64_t		pe_off;
	unsigned short	pe_size;
	unsigned char	pe_type;
	char		pe_name[];
};

/* The number that a name in /proc is; -1: none.  Fit for signal handlers and for children of clone(). */
static inline int
procfs_number(const char *name)
{
	int number = *name == '\0' ? -1 : 0;

	for (; *name >= '0' && *name <= '9' && number <= (INT_MAX - 9) / 10; name++)
		number = number * 10 + (*name - '0');
	return *name == '\0' ? number : -1;
}

/*
 * The next number among the names of a directory's entries, of which there are n bytes, from *at on; -1: none is left.
 * A kernel writes whole entries, and names that end.  Fit for signal handlers and for children of clone().
 */
static inline int
procfs_next(const char *entries, long n, long *at)
{
	const long head = offsetof(struct procfs_entry, pe_name);
	const char *name;
	unsigned short size;
	int number = -1;

	while (number < 0 && n - *at > head) {
		memcpy(&size, entries + *at + offsetof(struct procfs_entry, pe_size), sizeof(size));
		name = entries + *at + head;
		if (size <= head || size > n - *at || memchr(name, '\0', (size_t)(size - head)) == NULL)
			break;
		number = procfs_number(name);
		*at += size;
	}
	return number;
}

/*
 * The path of what "self" or "thread-self" has at a number, and what comes behind it.  By hand, since to
 * register a file, of which there may be many, is little else in user space.
 */
#define PROCFS_FD	48
void	procfs_fd(char path[PROCFS_FD], const char *self, int fd, const char *behind);

/* What a file has, as text; false if it has nothing. */
bool	procfs_read(const char *path, char *text, size_t size);

/* The field of /proc/PID/stat with this number, 3 and up, in its text; NULL if there is none. */
const char *procfs_field(const char *text, int number);

/* The time since boot in the unit that /proc gives the start of processes in, rounded down. */
int64_t	procfs_now(void);

/* Calls found for every process that /proc shows. */
void	procfs_processes(void (*found)(void *arg, const struct procfs_process *), void *arg);

#endif
