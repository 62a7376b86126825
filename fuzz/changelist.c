/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw bytes as changes, over a fixed set of descriptors: nothing breaks, and the queue works afterwards. */
#include <sys/event.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST	32
#define FDS	10

int	LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Descriptors 0 to 2 are the fuzzer's; pids and pointers are not for bytes to choose. */
static void
tame(struct kevent *kev, const int *fds)
{
	switch (kev->filter) {
	case EVFILT_PROC:
		kev->ident = (uintptr_t)getpid();
		break;
	case EVFILT_SIGNAL:
		kev->ident = kev->ident % 4 == 0 ? kev->ident : SIGUSR1;
		break;
	case EVFILT_LIBKQUEUE:
		kev->filter = EVFILT_USER;
		break;
	default:
		if (kev->ident % 4 != 0)
			kev->ident = (uintptr_t)fds[kev->ident / 4 % FDS];
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct timespec at_once = { .tv_sec = 0 };
	struct kevent changes[MOST], events[MOST];
	size_t n = size / sizeof(changes[0]) < MOST ? size / sizeof(changes[0]) : MOST;
	int kq = kqueue(), other = kqueue(), fds[FDS];

	if (kq < 0 || other < 0 || pipe(fds) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2) != 0)
		abort();
	fds[4] = open("/dev/null", O_RDWR);
	fds[5] = open("/tmp", O_RDONLY);
	fds[6] = kq;
	fds[7] = other;
	fds[8] = memfd_create("file", MFD_CLOEXEC);
	fds[9] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	memcpy(changes, bytes, n * sizeof(changes[0]));
	for (size_t i = 0; i < n; i++)
		tame(&changes[i], fds);
	for (size_t i = 0; i < n; i++)
		kevent(kq, &changes[i], 1, events, MOST, &at_once);
	kevent(kq, changes, (int)n, events, (int)(size % MOST), &at_once);
	if (write(fds[1], "x", 1) != 1 || write(fds[3], "x", 1) != 1 || write(fds[8], "x", 1) != 1)
		abort();
	kevent(kq, NULL, 0, events, MOST, &at_once);
	EV_SET(&changes[0], 12345, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 42, NULL);
	if (kevent(other, changes, 1, events, 1, &at_once) != 1 || events[0].data != 42)
		abort();
	for (int i = 0; i < FDS; i++)
		close(fds[i]);
	return 0;
}
