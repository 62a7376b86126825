/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever the library asks the system for may be refused: memory, descriptors,
 * watches, items of epoll; and what takes time may be interrupted.  One scenario
 * with every filter is run in a child for each of the places where that can
 * happen and each error that can: there the call fails, once, or with all that
 * follow in the same kevent().
 *
 * A failure must be an error that the contract has, at the call that needed
 * what was refused, and leave nothing behind.  No registration may be lost: the
 * same change succeeds when it is made again, then each condition is brought
 * about and each is told.  What is left in the end, descriptors and memory, is
 * what is left without a failure.
 */
#include "doubles.h"
#include "../harness.h"

#include <aio.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/procdesc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 40, LONG = 20000, ARMED = 8 };

/* One registration: how it is made, and whether it was told. */
struct step {
	const char	*name;
	uintptr_t	ident;
	short		filter;
	unsigned short	flags;
	unsigned int	fflags;
	int64_t		data;
	bool		quiet;		/* its condition is not brought about */
	bool		ends;		/* it is told once */
	bool		told;
};

static struct {
	int	kq, inner;
	int	tcp[2], full[2], twin[2], vanish[2], file, grows, dir, pidfd;
	pid_t	child, described;
	bool	connector, pressure, mounts;	/* what this system has */
	struct step steps[MOST];
	int	n;
} s;

static char place[128];		/* a directory of the worker's own */
static struct aiocb aiocb, *volatile list[1], listed;
static char aio_bytes[2][4];
static int failures;

/* What the parent is told, of each way in which the fault lasts or not. */
static struct report {
	int	points, error, failures;
	char	name[32];
	int	blocks, descriptors;
	long	mapped;
} *report;

/* In a child, where nobody would read what Check has to say. */
#define REQUIRE(condition, ...) ((condition) ? (void)0 : complain(__LINE__, __VA_ARGS__))

__attribute__((format(printf, 2, 3), noreturn)) static void
complain(int line, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "faults.c:%d: %s at %s: ", line, strerror(faults_error()), faults_name());
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

/*
 * Whether a change may fail with this, when what was planned is what failed.  A process
 * connector that does not answer looks like none.
 */
static bool
allowed(int error)
{
	switch (faults_error()) {
	case EAGAIN:
		return error == ENOTSUP && strcmp(faults_name(), "receive") == 0;
	case ENOBUFS:
		return error == ENOMEM;
	case ENOMEM: case ENOSPC: case EMFILE: case ENFILE:
		return error == faults_error();
	default:
		return false;
	}
}

static void
check(const char *what, int error)
{
	REQUIRE(allowed(error), "%s: %s", what, strerror(error));
	failures++;
}

/* A change that may fail, once: then it is as if it had not been made. */
static void
change_armed(const struct step *step, unsigned flags)
{
	static char mark;
	int error;

	flags |= (flags & EV_ADD) != 0 ? step->flags : step->flags & ~(unsigned)EV_VANISHED;
	faults_arm();
	error = change(s.kq, step->ident, step->filter, (unsigned short)flags, step->fflags, step->data, &mark);
	faults_disarm();
	if (error == 0)
		return;
	check(step->name, error);
	REQUIRE((flags & EV_DELETE) == 0, "%s: EV_DELETE fails", step->name);
	if ((flags & EV_ADD) != 0)
		REQUIRE(change(s.kq, step->ident, step->filter, step->flags & EV_UDATA_SPECIFIC, 0, 0, &mark) == ENOENT,
		    "%s: something is left", step->name);
	error = change(s.kq, step->ident, step->filter, (unsigned short)flags, step->fflags, step->data, &mark);
	REQUIRE(error == 0, "%s, made again: %s", step->name, strerror(error));
}

static int
queue_armed(void)
{
	int kq;

	faults_arm();
	kq = kqueue();
	faults_disarm();
	if (kq >= 0)
		return kq;
	check("kqueue", errno);
	return queue();
}

static void
add(const char *name, uintptr_t ident, short filter, unsigned flags, unsigned fflags, int64_t data)
{
	s.steps[s.n++] = (struct step){ .name = name, .ident = ident, .filter = filter,
	    .flags = (unsigned short)flags, .fflags = fflags, .data = data };
}

static struct step *
last(void)
{
	return &s.steps[s.n - 1];
}

static void
steps(void)
{
	add("READ", (uintptr_t)s.tcp[0], EVFILT_READ, 0, 0, 0);
	add("WRITE, a second lane", (uintptr_t)s.tcp[0], EVFILT_WRITE, EV_CLEAR, 0, 0);
	add("EXCEPT, a third lane", (uintptr_t)s.tcp[0], EVFILT_EXCEPT, 0, NOTE_OOB, 0);
	add("EMPTY", (uintptr_t)s.full[1], EVFILT_EMPTY, 0, 0, 0);
	add("READ with a mark", (uintptr_t)s.full[0], EVFILT_READ, 0, NOTE_LOWAT, 2);
	add("READ of a file", (uintptr_t)s.grows, EVFILT_READ, 0, 0, 0);
	add("VNODE of a file", (uintptr_t)s.file, EVFILT_VNODE, EV_CLEAR, NOTE_ATTRIB | NOTE_DELETE, 0);
	add("VNODE of a directory", (uintptr_t)s.dir, EVFILT_VNODE, EV_CLEAR, NOTE_WRITE | NOTE_DELETE, 0);
	add("PROC", (uintptr_t)s.child, EVFILT_PROC, 0, NOTE_EXIT, 0);
	last()->ends = true;
	if (s.connector) {
		add("PROC, forks", (uintptr_t)getpid(), EVFILT_PROC, 0, NOTE_FORK, 0);
		add("PROC, tracked", (uintptr_t)s.described, EVFILT_PROC, 0, NOTE_EXIT | NOTE_TRACK, 0);
		last()->ends = true;
	}
	add("PROCDESC", (uintptr_t)s.pidfd, EVFILT_PROCDESC, 0, NOTE_EXIT, 0);
	last()->ends = true;
	add("SIGNAL", SIGUSR2, EVFILT_SIGNAL, 0, 0, 0);
	add("TIMER", 1, EVFILT_TIMER, 0, 0, 1);
	add("TIMER on the other clock", 2, EVFILT_TIMER, 0, NOTE_ABSTIME | NOTE_SECONDS, 1);
	add("USER", 3, EVFILT_USER, EV_CLEAR, NOTE_FFCOPY | NOTE_TRIGGER, 0);
	add("a queue", (uintptr_t)s.inner, EVFILT_READ, 0, 0, 0);
	add("READ of its own", (uintptr_t)s.twin[0], EVFILT_READ, EV_UDATA_SPECIFIC, 0, 0);
	add("READ beside it", (uintptr_t)s.twin[0], EVFILT_READ, 0, 0, 0);
	add("READ that may vanish", (uintptr_t)s.vanish[0], EVFILT_READ,
	    EV_UDATA_SPECIFIC | EV_DISPATCH | EV_DISPATCH2 | EV_VANISHED, 0, 0);
	add("NETDEV", 1, EVFILT_NETDEV, 0, NOTE_LINKUP | NOTE_LINKDOWN, 0);
	last()->quiet = true;
	add("FS", 0, EVFILT_FS, 0, 0, 0);
	last()->quiet = !s.mounts;
	if (s.pressure) {
		add("MEMORYSTATUS", 0, EVFILT_MEMORYSTATUS, 0, NOTE_MEMORYSTATUS_PRESSURE_WARN, 0);
		last()->quiet = true;
	}
}

static pid_t
sleeper(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	signal(SIGTERM, SIG_DFL);
	for (;;)
		pause();
}

/* What the registrations are about: none of it is armed. */
static void
prepare(void)
{
	char path[160];

	signal(SIGUSR2, SIG_IGN);
	s.child = sleeper();
	s.described = sleeper();
	ck_assert_int_ge(s.pidfd = (int)syscall(SYS_pidfd_open, s.described, 0), 0);
	pair(PAIR_TCP, s.tcp);
	pair(PAIR_TCP, s.full);
	pair(PAIR_UNIX, s.twin);
	pair(PAIR_PIPE, s.vanish);
	put(s.full[1], 1);
	snprintf(path, sizeof(path), "%s/file", place);
	ck_assert_int_ge(s.file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
	snprintf(path, sizeof(path), "%s/grows", place);
	ck_assert_int_ge(s.grows = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
	ck_assert_int_ge(s.dir = open(place, O_RDONLY | O_DIRECTORY), 0);
}

/* Events are collected until all that are due were told; the first calls are armed, for there may be many. */
static void
told(const char *what)
{
	struct kevent events[MOST];
	struct timespec wait = { .tv_sec = LONG / 1000 };
	const char *name;
	int64_t end = now_ns() + INT64_C(1000000) * LONG;
	int left, n;

	for (int calls = 0;; calls++) {
		left = 0;
		for (int i = 0; i < s.n; i++)
			if (!s.steps[i].quiet && !s.steps[i].told) {
				name = s.steps[i].name;
				left++;
			}
		if (left == 0)
			return;
		REQUIRE(now_ns() < end, "%s: %d are not told, %s is one", what, left, name);
		if (calls < ARMED)
			faults_arm();
		n = kevent(s.kq, NULL, 0, events, MOST, &wait);
		faults_disarm();
		REQUIRE(n > 0 || (n == -1 && errno == EINTR && faults_error() == EINTR),
		    "%s: kevent() says %d (%s) while %d are to come, %s is one", what, n, strerror(errno), left, name);
		for (int i = 0; i < n; i++)
			for (int j = 0; j < s.n; j++)
				if (s.steps[j].ident == events[i].ident && s.steps[j].filter == events[i].filter &&
				    ((s.steps[j].flags ^ events[i].flags) & EV_UDATA_SPECIFIC) == 0) {
					REQUIRE((events[i].flags & EV_ERROR) == 0, "%s", s.steps[j].name);
					s.steps[j].told = true;
				}
	}
}

/* Makes every condition true. */
static void
bring_about(void)
{
	char name[160];
	pid_t pid;

	put(s.tcp[1], 1);
	ck_assert_int_eq(send(s.tcp[1], "!", 1, MSG_OOB), 1);
	get(s.full[0], 1);
	put(s.full[1], 2);
	put(s.twin[1], 1);
	put(s.vanish[1], 1);
	ck_assert_int_eq(pwrite(s.grows, "x", 1, 0), 1);
	ck_assert_int_eq(fchmod(s.file, 0640), 0);
	snprintf(name, sizeof(name), "%s/entry", place);
	close(open(name, O_WRONLY | O_CREAT, 0600));
	ck_assert_int_eq(unlink(name), 0);
	if (s.mounts) {
		ck_assert_int_eq(mount("none", place, "tmpfs", 0, NULL), 0);
		ck_assert_int_eq(umount(place), 0);
	}
	ck_assert_int_eq(kill(s.child, SIGKILL), 0);
	ck_assert_int_eq(kill(s.described, SIGKILL), 0);
	ck_assert_int_eq(raise(SIGUSR2), 0);
	REQUIRE(change(s.inner, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) == 0, "the other queue: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* An operation that ends, and a list of one. */
static void
operations(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_KEVENT };
	int n;

	event.sigev_notify_kqueue = s.kq;
	for (int which = 0; which < 2; which++) {
		struct aiocb *cb = which == 0 ? &aiocb : &listed;

		memset(cb, 0, sizeof(*cb));
		cb->aio_fildes = s.file;
		cb->aio_buf = aio_bytes[which];
		cb->aio_nbytes = sizeof(aio_bytes[which]);
		cb->aio_lio_opcode = LIO_READ;
		if (which == 0)
			cb->aio_sigevent = event;
		list[0] = &listed;
		for (int again = 0; again < 2; again++) {
			faults_arm();
			n = which == 0 ? aio_read(cb) : lio_listio(LIO_NOWAIT, (struct aiocb *const *)list, 1, &event);
			faults_disarm();
			if (n == 0)
				break;
			REQUIRE(again == 0, "AIO, again: %s", strerror(errno));
			if (errno != EAGAIN || (faults_error() != ENOMEM && faults_error() != EAGAIN))
				check(which == 0 ? "aio_read" : "lio_listio", errno);
			failures++;
			/* What was begun is told of, and can be used again. */
			ck_assert_int_eq(kevent(s.kq, NULL, 0, NULL, 0, NULL), 0);
			if (which == 1 && aio_error(cb) != EINVAL)
				aio_return(cb);
		}
		add(which == 0 ? "AIO" : "LIO", which == 0 ? (uintptr_t)cb : (uintptr_t)list,
		    which == 0 ? EVFILT_AIO : EVFILT_LIO, 0, 0, 0);
		told("operations");
		ck_assert_int_eq((int)aio_return(cb), 0);
		s.n--;
	}
}

/* Other numbers of the queue, one that was made unseen, and its closing. */
static void
duplicates(void)
{
	int copies[2], n;

	faults_arm();
	copies[0] = dup(s.kq);
	faults_disarm();
	ck_assert_int_ge(copies[0], 0);
	ck_assert_int_ge(copies[1] = (int)syscall(SYS_dup, s.kq), 0);
	for (int i = 0; i < 2; i++) {
		struct timespec now = { 0, 0 };
		struct kevent event;

		faults_arm();
		n = kevent(copies[i], NULL, 0, &event, 1, &now);
		faults_disarm();
		/* Without memory or descriptors it cannot be known whose it is. */
		if (n == -1)
			REQUIRE(errno == EBADF && faults_error() != 0 && faults_error() != EINTR &&
			    faults_error() != EAGAIN, "duplicate %d: %s", i, strerror(errno));
		ck_assert_int_ge(kevent(copies[i], NULL, 0, &event, 1, &now), 0);
		ck_assert_int_eq(close(copies[i]), 0);
	}
}

static void
cleanup(void)
{
	ck_assert_int_eq(waitpid(s.child, NULL, 0), s.child);
	ck_assert_int_eq(waitpid(s.described, NULL, 0), s.described);
	close_pair(s.tcp);
	close_pair(s.full);
	close_pair(s.twin);
	close_pair(s.vanish);
	close(s.pidfd);
	close(s.file);
	close(s.grows);
	close(s.dir);
}

/* The scenario. */
static void
scenario(void)
{
	s.n = 0;
	prepare();
	s.inner = queue_armed();
	ck_assert_int_eq(change(s.inner, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	s.kq = queue_armed();
	steps();
	for (int i = 0; i < s.n; i++)
		change_armed(&s.steps[i], EV_ADD);
	for (int i = 0; i < s.n; i++)
		change_armed(&s.steps[i], EV_DISABLE);
	for (int i = 0; i < s.n; i++)
		change_armed(&s.steps[i], EV_ENABLE);
	bring_about();
	told("each condition");
	duplicates();
	operations();
	for (int i = 0; i < s.n; i++)
		if (!s.steps[i].ends)
			change_armed(&s.steps[i], EV_DELETE | EV_ENABLE);
	faults_arm();
	ck_assert_int_eq(close(s.kq), 0);
	ck_assert_int_eq(close(s.inner), 0);
	faults_disarm();
	cleanup();
}

/* In a child. */
static void
run(struct fault fault)
{
	faults_plan(fault);
	scenario();
	report->points = faults_points();
	report->error = faults_error();
	report->failures = failures;
	snprintf(report->name, sizeof(report->name), "%s", faults_name());
	report->blocks = faults_blocks();
	report->mapped = faults_mapped();
	report->descriptors = open_descriptors();
	exit(0);
}

static struct report
run_child(struct fault fault)
{
	int status;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		run(fault);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	/* What it was, FAULT tells if it is set to these numbers. */
	if (status != 0) {
		fprintf(stderr, "faults: FAULT=%d,%d,%d fails, status %#x\n", fault.f_point, fault.f_which, fault.f_lasts,
		    (unsigned)status);
		report->error = -1;
	}
	return *report;
}

/* What this system has. */
static void
look_around(void)
{
	int kq = queue();

	s.connector = change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_FORK, 0, NULL) == 0;
	s.pressure = change(kq, 0, EVFILT_MEMORYSTATUS, EV_ADD, NOTE_MEMORYSTATUS_PRESSURE_WARN, 0, NULL) == 0;
	close(kq);
	s.mounts = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* What is there more than without a fault, or less. */
static bool
left_behind(int point, const struct report *one, const struct report *whole)
{
	if (one->descriptors == whole->descriptors && one->blocks == whole->blocks && one->mapped <= whole->mapped)
		return false;
	fprintf(stderr, "faults: point %d (%s at %s): %+d descriptors, %+d blocks, %+ld bytes\n", point, strerror(one->error),
	    one->name, one->descriptors - whole->descriptors, one->blocks - whole->blocks, one->mapped - whole->mapped);
	return true;
}

/* Most of the time goes by while the kernel closes what was watched, so several do that at once. */
enum { WORKERS = 8 };

static struct total {
	int	points, faults, errors, failed;
} *totals;

static void
work(int worker, bool lasts, int part)
{
	struct report whole, one;
	struct total *total = &totals[worker];

	snprintf(place, sizeof(place), "%s/%d", scratch_dir(), worker);
	ck_assert_int_eq(mkdir(place, 0700), 0);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(report, MAP_FAILED);
	look_around();
	whole = run_child((struct fault){ 0, 0, false });
	total->failed = whole.error != 0 || whole.failures != 0;
	total->points = whole.points;
	for (int point = 1 + 2 * worker + part; point <= whole.points; point += 2 * WORKERS)
		for (int which = 0; which < MOST_ERRORS; which++) {
			one = run_child((struct fault){ point, which, lasts });
			if (one.error == 0)
				break;
			total->faults++;
			total->errors += one.failures;
			total->failed += one.error == -1 || left_behind(point, &one, &whole);
		}
	exit(0);
}

/* FAULT=point,which,lasts: that one alone, for who looks for what went wrong. */
static void
one_point(const char *text)
{
	struct fault fault;
	int lasts;

	ck_assert_int_eq(sscanf(text, "%d,%d,%d", &fault.f_point, &fault.f_which, &lasts), 3);
	fault.f_lasts = lasts != 0;
	snprintf(place, sizeof(place), "%s", scratch_dir());
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	look_around();
	ck_assert_int_ge(run_child(fault).error, 0);
}

static void
every_point(bool lasts, int part)
{
	struct total sum = { 0, 0, 0, 0 };
	pid_t pids[WORKERS];
	int status;

	if (getenv("FAULT") != NULL) {
		one_point(getenv("FAULT"));
		return;
	}
	(void)scratch_dir();
	totals = mmap(NULL, WORKERS * sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(totals, MAP_FAILED);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_ge(pids[i] = fork(), 0);
		if (pids[i] == 0)
			work(i, lasts, part);
	}
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		sum.points = totals[i].points;
		sum.faults += totals[i].faults;
		sum.errors += totals[i].errors;
		sum.failed += totals[i].failed + (status != 0);
	}
	munmap(totals, WORKERS * sizeof(*totals));
	printf("faults: %d points, %d faults, %d errors\n", sum.points, sum.faults, sum.errors);
	ck_assert_int_eq(sum.failed, 0);
	ck_assert_int_gt(sum.points, 100);
	ck_assert_int_gt(sum.errors, 50);
}

/* Each part is every second point, so that none takes too long. */
START_TEST(faults__each_once)
{
	every_point(false, 0);
}
END_TEST

START_TEST(faults__each_other_once)
{
	every_point(false, 1);
}
END_TEST

START_TEST(faults__each_and_all_that_follow)
{
	every_point(true, 0);
}
END_TEST

START_TEST(faults__each_other_and_all_that_follow)
{
	every_point(true, 1);
}
END_TEST

HARNESS_MAIN("faults", faults__each_once, faults__each_other_once, faults__each_and_all_that_follow,
    faults__each_other_and_all_that_follow)
