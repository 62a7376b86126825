/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The n-th descriptor is not to be had, for every n: what needs one fails with
 * EMFILE and leaves nothing behind, what was there works on, and once there are
 * descriptors again everything succeeds.
 */
#include "proc.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT = 96, MOST = 16 };

/* What takes up all the numbers there are. */
static int filler[LIMIT], fillers;

static void
take_all(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDONLY)) != -1)
		filler[fillers++] = fd;
	ck_assert_int_eq(errno, EMFILE);
}

static void
give(int n)
{
	while (n-- > 0 && fillers > 0)
		ck_assert_int_eq(close(filler[--fillers]), 0);
}

/* The descriptors that the changes are about, and a child's pid. */
static int fds[2], full[2], file, dir, inner;
static pid_t child;

struct step {
	uintptr_t	ident;
	short		filter;
	unsigned short	flags;
	unsigned int	fflags;
	int64_t		data;
};

static size_t
steps(struct step all[MOST])
{
	const struct step list[] = {
		{ (uintptr_t)fds[0], EVFILT_READ, 0, 0, 0 },
		{ (uintptr_t)fds[0], EVFILT_WRITE, EV_CLEAR, 0, 0 },		/* a second lane */
		{ (uintptr_t)fds[0], EVFILT_EXCEPT, 0, NOTE_OOB, 0 },		/* a third */
		{ (uintptr_t)full[1], EVFILT_EMPTY, 0, 0, 0 },			/* a timer */
		{ (uintptr_t)file, EVFILT_READ, 0, 0, 0 },			/* inotify */
		{ (uintptr_t)file, EVFILT_VNODE, EV_CLEAR, NOTE_ATTRIB, 0 },
		{ (uintptr_t)dir, EVFILT_VNODE, EV_CLEAR, NOTE_WRITE | NOTE_DELETE, 0 },
		{ (uintptr_t)child, EVFILT_PROC, 0, NOTE_EXIT, 0 },		/* pidfd */
		{ SIGUSR2, EVFILT_SIGNAL, 0, 0, 0 },
		{ 1, EVFILT_TIMER, 0, NOTE_MSECONDS, 1 },
		{ 2, EVFILT_TIMER, 0, NOTE_ABSTIME | NOTE_SECONDS, 1 },		/* the other clock's */
		{ 3, EVFILT_USER, 0, NOTE_TRIGGER, 0 },
		{ (uintptr_t)inner, EVFILT_READ, 0, 0, 0 },
	};

	memcpy(all, list, sizeof(list));
	return sizeof(list) / sizeof(list[0]);
}

static bool
registered(int kq, const struct step *s)
{
	/* Changes nothing, and needs nothing. */
	return change(kq, s->ident, s->filter, EV_DELETE, 0, 0, NULL) == 0;
}

/* Makes each condition true, and checks that each is told. */
static void
check_all(int kq, const struct step *all, size_t n)
{
	struct kevent events[2 * MOST];
	bool seen[MOST] = { false };
	size_t left = n;
	char name[128];

	put(fds[1], 1);
	ck_assert_int_eq(send(fds[1], "!", 1, MSG_OOB), 1);
	drain(full[0]);
	ck_assert_int_eq(fchmod(file, 0640), 0);
	snprintf(name, sizeof(name), "%s/entry", scratch_dir());
	close(open(name, O_WRONLY | O_CREAT, 0600));
	ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(raise(SIGUSR2), 0);
	while (left > 0) {
		int got = collect(kq, events, 2 * MOST, 10000);

		ck_assert_msg(got > 0, "%zu of %zu are not told", left, n);
		for (int i = 0; i < got; i++)
			for (size_t j = 0; j < n; j++)
				if (all[j].ident == events[i].ident && all[j].filter == events[i].filter && !seen[j]) {
					seen[j] = true;
					left--;
				}
	}
}

/* What is watched, but for the file. */
static void
begin(void)
{
	signal(SIGUSR2, SIG_IGN);
	child = sleeper();
	pair(PAIR_TCP, fds);
	pair(PAIR_UNIX, full);
	ck_assert_int_ge(dir = open(scratch_dir(), O_RDONLY | O_DIRECTORY), 0);
	inner = queue();
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
}

/* In a child: with `spare` descriptors to be had. */
static void
scarce(int spare)
{
	struct step all[MOST];
	size_t n;
	int kq, error, missing = 0;
	struct rlimit limit;
	char path[128];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = LIMIT;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	begin();
	fill(full[1]);
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
	ck_assert_int_eq(pwrite(file, "x", 1, 0), 1);
	take_all();
	give(spare);
	kq = kqueue();
	if (kq == -1) {
		ck_assert_int_eq(errno, EMFILE);
		/* It has given back what it had. */
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(kqueue(), -1);
		give(LIMIT);
		kq = queue();
	}
	n = steps(all);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < n; i++) {
			error = change(kq, all[i].ident, all[i].filter, EV_ADD | all[i].flags, all[i].fflags,
			    all[i].data, NULL);
			if (error == 0)
				continue;
			ck_assert_msg(error == EMFILE, "%d spare, step %zu: %s", spare, i, strerror(error));
			missing++;
			error = change(kq, all[i].ident, all[i].filter, 0, 0, 0, NULL);
			ck_assert_msg(error == ENOENT, "%d spare: what failed at step %zu left something behind", spare, i);
		}
	/* What could be registered reports; the rest, as soon as it can. */
	if (spare == 0)
		ck_assert_int_eq(missing, 0);	/* no queue, so all was given back */
	give(LIMIT);
	for (size_t i = 0; i < n; i++) {
		error = change(kq, all[i].ident, all[i].filter, EV_ADD | all[i].flags, all[i].fflags, all[i].data, NULL);
		ck_assert_msg(error == 0, "%d spare, step %zu afterwards: %s", spare, i, strerror(error));
	}
	check_all(kq, all, n);
	for (size_t i = 0; i < n; i++)
		if (all[i].filter != EVFILT_PROC)
			ck_assert_msg(registered(kq, &all[i]), "step %zu", i);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	no_event(kq);
	close(kq);
	close(inner);
	close_pair(fds);
	close_pair(full);
	close(file);
	close(dir);
}

START_TEST(scarce__every_descriptor_may_be_missing)
{
	(void)scratch_dir();
	for (int spare = 0; spare < 24; spare++) {
		pid_t pid = fork();
		int status, before;

		if (pid == 0) {
			close(queue());
			before = open_descriptors();
			scarce(spare);
			/* The process's bell for signals may have come. */
			ck_assert_int_le(open_descriptors(), before + 1);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(status == 0, "with %d descriptors: status %#x", spare, (unsigned)status);
	}
}
END_TEST

/* With none left a queue works as before: nothing is opened while waiting. */
START_TEST(scarce__waiting_needs_no_descriptor)
{
	struct step all[MOST];
	struct rlimit limit, before;
	int kq = queue();
	size_t n;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	begin();
	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	n = steps(all);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(change(kq, all[i].ident, all[i].filter, EV_ADD | EV_CLEAR | all[i].flags, all[i].fflags,
		    all[i].data, NULL), 0);
	pass(fds[1], fds[0], 1);
	raise(SIGUSR2);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)child, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	limit = before;
	limit.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0, seen = 0; seen != 15; i++) {
		struct kevent event;

		ck_assert_int_lt(i, 1000);
		ck_assert_int_eq(collect(kq, &event, 1, 10000), 1);
		seen |= event.filter == EVFILT_PROC ? 1 : event.filter == EVFILT_SIGNAL ? 2 : event.filter == EVFILT_TIMER ? 4 :
		    event.ident == (uintptr_t)fds[0] ? 8 : 0;
	}
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(kqueue(), -1);
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	close(kq);
	close(inner);
	close_pair(fds);
	close_pair(full);
	close(file);
	close(dir);
}
END_TEST

/* No memory: an ordinary error, nothing is lost, and it goes on when there is some. */
START_TEST(scarce__memory)
{
	struct rlimit limit, before;
	int kq = queue(), error = 0;
	uintptr_t n = 0;
	long pages = 0;
	FILE *statm;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_ptr_nonnull(statm = fopen("/proc/self/statm", "r"));
	ck_assert_int_eq(fscanf(statm, "%ld", &pages), 1);
	fclose(statm);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	while (error == 0 && n < 1000000)
		error = change(kq, n++, EVFILT_USER, EV_ADD, 0, 0, NULL);
	for (int i = 0; i < 100; i++)
		change(kq, n + (uintptr_t)i, i % 2 == 0 ? EVFILT_TIMER : EVFILT_USER, EV_ADD, 0, 1000000, NULL);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	ck_assert_msg(error == ENOMEM, "after %ju registrations: %s", (uintmax_t)n, strerror(error));
	ck_assert_int_eq(change(kq, n - 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	for (uintptr_t i = 0; i < n - 1; i++) {
		ck_assert_int_eq(change(kq, i, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		event_of(kq, i, EVFILT_USER);
		ck_assert_int_eq(change(kq, i, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	}
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_int_eq(change(kq, n, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, n, EVFILT_USER);
	close_pair(fds);
	close(kq);
}
END_TEST

/* The same for what grows in one piece: timers, and what kevent64() keeps beside a registration. */
START_TEST(scarce__memory_that_grows)
{
	static bool seen[1000000];
	struct rlimit limit, before;
	int kq = queue(), error[2] = { 0, 0 };
	struct kevent64_s wide;
	uintptr_t n = 0, m = 0;
	struct kevent event;

	/* This sanitizer's runtime ends the program where there is no memory at all. */
	if (THREAD_SANITIZER) {
		close(kq);
		return;
	}
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	limit.rlim_cur = 1;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	while (error[0] == 0 && n < sizeof(seen))
		error[0] = change(kq, n++, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, 1, NULL);
	while (error[1] == 0 && m < sizeof(seen)) {
		EV_SET64(&wide, m++, EVFILT_USER, EV_ADD, 0, 0, 0, 7, 8);
		error[1] = kevent64(kq, &wide, 1, NULL, 0, 0, NULL) == -1 ? errno : 0;
	}
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	ck_assert_int_eq(error[0], ENOMEM);
	ck_assert_int_eq(error[1], ENOMEM);
	ck_assert_int_eq(change(kq, n - 1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, m - 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	/* Each of the others is told, once. */
	for (uintptr_t i = 0; i < n - 1; i++) {
		ck_assert_int_eq(collect(kq, &event, 1, 10000), 1);
		ck_assert_int_eq(event.filter, EVFILT_TIMER);
		ck_assert_uint_lt(event.ident, n - 1);
		ck_assert(!seen[event.ident]);
		seen[event.ident] = true;
	}
	no_event(kq);
	EV_SET64(&wide, m - 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, 0, 7, 8);
	ck_assert_int_eq(kevent64(kq, &wide, 1, &wide, 1, 0, NULL), 1);
	ck_assert_uint_eq(wide.ident, m - 1);
	ck_assert_uint_eq(wide.ext[0], 7);
	ck_assert_uint_eq(wide.ext[1], 8);
	close(kq);
}
END_TEST

HARNESS_MAIN("scarce",
    scarce__memory,
    scarce__memory_that_grows,
    scarce__every_descriptor_may_be_missing,
    scarce__waiting_needs_no_descriptor)
