/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmark programs share.  Each is one interface: kq.c ours, raw.c
 * epoll and its relatives by hand, and one for each event library.  A run does
 * one workload and prints one line for run.py:
 *
 *	operations, nanoseconds an operation, and maybe a second figure
 *
 * Time is the processor's, of this process: these machines are never idle.
 */
#ifndef KQ_BENCH_H
#define KQ_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workload {
	const char	*wl_name;
	void		(*wl_run)(long n);	/* n: how many operations, about */
	long		wl_n;			/* ... in a run of full length */
	long		wl_smoke;		/* ... just to see that it runs */
};

/* Of each program: its workloads, the last without a name. */
extern const struct workload workloads[];

/* -n: byte counts are not wanted. */
extern bool no_counts;

/* The stretch that is measured.  It may be stopped and started again; times add up. */
void	clock_start(void);
void	clock_stop(void);
int64_t	clock_now(void);		/* the monotonic clock */

/* While on, what is between start and stop does not count. */
void	clock_pause(bool on);

/* Wall time instead, where the work is done by several threads. */
extern bool by_wall;

/* Prints the result: the time measured by operations; and a second figure if it is not negative. */
void	result(long operations, double second);

/* Runs a function once in each of n children, and the result is what it took there. */
void	result_of_children(long n, void (*function)(void));

/* Of n delays in nanoseconds, the one that a hundredth exceed; in microseconds. */
double	late_hundredth(int64_t late[], long n);

/* Ends the program if a call failed. */
long	must(long value, const char *call);

/* Some microseconds of it, the same for all. */
void	work_a_little(void);

/* A number that is the same in every run. */
uint32_t bench_random(void);

/* n connected pairs of local sockets: one end of each is put into here[], the other into there[]. */
void	make_pairs(int here[], int there[], int n);

/* As many descriptors as the system lets us have. */
long	descriptors(void);

/* Fills a socket until it takes no more. */
void	stuff(int fd);

/* Memory of this process that is in use, in bytes. */
long	memory(void);

/* n open files, which are removed at the end. */
void	make_files(int fds[], int n);

/* Children that live until release_children(), which returns when all have ended. */
void	make_children(int pids[], int n);
void	release_children(const int pids[], int n);
void	reap_children(const int pids[], int n);

/* A child that sends SIGUSR1 to us, count times: the first when *seen is 0, the next when it is 1, ... */
int	make_sender(long count, _Atomic long **seen);

#endif
