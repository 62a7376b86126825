/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The libc functions that set or show what is done with a signal, and those
 * that take one.  For signals that nobody watches they pass the call on; for
 * the others see source/disposition.h.  All may be called in signal handlers
 * and vfork() children where the originals may.
 */
#include "../source/disposition.h"

#if KQ_INTERPOSE

#include "exec.h"
#include "next.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
	int	(*sigaction)(int, const struct sigaction *, struct sigaction *);
	int	(*sigtimedwait)(const sigset_t *restrict, siginfo_t *restrict,
		    const struct timespec *restrict);
	int	(*__sigtimedwait64)(const sigset_t *, siginfo_t *, const void *);
} next;

void
sigaction_resolve(void)
{
	NEXT_RESOLVE(next, sigaction);
	NEXT_RESOLVE(next, sigtimedwait);
	NEXT_RESOLVE(next, __sigtimedwait64);
	exec_resolve();
	system_resolve();
}

#ifdef __GLIBC__
/* signal() blocks the signal in its handler twice over, which sigaction() shows. */
#define SIGNAL_IN_MASK	true
#else
#define SIGNAL_IN_MASK	false
#endif

/* Where we know the kernel's struct sigaction, which glibc does not show. */
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || defined(__arm__)
#ifndef SA_RESTORER
#define SA_RESTORER	0x04000000
#endif
#define KERNEL_SIGACTION 1
#elif defined(__riscv) || !defined(__GLIBC__)
#define KERNEL_SIGACTION 1
#endif

#if defined(__GLIBC__) && (KQ_INTERPOSE_STREAMS || !defined(KERNEL_SIGACTION))

/* libc.so exports it, and the static library has it beside a weak sigaction(). */
int	__sigaction(int, const struct sigaction *, struct sigaction *);

#define sigaction_bare	__sigaction

#else

/* As the kernel has it. */
struct kernel_sigaction {
	void		(*handler)(int);
	unsigned long	flags;
#ifdef SA_RESTORER
	void		(*restorer)(void);
#endif
	uint64_t	mask;
};

#ifdef __x86_64__

/* Where a handler returns to.  Debuggers and unwinders know these very bytes. */
__asm__(".pushsection .text\n"
    ".balign 16\n"
    "nop\n"
    ".globl kq_sigreturn\n"
    ".hidden kq_sigreturn\n"
    ".type kq_sigreturn, @function\n"
    "kq_sigreturn:\n"
    "mov $15, %rax\n"
    "syscall\n"
    ".size kq_sigreturn, . - kq_sigreturn\n"
    ".popsection");
void	kq_sigreturn(void) __attribute__((visibility("hidden")));

static void
kernel_restorer(struct kernel_sigaction *ksa)
{
	ksa->flags |= SA_RESTORER;
	ksa->restorer = kq_sigreturn;
}

#else

/* The kernel brings its own. */
static void
kernel_restorer(struct kernel_sigaction *ksa)
{
	(void)ksa;
}

#endif

static int
sigaction_kernel(int signo, const struct sigaction *act, struct sigaction *old)
{
	struct kernel_sigaction ksa, was;

	if (act != NULL) {
		memset(&ksa, 0, sizeof(ksa));
		ksa.handler = act->sa_handler;
		ksa.flags = (unsigned long)(unsigned)act->sa_flags;
		memcpy(&ksa.mask, &act->sa_mask, sizeof(ksa.mask));
		kernel_restorer(&ksa);
	}
	if (syscall(SYS_rt_sigaction, signo, act == NULL ? NULL : &ksa, &was,
	    sizeof(ksa.mask)) == -1)
		return -1;
	if (old != NULL) {
		old->sa_handler = was.handler;
		old->sa_flags = (int)was.flags;
		sigemptyset(&old->sa_mask);
		memcpy(&old->sa_mask, &was.mask, sizeof(was.mask));
	}
	return 0;
}

/* Without a next one this must do.  The first real-time signals are the C library's own. */
static int
sigaction_bare(int signo, const struct sigaction *act, struct sigaction *old)
{
	if (signo < 1 || (signo >= 32 && signo < SIGRTMIN)) {
		errno = EINVAL;
		return -1;
	}
	return sigaction_kernel(signo, act, old);
}

#if defined(__GLIBC__)

int	__libc_sigaction(int signo, const struct sigaction *act, struct sigaction *old);

/*
 * By posix_spawn(), and so popen(), in the child, which has our memory: it
 * asks which signals are ignored, and sets the others to their defaults.  See
 * beneath.c.
 */
KQ_BENEATH int
__libc_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	if (sigaction_kernel(signo, act, old) == -1)
		return -1;
	if (act == NULL && old != NULL)
		disposition_bequeath(signo, old);
	return 0;
}

#endif
#endif

int
sigaction_next(int signo, const struct sigaction *act, struct sigaction *old)
{
	return next.sigaction != NULL ? next.sigaction(signo, act, old) :
	    sigaction_bare(signo, act, old);
}

KQ_WRAPPER int
sigaction(int signo, const struct sigaction *restrict act, struct sigaction *restrict old)
{
	int result;

	if (disposition_is_watched(signo))
		return disposition_change(signo, act, old);
	result = sigaction_next(signo, act, old);
	if (result == 0 && old != NULL)
		disposition_translate(signo, old);
	/* A watch may have begun meanwhile, and what was set passed it by. */
	if (result == 0 && act != NULL && disposition_is_watched(signo))
		result = disposition_change(signo, act, NULL);
	return result;
}

/*
 * The older ways to set a disposition: libc's own do not pass through our
 * sigaction().  In a static program there is nothing to pass a call on to, so
 * these are complete.
 */

static _Atomic uint64_t interrupting;	/* siginterrupt() asked for this */

static sighandler_t
set_handler(int signo, sighandler_t handler, int flags, bool in_mask)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;

	if (handler == SIG_ERR || signo < 1 || signo > DISPOSITION_SIGNALS) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&act.sa_mask);
	if (in_mask)
		sigaddset(&act.sa_mask, signo);
	return sigaction(signo, &act, &old) == -1 ? SIG_ERR : old.sa_handler;
}

KQ_WRAPPER sighandler_t
signal(int signo, sighandler_t handler)
{
	bool interrupts = signo > 0 && signo <= DISPOSITION_SIGNALS &&
	    (atomic_load(&interrupting) & disposition_bit(signo)) != 0;

	return set_handler(signo, handler, interrupts ? 0 : SA_RESTART, SIGNAL_IN_MASK);
}

#define ALIAS(name) KQ_WRAPPER __attribute__((weak, alias(name), nothrow, leaf))

ALIAS("signal") sighandler_t bsd_signal(int, sighandler_t);
ALIAS("signal") sighandler_t ssignal(int, sighandler_t);

/* What signal() is to a program compiled for System V, or for strict ISO C with glibc. */
#ifdef __GLIBC__
KQ_WRAPPER sighandler_t
__sysv_signal(int signo, sighandler_t handler)
{
	return set_handler(signo, handler, (int)SA_RESETHAND | SA_NODEFER, false);
}
ALIAS("__sysv_signal") sighandler_t sysv_signal(int, sighandler_t);
#else
ALIAS("signal") sighandler_t __sysv_signal(int, sighandler_t);
#endif

/* It changes SA_RESTART, now and for later calls of signal(). */
KQ_WRAPPER int
siginterrupt(int signo, int interrupts)
{
	struct sigaction act;

	if (sigaction(signo, NULL, &act) == -1)
		return -1;
	if (interrupts != 0) {
		atomic_fetch_or(&interrupting, disposition_bit(signo));
		act.sa_flags &= ~SA_RESTART;
	} else {
		atomic_fetch_and(&interrupting, ~disposition_bit(signo));
		act.sa_flags |= SA_RESTART;
	}
	return sigaction(signo, &act, NULL);
}

KQ_WRAPPER int
sigignore(int signo)
{
	return set_handler(signo, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

KQ_WRAPPER sighandler_t
sigset(int signo, sighandler_t handler)
{
	struct sigaction act;
	sighandler_t before;
	sigset_t set, mask;

	sigemptyset(&set);
	if (sigaddset(&set, signo) == -1)
		return SIG_ERR;
	if (handler != SIG_HOLD)
		before = set_handler(signo, handler, 0, false);
	else
		before = sigaction(signo, NULL, &act) == -1 ? SIG_ERR : act.sa_handler;
	if (before == SIG_ERR)
		return SIG_ERR;
	pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &set, &mask);
	return sigismember(&mask, signo) == 1 ? SIG_HOLD : before;
}

/*
 * What takes a signal that is pending.  EVFILT_SIGNAL may have counted it
 * already, and counts it here if not; the next one is another.
 */

#ifdef SYS_rt_sigtimedwait_time64
#define SYS_sigtimedwait	SYS_rt_sigtimedwait_time64
#else
#define SYS_sigtimedwait	SYS_rt_sigtimedwait
#endif

/* A cancellation point, which a bare system call is not. */
static int
sigtimedwait_bare(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	struct { int64_t sec, nsec; } ts = { 0, 0 };
	int type, signo;

	if (timeout != NULL) {
		ts.sec = timeout->tv_sec;
		ts.nsec = timeout->tv_nsec;
	}
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	signo = (int)syscall(SYS_sigtimedwait, set, info, timeout == NULL ? NULL : &ts,
	    sizeof(uint64_t));
	pthread_setcanceltype(type, NULL);
	return signo;
}

static int
take(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	int signo = next.sigtimedwait != NULL ? next.sigtimedwait(set, info, timeout) :
	    sigtimedwait_bare(set, info, timeout);

	if (disposition_is_watched(signo))
		disposition_arrived(signo);
	return signo;
}

KQ_WRAPPER int
sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info,
    const struct timespec *restrict timeout)
{
	return take(set, info, timeout);
}

/* What it is called in programs for 32-bit glibc that are compiled with _TIME_BITS=64. */
#if defined(__GLIBC__) && defined(__TIMESIZE) && __TIMESIZE == 32
int	__sigtimedwait64(const sigset_t *set, siginfo_t *info, const void *timeout);

KQ_WRAPPER int
__sigtimedwait64(const sigset_t *set, siginfo_t *info, const void *timeout)
{
	int signo = next.__sigtimedwait64 != NULL ? next.__sigtimedwait64(set, info, timeout) :
	    (int)syscall(SYS_sigtimedwait, set, info, timeout, sizeof(uint64_t));

	if (disposition_is_watched(signo))
		disposition_arrived(signo);
	return signo;
}
#endif

KQ_WRAPPER int
sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
	return take(set, info, NULL);
}

KQ_WRAPPER int
sigwait(const sigset_t *restrict set, int *restrict signo)
{
	int saved = errno, taken;

	do
		taken = take(set, NULL, NULL);
	while (taken == -1 && errno == EINTR);
	if (taken == -1) {
		taken = errno;
		errno = saved;
		return taken;
	}
	*signo = taken;
	return 0;
}

#else
typedef int sigaction_is_not_wrapped;
#endif
