/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC: whose forks are told, and to whom: other processes, users and name spaces, and a forked child. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "child.h"
#include "proc_fork.h"
#include "sandbox.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(proc_fork_who__others_wake_nobody)
{
	struct servant s[2];
	int kq = queue();

	if (!connector_tells(NOTE_FORK))
		goto close;
	for (int i = 0; i < 2; i++)
		servant_start(&s[i]);
	watch(kq, s[0].pid, NOTE_FORK | NOTE_EXEC | NOTE_EXIT);
	for (int i = 0; i < 10; i++) {
		servant_do(&s[1], 'f');
		fork_once();
		ck_assert(!readable(kq, 0));
	}
	servant_do(&s[1], 'e');
	ck_assert(!readable(kq, 0));
	no_event(kq);
	servant_end(&s[1]);
	/* Older kernels have nothing to say of who was waited for. */
	kill(s[0].pid, SIGKILL);
	check(kq, s[0].pid, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, SIGKILL);
	servant_end(&s[0]);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork_who__fork_child_has_nothing_of_it)
{
	int kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_FORK))
		goto close;
	watch(kq, getpid(), NOTE_FORK);
	pid = fork();
	if (pid == 0) {
		int own;

		ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_FORK), EBADF);
		own = queue();
		watch(own, getpid(), NOTE_FORK);
		fork_once();
		check(own, getpid(), NOTE_FORK, EV_CLEAR, 0);
		close(own);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
	check(kq, getpid(), NOTE_FORK, EV_CLEAR, 0);
	/* And it goes on. */
	fork_once();
	check(kq, getpid(), NOTE_FORK, EV_CLEAR, 0);
close:
	close(kq);
}
END_TEST

/*
 * The last registration has gone; the socket has not, for a child has it, too.  The farewell fails: kernels before
 * 6.6 go on to tell as long as anybody listens.
 */
START_TEST(proc_fork_who__child_keeps_a_copy)
{
	pid_t pid;
	int kq;

	if (!connector_tells(NOTE_FORK))
		return;
	kq = queue();
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_FORK), 0);
	pid = child_with_copies();
	ck_assert(refuse_call(SYS_sendto, EPERM));
	ck_assert_int_eq(proc(kq, getpid(), EV_DELETE, 0), 0);
	fork_once();
	asleep(kq, 50);
	ck_assert(!readable(kq, 0));
	child_killed(pid);
	close(kq);
}
END_TEST

/* Others may send to the connector's listeners, too, but they are not the kernel. */
START_TEST(proc_fork_who__only_the_kernel_is_heard)
{
	struct {
		struct nlmsghdr	header;
		struct cb_id	id;
		uint32_t	seq, ack;
		uint16_t	length, flags;
		uint32_t	what, cpu, time[2], parent[2], child[2], rest[2];
	} forged = { .header.nlmsg_len = sizeof(forged), .header.nlmsg_type = NLMSG_DONE };
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	int kq = queue(), fd;

	if (!connector_tells(NOTE_FORK))
		goto close;
	watch(kq, getpid(), NOTE_FORK);
	forged.id = (struct cb_id){ CN_IDX_PROC, CN_VAL_PROC };
	forged.length = sizeof(forged) - offsetof(__typeof__(forged), what);
	forged.what = PROC_EVENT_FORK;
	forged.parent[0] = forged.parent[1] = (uint32_t)getpid();
	forged.child[0] = forged.child[1] = (uint32_t)getppid();
	ck_assert_int_ge(fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR), 0);
	/* The first socket of a process has its number as its address. */
	to.nl_pid = (unsigned)getpid();
	if (sendto(fd, &forged, sizeof(forged), 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)sizeof(forged))
		fprintf(stderr, "skipped: nobody can send to a listener here\n");
	close(fd);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	fork_once();
	check(kq, getpid(), NOTE_FORK, EV_CLEAR, 0);
close:
	close(kq);
}
END_TEST

/* Whether all works for an ordinary user, who is asked by a child. */
START_TEST(proc_fork_who__ordinary_user)
{
	pid_t pid;

	if (getuid() != 0 || !connector_tells(NOTE_FORK))
		return;		/* then every other test was one */
	pid = fork();
	if (pid == 0) {
		struct servant s;
		int kq;

		if (!become_nobody())
			_exit(1);
		if (!connector_tells(NOTE_FORK))
			_exit(0);
		kq = queue();
		servant_start(&s);
		watch(kq, s.pid, NOTE_FORK | NOTE_EXEC | NOTE_EXIT);
		servant_do(&s, 'f');
		check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
		servant_do(&s, 'e');
		check(kq, s.pid, NOTE_EXEC, EV_CLEAR, 0);
		servant_tell(&s, '\n');
		check(kq, s.pid, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, W_EXITCODE(5, 0));
		servant_end(&s);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
}
END_TEST

/* In a child with name spaces of its own, of which the connector does not speak. */
static void
check_apart(int spaces)
{
	unsigned int notes[] = { NOTE_FORK, NOTE_EXEC, NOTE_TRACK };
	pid_t pid = fork(), inner;
	int kq;

	ck_assert_int_ne(pid, -1);
	if (pid > 0) {
		ck_assert_int_eq(reap(pid), 0);
		return;
	}
	if (unshare(spaces) == -1) {
		fprintf(stderr, "skipped: unshare(%#x): %s\n", (unsigned)spaces, strerror(errno));
		_exit(0);
	}
	if ((spaces & CLONE_NEWPID) != 0 && (inner = fork()) != 0)
		_exit(inner > 0 && reap(inner) == 0 ? 0 : 1);
	kq = queue();
	inner = fork();
	if (inner == 0) {
		pause();
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(proc(kq, inner, EV_ADD, notes[i]), ENOTSUP);
		ck_assert_int_eq(proc(kq, inner, EV_ADD, NOTE_EXIT | notes[i]), ENOTSUP);
		ck_assert_int_eq(proc(kq, inner, EV_DELETE, 0), ENOENT);
	}
	watch(kq, inner, NOTE_EXIT);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(proc(kq, inner, 0, NOTE_EXIT | notes[i]), ENOTSUP);
	ck_assert_int_eq(kill(inner, SIGKILL), 0);
	check(kq, inner, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, SIGKILL);
	reap(inner);
	_exit(0);
}

START_TEST(proc_fork_who__other_name_spaces)
{
	check_apart(CLONE_NEWNET);
	check_apart(CLONE_NEWPID);
	check_apart(CLONE_NEWPID | CLONE_NEWNET);
	check_apart(CLONE_NEWUSER);
	check_apart(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET);
}
END_TEST

START_TEST(proc_fork_who__nobody_has_that_number)
{
	int kq = queue();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	reap(pid);
	if (connector_tells(NOTE_FORK)) {
		ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_FORK), ESRCH);
		ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_TRACK), ESRCH);
		ck_assert_int_eq(proc(kq, 0, EV_ADD, NOTE_FORK), ESRCH);
	}
	close(kq);
}
END_TEST

HARNESS_MAIN("proc_fork_who",
    proc_fork_who__others_wake_nobody,
    proc_fork_who__fork_child_has_nothing_of_it,
    proc_fork_who__child_keeps_a_copy,
    proc_fork_who__only_the_kernel_is_heard,
    proc_fork_who__ordinary_user,
    proc_fork_who__other_name_spaces,
    proc_fork_who__nobody_has_that_number)
