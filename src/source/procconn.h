/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's process connector: forks, execs and ends of processes, as they
 * happen.  A queue has one socket for it while anybody asks.  Protected by the
 * queue's lock.
 */
#ifndef KQ_PROCCONN_H
#define KQ_PROCCONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct kqueue;

/* What is told of, one or several: the forks and execs of one process, its end, or both of all there are. */
#define PROCCONN_FORKS	1u
#define PROCCONN_END	2u
#define PROCCONN_ALL	4u

/* The hint of knote_note(), for every EVFILT_PROC knote on the process. */
enum procconn_hint {
	PROCCONN_BORN = 1,	/* it begins: what had its number before has ended */
	PROCCONN_FORK,		/* procconn_child() is its new child */
	PROCCONN_EXEC,
	PROCCONN_EXIT,		/* its first thread ended, procconn_status() */
	PROCCONN_THREAD,	/* another did, with a status that is not 0; not with PROCCONN_ALL */
	PROCCONN_DONE,		/* that was all so far: twice, with what came meanwhile in between */
	PROCCONN_LOST		/* the kernel dropped something: for every knote of the queue */
};

/*
 * Has this told from now on: 0 or -errno (ENOTSUP: there is no connector, or not
 * for us).  PROCCONN_ALL cannot fail where another has it already.
 */
int	procconn_attach(struct kqueue *kq, pid_t pid, unsigned scope);
void	procconn_detach(struct kqueue *kq, pid_t pid, unsigned scope);

/* Tells what has happened so far. */
void	procconn_report(struct kqueue *kq);

/* About the report under way: the child of a fork; the status as of wait(2) of an end. */
pid_t	procconn_child(const struct kqueue *kq);
uint32_t procconn_status(const struct kqueue *kq);

void	procconn_free(struct kqueue *kq);

#endif
