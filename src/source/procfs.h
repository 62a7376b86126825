/* SPDX-License-Identifier: BSD-2-Clause */
/* What /proc tells of processes.  Nothing here blocks or is a cancellation point. */
#ifndef KQ_PROCFS_H
#define KQ_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct procfs_process {
	pid_t	pp_pid;
	pid_t	pp_parent;
	int64_t	pp_start;	/* in the unit of procfs_now() */
};

/* What a file has, as text; false if it has nothing. */
bool	procfs_read(const char *path, char *text, size_t size);

/* The field of /proc/PID/stat with this number, 3 and up, in its text; NULL if there is none. */
const char *procfs_field(const char *text, int number);

/* The time since boot in the unit that /proc gives the start of processes in, rounded down. */
int64_t	procfs_now(void);

/* Calls found for every process that /proc shows. */
void	procfs_processes(void (*found)(void *arg, const struct procfs_process *), void *arg);

#endif
