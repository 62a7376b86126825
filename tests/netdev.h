/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations of EVFILT_NETDEV, and interfaces in a network name space of the test's own. */
#ifndef KQ_TESTS_NETDEV_H
#define KQ_TESTS_NETDEV_H

#include "harness.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL	(NOTE_LINKUP | NOTE_LINKDOWN | NOTE_LINKINV)

/* A connection, by the way, needs both ends up: "here" has its carrier from "there". */
static uintptr_t here, there;

static inline int
netdev(int kq, uintptr_t ident, unsigned flags, unsigned fflags)
{
	return change(kq, ident, EVFILT_NETDEV, (unsigned short)flags, fflags, 0, NULL);
}

/* What the kernel answers to a message: 0 or an errno. */
static inline int
ask_kernel(struct nlmsghdr *message)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct { struct nlmsghdr header; struct nlmsgerr error; char rest[512]; } answer;

	ck_assert_int_ge(fd, 0);
	message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	ck_assert_int_eq(send(fd, message, message->nlmsg_len, 0), message->nlmsg_len);
	memset(&answer, 0, sizeof(answer));
	ck_assert_int_gt(recv(fd, &answer, sizeof(answer), 0), 0);
	close(fd);
	ck_assert_int_eq(answer.header.nlmsg_type, NLMSG_ERROR);
	return -answer.error.error;
}

struct request {
	struct nlmsghdr	header;
	struct ifinfomsg info;
	char		attributes[256];
};

static inline struct rtattr *
add(struct request *r, unsigned short type, const void *data, size_t size)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)r + r->header.nlmsg_len);

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(size);
	if (size > 0)
		memcpy(RTA_DATA(a), data, size);
	r->header.nlmsg_len += RTA_ALIGN(a->rta_len);
	return a;
}

static inline void
end(const struct request *r, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((const char *)r + r->header.nlmsg_len - (char *)nest);
}

static inline void
request(struct request *r, unsigned short type, uintptr_t index)
{
	memset(r, 0, sizeof(*r));
	r->header.nlmsg_type = type;
	r->header.nlmsg_len = NLMSG_LENGTH(sizeof(r->info));
	r->info.ifi_index = (int)index;
}

/* ip link add NAME [index INDEX] type veth peer name PEER */
static inline int
add_pair(const char *name, uintptr_t index, const char *peer)
{
	struct rtattr *info, *data, *other;
	struct request r;

	request(&r, RTM_NEWLINK, index);
	r.header.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	add(&r, IFLA_IFNAME, name, strlen(name) + 1);
	info = add(&r, IFLA_LINKINFO, NULL, 0);
	add(&r, IFLA_INFO_KIND, "veth", 5);
	data = add(&r, IFLA_INFO_DATA, NULL, 0);
	other = add(&r, VETH_INFO_PEER, NULL, 0);
	r.header.nlmsg_len += (unsigned)sizeof(r.info);
	add(&r, IFLA_IFNAME, peer, strlen(peer) + 1);
	end(&r, other);
	end(&r, data);
	end(&r, info);
	return ask_kernel(&r.header);
}

/* ip link del */
static inline void
delete(uintptr_t index)
{
	struct request r;

	request(&r, RTM_DELLINK, index);
	ck_assert_int_eq(ask_kernel(&r.header), 0);
}

/* ip link set mtu */
static inline void
set_mtu(uintptr_t index, unsigned mtu)
{
	struct request r;

	request(&r, RTM_NEWLINK, index);
	add(&r, IFLA_MTU, &mtu, sizeof(mtu));
	ck_assert_int_eq(ask_kernel(&r.header), 0);
}

/* ip link set up or down */
static inline void
set(uintptr_t index, bool up)
{
	struct request r;

	request(&r, RTM_NEWLINK, index);
	r.info.ifi_flags = up ? IFF_UP : 0;
	r.info.ifi_change = IFF_UP;
	ck_assert_int_eq(ask_kernel(&r.header), 0);
}

static inline bool
enter_namespace(void)
{
	if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		return true;
	fprintf(stderr, "skipped: no network name space: it takes root or a user name space\n");
	return false;
}

/* A name space with two interfaces, neither up; false: this cannot be tested. */
static inline bool
begin(void)
{
	int error;

	if (!enter_namespace())
		return false;
	error = add_pair("here", 0, "there");
	if (error == EOPNOTSUPP || error == EPERM) {
		fprintf(stderr, "skipped: this kernel has no veth\n");
		return false;
	}
	ck_assert_int_eq(error, 0);
	here = if_nametoindex("here");
	there = if_nametoindex("there");
	ck_assert_uint_ne(here, 0);
	ck_assert_uint_ne(there, 0);
	return true;
}

/* A queue that watches one of them, which is up, though its carrier is not there. */
static inline int
watch_here(void)
{
	int kq = queue();

	set(here, true);
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
	return kq;
}

/* The events of one interface until its state is now: all its notes. */
static inline unsigned
notes_until(int kq, uintptr_t index, int64_t now)
{
	struct kevent event;
	unsigned notes = 0;

	do {
		event = event_of(kq, index, EVFILT_NETDEV);
		ck_assert_uint_eq(event.flags & ~(EV_EOF | EV_ONESHOT), EV_CLEAR);
		notes |= event.fflags;
	} while (event.data != now);
	return notes;
}

#endif
