/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every test program shares.  A test is a START_TEST() of Check; it runs
 * in a process of its own with a time limit, and fails if it leaves behind a
 * descriptor, a thread or a child that it did not have at the start.
 *
 * A test owns its queue: it makes it with queue() and closes it.
 */
#ifndef KQ_TESTS_HARNESS_H
#define KQ_TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/event.h>

#ifdef __GLIBC__
#define GLIBC_SINCE(major, minor)	__GLIBC_PREREQ(major, minor)
#else
#define GLIBC_SINCE(major, minor)	0
#endif

/* Seconds a test may take: more than any needs on a loaded machine under a sanitizer. */
#define HARNESS_TIMEOUT 60

/* At the end of a test program: HARNESS_MAIN("timer", timer__a, timer__b) */
#define HARNESS_MAIN(suite, ...)						\
	int									\
	main(void)								\
	{									\
		const TTest *const tests[] = { __VA_ARGS__ };			\
										\
		return harness_run((suite), tests, sizeof(tests) / sizeof(tests[0])); \
	}

int	harness_run(const char *suite, const TTest *const *tests, size_t n);

/* A new queue; the test fails if there is none. */
int	queue(void);

/* Applies one change; 0 or the errno.  No event is collected. */
int	change(int kq, uintptr_t ident, short filter, unsigned short flags,
	    unsigned int fflags, int64_t data, void *udata);

/* Collects at most n events, waiting at most ms milliseconds (-1: for ever); their count. */
int	collect(int kq, struct kevent *events, int n, int ms);

/* The one event that must come within the time limit; fails unless it is (ident, filter). */
struct kevent event_of(int kq, uintptr_t ident, short filter);

/* Fails if anything is ready now. */
void	no_event(int kq);

/* Fails if anything comes within ms milliseconds, or if to wait so long takes processor time. */
void	asleep(int kq, int ms);

/* Whether poll(2) says that fd is readable within ms milliseconds. */
bool	readable(int fd, int ms);

/* How many descriptors this process has open. */
int	open_descriptors(void);

/* How many threads this process has, less those that the kernel uses for io_uring. */
int	threads(void);

/* The monotonic clock in nanoseconds. */
int64_t	now_ns(void);

/* The processor time that this process has used, in nanoseconds. */
int64_t	cpu_ns(void);

/*
 * Sleeps: for what must not happen, which nothing tells; where time is what is tested; and between two looks at what
 * can only be looked at.  Never for what must happen: that is waited for.
 */
void	nap(int ms);

/* Connected descriptors of every kind: what is written to fds[1] is read from fds[0]. */
enum pair {
	PAIR_TCP, PAIR_TCP6, PAIR_UNIX, PAIR_SEQPACKET, PAIR_UDP, PAIR_DGRAM, PAIR_PIPE
};
void	pair(enum pair kind, int fds[2]);
void	close_pair(const int fds[2]);
const char *pair_name(enum pair kind);

/* Whether the loopback interface speaks IPv6. */
bool	have_ipv6(void);

/* Writes n bytes; reads n bytes; the test fails unless all go. */
void	put(int fd, size_t n);
void	get(int fd, size_t n);

/* Writes n bytes to a stream and waits until they have arrived at the other end. */
void	pass(int from, int to, size_t n);

/* Writes until there is no more room; reads until there is no more data; how many bytes. */
size_t	fill(int fd);
size_t	drain(int fd);

/*
 * Waits until a thread, or the first one of a process, is in a state as proc(5) calls it, or has ended: 'S' is
 * asleep, 'T' stopped, 'Z' gone, though the process may go on.
 */
void	await_state(int tid, char state);

/* Waits until a thread that is about to wait for something does so; its number is set by itself. */
void	await_sleep(const _Atomic int *tid);

/* A thread that waits in kevent() for one event; the start returns when it is likely asleep. */
struct waiter {
	pthread_t	thread;
	int		kq, ms;		/* as for collect() */
	int		count, error;	/* what kevent() returned, and errno if -1 */
	struct kevent	event;
	_Atomic int	tid;		/* once it runs */
};
void	waiter_start(struct waiter *w, int kq, int ms);
void	waiter_join(struct waiter *w);

/* A directory of the test's own, with no slash at its end; removed after the test with what is in it. */
const char *scratch_dir(void);

#endif
