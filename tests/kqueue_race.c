/* SPDX-License-Identifier: BSD-2-Clause */
/* A number is closed and opened again in one thread while another registers it. */
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>

#define NUMBER	40
#define ROUNDS	300

struct opener {
	_Atomic bool	stop;
	int		ready[2];	/* always readable */
};

/* NUMBER is one of two files, turn by turn. */
static void *
reopen(void *arg)
{
	struct opener *opener = arg;

	for (unsigned i = 0; !opener->stop; i++)
		if (dup2(opener->ready[i & 1], NUMBER) != NUMBER)
			return arg;
	return NULL;
}

/* Registers NUMBER for a while, whatever it is by then. */
static void
register_it(int kq, unsigned short flags)
{
	struct kevent event;

	for (int i = 0; i < 100; i++) {
		int error = change(kq, NUMBER, EVFILT_READ, EV_ADD | EV_ENABLE | flags, 0, 0, NULL);

		/* dup2() closes before it opens, as far as the library can tell. */
		ck_assert(error == 0 || error == EBADF);
		if (i % 3 == 0)
			collect(kq, &event, 1, 0);
		if (i % 7 == 0)
			change(kq, NUMBER, EVFILT_READ, EV_DISABLE, 0, 0, NULL);
	}
}

/* However the race ends, nothing of what was there reports on. */
START_TEST(kqueue_race__number_reopened_while_registered_leaves_nothing)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_DISPATCH };
	int fds[2][2], kq, error;
	struct opener opener = { .stop = false };
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		pair(PAIR_PIPE, fds[i]);
		put(fds[i][1], 1);
		opener.ready[i] = fds[i][0];
	}
	kq = queue();
	for (int round = 0; round < ROUNDS; round++) {
		void *failed;

		opener.stop = false;
		ck_assert_int_eq(dup2(fds[0][0], NUMBER), NUMBER);
		ck_assert_int_eq(pthread_create(&thread, NULL, reopen, &opener), 0);
		register_it(kq, flags[round % 3]);
		opener.stop = true;
		ck_assert_int_eq(pthread_join(thread, &failed), 0);
		ck_assert_ptr_null(failed);
		error = change(kq, NUMBER, EVFILT_READ, EV_DELETE, 0, 0, NULL);
		ck_assert(error == 0 || error == ENOENT);
		no_event(kq);
		ck_assert_msg(!readable(kq, 0), "round %d: readable for ever", round);
	}
	close(NUMBER);
	close(kq);
	close_pair(fds[0]);
	close_pair(fds[1]);
}
END_TEST

HARNESS_MAIN("kqueue_race",
    kqueue_race__number_reopened_while_registered_leaves_nothing)
