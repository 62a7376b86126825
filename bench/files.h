/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workloads of files and of queues.  A program defines the two functions below; as in timers.h, they are its own.
 */
#ifndef KQ_BENCH_FILES_H
#define KQ_BENCH_FILES_H

#include "bench.h"
#include "single.h"

/* Registers n files, has an event happen to each, deletes them; measures one of these. */
enum part { ADDING, HAPPENING, DELETING };
static void	files(long n, enum part part);

/* Makes a queue, and closes it. */
static void	queue_once(void);

void
load_vnode_add(long n)
{
	files(n, ADDING);
}

void
load_vnode_event(long n)
{
	files(n, HAPPENING);
}

void
load_vnode_delete(long n)
{
	files(n, DELETING);
}

void
load_queue_first(long n)
{
	result_of_children(n, queue_once);
}

void
load_queue_more(long n)
{
	queue_once();
	clock_start();
	for (long i = 0; i < n; i++)
		queue_once();
	clock_stop();
	result(n, -1);
}

#endif
