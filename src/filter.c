/* SPDX-License-Identifier: BSD-2-Clause */
#include "filter.h"

#include <stddef.h>

const struct filterops *const filter_table[EVFILT_SYSCOUNT + 3] = {
	[-EVFILT_READ] = &filter_read,
	[-EVFILT_WRITE] = &filter_write,
	[-EVFILT_AIO] = &filter_aio,
	[-EVFILT_VNODE] = &filter_vnode,
	[-EVFILT_PROC] = &filter_proc,
	[-EVFILT_SIGNAL] = &filter_signal,
	[-EVFILT_TIMER] = &filter_timer,
	[-EVFILT_NETDEV] = &filter_netdev,
	[-EVFILT_FS] = &filter_fs,
	[-EVFILT_LIO] = &filter_aio,
	[-EVFILT_USER] = &filter_user,
	[-EVFILT_EMPTY] = &filter_empty,
	[-EVFILT_PROCDESC] = &filter_procdesc,
	[-EVFILT_EXCEPT] = &filter_except,
	[-EVFILT_LIBKQUEUE] = &filter_libkqueue,
	[-EVFILT_MEMORYSTATUS] = &filter_memorystatus,
	[FILTER_GONE] = &filter_gone,
	[FILTER_GONE_FD] = &filter_gone_fd,
};

const struct filterops *
filter_find(int filter)
{
	if (filter >= 0 || filter < -EVFILT_SYSCOUNT)
		return NULL;
	return filter_table[-filter];
}
