/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals, and many queues. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Each takes three descriptors: its own, one of the library's, one for blocked signals. */
enum { QUEUES = 3000, SIGNALS = 100, BATCHES = 40 };

static int queues[QUEUES];

static int
watch(int kq, int signo, unsigned int flags)
{
	return change(kq, (uintptr_t)signo, EVFILT_SIGNAL, (unsigned short)flags, 0, 0, NULL);
}

/* How many the limit of descriptors allows. */
static int
affordable(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_max / 4 < QUEUES ? (int)(limit.rlim_max / 4) : QUEUES;
}

/* Processor time that a signal takes, at best: what others do on the machine does not count. */
static int64_t
cost(int signo)
{
	int64_t best = INT64_MAX, took;

	for (int i = 0; i < BATCHES; i++) {
		took = cpu_ns();
		for (int j = 0; j < SIGNALS; j++)
			raise(signo);
		took = cpu_ns() - took;
		best = took < best ? took : best;
	}
	return best;
}

/* The handler has nothing to do with queues that watch no signal any more. */
START_TEST(signal_many__queues_that_are_gone_cost_nothing)
{
	int n = affordable(), kq = queue();
	int64_t before;

	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ADD), 0);
	before = cost(SIGUSR1);
	if (before == 0) {
		fprintf(stderr, "skipped: processor time is counted in ticks\n");
		return;
	}
	for (int i = 0; i < n; i++) {
		queues[i] = queue();
		ck_assert_int_eq(watch(queues[i], SIGUSR1, EV_ADD), 0);
	}
	raise(SIGUSR1);
	/* Closing, and deleting, in an order that leaves every place in a list. */
	for (int i = 0; i < n; i += 2)
		close(queues[i]);
	for (int i = n - 1 - n % 2; i > 0; i -= 2)
		ck_assert_int_eq(watch(queues[i], SIGUSR1, EV_DELETE), 0);
	ck_assert_int_lt(cost(SIGUSR1), 3 * before);
	ck_assert_int_gt(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 0);
	for (int i = 1; i < n; i += 2)
		close(queues[i]);
	close(kq);
}
END_TEST

/* Of many that watch it, each is told, also when others have come and gone before. */
START_TEST(signal_many__each_queue_is_told)
{
	int n = affordable() / 10;

	signal(SIGUSR1, SIG_IGN);
	for (int i = 0; i < n; i++) {
		queues[i] = queue();
		ck_assert_int_eq(watch(queues[i], SIGUSR1, EV_ADD), 0);
	}
	for (int i = 0; i < n; i += 3)
		ck_assert_int_eq(watch(queues[i], SIGUSR1, EV_DELETE), 0);
	for (int i = 0; i < n; i += 6)
		ck_assert_int_eq(watch(queues[i], SIGUSR1, EV_ADD), 0);
	raise(SIGUSR1);
	for (int i = 0; i < n; i++) {
		if (i % 3 != 0 || i % 6 == 0)
			ck_assert_int_eq(event_of(queues[i], SIGUSR1, EVFILT_SIGNAL).data, 1);
		no_event(queues[i]);
		close(queues[i]);
	}
}
END_TEST

static _Atomic bool stop;

/* Queues come, watch the signal and go. */
static void *
churn(void *arg)
{
	int kq = -1;

	(void)arg;
	for (unsigned i = 0; !stop || i % 4 != 0; i++) {
		if (i % 4 == 0)
			kq = queue();
		watch(kq, SIGUSR1, i % 2 == 0 ? EV_ADD : EV_DELETE);
		if (i % 4 == 3)
			close(kq);
	}
	return NULL;
}

/* While others come and go in the list, the handler finds those that stay. */
START_TEST(signal_many__none_is_missed_while_others_come_and_go)
{
	enum { CHURNERS = 3, STAYING = 5, ROUNDS = 300 };
	pthread_t thread[CHURNERS];

	signal(SIGUSR1, SIG_IGN);
	for (int i = 0; i < STAYING; i++) {
		queues[i] = queue();
		ck_assert_int_eq(watch(queues[i], SIGUSR1, EV_ADD), 0);
	}
	for (int i = 0; i < CHURNERS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, churn, NULL), 0);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_kill(round % 2 == 0 ? pthread_self() : thread[0], SIGUSR1);
		for (int i = 0; i < STAYING; i++)
			ck_assert_int_eq(event_of(queues[i], SIGUSR1, EVFILT_SIGNAL).data, 1);
	}
	stop = true;
	for (int i = 0; i < CHURNERS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < STAYING; i++)
		close(queues[i]);
}
END_TEST

HARNESS_MAIN("signal_many",
    signal_many__queues_that_are_gone_cost_nothing,
    signal_many__each_queue_is_told,
    signal_many__none_is_missed_while_others_come_and_go)
