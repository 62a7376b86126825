/* SPDX-License-Identifier: BSD-2-Clause */
/* What EVFILT_AIO can do on io_uring and not on the C library's AIO. */
#include "aio.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

static void
start(int (*function)(struct aiocb *), struct aiocb *cb, int kq, int fd, void *buf, size_t n)
{
	set(cb, fd, buf, n, 0);
	set_event(&cb->aio_sigevent, kq, 0, NULL);
	ck_assert_int_eq(function(cb), 0);
}

START_TEST(aio_uring__no_thread_waits_for_a_socket_or_a_pipe)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX, PAIR_UDP, PAIR_PIPE };
	int kq = queue(), fds[4][2], count = threads(), n = aio_ring_reads_pipes() ? 4 : 3;
	struct aiocb cb[4];
	char c[4];

	for (int i = 0; i < n; i++) {
		pair(kinds[i], fds[i]);
		start(aio_read, &cb[i], kq, fds[i][0], &c[i], 1);
	}
	begins_to_wait();
	ck_assert_int_eq(threads(), count);
	for (int i = 0; i < n; i++) {
		put(fds[i][1], 1);
		ck_assert_int_eq(end_of(kq, &cb[i]).data, 0);
		ck_assert_int_eq(aio_return(&cb[i]), 1);
		close_pair(fds[i]);
	}
	ck_assert_int_eq(threads(), count);
	close(kq);
}
END_TEST

/* As before Linux 6.4, where io_uring would interrupt a wait with nothing to show for it. */
START_TEST(aio_uring__a_pipe_that_cannot_be_tried_is_read_by_a_thread)
{
	int kq, fds[2], count = threads();
	struct aiocb cb;
	char c = 0;

	if (!AIO_THREADS || !refuse_call(SYS_preadv2, EOPNOTSUPP)) {
		fprintf(stderr, "skipped: no thread can be made, or no filter\n");
		return;
	}
	kq = queue();
	pair(PAIR_PIPE, fds);
	start(aio_read, &cb, kq, fds[0], &c, 1);
	ck_assert_int_gt(threads(), count);
	put(fds[1], 1);
	ck_assert_int_eq(end_of(kq, &cb).data, 0);
	ck_assert_int_eq(aio_return(&cb), 1);
	ck_assert_int_eq(c, 'x');
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(aio_uring__a_write_does_not_wait_for_a_read)
{
	int kq = queue(), fds[2];
	struct aiocb in, out;
	char c;

	pair(PAIR_UNIX, fds);
	start(aio_read, &in, kq, fds[0], &c, 1);
	start(aio_write, &out, kq, fds[0], (void *)(uintptr_t)"x", 1);
	end_of(kq, &out);
	ck_assert_int_eq(aio_return(&out), 1);
	ck_assert_int_eq(aio_error(&in), EINPROGRESS);
	put(fds[1], 1);
	end_of(kq, &in);
	ck_assert_int_eq(aio_return(&in), 1);
	close_pair(fds);
	close(kq);
}
END_TEST

/* As on FreeBSD. */
START_TEST(aio_uring__a_non_blocking_socket_is_waited_for)
{
	int kq = queue(), fds[2];
	struct aiocb cb;
	char c;

	pair(PAIR_TCP, fds);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	start(aio_read, &cb, kq, fds[0], &c, 1);
	nap(20);
	no_event(kq);
	put(fds[1], 1);
	ck_assert_int_eq(end_of(kq, &cb).data, 0);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
}
END_TEST

#define BIG (4 << 20)

/* More than the socket holds, two at a time: the second begins where the first has ended. */
START_TEST(aio_uring__a_stream_is_written_in_order_and_in_full)
{
	int kq = queue(), fds[2];
	char *data = malloc(2 * BIG), *got = malloc(2 * BIG);
	struct aiocb cb[2];
	struct kevent event;
	size_t at = 0;
	ssize_t n;

	ck_assert(data != NULL && got != NULL);
	for (size_t i = 0; i < 2 * BIG; i++)
		data[i] = (char)(i * 7 + i / 4096);
	pair(PAIR_UNIX, fds);
	for (int i = 0; i < 2; i++)
		start(aio_write, &cb[i], kq, fds[1], data + (size_t)i * BIG, BIG);
	no_event(kq);
	while (at < 2 * BIG) {
		n = read(fds[0], got + at, 2 * BIG - at);
		ck_assert_int_gt(n, 0);
		at += (size_t)n;
		if (at >= BIG && at < 2 * BIG && collect(kq, &event, 1, 0) == 1)
			ck_assert_uint_eq(event.ident, (uintptr_t)&cb[0]);
	}
	ck_assert_int_eq(memcmp(data, got, 2 * BIG), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(end_of(kq, &cb[i]).data, 0);
		ck_assert_int_eq(aio_return(&cb[i]), BIG);
	}
	free(data);
	free(got);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(aio_uring__a_stream_is_read_in_order)
{
	int kq = queue(), fds[2];
	struct aiocb cb[8];
	char c[8];

	pair(PAIR_UNIX, fds);
	for (int i = 0; i < 8; i++)
		start(aio_read, &cb[i], kq, fds[0], &c[i], 1);
	ck_assert_int_eq(write(fds[1], "abcdefgh", 8), 8);
	for (int i = 0; i < 8; i++) {
		end_of(kq, &cb[i]);
		ck_assert_int_eq(c[i], 'a' + i);
		ck_assert_int_eq(aio_return(&cb[i]), 1);
	}
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(aio_uring__what_is_appended_is_so_in_order)
{
	int kq = queue(), fd = file_with("");
	static struct aiocb cb[64];
	static char data[64][3001], got[64 * 3001];
	struct kevent events[64];
	int left = 64;

	ck_assert_int_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	for (int i = 0; i < 64; i++) {
		memset(data[i], 'A' + i, sizeof(data[i]));
		start(aio_write, &cb[i], kq, fd, data[i], sizeof(data[i]));
	}
	while (left > 0) {
		int n = collect(kq, events, 64, LONG_MS);

		ck_assert_int_ge(n, 1);
		for (int i = 0; i < n; i++, left--)
			ck_assert_int_eq(aio_return((struct aiocb *)events[i].ident), sizeof(data[0]));
	}
	ck_assert_int_eq(pread(fd, got, sizeof(got), 0), sizeof(got));
	ck_assert_int_eq(memcmp(got, data, sizeof(got)), 0);
	close(fd);
	close(kq);
	rest();
}
END_TEST

/* A sync ends after the writes before it, whoever of them was first to be told of. */
START_TEST(aio_uring__a_sync_comes_after_the_writes_before_it)
{
	int kq = queue(), fd = file_with("");
	struct aiocb cb[5];
	char *data = calloc(1, BIG);

	ck_assert_ptr_nonnull(data);
	for (int i = 0; i < 4; i++) {
		set(&cb[i], fd, data, BIG, (off_t)i * BIG);
		set_event(&cb[i].aio_sigevent, kq, EV_ONESHOT, NULL);
		ck_assert_int_eq(aio_write(&cb[i]), 0);
	}
	set(&cb[4], fd, NULL, 0, 0);
	set_event(&cb[4].aio_sigevent, kq, EV_ONESHOT, NULL);
	ck_assert_int_eq(aio_fsync(O_SYNC, &cb[4]), 0);
	while (aio_error(&cb[4]) == EINPROGRESS)
		nap(1);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(aio_error(&cb[i]), 0);
		ck_assert_int_eq(aio_return(&cb[i]), BIG);
	}
	ck_assert_int_eq(aio_return(&cb[4]), 0);
	no_event(kq);
	free(data);
	close(fd);
	close(kq);
	rest();
}
END_TEST

struct starter {
	struct aiocb	*cb;
	int		kq, fd;
	char		*c;
};

static void *
start_and_exit(void *arg)
{
	const struct starter *s = arg;

	start(aio_read, s->cb, s->kq, s->fd, s->c, 1);
	return NULL;
}

START_TEST(aio_uring__the_thread_that_started_it_may_exit)
{
	int kq = queue(), fds[2];
	struct aiocb cb;
	pthread_t thread;
	char c;
	struct starter s = { &cb, kq, 0, &c };

	pair(PAIR_UNIX, fds);
	s.fd = fds[0];
	ck_assert_int_eq(pthread_create(&thread, NULL, start_and_exit, &s), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	nap(20);
	no_event(kq);
	ck_assert_int_eq(aio_error(&cb), EINPROGRESS);
	put(fds[1], 1);
	ck_assert_int_eq(end_of(kq, &cb).data, 0);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
}
END_TEST

/* The kernel interrupts the thread that started it; kevent() is not to say so. */
START_TEST(aio_uring__no_wait_is_interrupted)
{
	int kq = queue(), other = queue(), fds[2];
	struct timespec ts = { 0, 100000000 };
	struct kevent event;
	struct aiocb cb;
	pid_t pid;
	char c;

	pair(PAIR_PIPE, fds);
	for (int i = 0; i < 3; i++) {
		start(aio_read, &cb, kq, fds[0], &c, 1);
		pid = fork();
		if (pid == 0) {
			await_state(getppid(), 'S');
			put(fds[1], 1);
			_exit(0);
		}
		ck_assert_int_eq(kevent(other, NULL, 0, &event, 1, &ts), 0);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		end_of(kq, &cb);
		ck_assert_int_eq(aio_return(&cb), 1);
	}
	close_pair(fds);
	close(other);
	close(kq);
}
END_TEST

/* Nor when the ring goes with the queue that had need of it. */
START_TEST(aio_uring__no_wait_is_interrupted_when_the_last_queue_is_closed)
{
	int other = queue(), fds[2];
	struct timespec ts = { 0, 100000000 };
	struct kevent event;
	struct aiocb cb;
	char c;

	pair(PAIR_UNIX, fds);
	for (int i = 0; i < 3; i++) {
		int kq = queue();

		put(fds[1], 1);
		start(aio_read, &cb, kq, fds[0], &c, 1);
		end_of(kq, &cb);
		ck_assert_int_eq(aio_return(&cb), 1);
		close(kq);
		ck_assert_int_eq(kevent(other, NULL, 0, &event, 1, &ts), 0);
	}
	close_pair(fds);
	close(other);
}
END_TEST

static void
on_signal(int signo)
{
	(void)signo;
}

/* But a handler does. */
START_TEST(aio_uring__a_handler_interrupts_a_wait)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct timespec ts = { 5, 0 };
	int kq = queue(), fds[2];
	struct kevent event;
	struct aiocb cb;
	pid_t pid;
	char c;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(sigaction(SIGUSR1, &act, NULL), 0);
	start(aio_read, &cb, kq, fds[0], &c, 1);
	pid = fork();
	if (pid == 0) {
		await_state(getppid(), 'S');
		_exit(kill(getppid(), SIGUSR1));
	}
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(aio_cancel(fds[0], &cb), AIO_CANCELED);
	ck_assert_int_eq(end_of(kq, &cb).data, ECANCELED);
	ck_assert_int_eq(aio_return(&cb), -1);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(aio_uring__what_is_under_way_is_cancelled)
{
	int kq = queue(), fds[2], file = file_with("x");
	struct aiocb cb[4];
	char c[4];

	pair(PAIR_TCP, fds);
	ck_assert_int_eq(aio_cancel(fds[0], NULL), AIO_ALLDONE);
	for (int i = 0; i < 3; i++)
		start(aio_read, &cb[i], kq, fds[0], &c[i], 1);
	start(aio_read, &cb[3], kq, file, &c[3], 1);
	ck_assert_int_eq(aio_cancel(file, &cb[0]), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(aio_cancel(fds[0], NULL), AIO_CANCELED);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(aio_error(&cb[i]), ECANCELED);
		ck_assert_int_eq(aio_cancel(fds[0], &cb[i]), AIO_ALLDONE);
		ck_assert_int_eq(aio_return(&cb[i]), -1);
		ck_assert_int_eq(errno, ECANCELED);
	}
	put(fds[1], 1);
	end_of(kq, &cb[3]);
	ck_assert_int_eq(aio_return(&cb[3]), 1);
	no_event(kq);
	/* The data is there for the next. */
	start(aio_read, &cb[0], kq, fds[0], &c[0], 1);
	ck_assert_int_eq(end_of(kq, &cb[0]).data, 0);
	ck_assert_int_eq(aio_return(&cb[0]), 1);
	ck_assert_int_eq(aio_cancel(fds[0], NULL), AIO_ALLDONE);
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

#define MANY 3000

/* More than the ring has room for. */
START_TEST(aio_uring__more_than_the_ring_has_room_for)
{
	static struct aiocb cb[MANY];
	static char c[MANY];
	int kq = queue(), fd = file_with("q"), left = MANY, n, seen = 0;
	struct kevent events[64];

	for (int i = 0; i < MANY; i++) {
		set(&cb[i], fd, &c[i], 1, 0);
		set_event(&cb[i].aio_sigevent, kq, EV_ONESHOT, &c[i]);
		ck_assert_int_eq(aio_read(&cb[i]), 0);
	}
	while (left > 0) {
		n = collect(kq, events, 64, LONG_MS);
		ck_assert_int_ge(n, 1);
		for (int i = 0; i < n; i++, left--) {
			seen += *(char *)events[i].udata == 'q';
			*(char *)events[i].udata = 'x';
			ck_assert_int_eq(aio_return((struct aiocb *)events[i].ident), 1);
		}
	}
	ck_assert_int_eq(seen, MANY);
	no_event(kq);
	close(fd);
	close(kq);
	rest();
}
END_TEST

/* The ring is its parent's, which goes on with it. */
START_TEST(aio_uring__a_child_makes_its_own)
{
	int kq = queue(), fds[2], status;
	struct aiocb cb, own;
	pid_t pid;
	char c, d;

	pair(PAIR_UNIX, fds);
	start(aio_read, &cb, kq, fds[0], &c, 1);
	pid = fork();
	if (pid == 0) {
		int mine = queue(), pipes[2];

		pair(PAIR_UNIX, pipes);
		start(aio_read, &own, mine, pipes[0], &d, 1);
		put(pipes[1], 1);
		end_of(mine, &own);
		ck_assert_int_eq(aio_return(&own), 1);
		/* In the child of a child, too. */
		pid = fork();
		if (pid == 0)
			_exit(aio_error(&own) == EINPROGRESS);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		_exit(status != 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(aio_error(&cb), EINPROGRESS);
	put(fds[1], 1);
	end_of(kq, &cb);
	ck_assert_int_eq(aio_return(&cb), 1);
	close_pair(fds);
	close(kq);
}
END_TEST

/* What else the program asks of the C library comes in its order. */
START_TEST(aio_uring__with_operations_of_the_c_library)
{
	const struct timespec moment = { 0, 10000000 };
	int kq, fds[2];
	struct aiocb ours, theirs;
	const struct aiocb *list[2] = { &theirs, &ours };
	char c, d;

	if (!AIO_THREADS)
		return;
	kq = queue();
	pair(PAIR_PIPE, fds);
	start(aio_read, &ours, kq, fds[0], &c, 1);
	set(&theirs, fds[1], &d, 1, 0);
	theirs.aio_sigevent.sigev_notify = SIGEV_NONE;
	d = 'd';
	ck_assert_int_eq(aio_suspend(list + 1, 1, &moment), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(aio_write(&theirs), 0);
	while (aio_error(&ours) == EINPROGRESS)
		ck_assert_int_eq(aio_suspend(list, 2, NULL), 0);
	end_of(kq, &ours);
	ck_assert_int_eq(aio_return(&ours), 1);
	ck_assert_int_eq(c, 'd');
	while (aio_error(&theirs) == EINPROGRESS)
		nap(1);
	ck_assert_int_eq(aio_return(&theirs), 1);
	close_pair(fds);
	close(kq);
	rest();
}
END_TEST

#define LARGE	((size_t)16 << 20)

/* A sync that the C library does comes after the writes that it does not. */
START_TEST(aio_uring__a_sync_of_the_c_library_comes_after_our_writes)
{
	struct aiocb ours, theirs;
	int kq, fd;
	char *buf;

	if (!AIO_THREADS)
		return;
	kq = queue();
	fd = file_with("");
	ck_assert_ptr_nonnull(buf = calloc(1, LARGE));
	start(aio_write, &ours, kq, fd, buf, LARGE);
	set(&theirs, fd, NULL, 0, 0);
	theirs.aio_sigevent.sigev_notify = SIGEV_NONE;
	ck_assert_int_eq(aio_fsync(O_SYNC, &theirs), 0);
	ck_assert_int_eq(aio_error(&ours), 0);
	end_of(kq, &ours);
	ck_assert_int_eq(aio_return(&ours), (ssize_t)LARGE);
	while (aio_error(&theirs) == EINPROGRESS)
		nap(1);
	ck_assert_int_eq(aio_return(&theirs), 0);
	free(buf);
	close(fd);
	close(kq);
	rest();
}
END_TEST

#define READS	8
#define ROUNDS	100

/* Reads of a socket, of which some get their byte and some are cancelled: each ends once, as it says. */
static void
one_round(int kq, unsigned *seed)
{
	struct aiocb cb[READS];
	struct kevent events[READS];
	int fds[2], left = READS, n, which;
	char c[READS];

	pair(PAIR_UNIX, fds);
	for (int i = 0; i < READS; i++) {
		set(&cb[i], fds[0], &c[i], 1, 0);
		set_event(&cb[i].aio_sigevent, kq, EV_ONESHOT, &cb[i]);
		ck_assert_int_eq(aio_read(&cb[i]), 0);
	}
	while (left > 0) {
		which = rand_r(seed) % READS;
		if (rand_r(seed) % 4 == 0)
			ck_assert_int_ge(aio_cancel(fds[0], rand_r(seed) % 8 == 0 ? NULL : &cb[which]), 0);
		else
			put(fds[1], 1);
		n = collect(kq, events, READS, rand_r(seed) % 2);
		for (int i = 0; i < n; i++, left--) {
			ck_assert_ptr_nonnull(events[i].udata);
			ck_assert(events[i].data == 0 || events[i].data == ECANCELED);
			ck_assert_int_eq(aio_return(events[i].udata), events[i].data == 0 ? 1 : -1);
		}
	}
	close_pair(fds);
}

static void *
rounds(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	int kq = queue();

	for (int i = 0; i < ROUNDS; i++)
		one_round(kq, &seed);
	close(kq);
	return NULL;
}

START_TEST(aio_uring__threads_start_and_cancel)
{
	pthread_t thread[4];

	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, rounds, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		aio_uring__no_thread_waits_for_a_socket_or_a_pipe,
		aio_uring__a_pipe_that_cannot_be_tried_is_read_by_a_thread,
		aio_uring__a_write_does_not_wait_for_a_read,
		aio_uring__a_non_blocking_socket_is_waited_for,
		aio_uring__a_stream_is_written_in_order_and_in_full,
		aio_uring__a_stream_is_read_in_order,
		aio_uring__what_is_appended_is_so_in_order,
		aio_uring__a_sync_comes_after_the_writes_before_it,
		aio_uring__the_thread_that_started_it_may_exit,
		aio_uring__no_wait_is_interrupted,
		aio_uring__no_wait_is_interrupted_when_the_last_queue_is_closed,
		aio_uring__a_handler_interrupts_a_wait,
		aio_uring__what_is_under_way_is_cancelled,
		aio_uring__more_than_the_ring_has_room_for,
		aio_uring__a_child_makes_its_own,
		aio_uring__with_operations_of_the_c_library,
		aio_uring__a_sync_of_the_c_library_comes_after_our_writes,
		aio_uring__threads_start_and_cancel,
	};

	if (!aio_has_ring()) {
		fprintf(stderr, "skipped: there is no io_uring here\n");
		return 77;
	}
	return harness_run("aio_uring", tests, sizeof(tests) / sizeof(tests[0]));
}
