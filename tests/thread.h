/* SPDX-License-Identifier: BSD-2-Clause */
/* What a thread is doing. */
#ifndef KQ_TESTS_THREAD_H
#define KQ_TESTS_THREAD_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Whether a thread, or the first one of a process, is in a state as proc(5) calls it, or has ended. */
static inline bool
thread_is(int tid, char state)
{
	char path[96], text[512];
	const char *name_end;
	FILE *stat;

	/* An emulator makes up /proc/PID/stat, without a state. */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", tid, tid);
	stat = fopen(path, "re");
	if (stat == NULL)
		return true;
	name_end = fgets(text, sizeof(text), stat) == NULL ? NULL : strrchr(text, ')');
	fclose(stat);
	return name_end != NULL && name_end[2] == state;
}

#endif
