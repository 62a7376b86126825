/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux before 5.11, or a sandbox, refuses epoll_pwait2(2): timeouts are as exact without. */
#include "sandbox.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static atomic_int stop;
static int fds[2];

static void
check_timeout(int kq, int64_t ns)
{
	struct timespec ts = { .tv_nsec = (long)ns };
	int64_t began = now_ns(), took;
	struct kevent event;

	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), 0);
	took = now_ns() - began;
	ck_assert_int_ge(took, ns);
	ck_assert_int_lt(took, ns + 5000 * MS);
}

static void
check_refused(unsigned int error)
{
	int kq = queue();

	ck_assert(refuse_call(SYS_epoll_pwait2, error));
	for (int64_t ns = 1; ns < 100 * MS; ns *= 7)
		check_timeout(kq, ns);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 20, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	close(kq);
}

START_TEST(kevent_pwait2__timeout_is_never_early)
{
	check_refused(ENOSYS);
}
END_TEST

START_TEST(kevent_pwait2__forbidden_it_is_done_without)
{
	check_refused(EPERM);
}
END_TEST

static void *
write_and_read(void *arg)
{
	while (!stop) {
		put(fds[1], 1);
		get(fds[0], 1);
		sched_yield();
	}
	return arg;
}

/* poll(2) says that something is there, and then it is not. */
START_TEST(kevent_pwait2__what_goes_again_does_not_end_the_wait)
{
	int kq = queue();
	pthread_t thread;

	ck_assert(refuse_call(SYS_epoll_pwait2, ENOSYS));
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_and_read, NULL), 0);
	for (int i = 0; i < 20; i++)
		check_timeout(kq, 20 * MS);
	stop = 1;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close_pair(fds);
	close(kq);
}
END_TEST

/* Who may open nothing may not poll a single descriptor, either; a timeout is none the less kept. */
START_TEST(kevent_pwait2__limit_of_no_descriptors)
{
	struct rlimit limit, none;
	int kq = queue();

	ck_assert(refuse_call(SYS_epoll_pwait2, ENOSYS));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	check_timeout(kq, MS / 2);
	check_timeout(kq, 2 * MS + MS / 2);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(kq);
}
END_TEST

HARNESS_MAIN("kevent_pwait2",
    kevent_pwait2__limit_of_no_descriptors,
    kevent_pwait2__timeout_is_never_early,
    kevent_pwait2__forbidden_it_is_done_without,
    kevent_pwait2__what_goes_again_does_not_end_the_wait)
