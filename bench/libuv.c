/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"
#include "timers.h"

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

static uv_timer_t *timer;

static void
timers_open(long n)
{
	timer = calloc((size_t)n, sizeof(*timer));
	if (timer == NULL)
		must(-1, "calloc");
	loop_open(0);
	for (long i = 0; i < n; i++)
		uv_timer_init(&loop, &timer[i]);
}

static void
timer_start(long i)
{
	uv_timer_start(&timer[i], expired, (uint64_t)TIMER_LATER(), 0);
}

static void
timer_stop(long i)
{
	uv_timer_stop(&timer[i]);
}

const struct workload workloads[] = {
	LOOP_WORKLOADS,
	TIMER_WORKLOADS,
	{ NULL, NULL, 0, 0 }
};
