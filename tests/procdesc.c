/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROCDESC. */
#include "procdesc.h"
#include "sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/procdesc.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int
procdesc(int kq, int fd, unsigned int flags, unsigned int fflags)
{
	return change(kq, (uintptr_t)fd, EVFILT_PROCDESC, (unsigned short)flags, fflags, 0, NULL);
}

static void
watch(int kq, int fd)
{
	ck_assert_int_eq(procdesc(kq, fd, EV_ADD, NOTE_EXIT), 0);
}

static int
pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	ck_assert_msg(fd >= 0, "pidfd_open: %s", strerror(errno));
	return fd;
}

/* A child that waits to be killed, and its descriptor. */
static pid_t
sleeper(int *fd)
{
	pid_t pid = pdfork_of(fd, PD_DAEMON | PD_CLOEXEC);

	while (pid == 0)
		pause();
	return pid;
}

/* Has it end, but leaves it to be waited for. */
static void
kill_zombie(pid_t pid, int fd, int signum)
{
	siginfo_t info;

	ck_assert_int_eq(pdkill(fd, signum), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void
ended(int kq, int fd, int status)
{
	struct kevent event = event_of(kq, (uintptr_t)fd, EVFILT_PROCDESC);

	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	ck_assert_int_eq(event.data, status);
	ck_assert_uint_eq(event.flags, EV_EOF | EV_ONESHOT | EV_CLEAR);
}

START_TEST(procdesc__tells_the_exit_status)
{
	int kq = queue(), fd, go[2];
	pid_t pid;

	pair(PAIR_PIPE, go);
	pid = pdfork(&fd, PD_DAEMON | PD_CLOEXEC);
	if (pid == 0) {
		get(go[0], 1);
		_exit(7);
	}
	watch(kq, fd);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	put(go[1], 1);
	ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
	ended(kq, fd, 7 << 8);
	/* That was all, and nothing was reaped. */
	ck_assert_int_eq(procdesc(kq, fd, EV_DELETE, 0), ENOENT);
	ck_assert(!readable(kq, 0));
	reap(pid, 7 << 8);
	no_event(kq);
	close_pair(go);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__tells_the_signal)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);

	watch(kq, fd);
	ck_assert_int_eq(pdkill(fd, SIGKILL), 0);
	ended(kq, fd, SIGKILL);
	reap(pid, SIGKILL);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__wakes_a_waiter)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);
	struct waiter w;

	watch(kq, fd);
	waiter_start(&w, kq, HARNESS_TIMEOUT * 500);
	ck_assert_int_eq(pdkill(fd, SIGUSR2), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.data, SIGUSR2);
	reap(pid, SIGUSR2);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__zombie_fires_at_once)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);

	kill_zombie(pid, fd, SIGUSR1);
	watch(kq, fd);
	ended(kq, fd, SIGUSR1);
	/* Again for who asks again. */
	watch(kq, fd);
	ended(kq, fd, SIGUSR1);
	reap(pid, SIGUSR1);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__reaped_fires_at_once)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);
	struct kevent event;

	kill_zombie(pid, fd, SIGUSR1);
	reap(pid, SIGUSR1);
	watch(kq, fd);
	event = event_of(kq, (uintptr_t)fd, EVFILT_PROCDESC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	/* Linux tells it since 6.15. */
	ck_assert(event.data == SIGUSR1 || event.data == 0);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__reaped_by_a_thread_fires_once)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);
	struct kevent event;

	watch(kq, fd);
	kill_zombie(pid, fd, SIGUSR1);
	reap(pid, SIGUSR1);		/* a second edge of the pidfd */
	event = event_of(kq, (uintptr_t)fd, EVFILT_PROCDESC);
	ck_assert(event.data == SIGUSR1 || event.data == 0);
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__only_what_was_asked_for)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);

	ck_assert_int_eq(procdesc(kq, fd, EV_ADD, 0), 0);
	kill_zombie(pid, fd, SIGUSR1);
	ck_assert_int_eq(collect(kq, &(struct kevent){ .ident = 0 }, 1, 50), 0);
	ck_assert(!readable(kq, 0));
	watch(kq, fd);
	ended(kq, fd, SIGUSR1);
	reap(pid, SIGUSR1);
	close(fd);
	close(kq);
}
END_TEST

/* As other systems number FORK, EXEC and TRACK. */
START_TEST(procdesc__what_cannot_be_told_is_refused)
{
	static const unsigned notes[] = { 0x40000000u, 0x20000000u, 0x00000001u };
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		ck_assert_int_eq(procdesc(kq, fd, EV_ADD, NOTE_EXIT | notes[i]), ENOTSUP);
		ck_assert_int_eq(procdesc(kq, fd, EV_DELETE, 0), ENOENT);
	}
	watch(kq, fd);
	ck_assert_int_eq(procdesc(kq, fd, EV_ADD, notes[0]), ENOTSUP);
	ck_assert_int_eq(pdkill(fd, SIGKILL), 0);
	ended(kq, fd, SIGKILL);
	reap(pid, SIGKILL);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__other_descriptors_are_einval)
{
	int kq = queue(), other = queue(), fds[2], file, event, dir;

	ck_assert_int_ge(file = open("/proc/self/exe", O_RDONLY), 0);
	ck_assert_int_ge(dir = open("/proc/self", O_RDONLY | O_DIRECTORY), 0);
	ck_assert_int_ge(event = eventfd(1, 0), 0);
	for (enum pair kind = PAIR_TCP; kind <= PAIR_PIPE; kind++) {
		if (kind == PAIR_TCP6 && !have_ipv6())
			continue;
		pair(kind, fds);
		ck_assert_int_eq(procdesc(kq, fds[0], EV_ADD, NOTE_EXIT), EINVAL);
		close_pair(fds);
		ck_assert_int_eq(procdesc(kq, fds[0], EV_ADD, NOTE_EXIT), EBADF);
	}
	ck_assert_int_eq(procdesc(kq, file, EV_ADD, NOTE_EXIT), EINVAL);
	ck_assert_int_eq(procdesc(kq, dir, EV_ADD, NOTE_EXIT), EINVAL);
	ck_assert_int_eq(procdesc(kq, event, EV_ADD, NOTE_EXIT), EINVAL);
	ck_assert_int_eq(procdesc(kq, other, EV_ADD, NOTE_EXIT), EINVAL);
	ck_assert_int_eq(procdesc(kq, kq, EV_ADD, NOTE_EXIT), EINVAL);
	ck_assert_int_eq(procdesc(kq, -1, EV_ADD, NOTE_EXIT), EBADF);
	close(file);
	close(dir);
	close(event);
	close(other);
	close(kq);
}
END_TEST

START_TEST(procdesc__closing_removes_it)
{
	int kq = queue(), fd, copy;
	pid_t pid = sleeper(&fd);

	ck_assert_int_ge(copy = dup(fd), 0);
	watch(kq, fd);
	close(fd);
	ck_assert_int_eq(procdesc(kq, fd, EV_DELETE, 0), EBADF);
	kill_zombie(pid, copy, SIGKILL);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	reap(pid, SIGKILL);
	close(copy);
	close(kq);
}
END_TEST

START_TEST(procdesc__a_duplicate_is_another_registration)
{
	int kq = queue(), fd, copy;
	pid_t pid = sleeper(&fd);
	struct kevent events[3];

	ck_assert_int_ge(copy = dup(fd), 0);
	watch(kq, fd);
	watch(kq, copy);
	kill_zombie(pid, fd, SIGKILL);
	ck_assert_int_eq(collect(kq, events, 3, HARNESS_TIMEOUT * 500), 2);
	ck_assert_uint_ne(events[0].ident, events[1].ident);
	ck_assert_int_eq(events[0].data, SIGKILL);
	ck_assert_int_eq(events[1].data, SIGKILL);
	no_event(kq);
	reap(pid, SIGKILL);
	close(fd);
	close(copy);
	close(kq);
}
END_TEST

START_TEST(procdesc__several_queues)
{
	int a = queue(), b = queue(), fd;
	pid_t pid = sleeper(&fd);

	watch(a, fd);
	watch(b, fd);
	ck_assert_int_eq(pdkill(fd, SIGKILL), 0);
	ended(a, fd, SIGKILL);
	ended(b, fd, SIGKILL);
	reap(pid, SIGKILL);
	close(fd);
	close(a);
	close(b);
}
END_TEST

START_TEST(procdesc__beside_read_and_proc)
{
	int kq = queue(), fd, seen = 0;
	pid_t pid = sleeper(&fd);
	struct kevent events[4];

	watch(kq, fd);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
	no_event(kq);
	kill_zombie(pid, fd, SIGUSR1);
	ck_assert_int_eq(collect(kq, events, 4, HARNESS_TIMEOUT * 500), 3);
	for (int i = 0; i < 3; i++) {
		seen |= 1 << -events[i].filter;
		if (events[i].filter != EVFILT_READ)
			ck_assert_int_eq(events[i].data, SIGUSR1);
	}
	ck_assert_int_eq(seen, 1 << -EVFILT_READ | 1 << -EVFILT_PROC | 1 << -EVFILT_PROCDESC);
	/* READ is level-triggered, the others have ended. */
	ck_assert_int_eq(collect(kq, events, 4, 0), 1);
	ck_assert_int_eq(events[0].filter, EVFILT_READ);
	reap(pid, SIGUSR1);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__disabled_is_told_when_enabled)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);

	ck_assert_int_eq(procdesc(kq, fd, EV_ADD | EV_DISABLE, NOTE_EXIT), 0);
	kill_zombie(pid, fd, SIGUSR1);
	no_event(kq);
	ck_assert(!readable(kq, 20));
	ck_assert_int_eq(procdesc(kq, fd, EV_ENABLE, 0), 0);
	ended(kq, fd, SIGUSR1);
	reap(pid, SIGUSR1);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__deleted_tells_nothing)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd);

	watch(kq, fd);
	ck_assert_int_eq(procdesc(kq, fd, EV_DELETE, 0), 0);
	kill_zombie(pid, fd, SIGUSR1);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	reap(pid, SIGUSR1);
	close(fd);
	close(kq);
}
END_TEST

/* A descriptor of a process that is not our child; its status is ours to know while it is a zombie. */
static void
check_foreign(void)
{
	int kq = queue(), talk[2], fd;
	pid_t child, grandchild = 0;

	pair(PAIR_UNIX, talk);
	child = fork();
	if (child == 0) {
		pid_t pid = sleeper(&fd);

		if (write(talk[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		get(talk[1], 1);
		_exit(waitpid(pid, NULL, 0) == pid ? 0 : 2);
	}
	ck_assert_int_eq(read(talk[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	fd = pidfd_of(grandchild);
	watch(kq, fd);
	no_event(kq);
	ck_assert_int_eq(pdkill(fd, SIGUSR2), 0);
	ended(kq, fd, SIGUSR2);
	put(talk[0], 1);
	reap(child, 0);
	close(fd);
	close_pair(talk);
	close(kq);
}

START_TEST(procdesc__process_that_is_no_child)
{
	check_foreign();
}
END_TEST

START_TEST(procdesc__ordinary_user)
{
	pid_t pid;

	if (getuid() != 0)
		return;		/* then every other test was one */
	pid = fork();
	if (pid == 0) {
		int kq, fd;

		if (!become_nobody())
			_exit(1);
		/* Init's can be had, and watched, but not killed. */
		kq = queue();
		fd = pidfd_of(1);
		watch(kq, fd);
		no_event(kq);
		ck_assert_int_eq(pdkill(fd, 0), -1);
		ck_assert_int_eq(errno, EPERM);
		pid = sleeper(&fd);
		watch(kq, fd);
		ck_assert_int_eq(pdkill(fd, SIGKILL), 0);
		ended(kq, fd, SIGKILL);
		reap(pid, SIGKILL);
		_exit(0);
	}
	reap(pid, 0);
}
END_TEST

START_TEST(procdesc__a_forked_child_watches_it_too)
{
	int kq = queue(), fd;
	pid_t pid = sleeper(&fd), child;

	watch(kq, fd);
	child = fork();
	if (child == 0) {
		int own = queue();

		watch(own, fd);
		event_of(own, (uintptr_t)fd, EVFILT_PROCDESC);
		_exit(0);
	}
	ck_assert_int_eq(pdkill(fd, SIGKILL), 0);
	ended(kq, fd, SIGKILL);
	reap(child, 0);
	reap(pid, SIGKILL);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(procdesc__many)
{
	enum { MANY = 200 };
	int kq = queue(), fds[MANY], total = 0;
	struct kevent events[64];
	pid_t pids[MANY];

	for (int i = 0; i < MANY; i++) {
		pids[i] = pdfork(&fds[i], PD_DAEMON);
		if (pids[i] == 0)
			_exit(i % 100);
		ck_assert_int_gt(pids[i], 0);
		EV_SET(&events[0], (uintptr_t)fds[i], EVFILT_PROCDESC, EV_ADD, NOTE_EXIT, 0, &pids[i]);
		ck_assert_int_eq(kevent(kq, events, 1, NULL, 0, NULL), 0);
	}
	while (total < MANY) {
		int n = collect(kq, events, 64, HARNESS_TIMEOUT * 500);

		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++) {
			int which = (int)((pid_t *)events[i].udata - pids);

			ck_assert_uint_eq(events[i].ident, (uintptr_t)fds[which]);
			ck_assert_int_eq(events[i].data, (which % 100) << 8);
			reap(pids[which], (which % 100) << 8);
			close(fds[which]);
		}
		total += n;
	}
	ck_assert_int_eq(total, MANY);
	no_event(kq);
	close(kq);
}
END_TEST

HARNESS_MAIN("procdesc",
    procdesc__tells_the_exit_status,
    procdesc__tells_the_signal,
    procdesc__wakes_a_waiter,
    procdesc__zombie_fires_at_once,
    procdesc__reaped_fires_at_once,
    procdesc__reaped_by_a_thread_fires_once,
    procdesc__only_what_was_asked_for,
    procdesc__what_cannot_be_told_is_refused,
    procdesc__other_descriptors_are_einval,
    procdesc__closing_removes_it,
    procdesc__a_duplicate_is_another_registration,
    procdesc__several_queues,
    procdesc__beside_read_and_proc,
    procdesc__disabled_is_told_when_enabled,
    procdesc__deleted_tells_nothing,
    procdesc__process_that_is_no_child,
    procdesc__ordinary_user,
    procdesc__a_forked_child_watches_it_too,
    procdesc__many)
