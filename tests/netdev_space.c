/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_NETDEV: name spaces, other processes and users, and the library's own descriptors. */
#include "child.h"
#include "netdev.h"
#include "numbers.h"
#include "sandbox.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What goes away goes from this name space. */
START_TEST(netdev_space__moved_to_another_name_space)
{
	struct kevent event;
	struct request r;
	int kq, go[2], pid;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
	pair(PAIR_UNIX, go);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) == -1)
			_exit(1);
		put(go[1], 1);
		get(go[1], 1);
		_exit(0);
	}
	get(go[0], 1);
	request(&r, RTM_NEWLINK, here);
	add(&r, IFLA_NET_NS_PID, &pid, sizeof(pid));
	ck_assert_int_eq(ask_kernel(&r.header), 0);
	event = event_of(kq, here, EVFILT_NETDEV);
	ck_assert_int_eq(event.data, NOTE_LINKINV);
	ck_assert_uint_eq(event.flags & EV_EOF, EV_EOF);
	put(go[0], 1);
	waitpid(pid, NULL, 0);
	close_pair(go);
	close(kq);
}
END_TEST

/* A queue stays in the name space where it began, until its last registration goes. */
START_TEST(netdev_space__name_space_of_the_first)
{
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	ck_assert_int_eq(netdev(kq, there, EV_ADD, ALL), 0);
	ck_assert_int_eq(netdev(kq, here, EV_DELETE, 0), 0);
	ck_assert_int_eq(netdev(kq, there, EV_DELETE, 0), 0);
	ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), ENXIO);
	ck_assert_int_eq(netdev(kq, 1, EV_ADD, ALL), 0);
	set(1, true);
	ck_assert_uint_eq(notes_until(kq, 1, NOTE_LINKUP), NOTE_LINKUP);
	close(kq);
}
END_TEST

/* Others may send to a netlink socket, but they are not the kernel. */
START_TEST(netdev_space__only_the_kernel_is_heard)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct request r;
	int kq, fd;

	if (!begin())
		return;
	kq = watch_here();
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ck_assert_int_ge(fd, 0);
	request(&r, RTM_DELLINK, here);
	/* The first socket of a process has its number as its address. */
	to.nl_pid = (unsigned)getpid();
	ck_assert_int_eq(sendto(fd, &r, r.header.nlmsg_len, 0, (struct sockaddr *)&to,
	    sizeof(to)), r.header.nlmsg_len);
	close(fd);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(netdev_space__moved_descriptors)
{
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	take_numbers(true);
	set(there, true);
	ck_assert_uint_eq(notes_until(kq, here, NOTE_LINKUP), NOTE_LINKUP);
	/* Disabled, an event may show once, but not stay. */
	ck_assert_int_eq(netdev(kq, here, EV_DISABLE, 0), 0);
	set(there, false);
	nap(50);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(netdev(kq, here, EV_ENABLE, 0), 0);
	ck_assert_uint_eq(notes_until(kq, here, NOTE_LINKDOWN), NOTE_LINKDOWN);
	take_numbers(false);
	close(kq);
}
END_TEST

static void
child_knows_nothing(int kq)
{
	int own;

	if (change(kq, here, EVFILT_NETDEV, EV_ADD, ALL, 0, NULL) != EBADF)
		_exit(1);
	own = kqueue();
	if (own == -1 || change(own, here, EVFILT_NETDEV, EV_ADD, ALL, 0, NULL) != 0)
		_exit(2);
	close(own);
	_exit(0);
}

START_TEST(netdev_space__forked_child)
{
	int kq, status;
	pid_t pid;

	if (!begin())
		return;
	kq = watch_here();
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		child_knows_nothing(kq);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	set(there, true);
	ck_assert_uint_eq(notes_until(kq, here, NOTE_LINKUP), NOTE_LINKUP);
	close(kq);
}
END_TEST

/* The last registration has gone; the socket has not, for a child has it, too. */
START_TEST(netdev_space__child_keeps_a_copy)
{
	pid_t pid;
	int kq;

	if (!begin())
		return;
	kq = watch_here();
	pid = child_with_copies();
	ck_assert_int_eq(netdev(kq, here, EV_DELETE, 0), 0);
	set(there, true);
	asleep(kq, 50);
	ck_assert(!readable(kq, 0));
	child_killed(pid);
	close(kq);
}
END_TEST

START_TEST(netdev_space__ordinary_user)
{
	int kq, status, go[2];
	pid_t pid;

	if (!begin() || getuid() != 0)
		return;		/* then every other test was one */
	set(here, true);
	pair(PAIR_UNIX, go);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (!become_nobody())
			_exit(1);
		kq = queue();
		ck_assert_int_eq(netdev(kq, here, EV_ADD, ALL), 0);
		put(go[1], 1);
		ck_assert_uint_eq(notes_until(kq, here, NOTE_LINKUP), NOTE_LINKUP);
		_exit(0);
	}
	get(go[0], 1);
	set(there, true);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close_pair(go);
}
END_TEST

HARNESS_MAIN("netdev_space",
    netdev_space__moved_to_another_name_space,
    netdev_space__name_space_of_the_first,
    netdev_space__only_the_kernel_is_heard,
    netdev_space__moved_descriptors,
    netdev_space__forked_child,
    netdev_space__child_keeps_a_copy,
    netdev_space__ordinary_user)
