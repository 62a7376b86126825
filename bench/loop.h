/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workloads that any event loop can do.  A program for an interface defines
 * the three functions below, and lists LOOP_WORKLOADS among its own.
 */
#ifndef KQ_BENCH_LOOP_H
#define KQ_BENCH_LOOP_H

/* A loop for descriptors below max. */
void	loop_open(int max);

/* Level-triggered, for reading. */
void	loop_add(int fd);

/*
 * One turn: calls ready() for each descriptor that can be read, at most room of
 * them where the interface has such a limit; their number.
 */
int	loop_turn(int room, bool block);

/* The most that is taken at a time. */
#define LOOP_ROOM	2000

/* The descriptor can be read: bytes of them, or 1 if counts are not wanted or had. */
extern void (*ready)(int fd, long bytes);

void	load_wait64(long n);
void	load_wait1(long n);
void	load_wait_all(long n);
void	load_chain(long n);
void	load_echo1(long n);
void	load_echo64(long n);
void	load_echo512(long n);
void	load_idle1000(long n);
void	load_idle_most(long n);

#define LOOP_WORKLOADS							\
	{ "wait64", load_wait64, 1000000, 1000 },			\
	{ "wait1", load_wait1, 300000, 1000 },				\
	{ "wait-all", load_wait_all, 1000000, 1000 },			\
	{ "chain", load_chain, 300000, 1000 },				\
	{ "echo1", load_echo1, 30000, 100 },				\
	{ "echo64", load_echo64, 60000, 500 },				\
	{ "echo512", load_echo512, 60000, 2000 },			\
	{ "idle1000", load_idle1000, 500000, 1000 },			\
	{ "idle-most", load_idle_most, 500000, 1000 }

#endif
