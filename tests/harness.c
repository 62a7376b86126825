/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"
#include "sanitizer.h"
#include "thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int descriptors_before, threads_before;
static char scratch[64];

static int
entries(const char *path)
{
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	dir = opendir(path);
	ck_assert_msg(dir != NULL, "opendir %s: %s", path, strerror(errno));
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			count++;
	closedir(dir);
	return count;
}

/* Where there is no /proc, the numbers are tried. */
static int
open_numbers(void)
{
	int count = 0;

	for (int fd = 0; fd < 65536; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

int
open_descriptors(void)
{
	if (access("/proc/self/fd", X_OK) == -1)
		return open_numbers();
	return entries("/proc/self/fd") - 1;	/* less the directory's own */
}

/* Whether it is one of io_uring's, which have none of the program's code and go by themselves. */
static bool
is_kernels(const char *task)
{
	char path[64], name[16] = "";
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", task);
	comm = fopen(path, "re");
	if (comm != NULL && fgets(name, sizeof(name), comm) == NULL)
		name[0] = '\0';
	if (comm != NULL)
		fclose(comm);
	return strncmp(name, "iou-wrk-", 8) == 0;
}

int
threads(void)
{
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	if (access("/proc/self/task", X_OK) == -1)
		return 1;
	dir = opendir("/proc/self/task");
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.' && !is_kernels(entry->d_name);
	closedir(dir);
	return count;
}

int64_t
now_ns(void)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int
scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

const char *
scratch_dir(void)
{
	if (scratch[0] == '\0') {
		strcpy(scratch, "/tmp/kq-test.XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(scratch));
	}
	return scratch;
}

static void *
do_nothing(void *arg)
{
	return arg;
}

/* Where closes are not seen, a queue's end is found out when the next one is made. */
static void
settle(void)
{
	close(queue());
}

/*
 * A process that has had a second thread is not taken for one that is alone any more (src/single.h).  With clang
 * and the thread sanitizer each test is in such a one, else in one that is alone until the test makes a thread.
 */
#if defined(__clang__)
#define HAD_THREAD	true
#else
#define HAD_THREAD	THREAD_SANITIZER
#endif

static void
have_had_a_thread(void)
{
	int alone = threads();
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	/* A joined thread may still be listed for a moment. */
	for (int tries = 0; threads() > alone && tries < 50; tries++)
		poll(NULL, 0, 1);
}

/*
 * The library keeps a few descriptors for the life of the process, and the
 * thread sanitizer's runtime a thread from the first that is made: have them
 * before counting.
 */
static void
before(void)
{
	int kq = queue();

	ck_assert_int_eq(change(kq, SIGCONT, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(close(kq), 0);
	if (HAD_THREAD)
		have_had_a_thread();
	threads_before = threads();
	settle();
	descriptors_before = open_descriptors();
}

static void
after(void)
{
	int tries, count;

	if (scratch[0] != '\0')
		nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	ck_assert_msg(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD,
	    "a child is left behind");
	settle();
	ck_assert_int_eq(open_descriptors(), descriptors_before);
	for (tries = 0; (count = threads()) > threads_before && tries < 1000; tries++)
		poll(NULL, 0, 1);
	ck_assert_int_eq(count, threads_before);
}

int
harness_run(const char *suite, const TTest *const *tests, size_t n)
{
	int failed;
	Suite *s = suite_create(suite);
	TCase *tc = tcase_create(suite);
	SRunner *runner;

	tcase_set_timeout(tc, HARNESS_TIMEOUT);
	tcase_add_checked_fixture(tc, before, after);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
queue(void)
{
	int kq = kqueue();

	ck_assert_msg(kq >= 0, "kqueue: %s", strerror(errno));
	return kq;
}

int
change(int kq, uintptr_t ident, short filter, unsigned short flags,
    unsigned int fflags, int64_t data, void *udata)
{
	struct kevent kev;

	EV_SET(&kev, ident, filter, flags, fflags, data, udata);
	return kevent(kq, &kev, 1, NULL, 0, NULL) == -1 ? errno : 0;
}

int
collect(int kq, struct kevent *events, int n, int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };
	int count;

	do
		count = kevent(kq, NULL, 0, events, n, ms < 0 ? NULL : &ts);
	while (count == -1 && errno == EINTR);
	ck_assert_msg(count >= 0, "kevent: %s", strerror(errno));
	ck_assert_int_le(count, n);
	return count;
}

struct kevent
event_of(int kq, uintptr_t ident, short filter)
{
	struct kevent event;

	ck_assert_int_eq(collect(kq, &event, 1, HARNESS_TIMEOUT * 500), 1);
	ck_assert_msg(event.ident == ident && event.filter == filter,
	    "event (%ju, %d) where (%ju, %d) was expected", (uintmax_t)event.ident,
	    event.filter, (uintmax_t)ident, filter);
	return event;
}

void
no_event(int kq)
{
	struct kevent event;

	memset(&event, 0, sizeof(event));
	ck_assert_msg(collect(kq, &event, 1, 0) == 0,
	    "event (%ju, %d) flags %#x fflags %#x data %jd where none was expected",
	    (uintmax_t)event.ident, event.filter, event.flags, event.fflags,
	    (intmax_t)event.data);
}

bool
readable(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 && (pfd.revents & POLLIN) != 0;
}

int64_t
cpu_ns(void)
{
	const char *slower = getenv("CK_TIMEOUT_MULTIPLIER");
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
	return ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec) / (slower == NULL ? 1 : atoi(slower));
}

void
asleep(int kq, int ms)
{
	struct kevent event;
	int64_t used = cpu_ns();

	ck_assert_int_eq(collect(kq, &event, 1, ms), 0);
	ck_assert_int_lt(cpu_ns() - used, 100000000);
}

void
nap(int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

	while (nanosleep(&ts, &ts) == -1)
		ck_assert_int_eq(errno, EINTR);
}

/* The loopback address of a family; its length. */
static socklen_t
loopback(int family, struct sockaddr_storage *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(address, &in, sizeof(in));
		return sizeof(in);
	}
	in6.sin6_addr = in6addr_loopback;
	memcpy(address, &in6, sizeof(in6));
	return sizeof(in6);
}

bool
have_ipv6(void)
{
	struct sockaddr_storage address;
	socklen_t len = loopback(AF_INET6, &address);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool have;

	if (fd == -1)
		return false;
	have = bind(fd, (struct sockaddr *)&address, len) == 0;
	close(fd);
	return have;
}

/* Without TCP_NODELAY a second short write would wait for the first one's acknowledgement. */
static void
pair_tcp(int family, int fds[2])
{
	struct sockaddr_storage address;
	socklen_t len = loopback(family, &address);
	int listener, one = 1;

	ck_assert_int_ge(listener = socket(family, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	ck_assert_int_ge(fds[1] = socket(family, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(connect(fds[1], (struct sockaddr *)&address, len), 0);
	ck_assert_int_ge(fds[0] = accept(listener, NULL, NULL), 0);
	close(listener);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY,
		    &one, sizeof(one)), 0);
}

static void
pair_udp(int fds[2])
{
	struct sockaddr_storage address[2];
	socklen_t len = loopback(AF_INET, &address[0]);

	address[1] = address[0];
	for (int i = 0; i < 2; i++) {
		ck_assert_int_ge(fds[i] = socket(AF_INET, SOCK_DGRAM, 0), 0);
		ck_assert_int_eq(bind(fds[i], (struct sockaddr *)&address[i], len), 0);
		ck_assert_int_eq(getsockname(fds[i], (struct sockaddr *)&address[i], &len), 0);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&address[1 - i], len), 0);
}

void
pair(enum pair kind, int fds[2])
{
	switch (kind) {
	case PAIR_TCP:
		pair_tcp(AF_INET, fds);
		break;
	case PAIR_TCP6:
		pair_tcp(AF_INET6, fds);
		break;
	case PAIR_UNIX:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		break;
	case PAIR_SEQPACKET:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
		break;
	case PAIR_UDP:
		pair_udp(fds);
		break;
	case PAIR_DGRAM:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
		break;
	case PAIR_PIPE:
		ck_assert_int_eq(pipe(fds), 0);
		break;
	}
}

void
close_pair(const int fds[2])
{
	ck_assert_int_eq(close(fds[0]), 0);
	ck_assert_int_eq(close(fds[1]), 0);
}

const char *
pair_name(enum pair kind)
{
	static const char *const names[] = {
		[PAIR_TCP] = "TCP", [PAIR_TCP6] = "TCP over IPv6", [PAIR_UNIX] = "AF_UNIX stream",
		[PAIR_SEQPACKET] = "AF_UNIX seqpacket", [PAIR_UDP] = "UDP",
		[PAIR_DGRAM] = "AF_UNIX datagram", [PAIR_PIPE] = "pipe",
	};

	return names[kind];
}

void
put(int fd, size_t n)
{
	char buffer[4096];

	memset(buffer, 'x', sizeof(buffer));
	while (n > 0) {
		size_t some = n < sizeof(buffer) ? n : sizeof(buffer);
		ssize_t written = write(fd, buffer, some);

		ck_assert_msg(written > 0, "write: %s", strerror(errno));
		n -= (size_t)written;
	}
}

void
get(int fd, size_t n)
{
	char buffer[4096];

	while (n > 0) {
		size_t some = n < sizeof(buffer) ? n : sizeof(buffer);
		ssize_t got = read(fd, buffer, some);

		ck_assert_msg(got > 0, "read: %s", got == 0 ? "end of file" : strerror(errno));
		n -= (size_t)got;
	}
}

void
pass(int from, int to, size_t n)
{
	int before_put, now, tries;

	ck_assert_int_eq(ioctl(to, FIONREAD, &before_put), 0);
	put(from, n);
	for (tries = 0; tries < 10000; tries++) {
		ck_assert_int_eq(ioctl(to, FIONREAD, &now), 0);
		if (now >= before_put + (int)n)
			return;
		nap(1);
	}
	ck_abort_msg("%zu bytes never arrived", n);
}

/* The addresses of a TCP or UDP socket, its own and the other's. */
static bool
addresses(int fd, struct sockaddr_storage *own, struct sockaddr_storage *other)
{
	memset(own, 0, sizeof(*own));
	memset(other, 0, sizeof(*other));
	return getsockname(fd, (struct sockaddr *)own, &(socklen_t){ sizeof(*own) }) == 0 &&
	    getpeername(fd, (struct sockaddr *)other, &(socklen_t){ sizeof(*other) }) == 0 &&
	    (own->ss_family == AF_INET || own->ss_family == AF_INET6);
}

/* Bytes that this process has sent to fd, and that the kernel has yet to move on. */
static int
under_way(int fd)
{
	struct sockaddr_storage own, other, its_own, its_other;
	int bytes = 0;

	if (!addresses(fd, &own, &other))
		return 0;
	for (int peer = 0; peer < 1024; peer++)
		if (addresses(peer, &its_own, &its_other) && memcmp(&own, &its_other, sizeof(own)) == 0 &&
		    memcmp(&other, &its_own, sizeof(other)) == 0)
			ck_assert_int_eq(ioctl(peer, TIOCOUTQ, &bytes), 0);
	return bytes;
}

/* Moves bytes until the descriptor would block; O_NONBLOCK is left as it was. */
static size_t
move(int fd, bool out)
{
	char buffer[65536];
	int flags = fcntl(fd, F_GETFL);
	size_t moved = 0;
	ssize_t n;

	memset(buffer, 'x', sizeof(buffer));
	ck_assert_int_eq(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	do {
		while ((n = out ? write(fd, buffer, sizeof(buffer)) :
		    read(fd, buffer, sizeof(buffer))) > 0)
			moved += (size_t)n;
		ck_assert_msg(n == 0 || errno == EAGAIN, "%s: %s", out ? "write" : "read",
		    strerror(errno));
		/* TCP may yet move some on by itself. */
	} while (out ? poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 10) == 1 :
	    n != 0 && under_way(fd) > 0 && poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10) != -1);
	ck_assert_int_eq(fcntl(fd, F_SETFL, flags), 0);
	return moved;
}

size_t
fill(int fd)
{
	return move(fd, true);
}

size_t
drain(int fd)
{
	return move(fd, false);
}

static void *
waiter_run(void *arg)
{
	struct waiter *w = arg;
	struct timespec ts = { w->ms / 1000, (w->ms % 1000) * 1000000L };

	w->tid = (int)syscall(SYS_gettid);
	w->count = kevent(w->kq, NULL, 0, &w->event, 1, w->ms < 0 ? NULL : &ts);
	w->error = w->count == -1 ? errno : 0;
	return NULL;
}

void
await_state(int tid, char state)
{
	for (int tries = 0; tries < 10000 && !thread_is(tid, state); tries++)
		nap(1);
}

void
await_sleep(const _Atomic int *tid)
{
	for (int tries = 0; tries < 10000 && *tid == 0; tries++)
		nap(1);
	await_state(*tid, 'S');
	/* It may have slept on its way there, and nothing tells in what. */
	nap(5);
	await_state(*tid, 'S');
}

void
waiter_start(struct waiter *w, int kq, int ms)
{
	memset(w, 0, sizeof(*w));
	w->kq = kq;
	w->ms = ms;
	ck_assert_int_eq(pthread_create(&w->thread, NULL, waiter_run, w), 0);
	await_sleep(&w->tid);
}

void
waiter_join(struct waiter *w)
{
	ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
}
