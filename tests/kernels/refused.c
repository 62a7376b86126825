/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a kernel or a sandbox does not have fails with the error that kq(7) names,
 * leaves nothing behind, and the rest works.  Run by old-kernel, which says in
 * KQ_TEST_KERNEL what is missing; without it everything is there.
 */
#include "../harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procdesc.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool
kernel(const char *name)
{
	const char *given = getenv("KQ_TEST_KERNEL");

	return given != NULL && strcmp(given, name) == 0;
}

static void
refused(uintptr_t ident, short filter, unsigned fflags, int error)
{
	int kq = queue();

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(change(kq, ident, filter, EV_ADD, fflags, 0, NULL), error);
	ck_assert_int_eq(change(kq, ident, filter, EV_DELETE, 0, 0, NULL), error == 0 ? 0 : ENOENT);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	close(kq);
}

START_TEST(refused__processes)
{
	bool pidfds = !kernel("no-pidfd") && !kernel("container"), connector = pidfds && !kernel("no-connector");
	pid_t pid;
	int fd;

	refused((uintptr_t)getpid(), EVFILT_PROC, NOTE_EXIT, pidfds ? 0 : ENOTSUP);
	for (int i = 0; i < 3; i++)
		refused((uintptr_t)getpid(), EVFILT_PROC, NOTE_EXIT | (const unsigned[]){ NOTE_FORK, NOTE_EXEC, NOTE_TRACK }[i],
		    connector && getuid() == 0 ? 0 : ENOTSUP);
	if (pidfds)
		return;
	pid = pdfork(&fd, PD_DAEMON);
	if (pid == 0)
		_exit(1);
	ck_assert_int_eq(pid, -1);
	ck_assert_int_eq(errno, ENOTSUP);
}
END_TEST

/* The files that only /proc leads to. */
START_TEST(refused__files)
{
	int error = access("/proc/self/fd", X_OK) == 0 ? 0 : ENOTSUP;
	int dir = open("/", O_RDONLY | O_DIRECTORY), file = open("/bin/sh", O_RDONLY);

	ck_assert_int_ge(dir, 0);
	ck_assert_int_ge(file, 0);
	refused((uintptr_t)file, EVFILT_READ, 0, error);
	refused((uintptr_t)dir, EVFILT_VNODE, NOTE_ATTRIB, error);
	refused(0, EVFILT_FS, 0, error);
	if (error != 0)
		refused(0, EVFILT_MEMORYSTATUS, NOTE_MEMORYSTATUS_PRESSURE_WARN, ENOTSUP);
	close(dir);
	close(file);
}
END_TEST

/* What needs none of it goes on: descriptors, timers, signals, a child with a queue of its own. */
START_TEST(refused__the_rest_works)
{
	int kq = queue(), fds[2], status;
	pid_t pid;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, 1500, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	put(fds[1], 1);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 1);
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	event_of(kq, SIGUSR1, EVFILT_SIGNAL);
	for (int ns = 1; ns <= 10000000; ns *= 10) {
		struct timespec wait = { .tv_nsec = ns };
		struct kevent event;
		int64_t begin = now_ns();

		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &wait), 0);
		ck_assert_int_ge(now_ns() - begin, ns);
	}
	pid = fork();
	if (pid == 0) {
		ck_assert_int_eq(kevent(kq, NULL, 0, NULL, 0, NULL), -1);
		_exit(errno == EBADF && kqueue() >= 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("refused", refused__processes, refused__files, refused__the_rest_works)
