/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A trigger is a descriptor of the kernel's pressure file that was told how much
 * stalling in how long a time is to be reported.  Linux lets ordinary users have
 * one since 6.5, if the time is a multiple of two seconds.
 *
 * POLLPRI would say that it went off, but is taken away by whoever polls it
 * first: a poll(2) of the queue's descriptor would leave nothing for kevent().
 * What does not go away is the edge.  So the item asks for POLLIN, which always
 * holds, and each wake-up is an edge of it.  The one that an item begins with is
 * told from pressure by what the file has counted since.
 *
 * A service manager may have named a file of the service's own control group in
 * $MEMORY_PRESSURE_WATCH (systemd's protocol for memory pressure).
 */
#include "psi.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"
#include "timerfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PSI_FILE	"/proc/pressure/memory"
#define PSI_WINDOW	"2000000"	/* microseconds, as what follows */
#define PSI_WINDOW_NS	INT64_C(2000000000)
#define PSI_SOME_STALL	"200000"
#define PSI_FULL_STALL	"400000"

struct trigger {
	_Atomic int	t_fd;
	bool		t_watched;	/* epoll has the item */
	bool		t_fresh;	/* the edge that an item begins with may be to come */
	int64_t		t_total;	/* microseconds stalled, when last looked */
	int64_t		t_last;		/* when pressure was last seen */
};

struct psi {
	struct trigger	ps_trigger[2];
	uint32_t	ps_knotes;	/* slot of the first knote */
};

static const struct {
	const char	*name, *setting;
	int64_t		stall;
} psi_rule[] = {
	{ "some", "some " PSI_SOME_STALL " " PSI_WINDOW, 200000 },
	{ "full", "full " PSI_FULL_STALL " " PSI_WINDOW, 400000 },
};

/* Errors that are not the kernel's refusal. */
static int
psi_error(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ? -error : -ENOTSUP;
}

/*
 * The descriptor of the pressure file, or -errno.  Only where the kernel itself
 * makes the files do we write.  As in pidfd.c, no cancellation points.
 */
static int
psi_open(void)
{
	const char *path = secure_getenv("MEMORY_PRESSURE_WATCH");
	struct statfs fs;
	int fd, error;

	if (path == NULL || path[0] == '\0')
		path = PSI_FILE;
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return psi_error(errno);
	if (fstatfs(fd, &fs) == -1)
		error = psi_error(errno);
	else if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	else
		error = -ENOTSUP;
	hidden_close(fd);
	return error;
}

/* How long tasks have stalled, in microseconds; -1: it cannot be read. */
static int64_t
psi_total(int fd, const char *name)
{
	char text[256];
	const char *line, *total;
	ssize_t n;

	syscall(SYS_lseek, fd, 0, SEEK_SET);
	n = syscall(SYS_read, fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, name);
	total = line == NULL ? NULL : strstr(line, "total=");
	return total == NULL ? -1 : (int64_t)strtoll(total + 6, NULL, 10);
}

static int
trigger_make(struct trigger *t, unsigned i)
{
	int fd = psi_open(), error = 0;

	t->t_last = INT64_MIN;
	if (fd < 0)
		return fd;
	/* The kernel wants the terminating null, too. */
	if (syscall(SYS_write, fd, psi_rule[i].setting, strlen(psi_rule[i].setting) + 1) == -1)
		error = psi_error(errno);
	if (error == 0)
		return hidden_move(fd, &t->t_fd);
	hidden_close(fd);
	return error;
}

static int
trigger_watch(struct kqueue *kq, struct trigger *t, unsigned i)
{
	int error;

	if (t->t_watched)
		return 0;
	t->t_total = psi_total(t->t_fd, psi_rule[i].name);
	t->t_fresh = true;
	error = kqueue_source_add(kq, t->t_fd, EPOLLIN | EPOLLET, SOURCE_TAG(SOURCE_PSI, i + 1));
	if (error == 0 || error == -EEXIST)
		t->t_watched = true;
	/* EPERM: what cannot be polled is no pressure file. */
	return error == -EEXIST ? 0 : error == -EPERM ? -ENOTSUP : error;
}

static void
trigger_unwatch(struct kqueue *kq, struct trigger *t)
{
	int saved = errno;

	if (t->t_watched)
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, t->t_fd, NULL);
	t->t_watched = false;
	errno = saved;
}

static int
psi_make(struct kqueue *kq)
{
	struct psi *ps = mem_alloc(sizeof(*ps));
	int error = 0;

	if (ps == NULL)
		return -ENOMEM;
	kq->kq_psi = ps;
	for (unsigned i = 0; i < 2; i++)
		atomic_init(&ps->ps_trigger[i].t_fd, -1);
	for (unsigned i = 0; i < 2 && error == 0; i++)
		error = trigger_make(&ps->ps_trigger[i], i);
	if (error < 0)
		psi_free(kq);
	return error;
}

void
psi_free(struct kqueue *kq)
{
	struct psi *ps = kq->kq_psi;

	if (ps == NULL)
		return;
	for (unsigned i = 0; i < 2; i++)
		hidden_free(&ps->ps_trigger[i].t_fd);
	mem_free(ps);
	kq->kq_psi = NULL;
}

int
psi_watch(struct kqueue *kq)
{
	struct psi *ps = kq->kq_psi;
	int error = 0;

	for (unsigned i = 0; i < 2 && error == 0; i++)
		error = trigger_watch(kq, &ps->ps_trigger[i], i);
	if (error < 0)
		psi_rest(kq);
	kq->kq_edges = true;	/* before anything is judged, reports that are there are taken */
	return error;
}

void
psi_rest(struct kqueue *kq)
{
	struct psi *ps = kq->kq_psi;
	const struct knote *kn;

	for (uint32_t slot = ps->ps_knotes; slot != 0; slot = (uint32_t)kn->kn_sdata) {
		kn = knote_at(&kq->kq_pool, slot);
		if ((kn->kn_status & KN_DISABLED) == 0)
			return;
	}
	for (unsigned i = 0; i < 2; i++)
		trigger_unwatch(kq, &ps->ps_trigger[i]);
}

/* One that is added disabled is watched for a moment, too: whether that can be is to be known now. */
int
psi_attach(struct kqueue *kq, struct knote *kn)
{
	int error = kq->kq_psi == NULL ? psi_make(kq) : 0;

	if (error == 0)
		error = psi_watch(kq);
	if (error < 0) {
		if (kq->kq_psi != NULL && kq->kq_psi->ps_knotes == 0)
			psi_free(kq);
		return error;
	}
	kn->kn_sdata = kq->kq_psi->ps_knotes;
	kq->kq_psi->ps_knotes = kn->kn_slot;
	psi_rest(kq);
	return 0;
}

void
psi_detach(struct kqueue *kq, struct knote *kn)
{
	struct psi *ps = kq->kq_psi;
	struct knote *other;

	if (ps->ps_knotes == kn->kn_slot) {
		ps->ps_knotes = (uint32_t)kn->kn_sdata;
	} else {
		other = knote_at(&kq->kq_pool, ps->ps_knotes);
		while (other->kn_sdata != kn->kn_slot)
			other = knote_at(&kq->kq_pool, (uint32_t)other->kn_sdata);
		other->kn_sdata = kn->kn_sdata;
	}
	if (kqueue_ending(kq))
		return;
	psi_rest(kq);
	if (ps->ps_knotes == 0)
		psi_free(kq);
}

/*
 * A trigger is silent until its last report was taken, so a queue that nobody
 * asks for a while does not hear that pressure goes on: then the file is asked.
 */
bool
psi_lasts(struct kqueue *kq, enum psi_kind kind)
{
	unsigned i = (unsigned)kind - 1;
	struct trigger *t = &kq->kq_psi->ps_trigger[i];
	int64_t now = timerfd_now(false), total;

	if (t->t_last == INT64_MIN)
		return false;
	if (now - t->t_last < PSI_LINGER)
		return true;
	total = psi_total(t->t_fd, psi_rule[i].name);
	if (total < 0 || total - t->t_total < psi_rule[i].stall * ((now - t->t_last) / PSI_WINDOW_NS))
		return false;
	t->t_total = total;
	t->t_last = now;
	return true;
}

int64_t
psi_last(const struct kqueue *kq, enum psi_kind kind)
{
	return kq->kq_psi->ps_trigger[kind - 1].t_last;
}

void
psi_report(struct kqueue *kq, enum psi_kind kind)
{
	unsigned i = (unsigned)kind - 1;
	struct trigger *t;
	int64_t total, least;
	struct knote *kn;
	uint32_t next;

	/* A report may be under way when the last knote goes. */
	if (kq->kq_psi == NULL)
		return;
	t = &kq->kq_psi->ps_trigger[i];
	total = psi_total(t->t_fd, psi_rule[i].name);
	least = t->t_fresh ? psi_rule[i].stall : 1;
	t->t_fresh = false;
	if (total < 0 || total - t->t_total < least)
		return;		/* or its control group is gone */
	t->t_total = total;
	t->t_last = timerfd_now(false);
	for (uint32_t slot = kq->kq_psi->ps_knotes; slot != 0; slot = next) {
		kn = knote_at(&kq->kq_pool, slot);
		next = (uint32_t)kn->kn_sdata;
		knote_note(kq, kn, kind);
	}
}
