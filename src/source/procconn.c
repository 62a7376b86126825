/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process connector, and its traps:
 *
 * It speaks of the initial name spaces only.  To a process in another it does
 * not say so: it answers nothing, or the socket is refused.  So an
 * acknowledgement with our own token is required before anything is promised.
 * Before Linux 6.6 it takes CAP_NET_ADMIN, which bind(2) says.
 *
 * What is of no interest must not wake anybody on a busy machine.  A filter on
 * the socket (classic BPF) drops threads, and processes that nobody asked for.
 * It can tell those by number only, and a child's number is not known before
 * its fork is; so with PROCCONN_ALL every process's pass, and waking for nothing
 * is the price.  Since 6.6 the kernel also takes a mask of events, which saves
 * it the trouble of making the others.
 *
 * Some kernels took a message that every listener's filter had dropped for a
 * sign that there is no listener any more, and fell silent.  So the first
 * acknowledgement is dropped by the filter, and the second one must come.
 *
 * Before 6.6 a socket that is closed without a farewell is counted as a listener
 * for ever.
 *
 * The kernel drops what the socket has no room for, and says so (ENOBUFS).
 */
#include "procconn.h"

#include "../filter.h"
#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"
#include "../registry.h"
#include "procconn_filter.h"
#include "procfs.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PROCCONN_BUFFER	(8 << 20)
#define PROCCONN_BATCH	16
#define PROCCONN_READS	8192	/* batches in one report */
#define PROCCONN_LOOKS	16

/* Knotes told of in a report that are told when it is done; of more, an end is another event. */
#define PROCCONN_TOLD	32

struct procconn {
	_Atomic int	pc_fd;
	uint32_t	pc_count;	/* of pc_watched */
	uint32_t	pc_room;
	struct watched	*pc_watched;	/* with PROCCONN_FORKS or PROCCONN_END */
	uint32_t	pc_all;		/* how many with PROCCONN_ALL */
	bool		pc_busy;	/* a report is under way */
	bool		pc_lost;	/* so must be looked for */
	bool		pc_stale;	/* the filter lets more pass than it has to */
	uint32_t	pc_hellos;	/* that came through */
	pid_t		pc_child;	/* of the report under way */
	uint32_t	pc_status;
	uint32_t	pc_ntold;
	uint32_t	pc_told[PROCCONN_TOLD];	/* slots */
	int64_t		pc_since;	/* of all processes older than that we know */
};

/* The socket. */

/*
 * mask: of events, since Linux 6.6; before, such a message does nothing.  0: all.
 * An acknowledgement has token + 1; the sequence number is the kernel's own.
 */
static int
procconn_send(const struct procconn *pc, uint32_t op, uint32_t mask, uint32_t token)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct message m = {
		.pm_index = CN_IDX_PROC, .pm_value = CN_VAL_PROC, .pm_ack = token,
		.pm_len = mask != 0 ? 8 : 4, .pm_what = op, .pm_mask = mask,
	};
	size_t size = offsetof(struct message, pm_what) + m.pm_len;

	m.pm_nl.nlmsg_len = (uint32_t)size;
	m.pm_nl.nlmsg_type = NLMSG_DONE;
	/* The bare call: libc's is a cancellation point, and the queue's lock is held. */
	return syscall(SYS_sendto, pc->pc_fd, &m, size, MSG_DONTWAIT | MSG_NOSIGNAL, &kernel,
	    sizeof(kernel)) == -1 ? -errno : 0;
}

static int
procconn_listen(const struct procconn *pc)
{
	uint32_t mask = pc->pc_all > 0 ? PROC_EVENT_FORK | PROC_EVENT_EXEC | PROC_EVENT_EXIT : 0;

	for (uint32_t i = 0; i < pc->pc_count; i++) {
		if (pc->pc_watched[i].w_forks > 0)
			mask |= PROC_EVENT_FORK | PROC_EVENT_EXEC;
		if (pc->pc_watched[i].w_ends > 0)
			mask |= PROC_EVENT_EXIT;
	}
	return procconn_send(pc, PROC_CN_MCAST_LISTEN, mask, 0);
}

struct batch {
	struct message	b_message[PROCCONN_BATCH];
	struct sockaddr_nl b_from[PROCCONN_BATCH];
	struct iovec	b_iov[PROCCONN_BATCH];
	struct mmsghdr	b_header[PROCCONN_BATCH];
};

/* How many came, or -errno. */
static int
procconn_receive(const struct procconn *pc, struct batch *b)
{
	int n;

	for (unsigned i = 0; i < PROCCONN_BATCH; i++) {
		b->b_iov[i] = (struct iovec){ &b->b_message[i], sizeof(b->b_message[i]) };
		b->b_header[i] = (struct mmsghdr){ .msg_hdr = {
			.msg_name = &b->b_from[i], .msg_namelen = sizeof(b->b_from[i]),
			.msg_iov = &b->b_iov[i], .msg_iovlen = 1,
		} };
	}
	n = (int)syscall(SYS_recvmmsg, pc->pc_fd, b->b_header, PROCCONN_BATCH, MSG_DONTWAIT, NULL);
	return n == -1 ? -errno : n;
}

/* The message if it is whole, the connector's, and from the kernel. */
static const struct message *
procconn_message(const struct batch *b, int i)
{
	const struct message *m = &b->b_message[i];

	if (b->b_header[i].msg_len < offsetof(struct message, exit.signal) || b->b_from[i].nl_pid != 0 ||
	    m->pm_index != CN_IDX_PROC || m->pm_value != CN_VAL_PROC)
		return NULL;
	return m;
}

/* An error that means that there is no connector for us. */
static int
procconn_missing(int error)
{
	switch (error) {
	case -EMFILE: case -ENFILE: case -ENOMEM: case -ENOSPC:
		return error;
	case -ENOBUFS:
		return -ENOMEM;
	default:
		return -ENOTSUP;
	}
}

static bool
procconn_answers(const struct procconn *pc, uint32_t token)
{
	const struct message *m;
	struct batch b;
	bool found = false;
	int n;

	while ((n = procconn_receive(pc, &b)) > 0 || n == -ENOBUFS || n == -EINTR)
		for (int i = 0; i < n; i++) {
			m = procconn_message(&b, i);
			if (m != NULL && m->pm_what == PROC_EVENT_NONE && m->pm_ack == token + 1 &&
			    m->pm_body[0] == 0)
				found = true;
		}
	return found;
}

static int
procconn_hello(struct procconn *pc, uint32_t token)
{
	int error = procconn_send(pc, PROC_CN_MCAST_LISTEN, 0, token);

	if (error == 0)
		pc->pc_hellos++;
	return error;
}

/* Whether the connector speaks to us; see above. */
static int
procconn_try(struct procconn *pc)
{
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	struct timespec now;
	uint32_t token;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &now);
	token = (uint32_t)now.tv_nsec ^ (uint32_t)getpid() << 12;
	error = procconn_filter_ack(pc->pc_fd, token);
	if (error == 0 && bind(pc->pc_fd, (struct sockaddr *)&group, sizeof(group)) == -1)
		error = -errno;
	if (error == 0)
		error = procconn_hello(pc, ~token);
	if (error == 0)
		error = procconn_hello(pc, token);
	if (error == 0 && !procconn_answers(pc, token))
		error = -ENOTSUP;
	return error;
}

/* As often as we said hello: Linux before 6.6 counts, and at nothing it tells nobody any more. */
static void
procconn_farewell(struct procconn *pc)
{
	for (; pc->pc_hellos > 0; pc->pc_hellos--)
		(void)procconn_send(pc, PROC_CN_MCAST_IGNORE, 0, 0);
}

static void
procconn_size(const struct procconn *pc)
{
	int size = PROCCONN_BUFFER;

	if (setsockopt(pc->pc_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) == -1)
		(void)setsockopt(pc->pc_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int
procconn_open(struct kqueue *kq)
{
	struct procconn *pc = mem_alloc(sizeof(*pc));
	int error, fd;

	if (pc == NULL)
		return -ENOMEM;
	atomic_init(&pc->pc_fd, -1);
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
	error = fd == -1 ? -errno : hidden_move(fd, &pc->pc_fd);
	if (error < 0)
		goto free;
	procconn_size(pc);
	error = procconn_try(pc);
	if (error == 0)
		error = kqueue_source_add(kq, pc->pc_fd, EPOLLIN, SOURCE_TAG(SOURCE_PROCCONN, 0));
	if (error < 0)
		goto close;
	pc->pc_since = procfs_now();
	kq->kq_procconn = pc;
	return 0;
close:
	procconn_farewell(pc);
	hidden_free(&pc->pc_fd);
free:
	mem_free(pc);
	return procconn_missing(error);
}

void
procconn_free(struct kqueue *kq)
{
	struct procconn *pc = kq->kq_procconn;

	if (pc == NULL)
		return;
	kq->kq_procconn = NULL;
	procconn_farewell(pc);
	hidden_free(&pc->pc_fd);
	mem_free(pc->pc_watched);
	mem_free(pc);
}

/* Who asks. */

static struct watched *
procconn_find(const struct procconn *pc, pid_t pid)
{
	for (uint32_t i = 0; i < pc->pc_count; i++)
		if (pc->pc_watched[i].w_pid == pid)
			return &pc->pc_watched[i];
	return NULL;
}

/* 1: that is new; 0; or -errno. */
static int
procconn_watch(struct procconn *pc, pid_t pid, unsigned scope)
{
	struct watched *w = procconn_find(pc, pid);
	uint32_t room;
	bool news;

	if (w == NULL && pc->pc_count == pc->pc_room) {
		room = pc->pc_room * 2 + 16;
		w = mem_grow(pc->pc_watched, room, sizeof(*w));
		if (w == NULL)
			return -ENOMEM;
		pc->pc_watched = w;
		pc->pc_room = room;
		w = NULL;
	}
	if (w == NULL) {
		w = &pc->pc_watched[pc->pc_count++];
		*w = (struct watched){ .w_pid = pid };
	}
	news = ((scope & PROCCONN_FORKS) != 0 && w->w_forks++ == 0);
	news |= ((scope & PROCCONN_END) != 0 && w->w_ends++ == 0);
	return news;
}

static void
procconn_unwatch(struct procconn *pc, pid_t pid, unsigned scope)
{
	struct watched *w = procconn_find(pc, pid);

	if ((scope & PROCCONN_FORKS) != 0)
		pc->pc_stale |= --w->w_forks == 0;
	if ((scope & PROCCONN_END) != 0)
		pc->pc_stale |= --w->w_ends == 0;
	if (w->w_forks == 0 && w->w_ends == 0)
		*w = pc->pc_watched[--pc->pc_count];
}

/* What nobody asks for any more is not told any more. */
static void
procconn_narrow(struct kqueue *kq)
{
	struct procconn *pc = kq->kq_procconn;

	if (!pc->pc_stale || pc->pc_busy)
		return;
	if (pc->pc_count == 0 && pc->pc_all == 0) {
		/* A child may have the socket, too: then the item would stay. */
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, pc->pc_fd, NULL);
		procconn_free(kq);
		return;
	}
	pc->pc_stale = false;
	(void)procconn_filter(pc->pc_fd, pc->pc_watched, pc->pc_count, pc->pc_all > 0);
	(void)procconn_listen(pc);
}

int
procconn_attach(struct kqueue *kq, pid_t pid, unsigned scope)
{
	struct procconn *pc;
	int error = 0, news = 0;

	if (scope == 0)
		return 0;
	if (kq->kq_procconn == NULL)
		error = procconn_open(kq);
	if (error < 0)
		return error;
	pc = kq->kq_procconn;
	if ((scope & ~PROCCONN_ALL) != 0)
		news = procconn_watch(pc, pid, scope);
	if (news < 0) {
		pc->pc_stale = true;
		procconn_narrow(kq);
		return news;
	}
	if ((scope & PROCCONN_ALL) != 0)
		news |= pc->pc_all++ == 0;
	if (news > 0)
		error = procconn_filter(pc->pc_fd, pc->pc_watched, pc->pc_count, pc->pc_all > 0);
	if (news > 0 && error == 0)
		error = procconn_listen(pc);
	if (error < 0)
		procconn_detach(kq, pid, scope);
	return error < 0 ? procconn_missing(error) : 0;
}

void
procconn_detach(struct kqueue *kq, pid_t pid, unsigned scope)
{
	struct procconn *pc = kq->kq_procconn;

	if ((scope & PROCCONN_ALL) != 0)
		pc->pc_stale |= --pc->pc_all == 0;
	if ((scope & ~PROCCONN_ALL) != 0)
		procconn_unwatch(pc, pid, scope);
	if (scope != 0 && !kqueue_ending(kq))
		procconn_narrow(kq);
}

/* Reports. */

pid_t
procconn_child(const struct kqueue *kq)
{
	return kq->kq_procconn->pc_child;
}

uint32_t
procconn_status(const struct kqueue *kq)
{
	return kq->kq_procconn->pc_status;
}

/* Once each: that it is done is told twice, and what comes between counts. */
static void
procconn_told(struct procconn *pc, uint32_t slot)
{
	for (uint32_t i = 0; i < pc->pc_ntold; i++)
		if (pc->pc_told[i] == slot)
			return;
	if (pc->pc_ntold < PROCCONN_TOLD)
		pc->pc_told[pc->pc_ntold++] = slot;
}

static void
procconn_tell(struct kqueue *kq, uint32_t pid, enum procconn_hint hint)
{
	struct procconn *pc = kq->kq_procconn;
	struct knote *kn;

	for (uint32_t slot = 0; (kn = registry_next(kq, &filter_proc, pid,
	    (unsigned)-EVFILT_PROC, slot)) != NULL;) {
		slot = kn->kn_slot;
		if (hint != PROCCONN_BORN)
			procconn_told(pc, slot);
		knote_note(kq, kn, hint);
	}
}

static void
procconn_tell_fork(struct kqueue *kq, uint32_t parent, uint32_t child)
{
	kq->kq_procconn->pc_child = (pid_t)child;
	procconn_tell(kq, child, PROCCONN_BORN);
	procconn_tell(kq, parent, PROCCONN_FORK);
}

static void
procconn_take(struct kqueue *kq, const struct message *m)
{
	switch (m->pm_what) {
	case PROC_EVENT_FORK:
		procconn_tell_fork(kq, m->fork.parent, m->fork.child);
		break;
	case PROC_EVENT_EXEC:
		procconn_tell(kq, m->exec.pid, PROCCONN_EXEC);
		break;
	case PROC_EVENT_EXIT:
		kq->kq_procconn->pc_status = m->exit.status;
		procconn_tell(kq, m->exit.pid, m->exit.thread == m->exit.pid ? PROCCONN_EXIT :
		    PROCCONN_THREAD);
		break;
	}
}

/* Until there is no more. */
static void
procconn_drain(struct kqueue *kq, struct procconn *pc)
{
	int64_t now = procfs_now();
	const struct message *m;
	struct batch b;
	int n = 0;

	for (int reads = 0; reads < PROCCONN_READS; reads++) {
		n = procconn_receive(pc, &b);
		pc->pc_lost |= n == -ENOBUFS;
		if (n < 0 && n != -ENOBUFS && n != -EINTR)
			break;
		for (int i = 0; i < n; i++)
			if ((m = procconn_message(&b, i)) != NULL)
				procconn_take(kq, m);
	}
	if (n == -EAGAIN && !pc->pc_lost)
		pc->pc_since = now;
}

/* Where a process has ended meanwhile, its end belongs into the same event. */
static void
procconn_done(struct kqueue *kq, const struct procconn *pc)
{
	struct knote *kn;

	for (uint32_t i = 0; i < pc->pc_ntold; i++) {
		kn = knote_at(&kq->kq_pool, pc->pc_told[i]);
		if (kn->kn_filter == -EVFILT_PROC)
			knote_note(kq, kn, PROCCONN_DONE);
	}
}

/* A process that /proc shows: a child, perhaps, that nobody told of. */
static void
procconn_found(void *arg, const struct procfs_process *p)
{
	struct kqueue *kq = arg;

	if (p->pp_start >= kq->kq_procconn->pc_since && registry_next(kq, &filter_proc,
	    (uintptr_t)p->pp_pid, (unsigned)-EVFILT_PROC, 0) == NULL) {
		kq->kq_procconn->pc_child = p->pp_pid;
		procconn_tell(kq, (uint32_t)p->pp_parent, PROCCONN_FORK);
	}
}

/* Something was lost: as far as it left traces, they are found; the rest the filter must assume. */
static void
procconn_look_again(struct kqueue *kq, struct procconn *pc)
{
	int64_t now = procfs_now();
	uint32_t before;
	struct knote *kn;
	int looks = 0;

	/* Who is found may have children, too, which were passed by. */
	do {
		before = kq->kq_hash.kh_count;
		if (pc->pc_all > 0)
			procfs_processes(procconn_found, kq);
	} while (kq->kq_hash.kh_count > before && ++looks < PROCCONN_LOOKS);
	pc->pc_since = now;
	pc->pc_lost = false;
	for (uint32_t slot = 1; slot < kq->kq_pool.kp_used; slot++) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_filter == -EVFILT_PROC)
			knote_note(kq, kn, PROCCONN_LOST);
	}
}

void
procconn_report(struct kqueue *kq)
{
	struct procconn *pc = kq->kq_procconn;

	if (pc == NULL || pc->pc_busy)
		return;
	pc->pc_busy = true;
	pc->pc_ntold = 0;
	procconn_drain(kq, pc);
	if (pc->pc_ntold > 0) {
		procconn_done(kq, pc);
		procconn_drain(kq, pc);
		procconn_done(kq, pc);
	}
	if (pc->pc_lost)
		procconn_look_again(kq, pc);
	pc->pc_busy = false;
	procconn_narrow(kq);
}
