/* SPDX-License-Identifier: BSD-2-Clause */
#include "held.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

long
held_memory(void)
{
	long pages = -1;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (statm == NULL)
		return -1;
	if (fscanf(statm, "%*d %ld", &pages) != 1)
		pages = -1;
	fclose(statm);
	return pages == -1 ? -1 : pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int
held_descriptors(void)
{
	struct rlimit limit;
	int count = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = 0; fd < (int)limit.rlim_cur && fd < 1100000; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

void
held_most(struct held *most)
{
	long memory = held_memory();
	int descriptors = held_descriptors();

	if (memory > most->memory)
		most->memory = memory;
	if (descriptors > most->descriptors)
		most->descriptors = descriptors;
}
