/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The traps of /proc/thread-self/mountinfo:
 *
 * It tells by POLLPRI that the table has changed since it was asked last; not
 * what has changed, so the table is read and compared.
 *
 * What came and went between two looks leaves no trace but the news itself.  A
 * change of options is news, too, but can be seen.
 *
 * The table may change between two read()s: then it is read again.
 *
 * Nothing is allocated while waiting, however many mounts come: the table is
 * kept as sums of hashes, by number.  Numbers are small, so two mounts hardly
 * share a sum; if they do, a change of one is told as coming and going.
 */
#include "mountinfo.h"

#include "../hidden.h"
#include "../mem.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOUNTINFO_BUFFER	4096	/* no read() returns much more */
#define MOUNTINFO_LOOKS	16	/* at a table that changes all the time */
#define MOUNTINFO_LEAST	8192u	/* sums */
#define MOUNTINFO_MOST	131072u	/* more than a name space may have mounts, by default */

/* A line, as it is read. */
enum line_field {
	LINE_ID, LINE_PARENT, LINE_DEVICE, LINE_ROOT, LINE_POINT, LINE_OPTIONS, LINE_OPTIONAL,
	LINE_TYPE, LINE_SOURCE, LINE_SUPER
};

struct line {
	uint64_t	l_mount;	/* hash of what is mounted where */
	uint64_t	l_options;
	uint32_t	l_id;
	unsigned	l_field;	/* enum line_field, and beyond */
	bool		l_empty;	/* nothing of the field was read yet */
	bool		l_dash;		/* nothing but a dash */
};

/* FNV-1a. */
static uint64_t
line_hash(uint64_t hash, char c)
{
	return (hash ^ (unsigned char)c) * UINT64_C(0x100000001b3);
}

static uint64_t
line_mix(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static void
line_begin(struct line *l)
{
	const uint64_t basis = UINT64_C(0xcbf29ce484222325);

	*l = (struct line){ .l_mount = basis, .l_options = basis, .l_empty = true };
}

/* Names have no spaces, newlines or bounds: these are spelled in octal. */
static void
line_byte(struct line *l, char c)
{
	switch (l->l_field) {
	case LINE_ID:
		l->l_id = l->l_id * 10 + (uint32_t)(c - '0');
		break;
	case LINE_DEVICE:
	case LINE_ROOT:
	case LINE_POINT:
	case LINE_TYPE:
	case LINE_SOURCE:
		l->l_mount = line_hash(l->l_mount, c);
		break;
	case LINE_OPTIONS:
	case LINE_SUPER:
		l->l_options = line_hash(l->l_options, c);
		break;
	default:
		break;
	}
	l->l_dash = l->l_empty && c == '-';
	l->l_empty = false;
}

/* There may be any number of optional fields: a dash ends them. */
static void
line_space(struct line *l)
{
	if (l->l_field != LINE_OPTIONAL || l->l_dash) {
		l->l_mount = line_hash(l->l_mount, ' ');
		l->l_field++;
	}
	l->l_empty = true;
	l->l_dash = false;
}

int
mountinfo_open(_Atomic int *owner)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/mountinfo",
	    O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return hidden_move(fd, owner);
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return -errno;
	default:
		return -ENOTSUP;
	}
}

/* read() would be a cancellation point. */
static long
mountinfo_read_some(const struct mountinfo *mi, char *buffer)
{
	long n;

	do
		n = syscall(SYS_read, mi->mi_file, buffer, MOUNTINFO_BUFFER);
	while (n == -1 && errno == EINTR);
	return n;
}

/* mi_next and mi_options get what is mounted; *highest, the highest number.  0 if it was all read, or -errno. */
static int
mountinfo_read(struct mountinfo *mi, uint32_t *highest)
{
	char buffer[MOUNTINFO_BUFFER];
	struct line line;
	long n;

	*highest = 0;
	mi->mi_options = 0;
	if (mi->mi_next != NULL)
		memset(mi->mi_next, 0, mi->mi_size * sizeof(*mi->mi_next));
	if (lseek(mi->mi_file, 0, SEEK_SET) == -1)
		return -errno;
	line_begin(&line);
	while ((n = mountinfo_read_some(mi, buffer)) > 0)
		for (long i = 0; i < n; i++) {
			if (buffer[i] == ' ') {
				line_space(&line);
				continue;
			}
			if (buffer[i] != '\n') {
				line_byte(&line, buffer[i]);
				continue;
			}
			if (line.l_id > *highest)
				*highest = line.l_id;
			if (mi->mi_next != NULL)
				mi->mi_next[line.l_id & (mi->mi_size - 1)] +=
				    line_mix(line.l_mount ^ line.l_id);
			mi->mi_options += line_mix(line.l_options + line.l_mount);
			line_begin(&line);
		}
	return n == 0 ? 0 : -errno;
}

/* A handler interrupts what does not wait, too, and the news must not be taken for none. */
bool
mountinfo_news(const struct mountinfo *mi)
{
	struct pollfd poll = { .fd = mi->mi_file, .events = POLLPRI };
	long n;

	do
		n = syscall(SYS_ppoll, &poll, 1, &(struct timespec){ .tv_sec = 0 }, NULL, 0);
	while (n == -1 && errno == EINTR);
	return n == 1;
}

/* What the sums tell; mi_next becomes what is known. */
static uint32_t
mountinfo_compare(struct mountinfo *mi)
{
	uint64_t *before = mi->mi_sums;
	uint32_t hint = 0;

	for (uint32_t i = 0; i < mi->mi_size; i++) {
		if (before[i] == mi->mi_next[i])
			continue;
		if (before[i] != 0)
			hint |= MOUNTS_WENT;
		if (mi->mi_next[i] != 0)
			hint |= MOUNTS_CAME;
	}
	mi->mi_sums = mi->mi_next;
	mi->mi_next = before;
	return hint;
}

/* Reads until there is no news meanwhile; restless: there always was.  0 or -errno. */
static int
mountinfo_read_still(struct mountinfo *mi, bool *restless)
{
	int looks = MOUNTINFO_LOOKS, error;
	uint32_t highest;

	do
		error = mountinfo_read(mi, &highest);
	while (error == 0 && mountinfo_news(mi) && --looks > 0);
	*restless = looks == 0;
	return error;
}

int
mountinfo_begin(struct mountinfo *mi)
{
	uint32_t highest;
	int error = mountinfo_read(mi, &highest);
	bool restless;

	if (error < 0)
		return error == -ENOMEM ? error : -ENOTSUP;
	/* Twice as many sums as there are numbers now. */
	for (mi->mi_size = MOUNTINFO_LEAST; mi->mi_size / 2 < highest && mi->mi_size < MOUNTINFO_MOST;)
		mi->mi_size *= 2;
	mi->mi_sums = mem_alloc(mi->mi_size * sizeof(*mi->mi_sums));
	mi->mi_next = mem_alloc(mi->mi_size * sizeof(*mi->mi_next));
	if (mi->mi_sums == NULL || mi->mi_next == NULL)
		return -ENOMEM;
	error = mountinfo_read_still(mi, &restless);
	if (error < 0)
		return error == -ENOMEM ? error : -ENOTSUP;
	mountinfo_compare(mi);
	return 0;
}

uint32_t
mountinfo_look(struct mountinfo *mi)
{
	uint64_t options = mi->mi_options;
	bool restless;
	uint32_t hint;

	if (mountinfo_read_still(mi, &restless) < 0) {
		mi->mi_options = options;
		return MOUNTS_CAME | MOUNTS_WENT;	/* it may be anything */
	}
	hint = mountinfo_compare(mi);
	if (restless || (hint == 0 && mi->mi_options == options))
		hint = MOUNTS_CAME | MOUNTS_WENT;
	return hint;
}

bool
mountinfo_has(const struct mountinfo *mi, uint32_t id)
{
	return mi->mi_sums[id & (mi->mi_size - 1)] != 0;
}

void
mountinfo_free(struct mountinfo *mi)
{
	hidden_free(&mi->mi_file);
	mem_free(mi->mi_next);
	mem_free(mi->mi_sums);
}
