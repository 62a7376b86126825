/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real pressure on memory that harms nobody: a control group of our own in
 * which a few processes write more than it may keep in memory.  It takes
 * root, control groups version 2, and a memory controller of either version.
 */
#ifndef KQ_TESTS_PRESSURE_H
#define KQ_TESTS_PRESSURE_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PRESSURE_WRITERS	4
#define PRESSURE_SIZE		(16 * 1024 * 1024)	/* of each writer's file */
#define PRESSURE_HIGH		"2097152"
#define PRESSURE_LIMIT		"4194304"

struct pressure {
	char	file[96];		/* the group's memory.pressure */
	char	group[64];		/* version 2, where pressure is counted */
	char	limit[64];		/* where memory is limited: the same, or version 1 */
	char	data[256];		/* a directory for the files */
	pid_t	writers[PRESSURE_WRITERS];
};

static inline bool
pressure_write(const char *directory, const char *name, const char *text)
{
	char path[128];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

static inline void
pressure_remove(struct pressure *p)
{
	/* Who was in it may take a moment to be gone, of which version 1 of the groups tells nobody. */
	for (int tries = 0; rmdir(p->group) == -1 && tries < 100; tries++)
		usleep(20000);
	for (int tries = 0; strcmp(p->limit, p->group) != 0 && rmdir(p->limit) == -1 && tries < 100; tries++)
		usleep(20000);
}

/* directory: for files that are on a disk.  False: it cannot be had here. */
static inline bool
pressure_make(struct pressure *p, const char *directory)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	memset(p, 0, sizeof(*p));
	snprintf(p->data, sizeof(p->data), "%s", directory);
	for (int i = 0; i < 2; i++) {
		snprintf(p->file, sizeof(p->file), "%s/cgroup.controllers", mounts[i]);
		snprintf(p->group, sizeof(p->group), "%s/kq-test-%d", mounts[i], (int)getpid());
		if (access(p->file, F_OK) == 0 && mkdir(p->group, 0755) == 0)
			break;
		p->group[0] = '\0';
	}
	if (p->group[0] == '\0')
		return false;
	snprintf(p->file, sizeof(p->file), "%s/memory.pressure", p->group);
	strcpy(p->limit, p->group);
	/* Version 2 makes who is above the lower mark wait. */
	if (!pressure_write(p->limit, "memory.high", PRESSURE_HIGH) ||
	    !pressure_write(p->limit, "memory.max", PRESSURE_LIMIT)) {
		snprintf(p->limit, sizeof(p->limit), "/sys/fs/cgroup/memory/kq-test-%d", (int)getpid());
		if (mkdir(p->limit, 0755) == -1 ||
		    !pressure_write(p->limit, "memory.limit_in_bytes", PRESSURE_LIMIT)) {
			pressure_remove(p);
			return false;
		}
	}
	if (access(p->file, R_OK | W_OK) == 0)
		return true;
	pressure_remove(p);
	return false;
}

/* Writes here and there in a file of its own, for ever.  Bare calls: no sanitizer's memory is used. */
static inline void
pressure_work(const struct pressure *p, int writer)
{
	static char block[4096];
	char path[300], self[16];
	unsigned seed = 1;
	int fd;

	snprintf(self, sizeof(self), "%d", (int)getpid());
	snprintf(path, sizeof(path), "%s/pressure-%d-%s", p->data, writer, self);
	if (!pressure_write(p->group, "cgroup.procs", self) ||
	    (strcmp(p->limit, p->group) != 0 && !pressure_write(p->limit, "cgroup.procs", self)) ||
	    (fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600)) == -1)
		_exit(1);
	unlink(path);
	for (;;) {
		seed = seed * 1103515245 + 12345;
		syscall(SYS_lseek, fd, (seed >> 8) * sizeof(block) % PRESSURE_SIZE, SEEK_SET);
		if (syscall(SYS_write, fd, block, sizeof(block)) <= 0)
			_exit(1);
	}
}

static inline bool
pressure_on(struct pressure *p)
{
	for (int i = 0; i < PRESSURE_WRITERS; i++) {
		p->writers[i] = fork();
		if (p->writers[i] == -1)
			return false;
		if (p->writers[i] == 0)
			pressure_work(p, i);
	}
	return true;
}

static inline void
pressure_off(struct pressure *p)
{
	for (int i = 0; i < PRESSURE_WRITERS; i++)
		if (p->writers[i] > 0)
			kill(p->writers[i], SIGKILL);
	for (int i = 0; i < PRESSURE_WRITERS; i++)
		if (p->writers[i] > 0)
			waitpid(p->writers[i], NULL, 0);
	memset(p->writers, 0, sizeof(p->writers));
}

#endif
