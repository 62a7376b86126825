/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_NETDEV, on a pair of interfaces in a network name space that each test makes. */
#include "netdev.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(netdev__up_and_down)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	no_event(kq);
	ck_assert(!readable(kq, 0));
	set(there, true);
	ck_assert(readable(kq, 10000));
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKUP);
	ck_assert_int_eq(event.data, NOTE_LINKUP);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	set(there, false);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKDOWN);
	ck_assert_int_eq(event.data, NOTE_LINKDOWN);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(netdev__a_waiter_wakes)
{
	struct waiter w;
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	waiter_start(&w, kq, -1);
	set(there, true);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, here);
	ck_assert_uint_eq(w.event.fflags, NOTE_LINKUP);
	close(kq);
}
END_TEST

/* What is switched off is down, though its carrier may be there. */
START_TEST(netdev__switched_off_is_down)
{
	uintptr_t lo = 1;
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(netdev(kq, lo, EV_ADD, ALL), 0);
	set(lo, true);
	ck_assert_uint_eq(notes_until(kq, lo, NOTE_LINKUP), NOTE_LINKUP);
	set(lo, false);
	ck_assert_uint_eq(notes_until(kq, lo, NOTE_LINKDOWN), NOTE_LINKDOWN);
	close(kq);
}
END_TEST

START_TEST(netdev__only_what_was_asked)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = queue();
	set(here, true);
	set(there, true);
	ck_assert_int_eq(netdev(kq, here, EV_ADD, NOTE_LINKUP), 0);
	ck_assert_int_eq(netdev(kq, there, EV_ADD, 0), 0);
	set(there, false);
	nap(50);
	no_event(kq);
	set(there, true);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKUP);
	no_event(kq);
	/* Other notes from now on. */
	ck_assert_int_eq(netdev(kq, here, EV_ADD, NOTE_LINKDOWN), 0);
	set(there, false);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKDOWN);
	close(kq);
}
END_TEST

/* What has happened stays to be told when what is asked for, or whether, is said again. */
START_TEST(netdev__changed_while_there_is_an_event)
{
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	set(there, true);
	ck_assert(readable(kq, 10000));
	ck_assert_int_eq(netdev(kq, here, EV_ENABLE, 0), 0);
	ck_assert_int_eq(netdev(kq, here, 0, 0), 0);
	ck_assert_int_eq(netdev(kq, here, 0, NOTE_LINKUP), 0);
	ck_assert_uint_eq(notes_until(kq, here, NOTE_LINKUP), NOTE_LINKUP);
	set(there, false);
	nap(50);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(netdev__other_interfaces_and_settings_are_no_event)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	set(here, true);
	set(there, true);
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
	set(1, true);
	ck_assert_int_eq(add_pair("a", 0, "b"), 0);
	set(if_nametoindex("a"), true);
	set(if_nametoindex("b"), true);
	set_mtu(here, 1400);
	nap(50);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

/* An interface that leaves a bridge is not gone. */
START_TEST(netdev__leaving_a_bridge_is_no_event)
{
	struct rtattr *info;
	struct request r;
	unsigned bridge;
	int kq;

	if (!begin())
		return;
	request(&r, RTM_NEWLINK, 0);
	r.header.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	add(&r, IFLA_IFNAME, "br", 3);
	info = add(&r, IFLA_LINKINFO, NULL, 0);
	add(&r, IFLA_INFO_KIND, "bridge", 7);
	end(&r, info);
	if (ask_kernel(&r.header) != 0) {
		fprintf(stderr, "skipped: this kernel has no bridges\n");
		return;
	}
	kq = queue();
	set(here, true);
	set(there, true);
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
	for (bridge = if_nametoindex("br");; bridge = 0) {
		request(&r, RTM_NEWLINK, here);
		add(&r, IFLA_MASTER, &bridge, sizeof(bridge));
		ck_assert_int_eq(ask_kernel(&r.header), 0);
		nap(20);
		no_event(kq);
		if (bridge == 0)
			break;
	}
	close(kq);
}
END_TEST

/* data is the state now, fflags what was passed through. */
START_TEST(netdev__states_since_the_last_event)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	set(there, true);
	set(there, false);
	set(there, true);
	ck_assert_uint_eq(notes_until(kq, here, NOTE_LINKUP) & NOTE_LINKUP, NOTE_LINKUP);
	while (collect(kq, &event, 1, 50) > 0)
		continue;
	/* Linux merges changes within a second: it may take that long until the last is told. */
	set(there, false);
	set(there, true);
	set(there, false);
	nap(1500);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKUP | NOTE_LINKDOWN);
	ck_assert_int_eq(event.data, NOTE_LINKDOWN);
	no_event(kq);
	close(kq);
}
END_TEST

/* As on FreeBSD: the end is told whatever was asked for. */
START_TEST(netdev__gone)
{
	struct kevent event;
	int kq, i;
	static const unsigned asked[] = { ALL, NOTE_LINKINV, NOTE_LINKUP, 0 };
	uintptr_t index;

	if (!begin())
		return;
	kq = queue();
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(add_pair("a", 0, "b"), 0);
		index = if_nametoindex("a");
		ck_assert_int_eq(netdev(kq, index, EV_ADD, asked[i]), 0);
		delete(index);
		event = event_of(kq, index, EVFILT_NETDEV);
		ck_assert_uint_eq(event.fflags, asked[i] & NOTE_LINKINV);
		ck_assert_int_eq(event.data, NOTE_LINKINV);
		ck_assert_uint_eq(event.flags, EV_CLEAR | EV_EOF | EV_ONESHOT);
		ck_assert_int_eq(netdev(kq, index, EV_DELETE, 0), ENOENT);
		ck_assert_int_eq(netdev(kq, index, EV_ADD, ALL), ENXIO);
	}
	no_event(kq);
	close(kq);
}
END_TEST

/* A new interface of the same index is not what was registered. */
START_TEST(netdev__gone_and_come_again)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(netdev(kq, here, EV_ADD, NOTE_LINKUP), 0);
	delete(here);
	ck_assert_int_eq(add_pair("here", here, "there"), 0);
	there = if_nametoindex("there");
	set(here, true);
	set(there, true);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, NOTE_LINKINV);
	ck_assert_uint_eq(event.flags & (EV_EOF | EV_ONESHOT), EV_EOF | EV_ONESHOT);
	no_event(kq);
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
	no_event(kq);
	set(there, false);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKDOWN);
	close(kq);
}
END_TEST

START_TEST(netdev__disabled)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = queue();
	set(here, true);
	ck_assert_int_eq(netdev(kq, here, EV_ADD | EV_DISABLE, ALL), 0);
	set(there, true);
	ck_assert(!readable(kq, 100));
	no_event(kq);
	ck_assert_int_eq(netdev(kq, here, EV_ENABLE, 0), 0);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKUP);
	ck_assert_int_eq(netdev(kq, here, EV_DISABLE, 0), 0);
	set(there, false);
	ck_assert(!readable(kq, 100));
	ck_assert_int_eq(netdev(kq, here, EV_ENABLE, 0), 0);
	ck_assert(readable(kq, 10000));
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKDOWN);
	close(kq);
}
END_TEST

/* Several registrations, and one that comes later, know what happened in their time. */
START_TEST(netdev__each_registration_by_itself)
{
	struct kevent events[4], kev;
	int kq, marks[2], n;

	if (!begin())
		return;
	kq = queue();
	set(here, true);
	EV_SET(&kev, here, EVFILT_NETDEV, EV_ADD | EV_UDATA_SPECIFIC, ALL, 0, &marks[0]);
	ck_assert_int_eq(kevent(kq, &kev, 1, NULL, 0, NULL), 0);
	set(there, true);
	set(there, false);
	set(there, true);
	nap(1500);	/* as above: all of it is told by then */
	EV_SET(&kev, here, EVFILT_NETDEV, EV_ADD | EV_UDATA_SPECIFIC | EV_ONESHOT, ALL, 0, &marks[1]);
	ck_assert_int_eq(kevent(kq, &kev, 1, NULL, 0, NULL), 0);
	n = collect(kq, events, 4, 1000);
	ck_assert_int_eq(n, 1);
	ck_assert_ptr_eq(events[0].udata, &marks[0]);
	ck_assert_uint_eq(events[0].fflags & NOTE_LINKUP, NOTE_LINKUP);
	set(there, false);
	nap(1500);	/* the same */
	n = collect(kq, events, 4, 1000);
	ck_assert_int_eq(n, 2);
	set(there, true);
	event_of(kq, here, EVFILT_NETDEV);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(netdev__no_such_interface)
{
	int kq = queue();

	ck_assert_int_eq(netdev(kq, 0, EV_ADD, ALL), ENXIO);
	ck_assert_int_eq(netdev(kq, 0x7ffffff0, EV_ADD, ALL), ENXIO);
	ck_assert_int_eq(netdev(kq, UINTPTR_MAX, EV_ADD, ALL), ENXIO);
	ck_assert_int_eq(netdev(kq, 1, EV_DELETE, 0), ENOENT);
	close(kq);
}
END_TEST

/* More than the socket holds, while nobody looks: the state is right all the same. */
START_TEST(netdev__more_than_can_be_queued)
{
	struct kevent event;
	uintptr_t other;
	int kq, i;

	if (!begin())
		return;
	kq = queue();
	set(here, true);
	set(there, true);
	ck_assert_int_eq(add_pair("a", 0, "b"), 0);
	other = if_nametoindex("b");
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
	ck_assert_int_eq(netdev(kq, there, EV_ADD | EV_DISABLE, ALL), 0);
	ck_assert_int_eq(netdev(kq, other, EV_ADD, NOTE_LINKUP), 0);
	for (i = 0; i < 2000; i++)
		set_mtu(if_nametoindex("a"), 1000 + (unsigned)i % 100);
	delete(other);
	set(there, false);
	nap(50);
	ck_assert_uint_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(collect(kq, &event, 1, 10000), 1);
		if (event.ident == here) {
			ck_assert_uint_eq(event.fflags, NOTE_LINKDOWN);
			ck_assert_int_eq(event.data, NOTE_LINKDOWN);
		} else {
			ck_assert_uint_eq(event.ident, other);
			ck_assert_uint_eq(event.flags & EV_EOF, EV_EOF);
		}
	}
	no_event(kq);
	ck_assert(!readable(kq, 0));
	set(there, true);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_uint_eq(event.fflags, NOTE_LINKUP);
	close(kq);
}
END_TEST

HARNESS_MAIN("netdev",
    netdev__up_and_down,
    netdev__a_waiter_wakes,
    netdev__switched_off_is_down,
    netdev__only_what_was_asked,
    netdev__changed_while_there_is_an_event,
    netdev__other_interfaces_and_settings_are_no_event,
    netdev__leaving_a_bridge_is_no_event,
    netdev__states_since_the_last_event,
    netdev__gone,
    netdev__gone_and_come_again,
    netdev__disabled,
    netdev__each_registration_by_itself,
    netdev__no_such_interface,
    netdev__more_than_can_be_queued)
