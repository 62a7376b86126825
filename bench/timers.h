/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workloads of timers that are armed and removed one by one.  A program for such an interface defines the three
 * functions below, and lists TIMER_WORKLOADS among its own.  They are its own, not another file's, so that the
 * compiler may put them into the loop that is measured.
 */
#ifndef KQ_BENCH_TIMERS_H
#define KQ_BENCH_TIMERS_H

#include "bench.h"
#include "single.h"

/* A loop, and n timers that are not armed. */
static void	timers_open(long n);

/* Arms timer i, for TIMER_LATER() milliseconds; removes it. */
static void	timer_start(long i);
static void	timer_stop(long i);

#define TIMER_WORKLOADS							\
	{ "timer-arm", load_timer_arm, 100000, 1000 },			\
	{ "timer-delete", load_timer_delete, 100000, 1000 }

/* Arms and removes more beside the n that are pending, and counts the time of one of the two. */
static void
timers(long n, bool arming)
{
	timers_open(n + TIMER_MORE);
	for (long i = 0; i < n; i++)
		timer_start(i);
	for (int round = 0; round < 10; round++) {
		clock_pause(!arming);
		clock_start();
		for (long i = 0; i < TIMER_MORE; i++)
			timer_start(n + i);
		clock_stop();
		clock_pause(arming);
		clock_start();
		for (long i = 0; i < TIMER_MORE; i++)
			timer_stop(n + i);
		clock_stop();
	}
	result(10 * TIMER_MORE, -1);
}

void
load_timer_arm(long n)
{
	timers(n, true);
}

void
load_timer_delete(long n)
{
	timers(n, false);
}

#endif
