/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/thread-self/mountinfo, and its traps:
 *
 * An open file of it belongs to the mount name space it was opened in, and tells
 * by POLLPRI that the table has changed since it was asked last; not what has
 * changed, so the table is read and compared.  Whoever asks takes the news, also
 * somebody who only polls the queue's descriptor.  So one file is asked by us
 * only.  Another wakes: it can be read at any time, but a change is a new edge.
 * It has an epoll of its own, where the edge that it begins with is taken at once,
 * and a later one waits until we take it.
 *
 * A mount's number is free as soon as it is unmounted, and the next mount gets
 * it.  So a mount is known by its number and by what is mounted where.  But one
 * that was detached while files in it are open keeps its number as long as they
 * are: that no mount has it says that such a file's is gone.
 *
 * What came and went between two looks leaves no trace but the news itself.  A
 * change of options is news, too, but can be seen.
 *
 * The table may change between two read()s: then it is read again.
 *
 * To open the table and read it takes as long as a hundred registrations: after
 * the last mark it is kept, as long as no filter wants the name space of then.
 *
 * Nothing is allocated while waiting, however many mounts come: the table is
 * kept as sums of hashes, by number.  Numbers are small, so two mounts hardly
 * share a sum; if they do, a change of one is told as coming and going.
 */
#include "mounts.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOUNTS_TAG	SOURCE_TAG(SOURCE_MOUNTS, 0)
#define MOUNTS_BUFFER	4096	/* no read() returns much more */
#define MOUNTS_LOOKS	16	/* at a table that changes all the time */
#define MOUNTS_LEAST	8192u	/* sums */
#define MOUNTS_MOST	131072u	/* more than a name space may have mounts, by default */
#define MOUNTS_NONE	UINT32_MAX	/* no mount's number */

struct mounts {
	_Atomic int	m_file;		/* is asked for news, and read */
	_Atomic int	m_wake;		/* is in m_ep */
	_Atomic int	m_ep;		/* is in the queue's epoll while m_watched */
	bool		m_watched;
	ino_t		m_space;	/* the name space's number */
	uint32_t	m_knotes;	/* the first knote's slot, chained by kn_aux */
	struct mounts_mark *m_marks;	/* the first */
	uint32_t	m_size;		/* a power of two */
	uint64_t	*m_sums;	/* what was mounted, by number */
	uint64_t	*m_next;	/* the same, while it is read */
	uint64_t	m_options;	/* sum of all mounts' options */
};

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

/* Reading. */

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

/* read() would be a cancellation point. */
static long
mounts_read_some(const struct mounts *m, char *buffer)
{
	long n;

	do
		n = syscall(SYS_read, m->m_file, buffer, MOUNTS_BUFFER);
	while (n == -1 && errno == EINTR);
	return n;
}

/* m_next and m_options get what is mounted; *highest, the highest number.  0 if it was all read, or -errno. */
static int
mounts_read(struct mounts *m, uint32_t *highest)
{
	char buffer[MOUNTS_BUFFER];
	struct line line;
	long n;

	*highest = 0;
	m->m_options = 0;
	if (m->m_next != NULL)
		memset(m->m_next, 0, m->m_size * sizeof(*m->m_next));
	if (lseek(m->m_file, 0, SEEK_SET) == -1)
		return -errno;
	line_begin(&line);
	while ((n = mounts_read_some(m, buffer)) > 0)
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
			if (m->m_next != NULL)
				m->m_next[line.l_id & (m->m_size - 1)] +=
				    line_mix(line.l_mount ^ line.l_id);
			m->m_options += line_mix(line.l_options + line.l_mount);
			line_begin(&line);
		}
	return n == 0 ? 0 : -errno;
}

/*
 * Whether the table has changed since this was asked last.  A handler interrupts
 * what does not wait, too, and the news must not be taken for none.
 */
static bool
mounts_news(const struct mounts *m)
{
	struct pollfd poll = { .fd = m->m_file, .events = POLLPRI };

	long n;

	do
		n = syscall(SYS_ppoll, &poll, 1, &(struct timespec){ .tv_sec = 0 }, NULL, 0);
	while (n == -1 && errno == EINTR);
	return n == 1;
}

/* Takes the edge, if there is one. */
static void
mounts_take(const struct mounts *m)
{
	struct epoll_event item;

	kqueue_poll(m->m_ep, &item, 1);
}

/* Comparing. */

/* What the sums tell; m_next becomes what is known. */
static uint32_t
mounts_compare(struct mounts *m)
{
	uint64_t *before = m->m_sums;
	uint32_t hint = 0;

	for (uint32_t i = 0; i < m->m_size; i++) {
		if (before[i] == m->m_next[i])
			continue;
		if (before[i] != 0)
			hint |= MOUNTS_WENT;
		if (m->m_next[i] != 0)
			hint |= MOUNTS_CAME;
	}
	m->m_sums = m->m_next;
	m->m_next = before;
	return hint;
}

/* Reads until there is no news meanwhile; restless: there always was.  0 or -errno. */
static int
mounts_read_still(struct mounts *m, bool *restless)
{
	int looks = MOUNTS_LOOKS, error;
	uint32_t highest;

	do
		error = mounts_read(m, &highest);
	while (error == 0 && mounts_news(m) && --looks > 0);
	*restless = looks == 0;
	return error;
}

/* There is news: what it is. */
static uint32_t
mounts_look(struct mounts *m)
{
	uint64_t options = m->m_options;
	bool restless;
	uint32_t hint;

	if (mounts_read_still(m, &restless) < 0) {
		m->m_options = options;
		return MOUNTS_CAME | MOUNTS_WENT;	/* it may be anything */
	}
	hint = mounts_compare(m);
	if (restless || (hint == 0 && m->m_options == options))
		hint = MOUNTS_CAME | MOUNTS_WENT;
	return hint;
}

/* Whether a mount has this number. */
static bool
mounts_has(const struct mounts *m, uint32_t id)
{
	return m->m_sums[id & (m->m_size - 1)] != 0;
}

void
mounts_report(struct kqueue *kq)
{
	struct mounts *m = kq->kq_mounts;
	struct mounts_mark *mark;
	int saved = errno;
	struct knote *kn;
	uint32_t hint;

	if (m == NULL)
		return;
	mounts_take(m);
	hint = mounts_news(m) ? mounts_look(m) : 0;
	errno = saved;
	for (uint32_t slot = hint == 0 ? 0 : m->m_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		knote_note(kq, kn, hint);
	}
	for (mark = hint == 0 ? NULL : m->m_marks; mark != NULL; mark = mark->mm_next)
		if (mark->mm_id != MOUNTS_NONE && !mounts_has(m, mark->mm_id)) {
			mark->mm_id = MOUNTS_NONE;
			knote_note(kq, mark->mm_knote, MOUNTS_LOST);
		}
}

/* Opening and closing. */

static int
mounts_open(_Atomic int *owner)
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

static int
mounts_open_epoll(struct mounts *m)
{
	struct epoll_event item = { .events = EPOLLIN | EPOLLET };
	int error, fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd == -1)
		return -errno;
	error = hidden_move(fd, &m->m_ep);
	if (error < 0)
		return error;
	if (hidden_epoll_ctl(m->m_ep, EPOLL_CTL_ADD, m->m_wake, &item) == -1)
		return -errno;
	mounts_take(m);
	return 0;
}

/* The number of this thread's name space; 0: unknown. */
static ino_t
mounts_space(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/mnt", &st) == 0 ? st.st_ino : 0;
}

/* Twice as many sums as there are numbers now, and a table of what is mounted. */
static int
mounts_begin(struct mounts *m)
{
	uint32_t highest;
	int error = mounts_read(m, &highest);
	bool restless;

	if (error < 0)
		return error == -ENOMEM ? error : -ENOTSUP;
	for (m->m_size = MOUNTS_LEAST; m->m_size / 2 < highest && m->m_size < MOUNTS_MOST;)
		m->m_size *= 2;
	m->m_sums = mem_alloc(m->m_size * sizeof(*m->m_sums));
	m->m_next = mem_alloc(m->m_size * sizeof(*m->m_next));
	if (m->m_sums == NULL || m->m_next == NULL)
		return -ENOMEM;
	error = mounts_read_still(m, &restless);
	if (error < 0)
		return error == -ENOMEM ? error : -ENOTSUP;
	mounts_compare(m);
	m->m_space = mounts_space();
	return 0;
}

void
mounts_free(struct kqueue *kq)
{
	struct mounts *m = kq->kq_mounts;

	if (m == NULL)
		return;
	hidden_free(&m->m_ep);
	hidden_free(&m->m_wake);
	hidden_free(&m->m_file);
	mem_free(m->m_next);
	mem_free(m->m_sums);
	mem_free(m);
	kq->kq_mounts = NULL;
}

static int
mounts_get(struct kqueue *kq)
{
	struct mounts *m = kq->kq_mounts;
	int error, saved = errno;

	if (m != NULL)
		return 0;
	m = kq->kq_mounts = mem_alloc(sizeof(*m));
	if (m == NULL)
		return -ENOMEM;
	m->m_wake = -1;
	m->m_file = -1;
	m->m_ep = -1;
	error = mounts_open(&m->m_file);
	if (error == 0)
		error = mounts_open(&m->m_wake);
	if (error == 0)
		error = mounts_open_epoll(m);
	if (error == 0)
		error = mounts_begin(m);
	if (error < 0)
		mounts_free(kq);
	errno = saved;
	return error;
}

int
mounts_watch(struct kqueue *kq)
{
	struct mounts *m = kq->kq_mounts;
	int error, saved = errno;

	if (m->m_watched)
		return 0;
	error = kqueue_source_add(kq, m->m_ep, EPOLLIN, MOUNTS_TAG);
	errno = saved;
	if (error < 0 && error != -EEXIST)
		return error;
	m->m_watched = true;
	return 0;
}

/* Closing would not do: a child may have the file, too, and the item would stay. */
void
mounts_unwatch(struct kqueue *kq)
{
	struct mounts *m = kq->kq_mounts;
	const struct knote *kn;
	int saved = errno;

	if (m->m_marks != NULL)
		return;
	for (uint32_t slot = m->m_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		if ((kn->kn_status & KN_DISABLED) == 0)
			return;
	}
	if (m->m_watched)
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, m->m_ep, NULL);
	m->m_watched = false;
	errno = saved;
}

/* Whether it is kept for the next mark only, and may be of an old name space. */
static bool
mounts_idle(const struct kqueue *kq)
{
	const struct mounts *m = kq->kq_mounts;

	return m != NULL && m->m_knotes == 0 && m->m_marks == NULL;
}

int
mounts_attach(struct kqueue *kq, struct knote *kn)
{
	int error;

	if (mounts_idle(kq))
		mounts_free(kq);
	error = mounts_get(kq);
	if (error < 0)
		return error;
	/* What has happened is the others'. */
	mounts_report(kq);
	if ((kn->kn_status & KN_DISABLED) == 0)
		error = mounts_watch(kq);
	if (error == 0) {
		kn->kn_aux = kq->kq_mounts->m_knotes;
		kq->kq_mounts->m_knotes = kn->kn_slot;
	} else if (mounts_idle(kq)) {
		mounts_free(kq);
	}
	return error;
}

void
mounts_detach(struct kqueue *kq, struct knote *kn)
{
	struct mounts *m = kq->kq_mounts;
	uint32_t *link = &m->m_knotes;

	if (kqueue_ending(kq))
		return;
	while (*link != kn->kn_slot)
		link = &knote_at(&kq->kq_pool, *link)->kn_aux;
	*link = kn->kn_aux;
	mounts_unwatch(kq);
	if (mounts_idle(kq))
		mounts_free(kq);
}

/* Marks. */

/* Of statx(2). */
#define MOUNTS_STATX_ID	0x1000u
struct mounts_statx {
	uint32_t	ms_mask;
	uint32_t	ms_other[35];
	uint64_t	ms_id;
	uint64_t	ms_more[13];
};

/*
 * The number of the mount in which fd was opened, from Linux 5.8 on, and before
 * if the process may read what /proc says of it; else MOUNTS_NONE.
 */
static uint32_t
mounts_number(int fd)
{
	struct mounts_statx statx = { .ms_mask = 0 };
	const char *field;
	char path[48], text[256];

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, MOUNTS_STATX_ID, &statx) == 0 &&
	    (statx.ms_mask & MOUNTS_STATX_ID) != 0)
		return (uint32_t)statx.ms_id;
	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	if (!procfs_read(path, text, sizeof(text)) || (field = strstr(text, "mnt_id:")) == NULL)
		return MOUNTS_NONE;
	return (uint32_t)strtoul(field + strlen("mnt_id:"), NULL, 10);
}

/* Makes the table that of now; whether the mount is in it, or -errno. */
static int
mounts_ask(struct kqueue *kq, uint32_t id)
{
	int error = mounts_get(kq);

	if (error < 0)
		return error;
	mounts_report(kq);
	return mounts_has(kq->kq_mounts, id);
}

/* Whether fd's mount, *id, is in the name space, or -errno. */
static int
mounts_find(struct kqueue *kq, int fd, uint32_t *id)
{
	int found, saved = errno;

	*id = mounts_number(fd);
	if (*id == MOUNTS_NONE) {
		errno = saved;
		return 0;
	}
	found = mounts_ask(kq, *id);
	if (found == 0 && mounts_idle(kq) && kq->kq_mounts->m_space != mounts_space()) {
		mounts_free(kq);
		found = mounts_ask(kq, *id);
	}
	errno = saved;
	return found;
}

int
mounts_set(struct kqueue *kq, struct mounts_mark *mark, struct knote *kn, int fd)
{
	struct mounts *m;
	int error;
	uint32_t id;

	if (mark->mm_knote != NULL)
		return 0;
	error = mounts_find(kq, fd, &id);
	if (error <= 0)
		return error;
	error = mounts_watch(kq);
	if (error < 0)
		return error;
	m = kq->kq_mounts;
	mark->mm_id = id;
	mark->mm_knote = kn;
	mark->mm_next = m->m_marks;
	mark->mm_back = &m->m_marks;
	if (mark->mm_next != NULL)
		mark->mm_next->mm_back = &mark->mm_next;
	m->m_marks = mark;
	return 0;
}

void
mounts_unset(struct kqueue *kq, struct mounts_mark *mark)
{
	if (mark->mm_knote == NULL)
		return;
	*mark->mm_back = mark->mm_next;
	if (mark->mm_next != NULL)
		mark->mm_next->mm_back = mark->mm_back;
	mark->mm_knote = NULL;
	if (!kqueue_ending(kq))
		mounts_unwatch(kq);
}
