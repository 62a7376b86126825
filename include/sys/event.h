/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * <sys/event.h>: kqueue(2) and kevent(2) for Linux.
 *
 * The whole public interface of libkq.  A name is defined only if it works, so
 * #ifdef is the feature test, as on the BSDs.  After each group stands where
 * its names come from; kqueue(2) describes them all, kq(7) the limits.
 */
#ifndef KQ_SYS_EVENT_H
#define KQ_SYS_EVENT_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct timespec;

/* The layout of OpenBSD, macOS, DragonFly, FreeBSD 11 and libkqueue. */
struct kevent {
	uintptr_t	ident;		/* what is watched: descriptor, pid, signal, ... */
	short		filter;		/* how it is watched: EVFILT_... */
	unsigned short	flags;		/* what to do, and what happened: EV_... */
	unsigned int	fflags;		/* the filter's own flags: NOTE_... */
	int64_t		data;		/* the filter's own number */
	void		*udata;		/* the caller's, handed back as it came */
};

/*
 * EV_SET(kevp, ident, filter, flags, fflags, data, udata) fills *kevp in.  The
 * work is done by a function, so each argument is evaluated once and no name
 * inside can capture one of the caller's.
 */
static inline void
kq_ev_set(struct kevent *kq_kevp, uintptr_t kq_ident, short kq_filter,
    unsigned short kq_flags, unsigned int kq_fflags, int64_t kq_data,
    void *kq_udata)
{
	kq_kevp->ident = kq_ident;
	kq_kevp->filter = kq_filter;
	kq_kevp->flags = kq_flags;
	kq_kevp->fflags = kq_fflags;
	kq_kevp->data = kq_data;
	kq_kevp->udata = kq_udata;
}
#define EV_SET(kevp_, ident_, filter_, flags_, fflags_, data_, udata_) \
	kq_ev_set((kevp_), (ident_), (filter_), (flags_), (fflags_), (data_), (udata_))

/* For kevent64(): the same, with two numbers more (macOS). */
struct kevent64_s {
	uint64_t	ident;
	int16_t		filter;
	uint16_t	flags;
	uint32_t	fflags;
	int64_t		data;
	uint64_t	udata;
	uint64_t	ext[2];		/* the caller's, handed back as they came */
};

/* EV_SET64(kevp, ident, filter, flags, fflags, data, udata, ext0, ext1), likewise (macOS). */
static inline void
kq_ev_set64(struct kevent64_s *kq_kevp, uint64_t kq_ident, int16_t kq_filter,
    uint16_t kq_flags, uint32_t kq_fflags, int64_t kq_data, uint64_t kq_udata,
    uint64_t kq_ext0, uint64_t kq_ext1)
{
	kq_kevp->ident = kq_ident;
	kq_kevp->filter = kq_filter;
	kq_kevp->flags = kq_flags;
	kq_kevp->fflags = kq_fflags;
	kq_kevp->data = kq_data;
	kq_kevp->udata = kq_udata;
	kq_kevp->ext[0] = kq_ext0;
	kq_kevp->ext[1] = kq_ext1;
}
#define EV_SET64(kevp_, ident_, filter_, flags_, fflags_, data_, udata_, ext0_, ext1_) \
	kq_ev_set64((kevp_), (ident_), (filter_), (flags_), (fflags_), (data_), (udata_), \
	    (ext0_), (ext1_))

/* Filters.  The numbers are libkqueue's where it has the filter. */
#define EVFILT_READ		(-1)	/* data to read; ident: descriptor */
#define EVFILT_WRITE		(-2)	/* room to write; ident: descriptor */
#define EVFILT_AIO		(-3)	/* end of an operation of aio(7); ident: aiocb (FreeBSD) */
#define EVFILT_VNODE		(-4)	/* changes of a file; ident: descriptor */
#define EVFILT_PROC		(-5)	/* end of a process; ident: pid */
#define EVFILT_SIGNAL		(-6)	/* a signal's arrival; ident: signal number */
#define EVFILT_TIMER		(-7)	/* time passing; ident: any number */
#define EVFILT_NETDEV		(-8)	/* state of a network interface; ident: its index (FreeBSD) */
#define EVFILT_FS		(-9)	/* mounts; ident: any number (FreeBSD, macOS) */
#define EVFILT_LIO		(-10)	/* end of all of lio_listio(3); ident: its list (FreeBSD) */
#define EVFILT_USER		(-11)	/* triggered by the program; ident: any number */
#define EVFILT_LIBKQUEUE	(-12)	/* the library itself; ident: any number (libkqueue) */
#define EVFILT_EMPTY		(-13)	/* all that was sent has left; ident: socket (FreeBSD) */
#define EVFILT_PROCDESC		(-14)	/* end of a process; ident: pidfd (FreeBSD) */
#define EVFILT_EXCEPT		(-15)	/* urgent data; ident: descriptor (macOS, OpenBSD) */
#define EVFILT_MEMORYSTATUS	(-16)	/* pressure on memory; ident: any number (macOS) */
#define EVFILT_SYSCOUNT		16	/* filters are numbered -1 to -EVFILT_SYSCOUNT */

/* Actions, in flags of a change.  FreeBSD and all others. */
#define EV_ADD			0x0001	/* register, or update what is registered */
#define EV_DELETE		0x0002	/* remove the registration */
#define EV_ENABLE		0x0004	/* deliver again */
#define EV_DISABLE		0x0008	/* keep recording, deliver nothing */

/* How a registration behaves.  FreeBSD and all others, but where noted. */
#define EV_ONESHOT		0x0010	/* delete it after its first delivery */
#define EV_CLEAR		0x0020	/* reset its state after each delivery */
#define EV_RECEIPT		0x0040	/* answer this change with an EV_ERROR entry, data 0 if good */
#define EV_DISPATCH		0x0080	/* disable it after each delivery */
#define EV_FORCEONESHOT		0x0100	/* make it one-shot and deliver it now (FreeBSD) */
#define EV_KEEPUDATA		0x0200	/* leave udata as it is (FreeBSD 14) */
#define EV_UDATA_SPECIFIC	0x0400	/* udata is part of its name, beside ident and filter (macOS) */
#define EV_VANISHED		0x0800	/* with EV_DISPATCH2: deliver its closing, too (macOS) */

/* EV_DELETE while it is disabled: EINPROGRESS, and a last event when it is enabled.  macOS. */
#define EV_DISPATCH2		(EV_DISPATCH | EV_UDATA_SPECIFIC)

/* Set by the library in what it returns. */
#define EV_SYSFLAGS		0xF000	/* ignored in a change */
#define EV_FLAG1		0x2000	/* never set here; portable programs name it */
#define EV_ERROR		0x4000	/* this entry answers a change: data is its errno */
#define EV_EOF			0x8000	/* the other end is gone; the process has exited */

/* EVFILT_READ and EVFILT_WRITE. */
#define NOTE_LOWAT		0x00000001u	/* data: ready at so many bytes (all) */
#define NOTE_FILE_POLL		0x00000002u	/* a file is ready at its end, too (FreeBSD) */
#define NOTE_NOCOUNT		0x00000100u	/* data is only 1 when ready: a system call less (ours) */

/* EVFILT_EXCEPT. */
#define NOTE_OOB		0x00000004u	/* urgent data waits (macOS, OpenBSD) */

/* EVFILT_VNODE.  FreeBSD, but TRUNCATE: OpenBSD. */
#define NOTE_DELETE		0x00000001u	/* unlinked, rmdir()ed or replaced */
#define NOTE_WRITE		0x00000002u	/* content changed */
#define NOTE_EXTEND		0x00000004u	/* grew */
#define NOTE_ATTRIB		0x00000008u	/* mode, owner, times or attributes changed */
#define NOTE_LINK		0x00000010u	/* link count changed */
#define NOTE_RENAME		0x00000020u	/* renamed */
#define NOTE_REVOKE		0x00000040u	/* its mount was detached */
#define NOTE_TRUNCATE		0x00000080u	/* shrank */
#define NOTE_CLOSE		0x00000100u	/* a descriptor that could not write was closed */
#define NOTE_CLOSE_WRITE	0x00000200u	/* one that could write was closed */
#define NOTE_READ		0x00000400u	/* was read from */
#define NOTE_OPEN		0x00000800u	/* was opened */

/*
 * EVFILT_PROC; EXIT of EVFILT_PROCDESC, too.  FreeBSD, but EXITSTATUS: macOS.  FORK, EXEC and TRACK are ENOTSUP where
 * the kernel's process connector does not answer: in containers, and before Linux 6.6
 * without CAP_NET_ADMIN.
 */
#define NOTE_EXIT		0x80000000u	/* exited; data: status as of wait(2) */
#define NOTE_FORK		0x40000000u	/* forked */
#define NOTE_EXEC		0x20000000u	/* became another program */
#define NOTE_EXITSTATUS		0x04000000u	/* accepted; the status comes anyway */
#define NOTE_TRACK		0x00000001u	/* children are registered likewise ... */
#define NOTE_TRACKERR		0x00000002u	/* ... but one could not be, or may be missing */
#define NOTE_CHILD		0x00000004u	/* is the child of a tracked one; data: its parent */
#define NOTE_PCTRLMASK		0xf0000000u	/* where the notes above live */
#define NOTE_PDATAMASK		0x000fffffu	/* where macOS keeps data */

/* EVFILT_MEMORYSTATUS: the pressure has become so.  macOS. */
#define NOTE_MEMORYSTATUS_PRESSURE_NORMAL	0x00000001u	/* it has gone */
#define NOTE_MEMORYSTATUS_PRESSURE_WARN		0x00000002u	/* free what is easily had again */
#define NOTE_MEMORYSTATUS_PRESSURE_CRITICAL	0x00000004u	/* free what can be */

/* EVFILT_TIMER: the unit of data, milliseconds by default.  Two are EINVAL. */
#define NOTE_SECONDS		0x00000001u	/* FreeBSD, macOS */
#define NOTE_USECONDS		0x00000002u	/* FreeBSD, macOS */
#define NOTE_NSECONDS		0x00000004u	/* FreeBSD, macOS */
#define NOTE_ABSOLUTE		0x00000008u	/* data is a date; one-shot (macOS) */
#define NOTE_MSECONDS		0x00000010u	/* FreeBSD */
#define NOTE_ABSTIME		0x00000020u	/* data is a date; follows the wall clock (FreeBSD) */
#define NOTE_LEEWAY		0x00000040u	/* may be so late: ext[1] of kevent64() (macOS) */
#define NOTE_CRITICAL		0x00000080u	/* on time, whatever leeway was given (macOS) */
#define NOTE_BACKGROUND		0x00000100u	/* may be late by a tenth, and a minute at most (macOS) */

/* EVFILT_USER: what to do with the 24 stored flags, and the trigger.  FreeBSD. */
#define NOTE_FFNOP		0x00000000u	/* leave them */
#define NOTE_FFAND		0x40000000u	/* stored &= given */
#define NOTE_FFOR		0x80000000u	/* stored |= given */
#define NOTE_FFCOPY		0xc0000000u	/* stored = given */
#define NOTE_FFCTRLMASK		0xc0000000u
#define NOTE_FFLAGSMASK		0x00ffffffu
#define NOTE_TRIGGER		0x01000000u	/* make the event happen */

/*
 * EVFILT_NETDEV: states that the interface has had since the last event; data
 * tells which it is in now, by the same names.  FreeBSD before 10.
 */
#define NOTE_LINKUP		0x00000001u	/* has carrier, and is switched on */
#define NOTE_LINKDOWN		0x00000002u	/* has not, or is not */
#define NOTE_LINKINV		0x00000004u	/* the device is not there; with EV_EOF: no such interface */

/* EVFILT_FS.  On the BSDs and macOS these are in <sys/mount.h>. */
#define VQ_MOUNT		0x00000008u	/* a file system was mounted */
#define VQ_UNMOUNT		0x00000010u	/* one was unmounted */

/*
 * EVFILT_AIO and EVFILT_LIO are registered by aio_read(), aio_write(), aio_fsync()
 * and lio_listio() only, which fail (EBADF, EINVAL) if they cannot, in place of
 * starting anything: sigev_notify SIGEV_KEVENT, sigev_notify_kqueue the queue,
 * sigev_notify_kevent_flags EV_ONESHOT, EV_CLEAR, EV_DISPATCH or 0, and
 * sigev_value.sival_ptr udata.  FreeBSD.
 *
 * struct sigevent has no such members here: these names are others of it that
 * SIGEV_KEVENT leaves free, the signal's number and the thread's.
 */
#define SIGEV_KEVENT		3
#define sigev_notify_kqueue	sigev_signo
#ifdef __GLIBC__
#define sigev_notify_kevent_flags _sigev_un._tid
#else
#define sigev_notify_kevent_flags sigev_notify_thread_id
#endif

/*
 * EVFILT_LIBKQUEUE: questions and settings, one a change, with EV_ADD.  Each is
 * answered with an entry; settings, which are the process's, tell in data what
 * was set before.  libkqueue.
 */
#define NOTE_VERSION		0x00000001u	/* data: version of libkqueue kept to, MMmmpprr */
#define NOTE_VERSION_STR	0x00000002u	/* udata: the same as a string */
#define NOTE_THREAD_SAFE	0x00000003u	/* data: 0, 1; threads are safe with either */
#define NOTE_FORK_CLEANUP	0x00000004u	/* data: 0, a forked child keeps dead queues' descriptors */
#define NOTE_DEBUG		0x00000005u	/* data: 1, a line is printed for each call */
#define NOTE_DEBUG_PREFIX	0x00000006u	/* data: what lines begin with, a char * */
#define NOTE_DEBUG_FUNC		0x00000007u	/* data: a void (*)(const char *fmt, ...) to print */
#define NOTE_FILE_POLL_INTERVAL	0x00000008u	/* ENOSYS, as libkqueue says on Linux */

/*
 * open(2) flag: for watching only, not for reading (macOS).  Linux's O_PATH,
 * spelled out because <fcntl.h> shows that name only with _GNU_SOURCE.
 */
#ifndef O_EVTONLY
#define O_EVTONLY		010000000
#endif

/* kqueuex() flag. */
#define KQUEUE_CLOEXEC		0x00000001u	/* always the case here (FreeBSD 14) */

/* kevent64() flags (macOS). */
#define KEVENT_FLAG_NONE	0x00000000u
#define KEVENT_FLAG_IMMEDIATE	0x00000001u	/* do not wait, whatever the timeout */
#define KEVENT_FLAG_ERROR_EVENTS 0x00000002u	/* answer the changes, collect no events */

/* A new queue's descriptor, close-on-exec; or -1: EMFILE, ENFILE, ENOMEM. */
int	kqueue(void);

/* The same.  flags: O_CLOEXEC, O_NONBLOCK; others EINVAL (NetBSD, OpenBSD). */
int	kqueue1(int flags);

/* The same.  flags: KQUEUE_CLOEXEC; others EINVAL (FreeBSD 14). */
int	kqueuex(unsigned int flags);

/* 32-bit glibc has two kinds of struct timespec; who asks for the larger one calls these by other names. */
#if defined(__USE_TIME_BITS64) && defined(__TIMESIZE) && defined(__GLIBC__)
#if __TIMESIZE == 32
#define KQ_TIME64(name)		__asm__(name)
#endif
#endif
#ifndef KQ_TIME64
#define KQ_TIME64(name)
#endif

/*
 * A struct and a function of one name are at home on every BSD, but g++ warns
 * that the function hides the struct's constructor.
 */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/*
 * Apply nchanges changes in order, then collect up to nevents events, waiting
 * no longer than timeout (NULL: for ever).  The arrays may be the same.
 * Returns how many entries of eventlist were filled, or -1 and errno.
 */
int	kevent(int kq, const struct kevent *changelist, int nchanges,
	    struct kevent *eventlist, int nevents,
	    const struct timespec *timeout) KQ_TIME64("kevent_time64");

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* The same with the wider structure; flags: KEVENT_FLAG_..., others EINVAL (macOS). */
int	kevent64(int kq, const struct kevent64_s *changelist, int nchanges,
	    struct kevent64_s *eventlist, int nevents, unsigned int flags,
	    const struct timespec *timeout) KQ_TIME64("kevent64_time64");

#undef KQ_TIME64

#ifdef __cplusplus
}
#endif

#endif
