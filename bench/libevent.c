/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"
#include "single.h"

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

static void
timers(long n, bool arming)
{
	struct event *ev = calloc((size_t)n + TIMER_MORE, sizeof(*ev));

	loop_open(0);
	for (long i = 0; i < n + TIMER_MORE; i++)
		evtimer_assign(&ev[i], base, expired, NULL);
	for (long i = -n; i < 10 * TIMER_MORE; i++) {
		struct timeval in = { TIMER_LATER() / 1000, 0 };

		if (i >= 0 && i % TIMER_MORE == 0) {
			clock_pause(!arming);
			clock_start();
		}
		must(event_add(&ev[i < 0 ? i + n : n + i % TIMER_MORE], &in), "event_add");
		if (i < 0 || i % TIMER_MORE != TIMER_MORE - 1)
			continue;
		clock_stop();
		clock_pause(arming);
		clock_start();
		for (long k = 0; k < TIMER_MORE; k++)
			event_del(&ev[n + k]);
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
