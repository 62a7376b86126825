/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the program wants done with each signal.  While a signal is watched, a
 * handler of ours stands in the kernel where Linux would otherwise tell nobody
 * that it came: it counts, then does what the program wants.  sigaction() and
 * its relatives are wrapped (interpose/sigaction.c) and show the program what
 * it set itself.
 *
 *	the program's disposition		what the kernel holds while watched
 *	a handler				ours, with its mask and flags
 *	SIG_IGN					ours, with SA_RESTART
 *	SIG_IGN for SIGCHLD			that: children are to be reaped by the kernel
 *	SIG_IGN for SIGTTIN and SIGTTOU		ours, and for a moment that, when a terminal asks
 *	SIG_DFL, if that ignores		ours, with SA_RESTART
 *	SIG_DFL, if that stops			ours, which then stops the process
 *	SIG_DFL, if that ends			that: nobody is left to be told
 */
#ifndef KQ_DISPOSITION_H
#define KQ_DISPOSITION_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Signals are numbered from 1 to this. */
#define DISPOSITION_SIGNALS	64

static inline uint64_t
disposition_bit(int signo)
{
	return UINT64_C(1) << (signo - 1);
}

/* The signals that are watched, and those for whose SIG_IGN our handler stands in. */
extern _Atomic uint64_t disposition_watched, disposition_stood_in;

static inline bool
disposition_is_watched(int signo)
{
	return signo > 0 && signo <= DISPOSITION_SIGNALS &&
	    (atomic_load(&disposition_watched) & disposition_bit(signo)) != 0;
}

/* A watch of the signal begins, ends. */
void	disposition_hold(int signo);
void	disposition_release(int signo);

/* The program may have set a disposition without our seeing it: stands in for that one. */
void	disposition_refresh(int signo);

/* The same if our handler has stood aside for what the kernel had to do with the true one. */
void	disposition_return(int signo);

/* How often the signal has come while it was watched. */
int64_t	disposition_count(int signo);

/* The signal came: to our handler, or was taken by sigwait(2) or a relative. */
void	disposition_arrived(int signo);

/* sigaction(2) for a watched signal. */
int	disposition_change(int signo, const struct sigaction *act, struct sigaction *old);

/* If sa is what the kernel holds and is ours, makes it the program's. */
void	disposition_translate(int signo, struct sigaction *sa);

/*
 * A new program inherits what is ignored, but a handler becomes SIG_DFL.  So
 * before execve(2) SIG_IGN is put back where it is the program's; afterwards,
 * if this process goes on, we take over again.
 */
struct disposition_lent {
	uint64_t	signals;
	sigset_t	pending;
};
void	disposition_lend(struct disposition_lent *lent);
void	disposition_take_back(const struct disposition_lent *lent);

/* For a child that has our memory: if sa is what its kernel holds and stands in for SIG_IGN, makes both that. */
void	disposition_bequeath(int signo, struct sigaction *sa);

/* As for sigaction_fork_child(). */
void	disposition_fork_child(void);

/* The next definition of sigaction() after our wrapper, if there is one: interpose/sigaction.c. */
#if KQ_INTERPOSE
int	sigaction_next(int signo, const struct sigaction *act, struct sigaction *old);
#else
#define sigaction_next	sigaction
#endif

#endif
