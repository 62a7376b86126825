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
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void disposition_handler(int, siginfo_t *, void *);

/* A disposition without what only libc cares for. */
struct setting {
	uintptr_t	handler;
	int		flags;
	uint64_t	mask;
};

/* The same where the handler can read it without a lock. */
struct view {
	_Atomic uintptr_t handler;
	_Atomic int	flags;
	_Atomic uint64_t mask;
};

/* (a) atomic, (l) the lock. */
static struct {
	_Atomic int64_t	count;		/* (a) arrivals */
	_Atomic uint32_t turn;		/* (a) its lowest bit says which view is valid */
	uint32_t	watches;	/* (l) */
	struct view	view[2];	/* (a) the program's disposition; written with (l) */
} signals[DISPOSITION_SIGNALS + 1];

_Atomic uint64_t disposition_watched;
_Atomic uint64_t disposition_stood_in;
static _Atomic uint64_t stood_aside;	/* for a moment the kernel holds SIG_IGN itself */

static struct lock lock;
static _Atomic pid_t process;		/* whose dispositions are in the books */

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

/* The bare call: sanitizers stand before libc's, and must not be met in a handler. */
static uint64_t
change_mask(int how, uint64_t set)
{
	uint64_t before = 0;

	syscall(SYS_rt_sigprocmask, how, &set, &before, sizeof(set));
	return before;
}

/* The mask to go back to. */
static uint64_t
section_enter(void)
{
	uint64_t mask = change_mask(SIG_SETMASK, UINT64_MAX);

	lock_take(&lock);
	return mask;
}

static void
section_leave(uint64_t mask)
{
	lock_drop(&lock);
	change_mask(SIG_SETMASK, mask);
}

static struct setting
view_get(int signo)
{
	struct setting set;
	uint32_t turn;

	do {
		struct view *view;

		turn = atomic_load(&signals[signo].turn);
		view = &signals[signo].view[turn & 1];
		set.handler = atomic_load(&view->handler);
		set.flags = atomic_load(&view->flags);
		set.mask = atomic_load(&view->mask);
	} while (turn != atomic_load(&signals[signo].turn));
	return set;
}

/* The lock is held.  Readers go on to find the view of before, until this one is complete. */
static void
view_set(int signo, const struct sigaction *sa)
{
	uint32_t turn = atomic_load(&signals[signo].turn) + 1;
	struct view *view = &signals[signo].view[turn & 1];
	uint64_t mask;

	/* A libc's sigset_t begins with the kernel's, and has room for more. */
	memcpy(&mask, &sa->sa_mask, sizeof(mask));
	atomic_store(&view->handler, (uintptr_t)sa->sa_handler);
	atomic_store(&view->flags, sa->sa_flags);
	atomic_store(&view->mask, mask);
	atomic_store(&signals[signo].turn, turn);
}

/* Leaves sa_restorer as it was. */
static void
view_show(int signo, struct sigaction *sa)
{
	struct setting set = view_get(signo);

	sa->sa_handler = (sighandler_t)set.handler;
	sa->sa_flags = set.flags;
	sigemptyset(&sa->sa_mask);
	memcpy(&sa->sa_mask, &set.mask, sizeof(set.mask));
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
is_handler(uintptr_t handler)
{
	return handler != (uintptr_t)SIG_DFL && handler != (uintptr_t)SIG_IGN;
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
		view_show(signo, sa);
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
	if (!is_handler((uintptr_t)wanted->sa_handler))
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
	uint64_t mask = section_enter();

	if (signals[signo].watches++ == 0) {
		atomic_store(&process, getpid());
		/* First: then a sigaction() under way sees it, and comes to us again. */
		atomic_fetch_or(&disposition_watched, disposition_bit(signo));
		adopt(signo);
	}
	section_leave(mask);
}

void
disposition_refresh(int signo)
{
	struct sigaction now;
	uint64_t mask;

	atomic_fetch_and(&stood_aside, ~disposition_bit(signo));
	sigaction_next(signo, NULL, &now);
	if (is_ours(&now) || stand_in(signo, &now) == NULL)
		return;
	mask = section_enter();
	adopt(signo);
	section_leave(mask);
}

void
disposition_return(int signo)
{
	if ((atomic_load(&stood_aside) & disposition_bit(signo)) != 0)
		disposition_refresh(signo);
}

void
disposition_release(int signo)
{
	struct sigaction now;
	uint64_t mask = section_enter();

	if (--signals[signo].watches == 0) {
		sigaction_next(signo, NULL, &now);
		if (is_ours(&now)) {
			view_show(signo, &now);
			restore(signo, &now);
		}
		atomic_fetch_and(&disposition_stood_in, ~disposition_bit(signo));
		atomic_fetch_and(&disposition_watched, ~disposition_bit(signo));
	}
	section_leave(mask);
}

int64_t
disposition_count(int signo)
{
	return atomic_load(&signals[signo].count);
}

void
disposition_arrived(int signo)
{
	int saved = errno;

	if (mine()) {
		atomic_fetch_add(&signals[signo].count, 1);
		sigaction_ring(signo);
	}
	errno = saved;
}

/*
 * What Linux does by itself where SIG_IGN is the kernel's: setting it drops
 * what is pending; and what was sent while it lasted, unless it is blocked,
 * cannot come later, from a thread that was slow to take it, and end the
 * process.  What is dropped has come, so it counts.  The lock is held; blocked:
 * what the program blocks itself.
 */
static void
drop_ignored(int signo, const struct sigaction *before, const struct sigaction *wanted,
    uint64_t blocked)
{
	bool pending = sigaction_pending(signo);

	if (ignores(signo, wanted) ? !pending : !ignores(signo, before) ||
	    stand_in(signo, wanted) != NULL || (blocked & disposition_bit(signo)) != 0)
		return;
	sigaction_next(signo, &to_ignore, NULL);
	if (pending)
		disposition_arrived(signo);
}

int
disposition_change(int signo, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction wanted, before;
	uint64_t mask;
	int result = 0;

	/* A bad pointer must fault where the program can see it, and old may be the same. */
	if (act != NULL)
		wanted = *act;
	if (!mine()) {
		result = sigaction_next(signo, act == NULL ? NULL : &wanted, &before);
		disposition_translate(signo, &before);
	} else {
		mask = section_enter();
		current(signo, &before);
		if (act != NULL && disposition_is_watched(signo))
			drop_ignored(signo, &before, &wanted, mask);
		if (act != NULL)
			result = apply(signo, &wanted);
		section_leave(mask);
	}
	if (result == 0 && old != NULL)
		*old = before;
	return result;
}

/*
 * Does what SIG_DFL does: ends the process, or stops it and comes back when it
 * is continued.  A process group without a shell is not stopped: the kernel
 * knows.
 */
NOINLINE static void
take_default(int signo)
{
	uint64_t mask = change_mask(SIG_SETMASK, UINT64_MAX);
	struct sigaction ours;
	bool locked = mine();

	if (locked)
		lock_take(&lock);
	sigaction_next(signo, &to_default, &ours);
	if (locked)
		HELGRIND_DROPPED(&lock);	/* it takes a thread's end with a lock for a fault */
	syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signo);
	change_mask(SIG_UNBLOCK, disposition_bit(signo));
	if (locked)
		HELGRIND_TAKEN(&lock);
	sigaction_next(signo, &ours, NULL);
	if (locked)
		lock_drop(&lock);
	change_mask(SIG_SETMASK, mask);
}

/*
 * A process in the background uses the terminal.  The kernel has asked whether
 * the signal is ignored: then it sends none, and fails the call or lets it
 * pass.  Our handler made it send one, after which the call is begun again and
 * asks again, for ever if that goes on.  So the kernel is given the true answer,
 * until the queues that are rung look.  Nothing was to come, so it does not count.
 */
NOINLINE static void
stand_aside(int signo)
{
	struct sigaction now;
	bool locked = mine();
	uint64_t mask = 0;

	if (locked)
		mask = section_enter();
	current(signo, &now);
	if (now.sa_handler == SIG_IGN) {
		sigaction_next(signo, &now, NULL);
		if (locked)
			atomic_fetch_or(&stood_aside, disposition_bit(signo));
	}
	if (locked) {
		section_leave(mask);
		sigaction_ring(signo);
	}
}

static void
on_ignored(int signo, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	kqueue_thread.silent = true;
	if ((signo == SIGTTIN || signo == SIGTTOU) && info->si_code == SI_KERNEL)
		stand_aside(signo);
	else
		disposition_arrived(signo);
	/* A fault cannot be ignored: the instruction would be tried again for ever. */
	if (is_fault(signo) && info->si_code > 0)
		take_default(signo);
	errno = saved;
}

/* SA_RESETHAND: of several threads one finds the handler set, the others SIG_DFL. */
NOINLINE static struct setting
claim(int signo)
{
	struct setting program = view_get(signo);
	struct sigaction now;
	uint64_t mask;

	if (!mine()) {
		sigaction_next(signo, &to_default, NULL);
		return program;
	}
	mask = section_enter();
	current(signo, &now);
	program.handler = (uintptr_t)now.sa_handler;
	program.flags = now.sa_flags;
	if (is_handler(program.handler) && (program.flags & (int)SA_RESETHAND) != 0) {
		now.sa_handler = SIG_DFL;
		apply(signo, &now);
	}
	section_leave(mask);
	return program;
}

static void
on_signal(int signo, siginfo_t *info, void *context)
{
	struct setting program;
	int saved = errno;

	disposition_arrived(signo);
	program = view_get(signo);
	if (is_handler(program.handler) && (program.flags & (int)SA_RESETHAND) != 0)
		program = claim(signo);
	if (program.handler == (uintptr_t)SIG_DFL && by_default(signo) != IGNORES)
		take_default(signo);
	errno = saved;
	if (!is_handler(program.handler))
		return;
	kqueue_thread.loud = true;
	if ((program.flags & SA_SIGINFO) != 0)
		((disposition_handler *)program.handler)(signo, info, context);
	else
		((sighandler_t)program.handler)(signo);
}

/* What the child of a vfork() has set itself, or posix_spawn() for it, is not ours and stays. */
void
disposition_bequeath(int signo, struct sigaction *sa)
{
	if (!is_ours(sa) || (atomic_load(&disposition_stood_in) & disposition_bit(signo)) == 0 || mine())
		return;
	sigaction_next(signo, &to_ignore, NULL);
	*sa = to_ignore;
}

static void
lend(int signo)
{
	struct sigaction now;

	sigaction_next(signo, NULL, &now);
	if (is_ours(&now))
		sigaction_next(signo, &to_ignore, NULL);
}

void
disposition_lend(struct disposition_lent *lent)
{
	bool locked = mine();
	uint64_t mask = 0;

	lent->signals = atomic_load(&disposition_stood_in);
	if (lent->signals == 0)
		return;
	if (locked)
		mask = section_enter();
	lent->signals = atomic_load(&disposition_stood_in);
	sigpending(&lent->pending);
	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++)
		if ((lent->signals & disposition_bit(signo)) != 0)
			lend(signo);
	if (locked)
		section_leave(mask);
}

/* Of what is lent, the program may have changed some meanwhile, or watch it no longer. */
void
disposition_take_back(const struct disposition_lent *lent)
{
	uint64_t back = lent->signals;
	struct sigaction ours;
	int error = errno;
	uint64_t mask;

	if (back == 0 || !mine())
		return;
	mask = section_enter();
	back &= atomic_load(&disposition_stood_in);
	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++) {
		if ((back & disposition_bit(signo)) == 0)
			continue;
		view_show(signo, &ours);
		impose(signo, &ours);
		if (sigismember(&lent->pending, signo) == 1)
			kill(getpid(), signo);
	}
	section_leave(mask);
	errno = error;
}

/* A thread that is not here any more may have held the lock: the kernel's word counts. */
void
disposition_fork_child(void)
{
	uint64_t watched;
	struct sigaction now;

	/* Nothing was watched yet. */
	if (atomic_load(&process) == 0 && atomic_load(&lock.lk_word) == 0)
		return;
	watched = atomic_exchange(&disposition_watched, 0);
	atomic_store(&lock.lk_word, 0);
	atomic_store(&disposition_stood_in, 0);
	atomic_store(&stood_aside, 0);
	atomic_store(&process, 0);
	for (int signo = 1; signo <= DISPOSITION_SIGNALS; signo++) {
		if ((watched & disposition_bit(signo)) == 0)
			continue;
		signals[signo].watches = 0;
		sigaction_next(signo, NULL, &now);
		if (is_ours(&now)) {
			view_show(signo, &now);
			sigaction_next(signo, &now, NULL);
		}
	}
}
