/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pidfd polls readable once its process, that is every thread of it, has
 * ended, reaped or not.  The epoll item is one-shot: reaping makes a second edge.
 *
 * The status of somebody else's child is told by Linux in two places that
 * complete each other: /proc while it is a zombie (to whom may trace it),
 * the pidfd itself once it is reaped (6.15).  To all others it is told by the
 * process connector only.
 *
 * System calls are made directly: libc's poll() is a cancellation point, as waitid() is.
 */
#include "pidfd.h"

#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* linux/pidfd.h of 6.13: the first form of the structure. */
struct pidfd_info_v0 {
	uint64_t	mask;
	uint64_t	cgroup;
	uint32_t	ids[11];	/* of process and parent, users and groups */
	int32_t		exit_code;
};
#define PIDFD_INFO	_IOWR(0xff, 11, struct pidfd_info_v0)
#define PIDFD_INFO_EXIT	UINT64_C(8)

/* So many are told of at once. */
#define PIDFD_BATCH	64

_Atomic uint32_t pidfd_generation;

int
pidfd_refused(int error)
{
	switch (error) {
	case -EINVAL: case -ENOENT:
		return -ESRCH;		/* a thread, but not a process's first */
	case -ENOSYS: case -EPERM: case -ENODEV:
		return -ENOTSUP;
	default:
		return error;
	}
}

int
pidfd_watch_again(struct kqueue *kq, const struct knote *kn, int ep, int error, struct epoll_event *item)
{
	if (error == 0)
		hidden_epoll_ctl(ep, EPOLL_CTL_DEL, kn->kn_fd, NULL);
	return hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_ADD, kn->kn_fd, item) == 0 ? 0 : -errno;
}

void
pidfd_unwatch(struct kqueue *kq, const struct knote *kn)
{
	hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, kn->kn_fd, NULL);
}

/*
 * The process's number in the name space that /proc shows, which need not be
 * ours; -1 once it is reaped.
 */
static int
pidfd_number(int fd)
{
	char path[40], text[512];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (!procfs_read(path, text, sizeof(text)) || (line = strstr(text, "\nPid:")) == NULL)
		return -1;
	return (int)strtol(line + 5, NULL, 10);
}

/* The status of a zombie: the 52nd field of /proc/PID/stat. */
static int
pidfd_zombie_status(int fd)
{
	int number = pidfd_number(fd);
	char path[40], text[2048];
	const char *field;

	if (number <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", number);
	if (!procfs_read(path, text, sizeof(text)))
		return 0;
	field = procfs_field(text, 52);
	/* If it was reaped meanwhile, the number may have been another's already. */
	if (field == NULL || pidfd_number(fd) != number)
		return 0;
	return (int)strtol(field, NULL, 10);
}

/*
 * Whether /proc keeps the status of the process from us: what it keeps with it is
 * the address of its code, which is 1 then, and 0 where there is none any more;
 * that does not tell.
 */
static bool
pidfd_veiled(int fd, bool *led)
{
	int number = pidfd_number(fd);
	char path[40], text[2048];
	unsigned long long code;
	const char *field;

	*led = false;
	snprintf(path, sizeof(path), "/proc/%d/stat", number);
	if (number <= 0 || !procfs_read(path, text, sizeof(text)))
		return true;
	field = procfs_field(text, 26);
	code = field != NULL ? strtoull(field, NULL, 10) : 1;
	*led = code == 0;
	return code <= 1;
}

bool
pidfd_stranger_unseen(const struct knote *kn, bool *led)
{
	size_t size;
	void *list;
	int status;

	if (syscall(SYS_get_robust_list, (pid_t)kn->kn_ident, &list, &size) == 0)
		return false;
	return pidfd_veiled(kn->kn_fd, led) && !pidfd_exited(kn, &status);
}

static bool
pidfd_reaped_status(int fd, int *status)
{
	struct pidfd_info_v0 info = { .mask = PIDFD_INFO_EXIT };

	/* Not ioctl(): musl has its request an int, which this is too large for. */
	if (syscall(SYS_ioctl, fd, PIDFD_INFO, &info) == -1 || (info.mask & PIDFD_INFO_EXIT) == 0)
		return false;
	*status = info.exit_code;
	return true;
}

static inline uint32_t
pidfd_status(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return (uint32_t)(info->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return (uint32_t)info->si_status | 0x80;
	default:
		return (uint32_t)info->si_status;
	}
}

int
pidfd_check(int fd)
{
	siginfo_t info;

	if (syscall(SYS_waitid, PIDFD_WAIT, fd, &info, WEXITED | WNOHANG | WNOWAIT, NULL) == -1 &&
	    (errno == EBADF || errno == EINVAL))
		return -EBADF;
	return 0;
}

int
pidfd_process(int fd)
{
	struct pidfd_info_v0 info = { .mask = 0 };
	int number = pidfd_check(fd);

	if (number < 0)
		return number;
	if (syscall(SYS_ioctl, fd, PIDFD_INFO, &info) == 0 && info.ids[0] != 0)
		return (int)info.ids[0];
	number = pidfd_number(fd);
	return number > 0 ? number : -ESRCH;
}

bool
pidfd_exited(const struct knote *kn, int *status)
{
	bool ended;
	int fd;

	do {
		fd = kn->kn_fd;
		ended = pidfd_ended(fd, status);
	} while (fd != kn->kn_fd);	/* the program took that number meanwhile */
	return ended;
}

bool
pidfd_ended(int fd, int *status)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };
	siginfo_t info;
	long n;

	if (pidfd_wait(fd, &info) == 0 && info.si_pid != 0) {
		*status = (int)pidfd_status(&info);
		return true;
	}
	/* Not our child; or it is, but its tracer has not let go of it. */
	do
		n = syscall(SYS_ppoll, &poll, 1, &(struct timespec){ .tv_sec = 0 }, NULL, 0);
	while (n == -1 && errno == EINTR);
	if (n != 1)
		return false;
	if (!pidfd_reaped_status(fd, status)) {
		*status = pidfd_zombie_status(fd);
		if (*status == 0)
			pidfd_reaped_status(fd, status);
	}
	return true;
}

/* The knote that an item is of, or was: then its generation is another. */
static inline struct knote *
pidfd_knote(struct kqueue *kq, uint64_t tag, uint32_t generation)
{
	struct knote *kn = knote_at(&kq->kq_pool, SOURCE_SLOT(tag));

	return kn->kn_filter == -EVFILT_PROC && (uint32_t)kn->kn_sdata == generation ? kn : NULL;
}

/* Their hints; of how many.  Nothing is returned from between these calls, see syscall.h. */
static inline int
pidfd_ask(struct kqueue *kq, const struct epoll_event *items, int n, uint32_t hints[])
{
	siginfo_t info;
	struct knote *kn;
	int i, fd;

	for (i = 0; i < n && SOURCE_IS_KNOTE(items[i].data.u64); i++) {
		hints[i] = 0;
		kn = pidfd_knote(kq, items[i].data.u64, (uint32_t)(items[i].data.u64 >> 32));
		if (kn == NULL)
			continue;
		fd = kn->kn_fd;
		/* The program may take that number meanwhile. */
		if (pidfd_wait(fd, &info) == 0 && info.si_pid != 0 && fd == kn->kn_fd)
			hints[i] = PIDFD_TOLD | (pidfd_status(&info) & (PIDFD_TOLD - 1));
	}
	return i;
}

/* Aligned, for where in a cache line its loops are makes a twentieth: that shall not be what is before it. */
__attribute__((aligned(64))) int
pidfd_report(struct kqueue *kq, const struct epoll_event *items, int n)
{
	uint32_t hints[PIDFD_BATCH];
	struct knote *kn;

	n = pidfd_ask(kq, items, n < PIDFD_BATCH ? n : PIDFD_BATCH, hints);
	for (int i = 0; i < n; i++) {
		kn = pidfd_knote(kq, items[i].data.u64, (uint32_t)(items[i].data.u64 >> 32));
		if (kn != NULL)
			knote_note(kq, kn, hints[i]);
	}
	for (int i = 0; i < n; i++) {
		kn = pidfd_knote(kq, items[i].data.u64, PIDFD_ENDING);
		if (kn != NULL)
			pidfd_detach(kn);
	}
	return n;
}
