/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that has made something ready rings the queue's bell without the queue's lock.  Here it is held up
 * just before, while others use the queue: whatever they do, the queue must be readable in the end
 * if there is an event, and not else, and nobody sleeps on.  Another has counted bytes without the lock, and
 * is held up just after.  What a signal's handler does may be done just before a wait, or after.  And an unlink() has
 * told of itself, but the name takes its time to go.  Nor is who ends always quick to say how.
 */
#include "../numbers.h"
#include "../proc.h"
#include "../sandbox.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int	__real_epoll_wait(int ep, struct epoll_event *items, int n, int ms);
int	__wrap_epoll_wait(int ep, struct epoll_event *items, int n, int ms);
ssize_t	__real_readlink(const char *path, char *target, size_t size);
ssize_t	__wrap_readlink(const char *path, char *target, size_t size);
int	__real_ioctl(int fd, unsigned long request, ...);
int	__wrap_ioctl(int fd, unsigned long request, ...);
long	__real_syscall(long number, ...);
long	__wrap_syscall(long number, ...);

static _Thread_local bool held_up, counting;
static sem_t arrived, go;
static pthread_t thread;
static int kq;

/* Until then nothing comes from the process connector. */
static int64_t silent_until;

long
__wrap_syscall(long number, ...)
{
	long arg[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);
	if (held_up && number == SYS_epoll_ctl) {
		held_up = false;
		sem_post(&arrived);
		while (sem_wait(&go) == -1)
			;
	}
	if (number == SYS_recvmmsg && now_ns() < silent_until) {
		errno = EAGAIN;
		return -1;
	}
	return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* What a handler would do once, if it came just before a wait, or just after. */
static void (*handler)(void), (*handler_after)(void);

int
__wrap_epoll_wait(int ep, struct epoll_event *items, int n, int ms)
{
	void (*once)(void) = handler, (*once_after)(void) = handler_after;
	int result;

	handler = handler_after = NULL;
	if (once != NULL)
		once();
	result = __real_epoll_wait(ep, items, n, ms);
	if (once_after != NULL)
		once_after();
	return result;
}

int
__wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	int result;

	va_start(ap, request);
	result = __real_ioctl(fd, request, va_arg(ap, void *));
	va_end(ap);
	if (counting && request == FIONREAD) {
		counting = false;
		sem_post(&arrived);
		while (sem_wait(&go) == -1)
			;
	}
	return result;
}

/* Until then every file has its name. */
static int64_t name_until;

ssize_t
__wrap_readlink(const char *path, char *target, size_t size)
{
	ssize_t n = __real_readlink(path, target, size), end = n - (ssize_t)strlen(" (deleted)");

	return now_ns() < name_until && end > 0 && memcmp(target + end, " (deleted)", (size_t)(n - end)) == 0 ? end : n;
}

static void
trigger(uintptr_t ident)
{
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

static void *
trigger_late(void *unused)
{
	held_up = true;
	trigger(1);
	held_up = false;
	return unused;
}

/* Ident 1 is triggered, and whoever did it is about to ring.  Somebody may have been waiting before. */
static void
begin_waiting(unsigned short flags, struct waiter *waiter)
{
	sem_init(&arrived, 0, 0);
	sem_init(&go, 0, 0);
	kq = queue();
	for (uintptr_t ident = 1; ident <= 3; ident++)
		ck_assert_int_eq(change(kq, ident, EVFILT_USER, EV_ADD | flags, 0, 0, NULL), 0);
	if (waiter != NULL)
		waiter_start(waiter, kq, 10000);
	ck_assert_int_eq(pthread_create(&thread, NULL, trigger_late, NULL), 0);
	while (sem_wait(&arrived) == -1)
		;
}

static void
begin(unsigned short flags)
{
	begin_waiting(flags, NULL);
}

/* Now it does. */
static void
ring(void)
{
	sem_post(&go);
	pthread_join(thread, NULL);
}

static void
end(void)
{
	ck_assert(!readable(kq, 0));
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}

START_TEST(late__ring_of_what_was_collected_is_not_heard)
{
	begin(EV_CLEAR);
	event_of(kq, 1, EVFILT_USER);
	ck_assert(!readable(kq, 0));
	ring();
	end();
}
END_TEST

START_TEST(late__ring_behind_another_is_not_heard)
{
	struct kevent events[4];

	begin(EV_CLEAR);
	trigger(2);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(collect(kq, events, 4, 0), 2);
	ck_assert(!readable(kq, 0));
	ring();
	end();
}
END_TEST

START_TEST(late__ring_behind_two_others_is_not_heard)
{
	struct kevent events[4];

	begin(EV_CLEAR);
	ck_assert_int_eq(collect(kq, events, 4, 0), 1);
	trigger(2);
	ck_assert_int_eq(collect(kq, events, 4, 0), 1);
	trigger(3);
	trigger(2);
	ck_assert_int_eq(collect(kq, events, 4, 0), 2);
	ring();
	end();
}
END_TEST

START_TEST(late__ring_does_not_end_another)
{
	begin(EV_CLEAR);
	event_of(kq, 1, EVFILT_USER);
	trigger(2);
	ck_assert(readable(kq, 0));
	ring();
	ck_assert(readable(kq, 0));
	event_of(kq, 2, EVFILT_USER);
	end();
}
END_TEST

START_TEST(late__ring_leaves_a_level)
{
	begin(EV_CLEAR);
	trigger(2);
	trigger(3);
	for (int left = 3; left > 0; left--) {
		struct kevent event;

		ck_assert(readable(kq, 0));
		ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
		if (left == 3)
			ring();
	}
	end();
}
END_TEST

START_TEST(late__ring_is_not_waited_for)
{
	struct waiter waiter;

	begin(EV_CLEAR);
	event_of(kq, 1, EVFILT_USER);
	waiter_start(&waiter, kq, 10000);
	trigger(2);
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, 1);
	ck_assert_uint_eq(waiter.event.ident, 2);
	ring();
	end();
}
END_TEST

START_TEST(late__ring_wakes_who_waits)
{
	struct waiter waiter;

	begin_waiting(EV_CLEAR, &waiter);
	ring();
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, 1);
	end();
}
END_TEST

START_TEST(late__ring_at_a_closed_queue_is_nothing)
{
	struct waiter waiter;
	int before;

	begin(0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DISABLE, 0, 0, NULL), 0);
	before = open_descriptors();
	waiter_start(&waiter, kq, 10000);
	close(kq);
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, -1);
	ck_assert_int_eq(waiter.error, EBADF);
	ring();
	ck_assert_int_lt(open_descriptors(), before);
}
END_TEST

/* The number of the library's own that leads to kq's epoll. */
static int
own_number(void)
{
	for (int fd = 256; fd < 65536; fd++)
		if (fd != kq && strcmp(kind_of(fd), "anon_inode:[eventpoll]") == 0)
			return fd;
	ck_abort_msg("the queue has no number of its own");
}

START_TEST(late__ring_finds_a_queue_that_has_moved)
{
	struct waiter waiter;
	int ends[2], own;

	pair(PAIR_PIPE, ends);
	begin_waiting(EV_CLEAR, &waiter);
	own = own_number();
	ck_assert_int_eq(dup2(ends[0], own), own);
	ring();
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, 1);
	end();
	close(own);
	close_pair(ends);
}
END_TEST

START_TEST(late__ring_of_a_nested_queue_is_counted_right)
{
	int outer = queue();
	struct kevent event;

	begin(EV_CLEAR);
	ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	trigger(2);
	event = event_of(outer, (uintptr_t)kq, EVFILT_READ);
	ck_assert_int_eq(event.data, 2);
	ring();
	ck_assert(readable(kq, 0));
	event_of(kq, 1, EVFILT_USER);
	event_of(kq, 2, EVFILT_USER);
	no_event(outer);
	end();
	close(outer);
}
END_TEST

static int fds[2];
static _Atomic int tid;
static struct kevent counted;

/* The first time it finds out what that is; from the third on it counts before it has the lock, since that was of use. */
static void *
count_early(void *unused)
{
	tid = gettid();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(collect(kq, &counted, 1, -1), 1);
		get(fds[0], 5);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
		sem_post(&arrived);
	}
	counting = true;
	ck_assert_int_eq(collect(kq, &counted, 1, -1), 1);
	ck_assert(!counting);
	return unused;
}

static void
await_arrival(void)
{
	while (sem_wait(&arrived) == -1)
		;
}

static void
change_and_take(const unsigned short *flags, size_t n)
{
	sem_init(&arrived, 0, 0);
	sem_init(&go, 0, 0);
	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, count_early, NULL), 0);
	for (int i = 0; i < 2; i++) {
		put(fds[1], 5);
		await_arrival();
	}
	put(fds[1], 100);
	await_arrival();
	get(fds[0], 100);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, flags[i], 0, 0, NULL), 0);
	sem_post(&go);
	await_state(tid, 'S');
	put(fds[1], 7);
	pthread_join(thread, NULL);
	ck_assert_int_eq(counted.data, 7);
	close_pair(fds);
	close(kq);
}

/* A count is of what was told: not if that was armed again in between, in whatever way. */
START_TEST(late__count_of_what_was_armed_again_is_void)
{
	const unsigned short changed[] = { EV_ADD | EV_DISPATCH }, silent[] = { EV_DISABLE, EV_ENABLE },
	    anew[] = { EV_DELETE, EV_ADD | EV_DISPATCH };

	change_and_take(changed, 1);
	change_and_take(silent, 2);
	change_and_take(anew, 2);
}
END_TEST

/* Takes one of two events; what the other is of is closed unseen, so that it is none any more. */
static void
leave_one_in_vain(void)
{
	struct kevent event;

	put(fds[0], 1);
	put(fds[1], 1);
	ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
	__real_syscall(SYS_close, (int)event.ident == fds[0] ? fds[1] : fds[0]);
}

static void
ignore(int signo)
{
	(void)signo;
}

/* With room for one event, epoll's report is in the place of that: one that is none must not be taken for a report. */
START_TEST(late__event_in_vain_leaves_the_report)
{
	const struct sigaction sa = { .sa_handler = ignore };
	/* Again and again, since the first may come before the wait. */
	const struct itimerval soon = { .it_interval = { .tv_usec = 100000 }, .it_value = { .tv_usec = 100000 } };
	char path[128];

	kq = queue();
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%d", scratch_dir(), i);
		ck_assert_int_ge(fds[i] = open(path, O_RDWR | O_CREAT, 0600), 0);
		/* As a report it is one of timers, which this queue has not. */
		ck_assert_int_eq(change(kq, (uintptr_t)fds[i], EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0,
		    (void *)(uintptr_t)0x55d0983c1230), 0);
	}
	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	handler = leave_one_in_vain;
	ck_assert_int_eq(kevent(kq, NULL, 0, &counted, 1, NULL), -1);
	ck_assert_int_eq(errno, EINTR);
	close(fds[0]);
	close(fds[1]);
	close(kq);
}
END_TEST

/* A file, and another name that it may be given. */
static int
make_file(char path[static 128], char other[static 160])
{
	int fd;

	snprintf(path, 128, "%s/file", scratch_dir());
	snprintf(other, 160, "%s-2", path);
	ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT, 0600), 0);
	return fd;
}

/* The count is what it was, for there is a link, too: only the name tells.  Linux may make one event of all. */
static void
check_slow_name(bool chmod_too)
{
	char path[128], other[160];
	int fd = make_file(path, other);

	kq = queue();
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_DELETE, 0, NULL), 0);
	name_until = now_ns() + 600000000;
	if (chmod_too)
		ck_assert_int_eq(fchmod(fd, 0640), 0);
	ck_assert_int_eq(link(path, other), 0);
	ck_assert_int_eq(unlink(path), 0);
	no_event(kq);
	ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_DELETE);
	ck_assert_int_ge(now_ns(), name_until);
	ck_assert_int_eq(unlink(other), 0);
	close(fd);
	close(kq);
}

START_TEST(late__name_that_goes_slowly_is_told)
{
	check_slow_name(false);
	check_slow_name(true);
}
END_TEST

static int others[2];

static void
close_one(void)
{
	close(fds[0]);
}

/* What epoll has said of a descriptor is void if that is closed before anybody was told, though it was told before. */
START_TEST(late__report_of_what_is_closed_is_void)
{
	struct kevent events[4];

	for (unsigned fflags = 0; fflags <= NOTE_NOCOUNT; fflags += NOTE_NOCOUNT) {
		kq = queue();
		pair(PAIR_UNIX, fds);
		pair(PAIR_UNIX, others);
		put(fds[1], 1);
		put(others[1], 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, fflags, 0, NULL), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)others[0], EVFILT_READ, EV_ADD, fflags, 0, NULL), 0);
		for (int again = 0; again < 3; again++)
			ck_assert_int_eq(kevent(kq, NULL, 0, events, 4, NULL), 2);
		handler_after = close_one;
		ck_assert_int_eq(kevent(kq, NULL, 0, events, 4, NULL), 1);
		ck_assert_ptr_null(handler_after);
		ck_assert_uint_eq(events[0].ident, (uintptr_t)others[0]);
		close(fds[1]);
		close_pair(others);
		close(kq);
	}
}
END_TEST

/* Has the file watched for NOTE_DELETE; for so long it was looked into what came, and was nothing of the kind. */
static void
doubt(int fd, const char *path, int64_t ns)
{
	int64_t until;

	kq = queue();
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_DELETE, 0, NULL), 0);
	ck_assert_int_eq(chmod(path, 0600), 0);
	for (until = now_ns() + ns; now_ns() < until;)
		no_event(kq);
}

/* What came before, and is still being looked into, takes nothing from the time that a name has to go. */
START_TEST(late__name_that_goes_slowly_after_a_doubt_is_told)
{
	char path[128], other[160];
	int fd = make_file(path, other);

	doubt(fd, path, 4400000000);
	name_until = now_ns() + 50000000;
	ck_assert_int_eq(link(path, other), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_DELETE);
	ck_assert_int_lt(now_ns(), name_until + 1000000000);
	close(fd);
	close(kq);
}
END_TEST

/* The count has told of it, though that was not the first to be looked into. */
START_TEST(late__name_that_goes_slowly_after_a_doubt_is_told_once)
{
	char path[128], other[160];
	int fd = make_file(path, other);

	ck_assert_int_eq(link(path, other), 0);
	doubt(fd, path, 300000000);
	name_until = now_ns() + 30000000;
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_DELETE);
	while (now_ns() < name_until)
		no_event(kq);
	ck_assert_int_eq(chmod(other, 0600), 0);
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

static void
see_it_end(pid_t pid, int fd)
{
	kq = queue();
	if (proc(kq, getpid(), EV_ADD, NOTE_FORK) == 0) {
		ck_assert_int_eq(proc(kq, getpid(), EV_DELETE, 0), 0);
		ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), 0);
		silent_until = now_ns() + 300000000;
		put(fd, 1);
		told_end(kq, pid, W_EXITCODE(7, 0));
		ck_assert_int_ge(now_ns(), silent_until);
	} else {
		fprintf(stderr, "skipped: the process connector does not answer here\n");
		put(fd, 1);
	}
	close(kq);
}

/* Another user's: its end is seen at once, but it loses its processor before it tells its status. */
START_TEST(late__status_of_a_stranger_is_told)
{
	int talk[2];
	pid_t pid, user;

	if (getuid() != 0) {
		fprintf(stderr, "skipped: only root has two users\n");
		return;
	}
	pair(PAIR_UNIX, talk);
	ck_assert_int_ne(pid = fork(), -1);
	if (pid == 0) {
		get(talk[1], 1);
		_exit(7);
	}
	ck_assert_int_ne(user = fork(), -1);
	if (user == 0) {
		if (!become_nobody())
			_exit(1);
		see_it_end(pid, talk[0]);
		_exit(0);
	}
	ck_assert_int_eq(reap(user), 0);
	ck_assert_int_eq(reap(pid), W_EXITCODE(7, 0));
	close_pair(talk);
}
END_TEST

HARNESS_MAIN("late",
    late__ring_of_what_was_collected_is_not_heard,
    late__ring_behind_another_is_not_heard,
    late__ring_behind_two_others_is_not_heard,
    late__ring_does_not_end_another,
    late__ring_leaves_a_level,
    late__ring_is_not_waited_for,
    late__ring_wakes_who_waits,
    late__ring_at_a_closed_queue_is_nothing,
    late__ring_finds_a_queue_that_has_moved,
    late__ring_of_a_nested_queue_is_counted_right,
    late__count_of_what_was_armed_again_is_void,
    late__event_in_vain_leaves_the_report,
    late__name_that_goes_slowly_is_told,
    late__name_that_goes_slowly_after_a_doubt_is_told,
    late__name_that_goes_slowly_after_a_doubt_is_told_once,
    late__report_of_what_is_closed_is_void,
    late__status_of_a_stranger_is_told)
