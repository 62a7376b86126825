/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"
#include "single.h"

#include <ev.h>
#include <stdlib.h>

static struct ev_loop *loop;
static int turned;

static void
readable(struct ev_loop *l, ev_io *io, int what)
{
	(void)l;
	(void)what;
	turned++;
	ready(io->fd, 1);
}

void
loop_open(int max)
{
	(void)max;
	loop = ev_loop_new(EVBACKEND_EPOLL);
	if (loop == NULL)
		must(-1, "ev_loop_new");
}

void
loop_add(int fd)
{
	ev_io *io = calloc(1, sizeof(*io));

	ev_io_init(io, readable, fd, EV_READ);
	ev_io_start(loop, io);
}

int
loop_turn(int room, bool block)
{
	(void)room;
	turned = 0;
	ev_run(loop, block ? EVRUN_ONCE : EVRUN_NOWAIT);
	return turned;
}

static void
expired(struct ev_loop *l, ev_timer *t, int what)
{
	(void)l;
	(void)t;
	(void)what;
}

static void
timers(long n, bool arming)
{
	ev_timer *t = calloc((size_t)n + TIMER_MORE, sizeof(*t));

	loop_open(0);
	for (long i = -n; i < 10 * TIMER_MORE; i++) {
		ev_timer *one = &t[i < 0 ? i + n : n + i % TIMER_MORE];

		if (i >= 0 && i % TIMER_MORE == 0) {
			clock_pause(!arming);
			clock_start();
		}
		ev_timer_init(one, expired, (double)TIMER_LATER() / 1000, 0);
		ev_timer_start(loop, one);
		if (i < 0 || i % TIMER_MORE != TIMER_MORE - 1)
			continue;
		clock_stop();
		clock_pause(arming);
		clock_start();
		for (long k = 0; k < TIMER_MORE; k++)
			ev_timer_stop(loop, &t[n + k]);
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

const struct workload workloads[] = {
	LOOP_WORKLOADS,
	{ "timer-arm", load_timer_arm, 100000, 1000 },
	{ "timer-delete", load_timer_delete, 100000, 1000 },
	{ NULL, NULL, 0, 0 }
};
