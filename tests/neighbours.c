/* SPDX-License-Identifier: BSD-2-Clause */
/* Peers and processes that mean harm: who floods, resets or hangs up halfway stalls nobody, and a name is a name. */
#include "child.h"
#include "proc.h"
#include "vnode.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BAD = 12, HONEST = 4 };

/* Peers of which each does what it should not, none of which the program answers. */
static void
make_bad(int bad[BAD][2])
{
	const struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	for (int i = 0; i < BAD; i++) {
		pair(i % 2 == 0 ? PAIR_TCP : PAIR_UNIX, bad[i]);
		if (i % 4 < 2) {
			fill(bad[i][1]);
		} else if (i % 8 < 4) {
			ck_assert_int_eq(shutdown(bad[i][1], SHUT_WR), 0);
		} else {
			put(bad[i][1], 1);
			ck_assert_int_eq(setsockopt(bad[i][1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
			ck_assert_int_eq(close(bad[i][1]), 0);
			bad[i][1] = -1;
		}
	}
}

static void
watch_bad(int kq, int bad[BAD][2])
{
	for (int i = 0; i < BAD; i++) {
		const uintptr_t fd = (uintptr_t)bad[i][0];

		ck_assert_int_eq(change(kq, fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, fd, EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL), 0);
	}
}

/* One more of everything that is to be served all the same. */
static void
stir(const int honest[HONEST][2], int kq)
{
	for (int i = 0; i < HONEST; i++)
		pass(honest[i][1], honest[i][0], 1);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, 0, NULL), 0);
	ck_assert_int_eq(raise(SIGUSR1), 0);
}

/* How many of those an event is: the honest peers' bytes are read. */
static int
serve(const struct kevent *event, const int honest[HONEST][2])
{
	if (event->filter == EVFILT_USER || event->filter == EVFILT_TIMER || event->filter == EVFILT_SIGNAL)
		return 1;
	for (int i = 0; i < HONEST; i++)
		if (event->ident == (uintptr_t)honest[i][0]) {
			get(honest[i][0], 1);
			return 1;
		}
	return 0;
}

static void
check_served(int room)
{
	int bad[BAD][2], honest[HONEST][2], kq = queue();
	struct kevent events[8];

	signal(SIGUSR1, SIG_IGN);
	make_bad(bad);
	watch_bad(kq, bad);
	for (int i = 0; i < HONEST; i++) {
		pair(i % 2 == 0 ? PAIR_TCP : PAIR_UNIX, honest[i]);
		ck_assert_int_eq(change(kq, (uintptr_t)honest[i][0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	}
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	for (int round = 0; round < 20; round++) {
		int due = HONEST + 3, calls = 4 * ((3 * BAD + due) / room + 1);

		stir(honest, kq);
		for (; due > 0 && calls > 0; calls--) {
			int n = collect(kq, events, room, 10000);

			for (int i = 0; i < n; i++)
				due -= serve(&events[i], honest);
		}
		ck_assert_msg(due == 0, "with room for %d, %d were stalled in round %d", room, due, round);
	}
	for (int i = 0; i < BAD; i++) {
		close(bad[i][0]);
		if (bad[i][1] != -1)
			close(bad[i][1]);
	}
	for (int i = 0; i < HONEST; i++)
		close_pair(honest[i]);
	close(kq);
}

START_TEST(neighbours__flood_reset_and_half_close_stall_nobody)
{
	static const int rooms[] = { 1, 2, 8 };

	for (int i = 0; i < 3; i++)
		check_served(rooms[i]);
}
END_TEST

/* A peer that writes for ever, faster than it is read. */
static pid_t
flooder(const int flood[2])
{
	static char much[65536];
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		close(flood[0]);
		while (write(flood[1], much, sizeof(much)) > 0)
			continue;
		_exit(0);
	}
	return pid;
}

START_TEST(neighbours__endless_flood_stalls_nobody)
{
	const int limit = 4;	/* calls, of which each has room for one event; two will do */
	int flood[2], honest[2], kq = queue(), calls;
	struct kevent event;
	char bytes[4096];
	pid_t pid;

	pair(PAIR_TCP, flood);
	pair(PAIR_TCP, honest);
	pid = flooder(flood);
	ck_assert_int_eq(change(kq, (uintptr_t)flood[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)flood[0], EVFILT_READ);
	ck_assert_int_eq(change(kq, (uintptr_t)honest[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	for (int round = 0; round < 1000; round++) {
		pass(honest[1], honest[0], 1);
		for (calls = 1; calls <= limit; calls++) {
			ck_assert_int_eq(collect(kq, &event, 1, 10000), 1);
			if (event.ident == (uintptr_t)honest[0])
				break;
			ck_assert_int_gt(read(flood[0], bytes, sizeof(bytes)), 0);
		}
		ck_assert_msg(calls <= limit, "stalled in round %d", round);
		get(honest[0], 1);
	}
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	reap(pid);
	close_pair(flood);
	close_pair(honest);
	close(kq);
}
END_TEST

/* Of these, some look like the rest of what /proc says of a process, and some like more than one line. */
static const char *const names[] = {
	") Z 1 1 1 0 0 0 0", "(((((((", "))))) 1 1 1 1 1", "a\nPid:\t1\n", "1 (x) R 1", "\377\376 %s%n", "",
};

/* A stranger's status is read from there on some kernels: each has such a name, and so has who asks. */
static void
check_name(const char *name)
{
	int go[2], told[2], kq;
	pid_t parent, pid;

	pair(PAIR_UNIX, go);
	pair(PAIR_UNIX, told);
	parent = fork();
	if (parent == 0) {
		if ((pid = fork()) == 0) {
			prctl(PR_SET_NAME, name);
			pid = getpid();
			put(told[0], 1);
			get(go[0], 1);
			_exit(7);
		}
		get(told[1], 1);
		CHILD_CHECK(write(told[1], &pid, sizeof(pid)) == sizeof(pid));
		get(told[1], 1);
		_exit(reap(pid) == 7 << 8 ? 0 : 1);
	}
	ck_assert_int_eq(recv(told[0], &pid, sizeof(pid), MSG_WAITALL), sizeof(pid));
	kq = queue();
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), 0);
	no_event(kq);
	put(go[1], 1);
	told_end(kq, pid, 7 << 8);
	put(told[0], 1);
	ck_assert_int_eq(reap(parent), 0);
	close(kq);
	close_pair(go);
	close_pair(told);
}

START_TEST(neighbours__name_of_a_process_is_only_a_name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_name(names[i]);
}
END_TEST

/* As the kernel's messages are laid out. */
struct forged {
	struct nlmsghdr	header;
	struct cb_id	connector;	/* struct cn_msg, without its data */
	uint32_t	sequence, acknowledged;
	uint16_t	size, flags;
	struct proc_event event;
} __attribute__((packed, aligned(4)));

/* Sends what would be news of this process, if it came from the kernel. */
static void
forge(unsigned what, pid_t pid)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct forged f;
	int fd;

	memset(&f, 0, sizeof(f));
	f.header.nlmsg_len = sizeof(f);
	f.header.nlmsg_type = NLMSG_DONE;
	f.connector = (struct cb_id){ CN_IDX_PROC, CN_VAL_PROC };
	f.size = sizeof(f.event);
	f.event.what = what;
	/* Parent and child, or who ended and how. */
	f.event.event_data.fork.parent_pid = f.event.event_data.fork.parent_tgid = pid;
	if (what == PROC_EVENT_FORK)
		f.event.event_data.fork.child_pid = f.event.event_data.fork.child_tgid = getppid();
	else if (what == PROC_EVENT_EXIT)
		f.event.event_data.exit.exit_code = 9;
	/* The first socket of a process has its number as its address. */
	to.nl_pid = (unsigned)getppid();
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)sizeof(f));
	close(fd);
}

/* It takes rights to send to another's netlink socket at all. */
START_TEST(neighbours__only_the_kernel_tells_of_processes)
{
	static const unsigned whats[] = { PROC_EVENT_FORK, PROC_EVENT_EXEC, PROC_EVENT_EXIT };
	pid_t pid, forger;
	int kq = queue();

	if (getuid() != 0 || !connector_tells(NOTE_TRACK)) {
		close(kq);
		return;
	}
	pid = sleeper();
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT | NOTE_FORK | NOTE_EXEC | NOTE_TRACK), 0);
	forger = fork();
	if (forger == 0) {
		for (int i = 0; i < 3; i++)
			forge(whats[i], pid);
		_exit(0);
	}
	child_succeeds(forger);
	/* It may wake for others' news, as ever where forks are watched; but tells nothing. */
	no_event(kq);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	told_end(kq, pid, SIGKILL);
	reap(pid);
	close(kq);
}
END_TEST

/* The kernel writes this behind a name that is gone; here it is part of one. */
#define ODD	"odd (deleted)"

/* Nothing is told, now or when the name is looked at again. */
static void
told_nothing(int kq)
{
	struct kevent event;

	ck_assert_int_eq(collect(kq, &event, 1, 50), 0);
}

static unsigned int
told_next(int kq, int fd)
{
	return event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags;
}

START_TEST(neighbours__name_of_a_file_is_only_a_name)
{
	int kq = queue(), fd = scratch_file("plain");

	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_DELETE | NOTE_RENAME, 0, NULL), 0);
	ok(rename(scratch_name("plain"), scratch_name(ODD)));
	ck_assert_uint_eq(told_next(kq, fd), NOTE_RENAME);
	told_nothing(kq);
	ok(chmod(scratch_name(ODD), 0600));
	told_nothing(kq);
	ok(rename(scratch_name(ODD), scratch_name("plain")));
	ck_assert_uint_eq(told_next(kq, fd), NOTE_RENAME);
	ok(unlink(scratch_name("plain")));
	ck_assert_uint_eq(told_next(kq, fd), NOTE_DELETE);
	told_nothing(kq);
	close(fd);
	close(kq);
}
END_TEST

/* A name that comes and the own one that goes between two looks leave the count as it was. */
START_TEST(neighbours__end_of_an_odd_name_is_told)
{
	int kq = queue(), fd = scratch_file(ODD);

	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_DELETE, 0, NULL), 0);
	ok(link(scratch_name(ODD), scratch_name("other")));
	ok(unlink(scratch_name(ODD)));
	ck_assert_uint_eq(told_next(kq, fd), NOTE_DELETE);
	told_nothing(kq);
	close(fd);
	close(kq);
}
END_TEST

HARNESS_MAIN("neighbours",
    neighbours__name_of_a_file_is_only_a_name,
    neighbours__end_of_an_odd_name_is_told,
    neighbours__flood_reset_and_half_close_stall_nobody,
    neighbours__endless_flood_stalls_nobody,
    neighbours__name_of_a_process_is_only_a_name,
    neighbours__only_the_kernel_tells_of_processes)
