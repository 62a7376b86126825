/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls for programs on 32-bit glibc that are compiled with _TIME_BITS=64:
 * <sys/event.h> gives kevent() and kevent64() these names there.  The library
 * itself is compiled with the other, older struct timespec.
 */
#include "public.h"

#include <stdint.h>
#include <sys/event.h>

#if defined(__GLIBC__) && defined(__TIMESIZE) && __TIMESIZE == 32

struct timespec64 {
	int64_t	tv_sec;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	int32_t	tv_pad;
#endif
	int32_t	tv_nsec;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	int32_t	tv_pad;
#endif
};

int	kevent_time64(int fd, const struct kevent *changelist, int nchanges,
	    struct kevent *eventlist, int nevents, const struct timespec64 *timeout);
int	kevent64_time64(int fd, const struct kevent64_s *changelist, int nchanges,
	    struct kevent64_s *eventlist, int nevents, unsigned int flags,
	    const struct timespec64 *timeout);

/* The same time in *ts: 68 years are for ever, and what is wrong stays wrong. */
static const struct timespec *
time64_narrow(const struct timespec64 *timeout, struct timespec *ts)
{
	if ((uintptr_t)timeout < 4096)
		return (const void *)timeout;	/* none, or EFAULT */
	ts->tv_sec = timeout->tv_sec < 0 ? -1 :
	    timeout->tv_sec > INT32_MAX ? INT32_MAX : (time_t)timeout->tv_sec;
	ts->tv_nsec = timeout->tv_nsec;
	return ts;
}

KQ_PUBLIC int
kevent_time64(int fd, const struct kevent *changelist, int nchanges,
    struct kevent *eventlist, int nevents, const struct timespec64 *timeout)
{
	struct timespec ts;

	return kevent(fd, changelist, nchanges, eventlist, nevents, time64_narrow(timeout, &ts));
}

KQ_PUBLIC int
kevent64_time64(int fd, const struct kevent64_s *changelist, int nchanges,
    struct kevent64_s *eventlist, int nevents, unsigned int flags,
    const struct timespec64 *timeout)
{
	struct timespec ts;

	return kevent64(fd, changelist, nchanges, eventlist, nevents, flags,
	    time64_narrow(timeout, &ts));
}

#else
typedef int time64_is_not_needed;
#endif
