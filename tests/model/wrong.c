/* SPDX-License-Identifier: BSD-2-Clause */
/* A library with a fault that the model is sure to find: user events say one more than they were told. */
#include <stddef.h>
#include <sys/event.h>

int	__real_kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
	    const struct timespec *timeout);
int	__wrap_kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
	    const struct timespec *timeout);

int
__wrap_kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
    const struct timespec *timeout)
{
	int n = __real_kevent(kq, changes, nchanges, events, nevents, timeout);

	for (int i = 0; i < n; i++)
		if (events[i].filter == EVFILT_USER && (events[i].flags & EV_ERROR) == 0)
			events[i].data++;
	return n;
}
