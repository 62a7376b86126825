/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"
#include "single.h"

#include <stdlib.h>
#include <uv.h>

static uv_loop_t loop;
static int turned;

static void
readable(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	turned++;
	ready((int)(intptr_t)handle->data, 1);
}

void
loop_open(int max)
{
	(void)max;
	must(uv_loop_init(&loop) < 0 ? -1 : 0, "uv_loop_init");
}

void
loop_add(int fd)
{
	uv_poll_t *handle = calloc(1, sizeof(*handle));

	handle->data = (void *)(intptr_t)fd;
	must(uv_poll_init(&loop, handle, fd) < 0 ? -1 : 0, "uv_poll_init");
	must(uv_poll_start(handle, UV_READABLE, readable) < 0 ? -1 : 0, "uv_poll_start");
}

int
loop_turn(int room, bool block)
{
	(void)room;
	turned = 0;
	uv_run(&loop, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	return turned;
}

static void
expired(uv_timer_t *t)
{
	(void)t;
}

static void
timers(long n, bool arming)
{
	uv_timer_t *t = calloc((size_t)n + TIMER_MORE, sizeof(*t));

	loop_open(0);
	for (long i = 0; i < n + TIMER_MORE; i++)
		uv_timer_init(&loop, &t[i]);
	for (long i = -n; i < 10 * TIMER_MORE; i++) {
		uv_timer_t *one = &t[i < 0 ? i + n : n + i % TIMER_MORE];

		if (i >= 0 && i % TIMER_MORE == 0) {
			clock_pause(!arming);
			clock_start();
		}
		uv_timer_start(one, expired, (uint64_t)TIMER_LATER(), 0);
		if (i < 0 || i % TIMER_MORE != TIMER_MORE - 1)
			continue;
		clock_stop();
		clock_pause(arming);
		clock_start();
		for (long k = 0; k < TIMER_MORE; k++)
			uv_timer_stop(&t[n + k]);
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
