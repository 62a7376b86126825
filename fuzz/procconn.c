/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of the process connector, for a queue that follows a process and its children. */
#include "feed.h"

#include <netinet/in.h>
#include <stdlib.h>

/* Another socket that takes the same filter; it is never readable. */
static int
feed_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)protocol;
	return (socket)(AF_UNIX, type, 0);
}

static int
feed_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)fd;
	(void)address;
	(void)size;
	return 0;
}

#define socket(domain, type, protocol)	feed_socket(domain, type, protocol)
#define bind(fd, address, size)		feed_bind(fd, address, size)
#undef syscall
#define syscall				feed_connector

static long	feed_connector(long number, ...);

#include "source/procconn.c"

#include <signal.h>
#include <sys/prctl.h>

int	LLVMFuzzerInitialize(int *argc, char ***argv);

#define PIDS	8

static pid_t pids[PIDS];	/* those that a message's bytes choose from; 0: none that there is */
static uint32_t asked;		/* to be acknowledged */

/* A process that is there as long as we are. */
static pid_t
process(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	pids[0] = getpid();
	pids[1] = process();
	pids[2] = process();
	pids[3] = 1;
	return 0;
}

/*
 * One message: a byte that says what it is, then its body, each number of a process
 * by the three lowest bits of a byte.  How long it is, or -1: the kernel has dropped some.
 */
static long
feed_message(struct message *m, struct sockaddr_nl *from)
{
	static const uint32_t what[] = { PROC_EVENT_FORK, PROC_EVENT_EXEC, PROC_EVENT_EXIT, PROC_EVENT_NONE };
	uint8_t kind = 0, body[6] = { 0 };

	memset(m, 0, sizeof(*m));
	*from = (struct sockaddr_nl){ .nl_family = AF_NETLINK };
	feed_take(&kind, 1);
	if (kind == 0xff)
		return -1;
	if (kind >= 0xf0) {
		from->nl_pid = kind & 1;
		return (long)feed_take(m, kind < 0xf8 ? sizeof(*m) : kind);
	}
	feed_take(body, sizeof(body));
	m->pm_index = CN_IDX_PROC;
	m->pm_value = CN_VAL_PROC;
	m->pm_what = what[kind & 3];
	for (int i = 0; i < 6; i++)
		m->pm_body[i] = (uint32_t)pids[body[i] % PIDS];
	if (m->pm_what == PROC_EVENT_EXIT)
		m->exit.status = (uint32_t)body[2] << 8 | body[3];
	return (long)sizeof(*m);
}

/* Up to so many, fewer if a byte says so. */
static long
feed_messages(struct mmsghdr *headers, int most)
{
	long size;
	int n;

	if (asked != 0) {
		struct message *m = headers->msg_hdr.msg_iov->iov_base;

		*m = (struct message){ .pm_index = CN_IDX_PROC, .pm_value = CN_VAL_PROC, .pm_ack = asked + 1 };
		*(struct sockaddr_nl *)headers->msg_hdr.msg_name = (struct sockaddr_nl){ .nl_family = AF_NETLINK };
		headers->msg_len = sizeof(*m);
		asked = 0;
		return 1;
	}
	for (n = 0; n < most && feed.size > 0; n++) {
		size = feed_message(headers[n].msg_hdr.msg_iov->iov_base, headers[n].msg_hdr.msg_name);
		if (size < 0 && n == 0) {
			errno = ENOBUFS;
			return -1;
		}
		if (size < 0)
			break;
		headers[n].msg_len = (unsigned)size;
	}
	if (n == 0)
		errno = EAGAIN;
	return n == 0 ? -1 : n;
}

static long
feed_connector(long number, ...)
{
	const struct message *m;
	struct mmsghdr *headers;
	long result = 0;
	va_list ap;

	va_start(ap, number);
	(void)va_arg(ap, int);
	if (number == SYS_recvmmsg) {
		headers = va_arg(ap, struct mmsghdr *);
		result = feed_messages(headers, va_arg(ap, int));
	} else if (number == SYS_sendto) {
		m = va_arg(ap, const struct message *);
		result = (long)va_arg(ap, size_t);
		/* The answer to the first one, whose token is the other's complement, is lost. */
		asked = m->pm_ack;
	}
	va_end(ap);
	return result;
}

static void
report(int fd)
{
	struct kqueue *kq = kqueue_enter(fd);

	if (kq == NULL)
		abort();
	kqueue_lock(kq);
	procconn_report(kq);
	kqueue_unlock(kq);
	kqueue_leave(kq);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct timespec at_once = { .tv_sec = 0 };
	const unsigned notes = NOTE_EXIT | NOTE_FORK | NOTE_EXEC;
	struct kevent changes[3], events[16];
	int kq = kqueue();

	if (kq == -1)
		abort();
	feed = (struct feed){ NULL, 0 };
	asked = 0;
	EV_SET(&changes[0], (uintptr_t)pids[0], EVFILT_PROC, EV_ADD, notes | NOTE_TRACK, 0, NULL);
	EV_SET(&changes[1], (uintptr_t)pids[1], EVFILT_PROC, EV_ADD, notes, 0, NULL);
	EV_SET(&changes[2], (uintptr_t)pids[2], EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXEC, 0, NULL);
	if (kevent(kq, changes, size > 0 ? 1 + bytes[0] % 3 : 1, NULL, 0, &at_once) == -1)
		abort();
	feed = (struct feed){ bytes, size };
	while (feed.size > 0)
		report(kq);
	kevent(kq, NULL, 0, events, 16, &at_once);
	changes[0].flags = EV_DELETE;
	kevent(kq, changes, 1, events, 16, &at_once);
	report(kq);
	close(kq);
	return 0;
}
