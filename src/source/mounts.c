/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Those who want to be told of mounts, and how they are woken.
 *
 * An open file of the table (mountinfo.h) belongs to the mount name space it was
 * opened in.  Whoever asks it for news takes them, also somebody who only polls
 * the queue's descriptor.  So one file is asked by us only.  Another wakes: it
 * can be read at any time, but a change is a new edge.  It has an epoll of its
 * own, where the edge that it begins with is taken at once, and a later one
 * waits until we take it.
 *
 * A mount's number is free as soon as it is unmounted, and the next mount gets
 * it.  So a mount is known by its number and by what is mounted where.  But one
 * that was detached while files in it are open keeps its number as long as they
 * are: that no mount has it says that such a file's is gone.
 *
 * To open the table and read it takes as long as a hundred registrations: after
 * the last mark it is kept, as long as no filter wants the name space of then.
 */
#include "mounts.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"
#include "mountinfo.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOUNTS_TAG	SOURCE_TAG(SOURCE_MOUNTS, 0)
#define MOUNTS_NONE	UINT32_MAX	/* no mount's number */

struct mounts {
	struct mountinfo m_info;
	_Atomic int	m_wake;		/* is in m_ep */
	_Atomic int	m_ep;		/* is in the queue's epoll while m_watched */
	bool		m_watched;
	ino_t		m_space;	/* the name space's number */
	uint32_t	m_knotes;	/* the first knote's slot, chained by kn_aux */
	struct mounts_mark *m_marks;	/* the first */
};

/* Takes the edge, if there is one. */
static void
mounts_take(const struct mounts *m)
{
	struct epoll_event item;

	kqueue_poll(m->m_ep, &item, 1);
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
	hint = mountinfo_news(&m->m_info) ? mountinfo_look(&m->m_info) : 0;
	errno = saved;
	for (uint32_t slot = hint == 0 ? 0 : m->m_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		knote_note(kq, kn, hint);
	}
	for (mark = hint == 0 ? NULL : m->m_marks; mark != NULL; mark = mark->mm_next)
		if (mark->mm_id != MOUNTS_NONE && !mountinfo_has(&m->m_info, mark->mm_id)) {
			mark->mm_id = MOUNTS_NONE;
			knote_note(kq, mark->mm_knote, MOUNTS_LOST);
		}
}

/* Opening and closing. */

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

void
mounts_free(struct kqueue *kq)
{
	struct mounts *m = kq->kq_mounts;

	if (m == NULL)
		return;
	hidden_free(&m->m_ep);
	hidden_free(&m->m_wake);
	mountinfo_free(&m->m_info);
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
	m->m_info.mi_file = -1;
	m->m_ep = -1;
	error = mountinfo_open(&m->m_info.mi_file);
	if (error == 0)
		error = mountinfo_open(&m->m_wake);
	if (error == 0)
		error = mounts_open_epoll(m);
	if (error == 0)
		error = mountinfo_begin(&m->m_info);
	if (error < 0)
		mounts_free(kq);
	else
		m->m_space = mounts_space();
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
	return mountinfo_has(&kq->kq_mounts->m_info, id);
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
