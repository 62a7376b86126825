/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One lock protects what is written here.  Signals are blocked while it is
 * held, so the handler, which may interrupt anything else, may take it too; it
 * does where a disposition changes by itself, and otherwise only reads.
 *
 * A child of vfork() or _Fork() has our memory, or a copy, and dispositions of
 * its own in the kernel: there only those are looked at and changed.
 */
#include "disposition.h"

#include "../lock.h"
#include "sigaction.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void disposition_handler(int, siginfo_t *, void *);

/* What the program has set, of the latest two settings: the handler reads without a lock. */
struct view {
	_Atomic uintptr_t handler;
	_Atomic int	flags;
	_Atomic uint64_t mask;
};

/* (a) atomic, (l) the lock. */
static struct {
	_Atomic int64_t	count;		/* (a) arrivals */
	_Atomic uint32_t turn;		/* (a) the lowest bit: which view is valid */
	struct view	view[2];	/* (a) written with the lock held */
	uint32_t	watches;	/* (l) */
} signals[DISPOSITION_SIGNALS + 1];

_Atomic uint64_t disposition_watched;
_Atomic uint64_t disposition_stood_in;

static struct lock lock;
static _Atomic pid_t process;		/* whose dispositions are in the books */

static _Thread_local volatile unsigned silent, silent_asked;
static _Thread_local volatile bool loud;

static disposition_handler on_ignored, on_signal;

/* Rare ways out of a handler, kept off its stack, which may be small. */
#define NOINLINE	__attribute__((noinline))

/* Flags of ours that may differ from the program's. */
#define OUR_FLAGS	(SA_SIGINFO | SA_RESTART | SA_ONSTACK | (int)SA_RESETHAND)

static const struct sigaction to_default = { .sa_handler = SIG_DFL };
static const struct sigaction to_ignore = { .sa_handler = SIG_IGN };

/* Whether the books are about this process. */
static bool
mine(void)
{
	return getpid() == atomic_load_explicit(&process, memory_order_relaxed);
}

static void
section_enter(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
	lock_take(&lock);
}

static void
section_leave(const sigset_t *saved)
{
	lock_drop(&lock);
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* Leaves sa_restorer as it was. */
static void
view_get(int signo, struct sigaction *sa)
{
	uint32_t turn;
	uint64_t mask;

	do {
		struct view *view;

		turn = atomic_load(&signals[signo].turn);
		view = &signals[signo].view[turn & 1];
		sa->sa_handler = (sighandler_t)atomic_load(&view->handler);
		sa->sa_flags = atomic_load(&view->flags);
		mask = atomic_load(&view->mask);
	} while (turn != atomic_load(&signals[signo].turn));
	/* A libc's sigset_t begins with the kernel's, and has room for more. */
	sigemptyset(&sa->sa_mask);
	memcpy(&sa->sa_mask, &mask, sizeof(mask));
}

/* The lock is held. */
static void
view_set(int signo, const struct sigaction *sa)
{
	uint32_t turn = atomic_load(&signals[signo].turn) + 1;
	struct view *view = &signals[signo].view[turn & 1];
	uint64_t mask;

	memcpy(&mask, &sa->sa_mask, sizeof(mask));
	atomic_store(&view->handler, (uintptr_t)sa->sa_handler);
	atomic_store(&view->flags, sa->sa_flags);
	atomic_store(&view->mask, mask);
	atomic_store(&signals[signo].turn, turn);
}

enum by_default { ENDS, STOPS, IGNORES };

static enum by_default
by_default(int signo)
{
	switch (signo) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
		return IGNORES;
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return STOPS;
	default:
		return ENDS;
	}
}

static bool
has_handler(const struct sigaction *sa)
{
	return sa->sa_handler != SIG_DFL && sa->sa_handler != SIG_IGN;
}

static bool
ignores(int signo, const struct sigaction *sa)
{
	return sa->sa_handler == SIG_IGN ||
	    (sa->sa_handler == SIG_DFL && by_default(signo) == IGNORES);
}

/* Signals that an instruction can cause. */
static bool
is_fault(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL ||
	    signo == SIGTRAP || signo == SIGSYS;
}

/* Which handler of ours stands in for the program's disposition; NULL: none. */
static disposition_handler *
stand_in(int signo, const struct sigaction *wanted)
{
	if (signo == SIGCHLD && wanted->sa_handler == SIG_IGN)
		return NULL;
	if (ignores(signo, wanted))
		return on_ignored;
	if (wanted->sa_handler == SIG_DFL && by_default(signo) == ENDS)
		return NULL;
	return on_signal;
}

static bool
is_ours(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) != 0 &&
	    (sa->sa_sigaction == on_ignored || sa->sa_sigaction == on_signal);
}

void
disposition_translate(int signo, struct sigaction *sa)
{
	if (is_ours(sa))
		view_get(signo, sa);
}

/* The program's disposition now. */
static void
current(int signo, struct sigaction *sa)
{
	sigaction_next(signo, NULL, sa);
	disposition_translate(signo, sa);
}

/*
 * Has the kernel do for a watched signal what the program wants.  The books
 * say what the kernel made of it: it drops some flags and signals of the mask.
 * The lock is held.
 */
static int
impose(int signo, const struct sigaction *wanted)
{
	disposition_handler *handler = stand_in(signo, wanted);
	struct sigaction ours = *wanted;

	if (handler == on_ignored && wanted->sa_handler == SIG_IGN)
		atomic_fetch_or(&disposition_stood_in, disposition_bit(signo));
	else
		atomic_fetch_and(&disposition_stood_in, ~disposition_bit(signo));
	if (handler == NULL)
		return sigaction_next(signo, wanted, NULL);

	view_set(signo, wanted);
	ours.sa_sigaction = handler;
	ours.sa_flags = (wanted->sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO;
	if (!has_handler(wanted))
		ours.sa_flags |= SA_RESTART | SA_ONSTACK;
	if (sigaction_next(signo, &ours, NULL) == -1)
		return -1;
	sigaction_next(signo, NULL, &ours);
	ours.sa_handler = wanted->sa_handler;
	ours.sa_flags = (ours.sa_flags & ~OUR_FLAGS) | (wanted->sa_flags & OUR_FLAGS);
	view_set(signo, &ours);
	return 0;
}

/* The same, if it is still watched.  The lock is held. */
static int
apply(int signo, const struct sigaction *wanted)
{
	return disposition_is_watched(signo) ? impose(signo, wanted) :
	    sigaction_next(signo, wanted, NULL);
}

/* The program's own disposition into the kernel, which drops what waits if that ignores it. */
static void
restore(int signo, const struct sigaction *sa)
{
	bool pending = ignores(signo, sa) && sigaction_pending(signo);

	sigaction_next(signo, sa, NULL);
	if (pending)
		kill(getpid(), signo);
}

/* The program set a disposition that is not in the books yet.  The lock is held. */
static void
adopt(int signo)
{
	struct sigaction now;

	current(signo, &now);
	if (stand_in(signo, &now) != NULL)
		impose(signo, &now);
}

void
disposition_hold(int signo)
{
	sigset_t saved;

	section_enter(&saved);
	if (signals[signo].watches++ == 0) {
		atomic_store(&process, getpid());
		/* First: then a sigaction() under way sees it, and comes to us again. */
		atomic_fetch_or(&disposition_watched, disposition_bit(signo));
		adopt(signo);
	}
	section_leave(&saved);
}

void
disposition_refresh(int signo)
{
	struct sigaction now;
	sigset_t saved;

	sigaction_next(signo, NULL, &now);
	if (is_ours(&now) || stand_in(signo, &now) == NULL)
		return;
	section_enter(&saved);
	adopt(signo);
	section_leave(&saved);
}

void
disposition_release(int signo)
{
	struct sigaction now;
	sigset_t saved;

	section_enter(&saved);
	if (--signals[signo].watches == 0) {
		sigaction_next(signo, NULL, &now);
		if (is_ours(&now)) {
			view_get(signo, &now);
			restore(signo, &now);
		}
		atomic_fetch_and(&disposition_stood_in, ~disposition_bit(signo));
		atomic_fetch_and(&disposition_watched, ~disposition_bit(signo));
	}
	section_leave(&saved);
}

int64_t
disposition_count(int signo)
{
	return atomic_load(&signals[signo].count);
}

/*
 * What Linux does by itself where SIG_IGN is the kernel's: setting it drops
 * what is pending, and nothing sent while it lasts can arrive later, by way of
 * a thread that was slow to take it, and end the process.
 */
static void
drop_ignored(int signo, const struct sigaction *before, const struct sigaction *wanted)
{
	bool pending = sigaction_pending(signo);

	if (ignores(signo, wanted) ? pending :
	    ignores(signo, before) && stand_in(signo, wanted) == NULL && !pending)
		sigaction_next(signo, &to_ignore, NULL);
}

int
disposition_change(int signo, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction wanted, before;
	sigset_t saved;
	int result = 0;

	/* A bad pointer must fault where the program can see it, and old may be the same. */
	if (act != NULL)
		wanted = *act;
	if (!mine()) {
		result = sigaction_next(signo, act == NULL ? NULL : &wanted, &before);
		disposition_translate(signo, &before);
	} else {
		section_enter(&saved);
		current(signo, &before);
		if (act != NULL && disposition_is_watched(signo))
			drop_ignored(signo, &before, &wanted);
		if (act != NULL)
			result = apply(signo, &wanted);
		section_leave(&saved);
	}
	if (result == 0 && old != NULL)
		*old = before;
	return result;
}

/* A signal came. */
static void
arrived(int signo)
{
	int saved = errno;

	if (mine()) {
		atomic_fetch_add(&signals[signo].count, 1);
		sigaction_ring(signo);
	}
	errno = saved;
}

void
disposition_taken(int signo)
{
	arrived(signo);
}

/*
 * Does what SIG_DFL does: ends the process, or stops it and comes back when it
 * is continued.  A process group without a shell is not stopped: the kernel
 * knows.
 */
NOINLINE static void
take_default(int signo)
{
	bool locked = mine();
	struct sigaction ours;
	sigset_t all, one, saved;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	if (locked)
		lock_take(&lock);
	sigaction_next(signo, &to_default, &ours);
	syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signo);
	sigemptyset(&one);
	sigaddset(&one, signo);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	sigaction_next(signo, &ours, NULL);
	if (locked)
		lock_drop(&lock);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static void
on_ignored(int signo, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	arrived(signo);
	silent++;
	/* A fault cannot be ignored: the instruction would be tried again for ever. */
	if (is_fault(signo) && info->si_code > 0)
		take_default(signo);
	errno = saved;
}

/* SA_RESETHAND: of several threads one finds the handler set, the others SIG_DFL. */
NOINLINE static void
claim(int signo, struct sigaction *program)
{
	struct sigaction wanted;
	sigset_t saved;

	if (!mine()) {
		sigaction_next(signo, &to_default, NULL);
		return;
	}
	section_enter(&saved);
	current(signo, program);
	if (has_handler(program) && (program->sa_flags & (int)SA_RESETHAND) != 0) {
		wanted = *program;
		wanted.sa_handler = SIG_DFL;
		apply(signo, &wanted);
	}
	section_leave(&saved);
}

static void
on_signal(int signo, siginfo_t *info, void *context)
{
	struct sigaction program;
	int saved = errno;

	arrived(signo);
	view_get(signo, &program);
	if (has_handler(&program) && (program.sa_flags & (int)SA_RESETHAND) != 0)
		claim(signo, &program);
	if (program.sa_handler == SIG_DFL && by_default(signo) != IGNORES)
		take_default(signo);
	errno = saved;
	if (!has_handler(&program))
		return;
	loud = true;
	if ((program.sa_flags & SA_SIGINFO) != 0)
		program.sa_sigaction(signo, info, context);
	else
		program.sa_handler(signo);
}

/* Both kinds of handler may run during one wait; then the wait was not undisturbed. */
unsigned
disposition_silent(void)
{
	if (loud) {
		loud = false;
		silent = silent_asked;
	}
	silent_asked = silent;
	return silent;
}

void
disposition_lend(struct disposition_lent *lent)
{
	bool locked = mine();
	sigset_t saved;

	lent->signals = atomic_load(&disposition_stood_in);
	if (lent->signals == 0)
		return;
	if (locked)
		section_enter(&saved);
	lent->signals = atomic_load(&disposition_stood_in);
	sigpending(&lent->pending);
	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++)
		if ((lent->signals & disposition_bit(signo)) != 0)
			sigaction_next(signo, &to_ignore, NULL);
	if (locked)
		section_leave(&saved);
}

/* Of what is lent, the program may have changed some meanwhile, or watch it no longer. */
void
disposition_take_back(const struct disposition_lent *lent)
{
	uint64_t back = lent->signals;
	struct sigaction ours;
	sigset_t saved;
	int error = errno;

	if (back == 0 || !mine())
		return;
	section_enter(&saved);
	back &= atomic_load(&disposition_stood_in);
	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++) {
		if ((back & disposition_bit(signo)) == 0)
			continue;
		view_get(signo, &ours);
		impose(signo, &ours);
		if (sigismember(&lent->pending, signo) == 1)
			kill(getpid(), signo);
	}
	section_leave(&saved);
	errno = error;
}

/* A thread that is not here any more may have held the lock: the kernel's word counts. */
void
disposition_fork_child(void)
{
	uint64_t watched = atomic_exchange(&disposition_watched, 0);
	struct sigaction now;

	atomic_store(&lock.lk_word, 0);
	atomic_store(&disposition_stood_in, 0);
	atomic_store(&process, 0);
	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++) {
		if ((watched & disposition_bit(signo)) == 0)
			continue;
		signals[signo].watches = 0;
		sigaction_next(signo, NULL, &now);
		if (is_ours(&now)) {
			view_get(signo, &now);
			sigaction_next(signo, &now, NULL);
		}
	}
}
