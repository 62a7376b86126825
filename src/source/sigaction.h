/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arrivals of signals, for the queues that watch them.  Two things tell of one:
 * our handler (source/disposition.h), which rings a bell in each queue's epoll,
 * and for signals that are blocked, a signalfd that is never read, so that they
 * stay pending.
 */
#ifndef KQ_SIGACTION_H
#define KQ_SIGACTION_H

#include "source/disposition.h"
#include "kqueue_thread.h"

#include <stdbool.h>
#include <stdint.h>

struct kqueue;
struct knote;

/* The hint of knote_note(): the signal is blocked, and pending. */
#define SIGACTION_PENDING	1u

/*
 * Has knote_note(kq, kn, hint) called when the signal may have arrived, unless
 * the knote is disabled; 0 or -errno.  Uses kn_aux.
 */
int	sigaction_attach(struct kqueue *kq, struct knote *kn, int signo);
void	sigaction_detach(struct kqueue *kq, struct knote *kn, int signo);

/* A knote was enabled or disabled. */
void	sigaction_update(struct kqueue *kq);

/* Whether the calling thread blocks the signal and it is pending. */
bool	sigaction_pending(int signo);

/* Epoll reports a watched signal. */
void	sigaction_report(struct kqueue *kq);

/* The same, of a queue's signalfd. */
void	sigaction_report_fd(struct kqueue *kq);

/* The queue ends: closes what it had for signals. */
void	sigaction_free(struct kqueue *kq);

/* Whether fd is the handler's bell; it has another number now.  Fit for signal handlers. */
bool	sigaction_is_bell(int fd);
void	sigaction_follow_bell(struct kqueue *kq, int old);

/* Our handler: rings every queue that watches the signal.  Fit for signal handlers. */
void	sigaction_ring(int signo);

/* A thread begins to wait. */
static inline void
sigaction_wait_begins(void)
{
	kqueue_thread.ran = 0;
}

/* Whether a handler of the program's for a watched signal has run in this thread since. */
static inline bool
sigaction_was_handled(void)
{
	return kqueue_thread.loud;
}

/* Whether ours alone has: kevent() then does not let EINTR show. */
static inline bool
sigaction_only_ignored(void)
{
	return kqueue_thread.silent && !kqueue_thread.loud;
}

/* Whether any signal is watched. */
static inline bool
sigaction_watches(void)
{
	return atomic_load_explicit(&disposition_watched, memory_order_relaxed) != 0;
}

/*
 * This is a forked child: the program's dispositions are put back, and nothing
 * is watched.  Fit for signal handlers; what other threads did is not relied on.
 */
void	sigaction_fork_child(void);

#endif
