/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_AIO: aio_read(), aio_write() and aio_fsync() with SIGEV_KEVENT. */
#include "aio.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(aio__a_read_that_ends_is_an_event)
{
	int kq = queue(), fd = file_with("hello, world"), mark;
	struct kevent event;
	struct aiocb cb;
	char buf[16] = "";

	set(&cb, fd, buf, 5, 7);
	set_event(&cb.aio_sigevent, kq, 0, &mark);
	errno = 77;
	ck_assert_int_eq(aio_read(&cb), 0);
	ck_assert_int_eq(errno, 77);
	event = end_of(kq, &cb);
	ck_assert_ptr_eq(event.udata, &mark);
	ck_assert_uint_eq(event.flags, EV_EOF);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, 0);
	ck_assert_int_eq(aio_error(&cb), 0);
	ck_assert_int_eq(aio_return(&cb), 5);
	ck_assert_str_eq(buf, "world");
	/* The program's aiocb is as it was. */
	ck_assert_int_eq(cb.aio_sigevent.sigev_notify, SIGEV_KEVENT);
	ck_assert_int_eq(cb.aio_sigevent.sigev_notify_kqueue, kq);
	ck_assert_ptr_eq(cb.aio_sigevent.sigev_value.sival_ptr, &mark);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__write_and_fsync)
{
	int kq = queue(), fd = file_with("....."), ops[] = { O_SYNC, O_DSYNC };
	char buf[8] = "";
	struct aiocb cb;

	set(&cb, fd, (void *)(uintptr_t)"ab", 2, 1);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_write(&cb), 0);
	ck_assert_int_eq(end_of(kq, &cb).data, 0);
	ck_assert_int_eq(aio_return(&cb), 2);
	ck_assert_int_eq(pread(fd, buf, 5, 0), 5);
	ck_assert_str_eq(buf, ".ab..");
	for (int i = 0; i < 2; i++) {
		set(&cb, fd, NULL, 0, 0);
		set_event(&cb.aio_sigevent, kq, 0, NULL);
		ck_assert_int_eq(aio_fsync(ops[i], &cb), 0);
		ck_assert_int_eq(end_of(kq, &cb).data, 0);
		ck_assert_int_eq(aio_return(&cb), 0);
	}
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_fsync(O_RDONLY, &cb), -1);
	ck_assert_int_eq(errno, EINVAL);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__a_pipe_is_read_when_data_comes)
{
	int kq = queue(), fds[2];
	struct aiocb cb;
	char buf[16];

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], buf, sizeof(buf), 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	nap(30);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(aio_error(&cb), EINPROGRESS);
	ck_assert_int_eq(aio_return(&cb), -1);
	ck_assert_int_eq(errno, EINVAL);
	put(fds[1], 3);
	ck_assert(readable(kq, LONG_MS));
	ck_assert_int_eq(end_of(kq, &cb).data, 0);
	ck_assert_int_eq(aio_return(&cb), 3);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__a_waiter_wakes)
{
	int kq = queue(), fds[2];
	struct waiter w;
	struct aiocb cb;
	char buf[16];

	pair(PAIR_TCP, fds);
	set(&cb, fds[0], buf, sizeof(buf), 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	waiter_start(&w, kq, LONG_MS);
	ck_assert_int_eq(aio_read(&cb), 0);
	begins_to_wait();
	put(fds[1], 4);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, (uintptr_t)&cb);
	ck_assert_int_eq(aio_return(&cb), 4);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__the_event_stays_until_aio_return)
{
	int kq = queue(), fd = file_with("x");
	struct aiocb cb;
	char c;

	set(&cb, fd, &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	for (int i = 0; i < 3; i++)
		end_of(kq, &cb);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(aio_return(&cb), 1);
	/* A thread that has made the event may ring for it yet. */
	rest();
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_DELETE, 0, 0, NULL), ENOENT);
	close(fd);
	close(kq);
	rest();
}
END_TEST

/* However late the C library is to tell. */
START_TEST(aio__who_sees_the_end_finds_the_event)
{
	int kq = queue(), fd = file_with("x");
	struct kevent event;
	struct aiocb cb;
	char c;

	for (int i = 0; i < 200; i++) {
		set(&cb, fd, &c, 1, 0);
		set_event(&cb.aio_sigevent, kq, EV_CLEAR, NULL);
		ck_assert_int_eq(aio_read(&cb), 0);
		while (aio_error(&cb) == EINPROGRESS)
			;
		ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
		/* And once. */
		ck_assert_int_eq(collect(kq, &event, 1, i % 16 == 0 ? 5 : 0), 0);
		ck_assert_int_eq(aio_return(&cb), 1);
		no_event(kq);
	}
	close(fd);
	close(kq);
	rest();
}
END_TEST

/* A call of kevent() may find out before the C library tells. */
START_TEST(aio__an_end_that_is_seen_early_is_told_once)
{
	int kq = queue(), fd = file_with("x");
	struct kevent event;
	struct aiocb cb;
	char c;

	for (int i = 0; i < 300; i++) {
		set(&cb, fd, &c, 1, 0);
		set_event(&cb.aio_sigevent, kq, EV_CLEAR, NULL);
		ck_assert_int_eq(aio_read(&cb), 0);
		while (collect(kq, &event, 1, 0) == 0)
			;
		ck_assert_int_eq(collect(kq, &event, 1, 2), 0);
		ck_assert_int_eq(aio_return(&cb), 1);
	}
	close(fd);
	close(kq);
	rest();
}
END_TEST

/* There is no memory for the thread that would tell. */
START_TEST(aio__the_c_library_may_fail_to_tell)
{
	struct rlimit limit = { 1 << 20, RLIM_INFINITY }, before;
	struct kevent event;
	struct aiocb cb;
	int kq, fds[2], n = 0;
	char c;

	if (ADDRESS_SANITIZER)
		return;		/* it needs memory itself */
	kq = queue();
	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	begins_to_wait();
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	limit.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	put(fds[1], 1);
	for (int i = 0; i < LONG_MS && n == 0; i++) {
		n = collect(kq, &event, 1, 0);
		nap(1);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	ck_assert_int_eq(n, 1);
	/* glibc then says that the operation itself has failed. */
	ck_assert_int_eq(end_of(kq, &cb).data, aio_error(&cb));
	ck_assert_int_eq(aio_return(&cb), event.data == 0 ? 1 : -1);
	no_event(kq);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__oneshot_clear_dispatch)
{
	static const unsigned short flags[] = { EV_ONESHOT, EV_CLEAR, EV_DISPATCH };
	int kq = queue(), fd = file_with("x"), expected;
	struct aiocb cb;
	char c;

	for (int i = 0; i < 3; i++) {
		set(&cb, fd, &c, 1, 0);
		set_event(&cb.aio_sigevent, kq, flags[i], NULL);
		ck_assert_int_eq(aio_read(&cb), 0);
		ck_assert_uint_eq(end_of(kq, &cb).flags, EV_EOF | flags[i]);
		nap(20);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		expected = flags[i] == EV_ONESHOT ? ENOENT : 0;
		ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_ENABLE, 0, 0, &c), expected);
		if (expected == 0)
			ck_assert_ptr_eq(end_of(kq, &cb).udata, &c);
		ck_assert_int_eq(aio_error(&cb), 0);
		ck_assert_int_eq(aio_return(&cb), 1);
		no_event(kq);
	}
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__other_flags_are_refused)
{
	static const int flags[] = { EV_DELETE, EV_DISABLE, EV_UDATA_SPECIFIC, EV_RECEIPT, EV_FLAG1 };
	int kq = queue(), fd = file_with("x");
	char c = 'a';
	struct aiocb cb;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		set(&cb, fd, &c, 1, 0);
		set_event(&cb.aio_sigevent, kq, flags[i], NULL);
		ck_assert_int_eq(aio_read(&cb), -1);
		ck_assert_int_eq(errno, EINVAL);
	}
	nap(20);
	ck_assert_int_eq(c, 'a');
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__a_bad_queue_starts_nothing)
{
	int kq = queue(), fd = file_with("x"), closed = queue();
	char c = 'a';
	struct aiocb cb;

	close(closed);
	for (int i = 0; i < 3; i++) {
		set(&cb, fd, &c, 1, 0);
		set_event(&cb.aio_sigevent, i == 0 ? -1 : i == 1 ? fd : closed, 0, NULL);
		ck_assert_int_eq(aio_read(&cb), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	nap(20);
	ck_assert_int_eq(c, 'a');
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__a_bad_descriptor_is_refused)
{
	int kq = queue(), fds[2];
	struct aiocb cb;
	char c;

	pair(PAIR_PIPE, fds);
	set(&cb, -1, &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), -1);
	ck_assert_int_eq(errno, EBADF);
	cb.aio_fildes = fds[1];
	ck_assert_int_eq(aio_read(&cb), -1);
	ck_assert_int_eq(errno, EBADF);
	cb.aio_fildes = fds[0];
	ck_assert_int_eq(aio_write(&cb), -1);
	ck_assert_int_eq(errno, EBADF);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_DELETE, 0, 0, NULL), ENOENT);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__a_negative_offset_is_refused)
{
	int kq = queue(), fd = file_with("x");
	struct aiocb cb;
	char c;

	set(&cb, fd, &c, 1, -1);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(aio_write(&cb), -1);
	ck_assert_int_eq(errno, EINVAL);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__a_failure_is_told)
{
	int kq = queue(), fd = open(scratch_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct aiocb cb;
	char c;

	set(&cb, fd, &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	ck_assert_int_eq(end_of(kq, &cb).data, EISDIR);
	ck_assert_int_eq(aio_error(&cb), EISDIR);
	ck_assert_int_eq(aio_return(&cb), -1);
	ck_assert_int_eq(errno, EISDIR);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__by_hand_is_not_permitted)
{
	struct aiocb cb;
	int kq = queue();

	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_ADD, 0, 0, NULL), EPERM);
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_LIO, EV_ADD, 0, 0, NULL), EPERM);
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_ADD | EV_FLAG1, 0, 0, NULL), EPERM);
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_ENABLE, 0, 0, NULL), ENOENT);
	close(kq);
}
END_TEST

START_TEST(aio__a_registration_can_be_changed_and_deleted)
{
	int kq = queue(), fds[2];
	struct aiocb cb;
	char c;

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_read(&cb), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_DISABLE, 0, 0, &c), 0);
	put(fds[1], 1);
	while (aio_error(&cb) == EINPROGRESS)
		nap(1);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_ENABLE, 0, 0, &cb), 0);
	ck_assert_ptr_eq(end_of(kq, &cb).udata, &cb);
	ck_assert_int_eq(change(kq, (uintptr_t)&cb, EVFILT_AIO, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

/* What is neither file, socket nor FIFO. */
START_TEST(aio__a_device)
{
	char buf[3] = "abc";
	struct aiocb cb;
	int kq, fd;

	if (!AIO_THREADS)
		return;
	kq = queue();
	ck_assert_int_ge(fd = open("/dev/zero", O_RDWR | O_CLOEXEC), 0);
	for (int i = 0; i < 2; i++) {
		set(&cb, fd, buf, sizeof(buf), 0);
		set_event(&cb.aio_sigevent, kq, EV_ONESHOT, NULL);
		ck_assert_int_eq(i == 0 ? aio_read(&cb) : aio_write(&cb), 0);
		ck_assert_int_eq(end_of(kq, &cb).data, 0);
		ck_assert_int_eq(aio_return(&cb), sizeof(buf));
		ck_assert_int_eq(buf[2], 0);
	}
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio__aio_suspend_waits)
{
	const struct timespec moment = { 0, 10000000 };
	int kq = queue(), fds[2];
	const struct aiocb *list[3] = { NULL, NULL, NULL }, *many[300] = { NULL };
	struct aiocb cb;
	char c;

	pair(PAIR_PIPE, fds);
	set(&cb, fds[0], &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	list[1] = many[299] = &cb;
	ck_assert_int_eq(aio_read(&cb), 0);
	ck_assert_int_eq(aio_suspend(list, 3, &moment), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(aio_suspend(many, 300, &moment), -1);
	ck_assert_int_eq(errno, EAGAIN);
	put(fds[1], 1);
	ck_assert_int_eq(aio_suspend(list, 3, NULL), 0);
	ck_assert_int_eq(aio_suspend(many, 300, NULL), 0);
	ck_assert_int_eq(aio_error(&cb), 0);
	end_of(kq, &cb);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

/* One at least of two on a pipe can be cancelled, unless both are under way. */
START_TEST(aio__a_cancelled_one_is_an_event)
{
	int kq = queue(), fds[2], cancelled = 0, result[2];
	struct aiocb cb[2];
	struct kevent event;
	char c[2];

	pair(PAIR_PIPE, fds);
	for (int i = 0; i < 2; i++) {
		set(&cb[i], fds[0], &c[i], 1, 0);
		set_event(&cb[i].aio_sigevent, kq, EV_ONESHOT, NULL);
		ck_assert_int_eq(aio_read(&cb[i]), 0);
	}
	begins_to_wait();
	for (int i = 1; i >= 0; i--)
		result[i] = aio_cancel(fds[0], &cb[i]);
	for (int i = 0; i < 2; i++) {
		if (result[i] == AIO_CANCELED) {
			ck_assert_int_eq(aio_error(&cb[i]), ECANCELED);
			cancelled++;
		} else {
			ck_assert_int_eq(result[i], AIO_NOTCANCELED);
		}
	}
	ck_assert_int_ge(cancelled, 1);
	put(fds[1], 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(collect(kq, &event, 1, LONG_MS), 1);
		ck_assert_int_eq(event.data,
		    result[event.ident == (uintptr_t)&cb[1]] == AIO_CANCELED ? ECANCELED : 0);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(aio_return(&cb[i]), result[i] == AIO_CANCELED ? -1 : 1);
		ck_assert_int_eq(aio_cancel(fds[0], &cb[i]) == AIO_NOTCANCELED, 0);
	}
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

AIO_MAIN("aio", 5,
    aio__other_flags_are_refused,
    aio__a_bad_queue_starts_nothing,
    aio__a_bad_descriptor_is_refused,
    aio__by_hand_is_not_permitted,
    aio__a_negative_offset_is_refused,
    aio__a_read_that_ends_is_an_event,
    aio__write_and_fsync,
    aio__a_pipe_is_read_when_data_comes,
    aio__a_waiter_wakes,
    aio__the_event_stays_until_aio_return,
    aio__who_sees_the_end_finds_the_event,
    aio__an_end_that_is_seen_early_is_told_once,
    aio__the_c_library_may_fail_to_tell,
    aio__oneshot_clear_dispatch,
    aio__a_failure_is_told,
    aio__a_registration_can_be_changed_and_deleted,
    aio__a_device,
    aio__aio_suspend_waits,
    aio__a_cancelled_one_is_an_event)
