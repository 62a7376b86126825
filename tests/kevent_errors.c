/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which errno a change that cannot be applied is answered with, and that it
 * leaves nothing behind.
 */
#include "harness.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADD(kq, ident, filter)	change((kq), (ident), (filter), EV_ADD, 0, 0, NULL)

/* The number of a descriptor that was just closed. */
static int
closed_number(void)
{
	int fd = open("/dev/null", O_RDONLY);

	ck_assert_int_ge(fd, 0);
	close(fd);
	return fd;
}

START_TEST(kevent_errors__closed_descriptor_is_ebadf)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_VNODE };
	int kq = queue(), fd = closed_number();

	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(ADD(kq, (uintptr_t)fd, filters[i]), EBADF);
		ck_assert_int_eq(ADD(kq, (uintptr_t)-1, filters[i]), EBADF);
		ck_assert_int_eq(ADD(kq, (uintptr_t)INT_MAX, filters[i]), EBADF);
		ck_assert_int_eq(ADD(kq, (uintptr_t)INT_MAX + 1, filters[i]), EBADF);
		ck_assert_int_eq(ADD(kq, UINTPTR_MAX / 2, filters[i]), EBADF);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[i], EV_ADD | EV_DISABLE, 0, 0, NULL), EBADF);
	}
	close(kq);
}
END_TEST

/* The upper half of ident must not be lost on the way to an int. */
START_TEST(kevent_errors__descriptor_number_is_not_truncated)
{
#if UINTPTR_MAX > 0xffffffffu
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(ADD(kq, (uintptr_t)fds[0] + ((uintptr_t)1 << 32), EVFILT_READ), EBADF);
	ck_assert_int_eq(ADD(kq, (uintptr_t)fds[0] + ((uintptr_t)1 << 63), EVFILT_WRITE), EBADF);
	no_event(kq);
	close_pair(fds);
	close(kq);
#endif
}
END_TEST

START_TEST(kevent_errors__ebadf_comes_before_enoent)
{
	static const unsigned short flags[] = { EV_DELETE, EV_ENABLE, EV_DISABLE, 0 };
	int kq = queue(), fd = closed_number();

	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, flags[i], 0, 0, NULL), EBADF);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, flags[i], 0, 0, NULL), EBADF);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, flags[i], 0, 0, NULL), EBADF);
	}
	close(kq);
}
END_TEST

START_TEST(kevent_errors__unregistered_is_enoent)
{
	static const unsigned short flags[] = { EV_DELETE, EV_ENABLE, EV_DISABLE, 0, EV_CLEAR, EV_FORCEONESHOT };
	int kq = queue(), fds[2], file;

	pair(PAIR_UNIX, fds);
	ck_assert_int_ge(file = open("/", O_RDONLY), 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		const struct { uintptr_t ident; short filter; } all[] = {
			{ (uintptr_t)fds[0], EVFILT_READ }, { (uintptr_t)fds[0], EVFILT_WRITE },
			{ (uintptr_t)file, EVFILT_VNODE }, { (uintptr_t)getpid(), EVFILT_PROC },
			{ SIGUSR1, EVFILT_SIGNAL }, { 1, EVFILT_TIMER }, { 1, EVFILT_USER },
		};

		for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++)
			ck_assert_msg(change(kq, all[j].ident, all[j].filter, flags[i], 0, 0, NULL) == ENOENT,
			    "filter %d, flags %#x", all[j].filter, flags[i]);
	}
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__filters_of_one_ident_are_apart)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(ADD(kq, (uintptr_t)fds[0], EVFILT_READ), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(ADD(kq, 7, EVFILT_USER), 0);
	ck_assert_int_eq(change(kq, 7, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, 8, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__unknown_filters_are_einval)
{
	static const short filters[] = { 0, 1, 2, 7, SHRT_MAX, SHRT_MIN, -100, -EVFILT_SYSCOUNT - 1 };
	static const unsigned short flags[] = { EV_ADD, EV_DELETE, 0, EV_ENABLE };
	int kq = queue();

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		for (size_t j = 0; j < 4; j++)
			ck_assert_msg(change(kq, 0, filters[i], flags[j], 0, 0, NULL) == EINVAL,
			    "filter %d, flags %#x", filters[i], flags[j]);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__enable_with_disable_is_einval)
{
	int kq = queue();

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_ENABLE | EV_DISABLE, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(ADD(kq, 1, EVFILT_USER), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ENABLE | EV_DISABLE, 0, 0, NULL), EINVAL);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__add_with_keepudata_is_einval)
{
	int kq = queue();

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_KEEPUDATA, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(ADD(kq, 1, EVFILT_USER), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_KEEPUDATA, 0, 0, NULL), EINVAL);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__vnode_of_a_socket_is_einval)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), EINVAL);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_VNODE, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_VNODE, EV_ADD | EV_DISABLE, NOTE_WRITE, 0, NULL), EINVAL);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__bad_timers_are_einval)
{
	static const struct { unsigned int fflags; int64_t data; } bad[] = {
		{ 0, -1 }, { NOTE_SECONDS, -1 }, { NOTE_NSECONDS, INT64_MIN },
		{ NOTE_SECONDS | NOTE_USECONDS, 1 }, { NOTE_USECONDS | NOTE_NSECONDS, 1 },
		{ NOTE_MSECONDS | NOTE_SECONDS, 1 }, { 0x40000000, 1 }, { 0x8000, 1 },
		{ NOTE_SECONDS | 0x80000000, 1 },
	};
	int kq = queue();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(change(kq, 1, EVFILT_TIMER, EV_ADD, bad[i].fflags, bad[i].data, NULL) == EINVAL,
		    "fflags %#x, data %jd", bad[i].fflags, (intmax_t)bad[i].data);
		ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
	}
	close(kq);
}
END_TEST

START_TEST(kevent_errors__bad_signals_are_einval)
{
	static const uintptr_t bad[] = { 0, SIGKILL, SIGSTOP, NSIG, 1000, INT_MAX, UINTPTR_MAX };
	int kq = queue();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(ADD(kq, bad[i], EVFILT_SIGNAL) == EINVAL, "signal %ju", (uintmax_t)bad[i]);
		ck_assert_int_ne(change(kq, bad[i], EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
	}
	close(kq);
}
END_TEST

START_TEST(kevent_errors__missing_process_is_esrch)
{
	int kq = queue();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(change(kq, (uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), ESRCH);
	ck_assert_int_eq(change(kq, (uintptr_t)INT_MAX, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), ESRCH);
	ck_assert_int_eq(change(kq, UINTPTR_MAX, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), ESRCH);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__unknown_notes_are_ignored_but_in_timers)
{
	int kq = queue(), fds[2], dir;

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 3);
	ck_assert_int_ge(dir = open("/", O_RDONLY), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0x00ff0000, 0, NULL), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 3);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0x00ff0000, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)dir, EVFILT_VNODE, EV_ADD, NOTE_RENAME | 0x10000000, 0, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0xff, 0, NULL), 0);
	close_pair(fds);
	close(dir);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__failed_add_leaves_nothing_behind)
{
	int kq = queue(), before = open_descriptors(), fds[2];

	pair(PAIR_UNIX, fds);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), EINVAL);
		ck_assert_int_eq(ADD(kq, UINTPTR_MAX, EVFILT_PROC), ESRCH);
		ck_assert_int_eq(ADD(kq, SIGKILL, EVFILT_SIGNAL), EINVAL);
	}
	close_pair(fds);
	/* The queue may have made the descriptor that a filter needs, once. */
	ck_assert_int_le(open_descriptors(), before + 2);
	close(kq);
}
END_TEST

/* What needs a descriptor of the library's own when there is none to be had. */
START_TEST(kevent_errors__out_of_descriptors_is_emfile)
{
	int kq = queue(), fds[2], file, error;
	struct rlimit limit, none;

	pair(PAIR_UNIX, fds);
	ck_assert_int_ge(file = open("/", O_RDONLY), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	const struct { uintptr_t ident; short filter; unsigned int fflags; } all[] = {
		{ 1, EVFILT_TIMER, NOTE_SECONDS }, { (uintptr_t)file, EVFILT_VNODE, NOTE_WRITE },
		{ (uintptr_t)getppid(), EVFILT_PROC, NOTE_EXIT }, { (uintptr_t)fds[0], EVFILT_WRITE, 0 },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		error = change(kq, all[i].ident, all[i].filter, EV_ADD | EV_CLEAR, all[i].fflags, 1, NULL);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (error != 0) {
			ck_assert_int_eq(error, EMFILE);
			ck_assert_int_eq(change(kq, all[i].ident, all[i].filter, EV_DELETE, 0, 0, NULL), ENOENT);
		}
		/* It works as soon as it can. */
		ck_assert_int_eq(change(kq, all[i].ident, all[i].filter, EV_ADD | EV_CLEAR, all[i].fflags, 1, NULL), 0);
		ck_assert_int_eq(change(kq, all[i].ident, all[i].filter, EV_DELETE, 0, 0, NULL), 0);
		no_event(kq);
	}
	pass(fds[1], fds[0], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

START_TEST(kevent_errors__not_a_queue_is_ebadf)
{
	struct timespec zero = { 0, 0 };
	int fds[2], file, numbers[6];
	struct kevent kev;

	pair(PAIR_UNIX, fds);
	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	numbers[0] = -1;
	numbers[1] = closed_number();
	numbers[2] = fds[0];
	numbers[3] = file;
	numbers[4] = INT_MAX;
	numbers[5] = INT_MIN;
	EV_SET(&kev, 1, EVFILT_USER, EV_ADD, 0, 0, NULL);
	for (int i = 0; i < 6; i++) {
		errno = 0;
		ck_assert_int_eq(kevent(numbers[i], &kev, 1, NULL, 0, NULL), -1);
		ck_assert_int_eq(errno, EBADF);
		errno = 0;
		ck_assert_int_eq(kevent(numbers[i], NULL, 0, &kev, 1, &zero), -1);
		ck_assert_int_eq(errno, EBADF);
		ck_assert_int_eq(kevent(numbers[i], NULL, 0, NULL, 0, NULL), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	close_pair(fds);
	close(file);
}
END_TEST

HARNESS_MAIN("kevent_errors",
    kevent_errors__closed_descriptor_is_ebadf,
    kevent_errors__descriptor_number_is_not_truncated,
    kevent_errors__ebadf_comes_before_enoent,
    kevent_errors__unregistered_is_enoent,
    kevent_errors__filters_of_one_ident_are_apart,
    kevent_errors__unknown_filters_are_einval,
    kevent_errors__enable_with_disable_is_einval,
    kevent_errors__add_with_keepudata_is_einval,
    kevent_errors__vnode_of_a_socket_is_einval,
    kevent_errors__bad_timers_are_einval,
    kevent_errors__bad_signals_are_einval,
    kevent_errors__missing_process_is_esrch,
    kevent_errors__unknown_notes_are_ignored_but_in_timers,
    kevent_errors__failed_add_leaves_nothing_behind,
    kevent_errors__out_of_descriptors_is_emfile,
    kevent_errors__not_a_queue_is_ebadf)
