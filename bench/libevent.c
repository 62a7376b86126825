/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"
#include "timers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

static struct event_base *base;
static int turned;

static void
readable(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	turned++;
	ready((int)fd, 1);
}

void
loop_open(int max)
{
	(void)max;
	base = event_base_new();
	if (base == NULL)
		must(-1, "event_base_new");
}

void
loop_add(int fd)
{
	struct event *ev = event_new(base, fd, EV_READ | EV_PERSIST, readable, NULL);

	must(event_add(ev, NULL), "event_add");
}

int
loop_turn(int room, bool block)
{
	(void)room;
	turned = 0;
	must(event_base_loop(base, block ? EVLOOP_ONCE : EVLOOP_NONBLOCK), "event_base_loop");
	return turned;
}

static void
expired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static struct event *timer;

static void
timers_open(long n)
{
	timer = calloc((size_t)n, sizeof(*timer));
	if (timer == NULL)
		must(-1, "calloc");
	loop_open(0);
	for (long i = 0; i < n; i++)
		evtimer_assign(&timer[i], base, expired, NULL);
}

static void
timer_start(long i)
{
	struct timeval in = { TIMER_LATER() / 1000, 0 };

	must(event_add(&timer[i], &in), "event_add");
}

static void
timer_stop(long i)
{
	event_del(&timer[i]);
}

const struct workload workloads[] = {
	LOOP_WORKLOADS,
	TIMER_WORKLOADS,
	{ NULL, NULL, 0, 0 }
};
