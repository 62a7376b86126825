/* SPDX-License-Identifier: BSD-2-Clause */
/* The workloads that each kqueue has, and that raw.c does by hand: what they are. */
#ifndef KQ_BENCH_SINGLE_H
#define KQ_BENCH_SINGLE_H

/* Registers 1,000 sockets and removes them, each in one changelist; an operation is one of both. */
void	load_add_delete(long n);

/* 64 readable sockets, told once and armed again by the call that waits next. */
void	load_oneshot(long n);
void	load_dispatch(long n);

/* 512 of 1,000 sockets have room to write, 64 a call, with the count of it. */
void	load_write(long n);

/* A thread triggers and collects, in one call and in two; two threads trigger each other. */
void	load_user1(long n);
void	load_user2(long n);
void	load_user_pingpong(long n);

/* Signals of another process, one by one. */
void	load_signal(long n);

/* Timers that never expire, with n pending: armed one a call and in lists, and removed in lists. */
void	load_timer_arm(long n);
void	load_timer_arm_batch(long n);
void	load_timer_delete(long n);

/* n timers within 100 ms.  The second figure is how late the latest hundredth is, in microseconds. */
void	load_timer_burst(long n);

/* n files: registering, an event of each, removing. */
void	load_vnode_add(long n);
void	load_vnode_event(long n);
void	load_vnode_delete(long n);

/* n children: registering, and collecting the end of each. */
void	load_proc(long n);

/* The first queue of a process, made and closed; further ones. */
void	load_queue_first(long n);
void	load_queue_more(long n);

/* One or two threads on one queue: an event is work of some microseconds, then it is enabled again.  Wall time. */
void	load_threads1(long n);
void	load_threads2(long n);

#define SINGLE_WORKLOADS						\
	{ "add-delete", load_add_delete, 200000, 2000 },		\
	{ "oneshot", load_oneshot, 300000, 640 },			\
	{ "dispatch", load_dispatch, 300000, 640 },			\
	{ "write", load_write, 500000, 1000 },				\
	{ "user1", load_user1, 300000, 1000 },				\
	{ "user2", load_user2, 200000, 1000 },				\
	{ "user-pingpong", load_user_pingpong, 30000, 100 },		\
	{ "signal", load_signal, 30000, 100 },				\
	{ "timer-arm", load_timer_arm, 100000, 1000 },			\
	{ "timer-arm-batch", load_timer_arm_batch, 100000, 1000 },	\
	{ "timer-delete", load_timer_delete, 100000, 1000 },		\
	{ "timer-burst", load_timer_burst, 10000, 100 },		\
	{ "vnode-add", load_vnode_add, 10000, 100 },			\
	{ "vnode-event", load_vnode_event, 10000, 100 },		\
	{ "vnode-delete", load_vnode_delete, 10000, 100 },		\
	{ "proc", load_proc, 1000, 20 },				\
	{ "queue-first", load_queue_first, 200, 5 },			\
	{ "queue-more", load_queue_more, 20000, 100 },			\
	{ "threads1", load_threads1, 50000, 200 },			\
	{ "threads2", load_threads2, 50000, 200 }

/* Timers go off so late that none does: in some 100 to 1,000 seconds, a different one each. */
#define TIMER_LATER()	(100000 + (int64_t)(bench_random() % 900000))	/* milliseconds */

/* Or within 100 milliseconds, which begin when all are armed. */
#define TIMER_SOON()	(10000 + (int64_t)(bench_random() % 100000))	/* microseconds */

/* How many timers are armed beside those that are pending. */
#define TIMER_MORE	10000

#endif
