/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"
#include "timers.h"

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

static ev_timer *timer;

static void
timers_open(long n)
{
	timer = calloc((size_t)n, sizeof(*timer));
	if (timer == NULL)
		must(-1, "calloc");
	loop_open(0);
}

static void
timer_start(long i)
{
	ev_timer_init(&timer[i], expired, (double)TIMER_LATER() / 1000, 0);
	ev_timer_start(loop, &timer[i]);
}

static void
timer_stop(long i)
{
	ev_timer_stop(loop, &timer[i]);
}

const struct workload workloads[] = {
	LOOP_WORKLOADS,
	TIMER_WORKLOADS,
	{ NULL, NULL, 0, 0 }
};
