/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of aio(7) beside the usual: other names, bad arguments, both kinds waited for at once, cancelling. */
#include "aio.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#ifdef __GLIBC__
static void
set64(struct aiocb64 *cb, int fd, void *buf, size_t n, off64_t offset, int kq)
{
	memset(cb, 0, sizeof(*cb));
	cb->aio_fildes = fd;
	cb->aio_buf = buf;
	cb->aio_nbytes = n;
	cb->aio_offset = offset;
	cb->aio_sigevent.sigev_notify = SIGEV_NONE;
	if (kq >= 0)
		set_event(&cb->aio_sigevent, kq, 0, NULL);
}

/* It ends, is told if it was to be, and its result is this. */
static void
ends64(struct aiocb64 *cb, int kq, ssize_t result)
{
	const struct aiocb64 *const list[] = { cb };

	ck_assert_int_eq(aio_suspend64(list, 1, NULL), 0);
	ck_assert_int_eq(aio_error64(cb), 0);
	ck_assert_int_eq(aio_cancel64(cb->aio_fildes, cb), AIO_ALLDONE);
	if (kq >= 0)
		end_of(kq, (const struct aiocb *)(const void *)cb);
	ck_assert_int_eq((int)aio_return64(cb), (int)result);
}

START_TEST(aio_ways__names_for_large_files)
{
	int queues[] = { queue(), -1 }, fd = file_with("xxxxxx");
	struct aiocb64 *list[2];
	struct aiocb64 cb[2];
	char bytes[4], written[2][4] = { "abc", "def" };

	for (int i = 0; i < 2; i++) {
		set64(&cb[0], fd, written[i], 3, 2, queues[i]);
		ck_assert_int_eq(aio_write64(&cb[0]), 0);
		ends64(&cb[0], queues[i], 3);
		set64(&cb[0], fd, NULL, 0, 0, queues[i]);
		ck_assert_int_eq(aio_fsync64(O_SYNC, &cb[0]), 0);
		ends64(&cb[0], queues[i], 0);
		ck_assert_int_eq(aio_fsync64(O_DSYNC, &cb[0]), 0);
		ends64(&cb[0], queues[i], 0);
		ck_assert_int_eq(aio_fsync64(-1, &cb[0]), -1);
		ck_assert_int_eq(errno, EINVAL);
		memset(bytes, 0, sizeof(bytes));
		set64(&cb[0], fd, bytes, 3, 2, queues[i]);
		ck_assert_int_eq(aio_read64(&cb[0]), 0);
		ends64(&cb[0], queues[i], 3);
		ck_assert_str_eq(bytes, written[i]);
		for (int j = 0; j < 2; j++) {
			set64(&cb[j], fd, &bytes[j], 1, 3 + j, queues[i]);
			cb[j].aio_lio_opcode = LIO_READ;
			list[j] = &cb[j];
		}
		bytes[0] = bytes[1] = '\0';
		ck_assert_int_eq(lio_listio64(LIO_WAIT, list, 2, NULL), 0);
		ck_assert_mem_eq(bytes, &written[i][1], 2);
		for (int j = 0; j < 2; j++)
			ck_assert_int_eq((int)aio_return64(&cb[j]), 1);
	}
	no_event(queues[0]);
	close(fd);
	close(queues[0]);
	rest();
}
END_TEST

#define LARGE_FILES aio_ways__names_for_large_files,
#else
#define LARGE_FILES
#endif

/* What is the C library's business it judges. */
START_TEST(aio_ways__what_is_wrong_is_refused)
{
	int kq = queue(), fd = file_with("x");
	struct aiocb cb, *volatile list[] = { NULL, &cb };
	char c = 'a';

	set(&cb, fd, &c, 1, 0);
	set_event(&cb.aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(aio_fsync(O_SYNC | O_DSYNC | O_APPEND, &cb), -1);
	ck_assert_int_eq(errno, EINVAL);
	cb.aio_lio_opcode = LIO_READ;
	ck_assert_int_eq(lio_listio(LIO_WAIT + LIO_NOWAIT + 7, (struct aiocb *const *)list, 2, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(aio_cancel(-1, NULL), -1);
	ck_assert_int_eq(errno, EBADF);
	no_event(kq);
	ck_assert_int_eq(c, 'a');
	close(fd);
	close(kq);
	rest();
}
END_TEST

START_TEST(aio_ways__a_list_that_asks_for_no_event_is_left_alone)
{
	int kq = queue(), fd = file_with("xyz");
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct aiocb cb[2], *volatile list[] = { NULL, &cb[0], NULL, &cb[1] };
	const struct aiocb *one[1];
	char c[2] = { 'a', 'b' };

	for (int way = 0; way < 2; way++) {
		for (int i = 0; i < 2; i++) {
			set(&cb[i], fd, &c[i], 1, i + 1);
			cb[i].aio_lio_opcode = i == 0 ? LIO_READ : LIO_WRITE;
			cb[i].aio_sigevent.sigev_notify = SIGEV_NONE;
		}
		ck_assert_int_eq(lio_listio(way == 0 ? LIO_WAIT : LIO_NOWAIT, (struct aiocb *const *)list, 4, &none), 0);
		for (int i = 0; i < 2; i++) {
			one[0] = &cb[i];
			while (aio_error(&cb[i]) == EINPROGRESS)
				aio_suspend(one, 1, NULL);
			ck_assert_int_eq((int)aio_return(&cb[i]), 1);
		}
		ck_assert_int_eq(c[0], 'y');
	}
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

/* Two operations that wait, each at a pipe of its own: the first asks for an event, the second for none. */
static struct both {
	int	kq, pipes[2][2];
	struct aiocb cb[2];
	const struct aiocb *list[2];
	char	c[2];
} b;

static void
both_begin(void)
{
	b.kq = queue();
	for (int i = 0; i < 2; i++) {
		pair(PAIR_PIPE, b.pipes[i]);
		set(&b.cb[i], b.pipes[i][0], &b.c[i], 1, 0);
		b.cb[i].aio_sigevent.sigev_notify = SIGEV_NONE;
		b.list[i] = &b.cb[i];
	}
	set_event(&b.cb[0].aio_sigevent, b.kq, 0, NULL);
	ck_assert_int_eq(aio_read(&b.cb[0]), 0);
	ck_assert_int_eq(aio_read(&b.cb[1]), 0);
	begins_to_wait();
}

/* Both end, in one way or another. */
static void
both_end(void)
{
	const struct aiocb *one[1];

	for (int i = 0; i < 2; i++) {
		put(b.pipes[i][1], 1);
		one[0] = &b.cb[i];
		while (aio_error(&b.cb[i]) == EINPROGRESS)
			aio_suspend(one, 1, NULL);
	}
	end_of(b.kq, &b.cb[0]);
	for (int i = 0; i < 2; i++) {
		(void)aio_return(&b.cb[i]);
		close_pair(b.pipes[i]);
	}
	close(b.kq);
	rest();
}

START_TEST(aio_ways__waiting_for_both_kinds)
{
	const struct timespec moment = { .tv_nsec = 60000000 };
	int64_t start;

	both_begin();
	for (int n = 1; n <= 2; n++) {
		start = now_ns();
		ck_assert_int_eq(aio_suspend(b.list, n, &moment), -1);
		ck_assert_int_eq(errno, EAGAIN);
		ck_assert_int_ge(now_ns() - start, moment.tv_nsec);
	}
	put(b.pipes[1][1], 1);
	ck_assert_int_eq(aio_suspend(b.list, 2, NULL), 0);
	ck_assert_int_eq(aio_error(&b.cb[1]), 0);
	ck_assert_int_eq(aio_error(&b.cb[0]), EINPROGRESS);
	both_end();
}
END_TEST

static _Atomic int main_thread;

static void *
putting_thread(void *arg)
{
	await_sleep(&main_thread);
	put(b.pipes[0][1], 1);
	return arg;
}

/* For ever, or for longer than anybody lives. */
START_TEST(aio_ways__what_ends_meanwhile_wakes)
{
	const struct timespec ages = { .tv_sec = INT32_MAX };
	pthread_t thread;

	for (int way = 0; way < 4; way++) {
		both_begin();
		main_thread = (int)syscall(SYS_gettid);
		ck_assert_int_eq(pthread_create(&thread, NULL, putting_thread, NULL), 0);
		ck_assert_int_eq(aio_suspend(b.list, 1 + way % 2, way < 2 ? NULL : &ages), 0);
		ck_assert_int_eq(aio_error(&b.cb[0]), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		both_end();
	}
}
END_TEST

static _Atomic bool over;
static pthread_t interrupted;

static void
handler(int signo)
{
	(void)signo;
}

static void *
signalling_thread(void *arg)
{
	while (!over) {
		pthread_kill(interrupted, SIGUSR1);
		nap(2);
	}
	return arg;
}

START_TEST(aio_ways__a_handler_interrupts)
{
	struct sigaction sa = { .sa_handler = handler };
	pthread_t thread;
	int result[2], error[2];

	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	both_begin();
	interrupted = pthread_self();
	ck_assert_int_eq(pthread_create(&thread, NULL, signalling_thread, NULL), 0);
	for (int i = 0; i < 2; i++) {
		result[i] = aio_suspend(b.list, i + 1, NULL);
		error[i] = errno;
	}
	over = true;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(result[i], -1);
		ck_assert_int_eq(error[i], EINTR);
	}
	both_end();
}
END_TEST

static const struct aiocb *many[300000];

static void *
waiting_thread(void *arg)
{
	main_thread = (int)syscall(SYS_gettid);
	aio_suspend(many, 300, NULL);
	return arg;
}

/* A long list takes memory, which is given back if the thread is cancelled; and there may be none. */
START_TEST(aio_ways__long_lists)
{
	struct rlimit before, none;
	int result, error;
	pthread_t thread;
	void *end;

	both_begin();
	many[299] = &b.cb[0];
	ck_assert_int_eq(pthread_create(&thread, NULL, waiting_thread, NULL), 0);
	await_sleep(&main_thread);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	ck_assert_int_eq(pthread_join(thread, &end), 0);
	ck_assert_ptr_eq(end, PTHREAD_CANCELED);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	none = before;
	none.rlim_cur = 1;
	/* The sanitizer's runtime would end the program. */
	if (!THREAD_SANITIZER) {
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
		result = aio_suspend(many, 300000, NULL);
		error = errno;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
		ck_assert_int_eq(result, -1);
		ck_assert_int_eq(error, EAGAIN);
	}
	both_end();
}
END_TEST

/* The worst of both kinds is what is said of a descriptor's; each that was cancelled says so itself. */
START_TEST(aio_ways__cancelling_all_of_a_descriptor)
{
	int result, other;

	both_begin();
	ck_assert_int_eq(aio_cancel(b.pipes[0][0], &b.cb[0]) == AIO_ALLDONE, 0);
	other = aio_cancel(b.pipes[1][0], NULL);
	ck_assert(other == AIO_NOTCANCELED || other == AIO_CANCELED);
	ck_assert_int_eq(aio_error(&b.cb[1]), other == AIO_CANCELED ? ECANCELED : EINPROGRESS);
	both_end();
	both_begin();
	ck_assert_int_eq(aio_cancel(b.pipes[1][0], &b.cb[0]), -1);
	ck_assert_int_eq(errno, EINVAL);
	result = aio_cancel(b.pipes[0][0], NULL);
	ck_assert(result == AIO_NOTCANCELED || result == AIO_CANCELED);
	if (result == AIO_CANCELED)
		ck_assert_int_eq(aio_error(&b.cb[0]), ECANCELED);
	both_end();
	both_begin();
	put(b.pipes[0][1], 1);
	end_of(b.kq, &b.cb[0]);
	put(b.pipes[0][1], 1);
	ck_assert_int_eq(aio_cancel(b.pipes[0][0], NULL), AIO_ALLDONE);
	get(b.pipes[0][0], 1);
	both_end();
}
END_TEST

AIO_MAIN("aio_ways", 1,
    aio_ways__what_is_wrong_is_refused,
    LARGE_FILES
    aio_ways__a_list_that_asks_for_no_event_is_left_alone,
    aio_ways__waiting_for_both_kinds,
    aio_ways__what_ends_meanwhile_wakes,
    aio_ways__a_handler_interrupts,
    aio_ways__long_lists,
    aio_ways__cancelling_all_of_a_descriptor)
