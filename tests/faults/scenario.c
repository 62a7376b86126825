/* SPDX-License-Identifier: BSD-2-Clause */
#include "scenario.h"

#include "doubles.h"
#include "../../src/knote.h"
#include "../harness.h"

#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
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
	bool		again;		/* it is there already: this changes it */
	bool		wide;		/* by kevent64(), with what only that can give */
	bool		away;		/* from s.away */
	bool		quiet;		/* its condition is not brought about */
	bool		ends;		/* it is told once */
	bool		told;
};

static struct {
	int	kq, inner;
	int	tcp[2], full[2], twin[2], vanish[2], leash[2], file, grows, dir, above, counter, pidfd;
	pid_t	child, described, forker;
	bool	forked, tracked;		/* the forker has, and was followed */
	bool	connector, pressure, mounts;	/* what this system has */
	int	home, away;			/* name spaces with interfaces; the other is our own, or -1 */
	struct step steps[MOST];
	int	n;
} s;

static const char *place;
static struct aiocb aiocb, *volatile list[1], listed;
static char aio_bytes[2][4];
static int failures;

/* In a child, where nobody would read what Check has to say. */
#define REQUIRE(condition, ...) ((condition) ? (void)0 : complain(__LINE__, __VA_ARGS__))

__attribute__((format(printf, 2, 3), noreturn)) static void
complain(int line, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "scenario.c:%d: %s at %s: ", line, strerror(faults_error()), faults_name());
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

static bool
connector_silent(void)
{
	return faults_error() == EAGAIN && strcmp(faults_name(), "receive") == 0;
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
		return (error == ENOTSUP && connector_silent()) ||
		    (error == EAGAIN && strcmp(faults_name(), "fork") == 0);
	case ENOBUFS:
		return error == ENOMEM || error == faults_error();
	/* What is asked for is files: the program's, or those of /proc. */
	case EIO: case ESTALE: case EOVERFLOW:
		return error == faults_error() || error == ENOTSUP;
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

static int
change_made(const struct step *step, unsigned flags, void *mark)
{
	struct kevent64_s kev;

	if (!step->wide)
		return change(s.kq, step->ident, step->filter, (unsigned short)flags, step->fflags, step->data, mark);
	EV_SET64(&kev, step->ident, step->filter, (unsigned short)flags, step->fflags, step->data, (uintptr_t)mark, 7, 9);
	return kevent64(s.kq, &kev, 1, NULL, 0, 0, NULL) == -1 ? errno : 0;
}

/* A change that may fail, once: then it is as if it had not been made. */
static void
change_armed(const struct step *step, unsigned flags)
{
	static char mark;
	int error;

	flags |= (flags & EV_ADD) != 0 ? step->flags : step->flags & ~(unsigned)EV_VANISHED;
	if (step->away)
		ck_assert_int_eq(setns(s.away, CLONE_NEWNET), 0);
	faults_arm();
	error = change_made(step, flags, &mark);
	faults_disarm();
	if (error == 0)
		goto done;
	check(step->name, error);
	REQUIRE((flags & EV_DELETE) == 0, "%s: EV_DELETE fails", step->name);
	if ((flags & EV_ADD) != 0 && !step->again)
		REQUIRE(change(s.kq, step->ident, step->filter, step->flags & EV_UDATA_SPECIFIC, 0, 0, &mark) == ENOENT,
		    "%s: something is left", step->name);
	error = change_made(step, flags, &mark);
	REQUIRE(error == 0, "%s, made again: %s", step->name, strerror(error));
done:
	if (step->away)
		ck_assert_int_eq(setns(s.home, CLONE_NEWNET), 0);
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

/* The registration that was added last is changed so. */
static void
again(const char *name, unsigned fflags, int64_t data)
{
	struct step before = *last();

	add(name, before.ident, before.filter, 0, fflags, data);
	last()->again = true;
	last()->ends = before.ends;
}

static void
steps(void)
{
	if (s.pressure) {
		add("MEMORYSTATUS", 0, EVFILT_MEMORYSTATUS, 0, NOTE_MEMORYSTATUS_PRESSURE_WARN, 0);
		last()->quiet = true;
	}
	add("READ", (uintptr_t)s.tcp[0], EVFILT_READ, 0, 0, 0);
	add("WRITE, a second lane", (uintptr_t)s.tcp[0], EVFILT_WRITE, EV_CLEAR, 0, 0);
	add("EXCEPT, a third lane", (uintptr_t)s.tcp[0], EVFILT_EXCEPT, 0, NOTE_OOB, 0);
	add("EMPTY", (uintptr_t)s.full[1], EVFILT_EMPTY, 0, 0, 0);
	add("READ with a mark", (uintptr_t)s.full[0], EVFILT_READ, 0, NOTE_LOWAT, 2);
	add("READ of a file", (uintptr_t)s.grows, EVFILT_READ, 0, 0, 0);
	add("VNODE of a file", (uintptr_t)s.file, EVFILT_VNODE, EV_CLEAR, NOTE_ATTRIB | NOTE_DELETE, 0);
	add("VNODE of a directory", (uintptr_t)s.dir, EVFILT_VNODE, EV_CLEAR, NOTE_WRITE | NOTE_DELETE, 0);
	add("VNODE of another", (uintptr_t)s.above, EVFILT_VNODE, EV_CLEAR, NOTE_ATTRIB, 0);
	again("VNODE of more", NOTE_ATTRIB | NOTE_DELETE | NOTE_REVOKE, 0);
	add("PROC", (uintptr_t)s.child, EVFILT_PROC, 0, NOTE_EXIT, 0);
	last()->ends = true;
	if (s.connector) {
		again("PROC, and its forks", NOTE_EXIT | NOTE_FORK, 0);
		add("PROC, that forks", (uintptr_t)s.forker, EVFILT_PROC, 0, NOTE_EXIT | NOTE_TRACK, 0);
		last()->ends = true;
		last()->wide = true;
		add("PROC, forks", (uintptr_t)getpid(), EVFILT_PROC, 0, NOTE_FORK, 0);
		add("PROC, tracked", (uintptr_t)s.described, EVFILT_PROC, 0, NOTE_EXIT | NOTE_TRACK, 0);
		last()->ends = true;
	}
	add("PROCDESC", (uintptr_t)s.pidfd, EVFILT_PROCDESC, 0, NOTE_EXIT, 0);
	last()->ends = true;
	add("SIGNAL", SIGUSR2, EVFILT_SIGNAL, 0, 0, 0);
	add("TIMER", 1, EVFILT_TIMER, 0, 0, 1);
	add("TIMER that would be late", 4, EVFILT_TIMER, 0, NOTE_SECONDS, 3600);
	again("TIMER that goes to the other clock", NOTE_ABSTIME | NOTE_SECONDS, 1);
	add("TIMER on the other clock", 2, EVFILT_TIMER, 0, NOTE_ABSTIME | NOTE_SECONDS, 1);
	add("USER", 3, EVFILT_USER, EV_CLEAR, NOTE_FFCOPY | NOTE_TRIGGER, 0);
	add("USER, a second one", 5, EVFILT_USER, 0, 0, 0);
	again("USER with more", NOTE_TRIGGER, 0);
	last()->wide = true;
	add("a queue", (uintptr_t)s.inner, EVFILT_READ, 0, 0, 0);
	add("READ of its own", (uintptr_t)s.twin[0], EVFILT_READ, EV_UDATA_SPECIFIC, 0, 0);
	add("READ beside it", (uintptr_t)s.twin[0], EVFILT_READ, 0, 0, 0);
	add("READ that may vanish", (uintptr_t)s.vanish[0], EVFILT_READ,
	    EV_UDATA_SPECIFIC | EV_DISPATCH | EV_DISPATCH2 | EV_VANISHED, 0, 0);
	add("WRITE of a pipe", (uintptr_t)s.vanish[1], EVFILT_WRITE, 0, 0, 0);
	add("READ of a counter", (uintptr_t)s.counter, EVFILT_READ, 0, 0, 0);
	add("NETDEV", 1, EVFILT_NETDEV, 0, NOTE_LINKUP | NOTE_LINKDOWN, 0);
	last()->away = s.away >= 0;
	last()->quiet = s.away < 0;
	add("FS", 0, EVFILT_FS, 0, 0, 0);
	last()->quiet = !s.mounts;
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

/* One that has a child that ends, whenever it is told to. */
static pid_t
forker(void)
{
	pid_t pid = fork(), child;
	char c;

	if (pid != 0)
		return pid;
	while (read(s.leash[1], &c, 1) == 1) {
		child = fork();
		if (child == 0)
			_exit(0);
		if (child == -1 || waitpid(child, NULL, 0) != child || write(s.leash[1], &c, 1) != 1)
			break;
	}
	_exit(1);
}

/* Switches the first interface of the other name space. */
static void
loopback(bool up)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd;

	if (s.away < 0)
		return;
	ck_assert_int_eq(setns(s.away, CLONE_NEWNET), 0);
	ck_assert_int_ge(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 0);
	request.ifr_flags = up ? IFF_UP : 0;
	ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
	ck_assert_int_eq(setns(s.home, CLONE_NEWNET), 0);
}

/* What the registrations are about: none of it is armed. */
static void
prepare(void)
{
	char path[160];

	signal(SIGUSR2, SIG_IGN);
	loopback(false);
	pair(PAIR_UNIX, s.leash);
	ck_assert_int_ge(s.forker = forker(), 0);
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
	snprintf(path, sizeof(path), "%s/above", place);
	ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
	ck_assert_int_ge(s.above = open(path, O_RDONLY | O_DIRECTORY), 0);
	ck_assert_int_ge(s.counter = eventfd(0, EFD_CLOEXEC), 0);
}

/* A process that is followed to its child, or it is said that it is not. */
static void
followed(const struct kevent *event)
{
	if (event->filter != EVFILT_PROC)
		return;
	if ((event->fflags & NOTE_TRACKERR) != 0)
		REQUIRE(faults_error() != 0, "NOTE_TRACKERR for nothing");
	if (event->ident == (uintptr_t)s.forker ? (event->fflags & NOTE_TRACKERR) != 0 :
	    (event->fflags & NOTE_CHILD) != 0 && event->data == s.forker)
		s.tracked = true;
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
		/* A connector that had something to say and did not, which no kernel's does, may be too late. */
		if (s.forked && !s.tracked && !connector_silent()) {
			name = "the forker's child";
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
			followed(&events[i]);
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
	ck_assert_int_eq(fchmod(s.above, 0750), 0);
	ck_assert_int_eq(eventfd_write(s.counter, 1), 0);
	loopback(true);
	put(s.leash[0], 1);
	get(s.leash[0], 1);
	s.forked = s.connector;
	ck_assert_int_eq(kill(s.forker, SIGKILL), 0);
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
		else
			cb->aio_sigevent.sigev_notify = SIGEV_NONE;
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

/* A process with a descriptor. */
static void
process_descriptor(void)
{
	pid_t pid, same = 0;
	int fd = -1, result;

	for (int again = 0;; again++) {
		faults_arm();
		pid = pdfork(&fd, PD_DAEMON);
		if (pid == 0)
			_exit(0);
		faults_disarm();
		if (pid > 0)
			break;
		REQUIRE(again == 0, "pdfork, again: %s", strerror(errno));
		check("pdfork", errno);
	}
	faults_arm();
	result = pdgetpid(fd, &same);
	faults_disarm();
	REQUIRE(result == 0 ? same == pid : errno == ESRCH && faults_error() != 0, "pdgetpid: %s", strerror(errno));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(fd);
}

/* What is closed by the bare call, while a duplicate stays, is void, and nothing else is. */
static void
closed_unseen(void)
{
	const struct timespec moment = { .tv_nsec = 5000000 }, wait = { .tv_sec = LONG / 1000 };
	int ends[2], copy, n, kq = queue();
	struct kevent event;

	pair(PAIR_UNIX, ends);
	ck_assert_int_eq(change(kq, (uintptr_t)ends[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_ge(copy = dup(ends[0]), 0);
	put(ends[1], 1);
	ck_assert_int_eq(syscall(SYS_close, ends[0]), 0);
	for (int again = 0; again < 2; again++) {
		faults_arm();
		n = kevent(kq, NULL, 0, &event, 1, &moment);
		faults_disarm();
		REQUIRE(n == 0 || (n == -1 && errno == EINTR && faults_error() == EINTR), "what is closed: %d", n);
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		n = kevent(kq, NULL, 0, &event, 1, &wait);
		REQUIRE(n == 1 && event.filter == EVFILT_USER, "beside what is closed: %d", n);
	}
	close(copy);
	close(ends[1]);
	close(kq);
}

/* A process that is not our child, and its parent. */
static pid_t
stranger(pid_t *parent, int talk[2])
{
	pid_t pid;

	pair(PAIR_UNIX, talk);
	ck_assert_int_ge(*parent = fork(), 0);
	if (*parent == 0) {
		pid = sleeper();
		if (write(talk[1], &pid, sizeof(pid)) != sizeof(pid) || read(talk[1], talk, 1) != 1)
			kill(pid, SIGKILL);
		_exit(waitpid(pid, NULL, 0) != pid);
	}
	ck_assert_int_eq(read(talk[0], &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

/* Nobody may be looked into any more who may do what we could. */
static void
look_into_nobody(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	ck_assert_int_eq(syscall(SYS_capget, &header, data), 0);
	data[CAP_TO_INDEX(CAP_SYS_PTRACE)].permitted &= ~CAP_TO_MASK(CAP_SYS_PTRACE);
	data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective &= ~CAP_TO_MASK(CAP_SYS_PTRACE);
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

/* The process connector says no more, as if it had no memory. */
static void
silence(void)
{
	struct sock_filter drop = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog program = { 1, &drop };
	DIR *dir = opendir("/proc/self/fd");
	socklen_t size = sizeof(int);
	struct dirent *entry;
	int protocol;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		if (getsockopt(atoi(entry->d_name), SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
		    protocol == NETLINK_CONNECTOR)
			ck_assert_int_eq(setsockopt(atoi(entry->d_name), SOL_SOCKET, SO_ATTACH_FILTER, &program,
			    sizeof(program)), 0);
	closedir(dir);
}

extern int64_t proc_patience;

/* Its status is waited for, for a while, if there is anybody who might tell. */
static void
strangers_end(void)
{
	int talk[2];
	pid_t parent, pid = stranger(&parent, talk);

	look_into_nobody();
	proc_patience = 10000000;
	s.kq = queue();
	s.n = 0;
	add("PROC of a stranger", (uintptr_t)pid, EVFILT_PROC, 0, NOTE_EXIT, 0);
	change_armed(last(), EV_ADD);
	change_armed(last(), EV_DISABLE);
	change_armed(last(), EV_ENABLE);
	silence();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	told("a stranger's end");
	close(s.kq);
	put(talk[0], 1);
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	close_pair(talk);
}

static void
cleanup(void)
{
	ck_assert_int_eq(waitpid(s.child, NULL, 0), s.child);
	ck_assert_int_eq(waitpid(s.described, NULL, 0), s.described);
	ck_assert_int_eq(waitpid(s.forker, NULL, 0), s.forker);
	close_pair(s.leash);
	close_pair(s.tcp);
	close_pair(s.full);
	close_pair(s.twin);
	close_pair(s.vanish);
	close(s.pidfd);
	close(s.file);
	close(s.grows);
	close(s.dir);
	close(s.above);
	close(s.counter);
}

/* As many as there is memory for, so that it takes some to follow a child. */
static void
fill_up(void)
{
	int n = 0;

	for (int i = 0; i < s.n; i++)
		n += !s.steps[i].again;
	for (; n < (int)KNOTE_CHUNK - 1; n++)
		ck_assert_int_eq(change(s.kq, (uintptr_t)n + 1000, EVFILT_USER, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
}

int
scenario_failures(void)
{
	return failures;
}

void
scenario(const char *directory)
{
	place = directory;
	s.n = 0;
	prepare();
	s.inner = queue_armed();
	ck_assert_int_eq(change(s.inner, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	s.kq = queue_armed();
	steps();
	for (int i = 0; i < s.n; i++)
		change_armed(&s.steps[i], EV_ADD);
	for (int i = 0; i < s.n; i++)
		if (!s.steps[i].again)
			change_armed(&s.steps[i], EV_DISABLE);
	for (int i = 0; i < s.n; i++)
		if (!s.steps[i].again)
			change_armed(&s.steps[i], EV_ENABLE);
	fill_up();
	bring_about();
	told("each condition");
	duplicates();
	operations();
	for (int i = 0; i < s.n; i++)
		if (!s.steps[i].ends && !s.steps[i].again)
			change_armed(&s.steps[i], EV_DELETE | EV_ENABLE);
	faults_arm();
	ck_assert_int_eq(close(s.kq), 0);
	ck_assert_int_eq(close(s.inner), 0);
	faults_disarm();
	process_descriptor();
	closed_unseen();
	strangers_end();
	cleanup();
	REQUIRE(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a process is left");
}

/* A name space for what concerns interfaces; one's own is the only one that the process connector knows. */
static int
space(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

void
scenario_look_around(void)
{
	int kq = queue();

	s.home = space();
	s.away = unshare(CLONE_NEWNET) == 0 ? space() : -1;
	if (s.away >= 0)
		ck_assert_int_eq(setns(s.home, CLONE_NEWNET), 0);

	s.connector = change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_FORK, 0, NULL) == 0;
	s.pressure = change(kq, 0, EVFILT_MEMORYSTATUS, EV_ADD, NOTE_MEMORYSTATUS_PRESSURE_WARN, 0, NULL) == 0;
	close(kq);
	s.mounts = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}
