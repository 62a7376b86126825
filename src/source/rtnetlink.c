/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtnetlink(7), and its traps:
 *
 * Any process may send to a netlink socket: only port 0, the kernel, is heard.
 *
 * A message with another family than AF_UNSPEC is not about the interface: one
 * that leaves a bridge gets an RTM_DELLINK of AF_BRIDGE.
 *
 * What comes while the socket is full is lost (ENOBUFS).  Then the kernel is
 * asked for every interface's state, which it answers as if it had changed.  The
 * question goes through the same socket, which stays in the name space it was
 * made in.
 *
 * The kernel merges what follows closely.  It counts, though, how often an
 * interface got and lost its carrier.
 */
#include "rtnetlink.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"

#include <errno.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RTNETLINK_TAG		SOURCE_TAG(SOURCE_RTNETLINK, 0)
#define RTNETLINK_BUFFER	8192	/* what is beyond is of no interest */
#define RTNETLINK_READS		4096	/* in one report; the rest is reported again */
#define RTNETLINK_ROUNDS	4	/* of asking, while answers are lost, too */

struct rtnetlink {
	_Atomic int	r_fd;
	bool		r_watched;
	bool		r_lost;		/* messages were: every interface is to be asked for */
	bool		r_answered;	/* the question r_seq was */
	int		r_error;	/* by this, or 0 */
	uint32_t	r_seq;
	uint32_t	r_port;		/* our own address */
	uint32_t	r_knotes;	/* the first knote's slot, chained by kn_aux */
};

/* What a message says of an interface. */
struct link {
	int		l_index;
	uint32_t	l_state;	/* RTNETLINK_... */
	bool		l_on;		/* switched on, whether it is up or not */
	bool		l_counted;	/* the counts are known */
	uint32_t	l_ups;		/* how often its carrier came */
	uint32_t	l_downs;	/* and went */
};

/*
 * A knote's record, in kn_sdata: the state it was last told, and the lower bits
 * of the counts.
 */
#define RECORD_COUNT		0x3fffffffu
#define RECORD_STATE(record)	((uint32_t)(record) & 0xf)
#define RECORD_UPS(record)	((uint32_t)((record) >> 4) & RECORD_COUNT)
#define RECORD_DOWNS(record)	((uint32_t)((record) >> 34) & RECORD_COUNT)

static uint64_t
record_make(uint32_t state, uint32_t ups, uint32_t downs)
{
	return (uint64_t)(downs & RECORD_COUNT) << 34 | (uint64_t)(ups & RECORD_COUNT) << 4 | state;
}

/* Telling. */

/* The states that were passed through, the last one of which is told. */
static uint32_t
link_passed(const struct link *l, uint64_t record)
{
	const uint32_t both = RTNETLINK_UP | RTNETLINK_DOWN;
	uint32_t before = RECORD_STATE(record);
	uint32_t ups = (l->l_ups - RECORD_UPS(record)) & RECORD_COUNT;
	uint32_t downs = (l->l_downs - RECORD_DOWNS(record)) & RECORD_COUNT;
	uint32_t direct = l->l_state == before ? 0 : l->l_state;

	if (!l->l_counted || (before & both) == 0)
		return direct;
	if (l->l_state == RTNETLINK_UP)
		return (before == RTNETLINK_UP ? downs > 0 : ups > 1) ? both : direct;
	/* The carrier of what is switched off is not looked at. */
	if (l->l_state == RTNETLINK_DOWN && l->l_on)
		return ups > 0 ? both : direct;
	return direct;
}

static void
link_tell(struct kqueue *kq, struct knote *kn, const struct link *l)
{
	uint64_t record = (uint64_t)kn->kn_sdata;
	uint32_t passed = link_passed(l, record);
	uint32_t ups = l->l_counted ? l->l_ups : RECORD_UPS(record);
	uint32_t downs = l->l_counted ? l->l_downs : RECORD_DOWNS(record);

	kn->kn_sdata = (int64_t)record_make(l->l_state, ups, downs);
	if (passed != 0)
		knote_note(kq, kn, passed | l->l_state << 8);
}

static bool
link_gone(const struct knote *kn)
{
	return RECORD_STATE((uint64_t)kn->kn_sdata) == RTNETLINK_GONE;
}

/* A knote that is being made has no state, and is told nothing. */
static void
link_tell_all(struct kqueue *kq, const struct rtnetlink *r, const struct link *l)
{
	struct knote *kn;

	for (uint32_t slot = r->r_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_ident != (uintptr_t)l->l_index || link_gone(kn))
			continue;
		if (kn->kn_sdata != 0)
			link_tell(kq, kn, l);
		else
			kn->kn_sdata = (int64_t)record_make(l->l_state, l->l_ups, l->l_downs);
	}
}

/* Messages. */

/* The macros of the kernel's headers take const away. */
static const void *
after(const void *header, size_t size)
{
	return (const char *)header + size;
}

static void
link_attribute(struct link *l, const struct rtattr *a)
{
	uint32_t count = 0;
	const unsigned char *data = after(a, RTA_LENGTH(0));
	size_t size = RTA_PAYLOAD(a);

	if (a->rta_type == IFLA_OPERSTATE && size >= 1) {
		if (*data == IF_OPER_NOTPRESENT)
			l->l_state = RTNETLINK_UNKNOWN;
		return;
	}
	if (size < sizeof(count))
		return;
	memcpy(&count, data, sizeof(count));
	if (a->rta_type == IFLA_CARRIER_UP_COUNT) {
		l->l_ups = count;
	} else if (a->rta_type == IFLA_CARRIER_DOWN_COUNT) {
		l->l_downs = count;
		l->l_counted = true;	/* it follows the other */
	}
}

/* What an interface's message says, of which length bytes are here; false: it is of something else. */
static bool
link_parse(struct link *l, const struct nlmsghdr *h, size_t length)
{
	const struct ifinfomsg *info = after(h, NLMSG_HDRLEN);
	const struct rtattr *a;
	size_t at;

	if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) ||
	    length < NLMSG_LENGTH(sizeof(*info)) || info->ifi_family != AF_UNSPEC)
		return false;
	*l = (struct link){ .l_index = info->ifi_index };
	l->l_on = (info->ifi_flags & IFF_UP) != 0;
	l->l_state = (info->ifi_flags & IFF_LOWER_UP) != 0 ? RTNETLINK_UP : RTNETLINK_DOWN;
	for (at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(*info))); at + sizeof(*a) <= length;
	    at += RTA_ALIGN(a->rta_len)) {
		a = after(h, at);
		if (a->rta_len < sizeof(*a) || a->rta_len > length - at)
			break;
		link_attribute(l, a);
	}
	if (h->nlmsg_type == RTM_DELLINK)
		l->l_state = RTNETLINK_GONE;
	return true;
}

static void
rtnetlink_message(struct kqueue *kq, struct rtnetlink *r, const struct nlmsghdr *h, size_t length)
{
	struct nlmsgerr answer;
	struct link l;

	if (h->nlmsg_pid == r->r_port && h->nlmsg_seq == r->r_seq) {
		r->r_answered = true;
		if (h->nlmsg_type == NLMSG_ERROR && length >= NLMSG_LENGTH(sizeof(answer))) {
			memcpy(&answer, after(h, NLMSG_HDRLEN), sizeof(answer));
			r->r_error = answer.error;
		}
	}
	if (link_parse(&l, h, length))
		link_tell_all(kq, r, &l);
}

/* Reads what the socket has.  recvfrom() would be a cancellation point. */
static void
rtnetlink_read(struct kqueue *kq, struct rtnetlink *r)
{
	_Alignas(struct nlmsghdr) char buffer[RTNETLINK_BUFFER];
	const struct nlmsghdr *h;
	struct sockaddr_nl from;
	socklen_t size;
	size_t length;
	long n;

	for (int reads = 0; reads < RTNETLINK_READS; reads++) {
		size = sizeof(from);
		n = syscall(SYS_recvfrom, r->r_fd, buffer, sizeof(buffer),
		    MSG_DONTWAIT, &from, &size);
		if (n == -1 && errno == ENOBUFS)
			r->r_lost = true;
		else if (n == -1 && errno != EINTR)
			return;
		if (n <= 0 || size < sizeof(from) || from.nl_pid != 0)
			continue;
		for (char *at = buffer; n >= (long)sizeof(*h); at += length, n -= (long)length) {
			h = (const struct nlmsghdr *)(const void *)at;
			length = h->nlmsg_len < (size_t)n ? h->nlmsg_len : (size_t)n;
			if (length < sizeof(*h))
				break;
			rtnetlink_message(kq, r, h, length);
			length = NLMSG_ALIGN(length) < (size_t)n ? NLMSG_ALIGN(length) : (size_t)n;
		}
	}
}

/* Asks for an interface's state, and tells of it: 0 or -errno (EAGAIN: the answer was lost). */
static int
rtnetlink_ask(struct kqueue *kq, struct rtnetlink *r, int index)
{
	struct {
		struct nlmsghdr	header;
		struct ifinfomsg info;
	} question = {
		.header = {
			.nlmsg_len = sizeof(question),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = ++r->r_seq,
		},
		.info = { .ifi_index = index },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	r->r_answered = false;
	r->r_error = 0;
	if (syscall(SYS_sendto, r->r_fd, &question, sizeof(question), MSG_DONTWAIT,
	    &kernel, sizeof(kernel)) == -1)
		return -errno;
	/* The answer is there when the question is sent. */
	rtnetlink_read(kq, r);
	return r->r_answered ? r->r_error : -EAGAIN;
}

/* Messages were lost: looks at every interface. */
static void
rtnetlink_ask_all(struct kqueue *kq, struct rtnetlink *r)
{
	struct link l = { .l_state = RTNETLINK_GONE };
	struct knote *kn;
	int error;

	r->r_lost = false;
	for (uint32_t slot = r->r_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		if (link_gone(kn))
			continue;
		l.l_index = (int)kn->kn_ident;
		error = rtnetlink_ask(kq, r, l.l_index);
		if (error == -ENODEV)
			link_tell_all(kq, r, &l);
		else if (error < 0)
			r->r_lost = true;
	}
}

void
rtnetlink_report(struct kqueue *kq)
{
	struct rtnetlink *r = kq->kq_rtnetlink;
	int saved = errno;

	if (r == NULL)
		return;
	rtnetlink_read(kq, r);
	for (int rounds = 0; r->r_lost && rounds < RTNETLINK_ROUNDS; rounds++)
		rtnetlink_ask_all(kq, r);
	errno = saved;
}

/* Opening and closing. */

static int
rtnetlink_error(void)
{
	switch (errno) {
	case EMFILE:
	case ENFILE:
		return -errno;
	case ENOMEM:
	case ENOBUFS:
		return -ENOMEM;
	default:
		return -ENOTSUP;
	}
}

/* An ordinary user may do this. */
static int
rtnetlink_open(struct rtnetlink *r)
{
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	socklen_t size = sizeof(own);
	int error;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd == -1)
		return rtnetlink_error();
	if (bind(fd, (struct sockaddr *)&own, size) == -1 ||
	    getsockname(fd, (struct sockaddr *)&own, &size) == -1) {
		error = rtnetlink_error();
		hidden_close(fd);
		return error;
	}
	r->r_port = own.nl_pid;
	return hidden_move(fd, &r->r_fd);
}

void
rtnetlink_free(struct kqueue *kq)
{
	struct rtnetlink *r = kq->kq_rtnetlink;

	if (r == NULL)
		return;
	hidden_free(&r->r_fd);
	mem_free(r);
	kq->kq_rtnetlink = NULL;
}

static int
rtnetlink_get(struct kqueue *kq)
{
	struct rtnetlink *r = kq->kq_rtnetlink;
	int error, saved = errno;

	if (r != NULL)
		return 0;
	r = kq->kq_rtnetlink = mem_alloc(sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->r_fd = -1;
	error = rtnetlink_open(r);
	if (error < 0)
		rtnetlink_free(kq);
	errno = saved;
	return error;
}

int
rtnetlink_watch(struct kqueue *kq)
{
	struct rtnetlink *r = kq->kq_rtnetlink;
	int error, saved = errno;

	if (r->r_watched)
		return 0;
	error = kqueue_source_add(kq, r->r_fd, EPOLLIN, RTNETLINK_TAG);
	errno = saved;
	if (error < 0 && error != -EEXIST)
		return error;
	r->r_watched = true;
	return 0;
}

/*
 * Events of an item cannot be set to none: epoll always tells POLLERR, which is ENOBUFS.
 * Nor would closing do: a child may have the socket, too, and the item would stay.
 */
void
rtnetlink_unwatch(struct kqueue *kq)
{
	struct rtnetlink *r = kq->kq_rtnetlink;
	const struct knote *kn;
	int saved = errno;

	for (uint32_t slot = r->r_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		if ((kn->kn_status & KN_DISABLED) == 0)
			return;
	}
	if (r->r_watched)
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, r->r_fd, NULL);
	r->r_watched = false;
	errno = saved;
}

/* The state that the knote, which is in the chain, begins with. */
static int
rtnetlink_begin(struct kqueue *kq, struct knote *kn)
{
	int error = -EAGAIN, saved = errno;

	for (int rounds = 0; error == -EAGAIN && rounds < RTNETLINK_ROUNDS; rounds++)
		error = rtnetlink_ask(kq, kq->kq_rtnetlink, (int)kn->kn_ident);
	errno = saved;
	if (error == -ENODEV || (error == 0 && (kn->kn_sdata == 0 || link_gone(kn))))
		return -ENXIO;
	if (error == -EAGAIN || error == -ENOBUFS)
		error = -ENOMEM;
	return error == 0 || error == -ENOMEM ? error : -ENOTSUP;
}

int
rtnetlink_attach(struct kqueue *kq, struct knote *kn)
{
	int error;

	if (kn->kn_ident == 0 || kn->kn_ident > INT_MAX)
		return -ENXIO;
	error = rtnetlink_get(kq);
	if (error < 0)
		return error;
	/* What has happened is the others'. */
	rtnetlink_report(kq);
	kn->kn_sdata = 0;
	kn->kn_aux = kq->kq_rtnetlink->r_knotes;
	kq->kq_rtnetlink->r_knotes = kn->kn_slot;
	error = rtnetlink_begin(kq, kn);
	if (error == 0 && (kn->kn_status & KN_DISABLED) == 0)
		error = rtnetlink_watch(kq);
	if (error < 0) {
		knote_deactivate(kq, kn);
		rtnetlink_detach(kq, kn);
	}
	return error;
}

void
rtnetlink_detach(struct kqueue *kq, struct knote *kn)
{
	struct rtnetlink *r = kq->kq_rtnetlink;
	uint32_t *link = &r->r_knotes;

	if (kqueue_ending(kq))
		return;
	while (*link != kn->kn_slot)
		link = &knote_at(&kq->kq_pool, *link)->kn_aux;
	*link = kn->kn_aux;
	rtnetlink_unwatch(kq);
	if (r->r_knotes == 0)
		rtnetlink_free(kq);
}
