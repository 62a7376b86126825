/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory-pressure [seconds]: tells when memory becomes short and when it is
 * plentiful again, for so long or until a signal ends it.
 *
 * This is what a program with a cache does: it registers once, and gives memory
 * back when it is told to.  An event says what has become of the pressure; what
 * it is already is not told, so a program begins as if there were none.
 *
 * macOS has EVFILT_MEMORYSTATUS, too, but keeps its names out of the header; the
 * numbers below are for that system alone.
 *
 * Exit codes: 64 for wrong usage, 69 if the system does not tell, 71 if it
 * refuses to play along.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#if !defined(EVFILT_MEMORYSTATUS) && defined(__APPLE__)
#define EVFILT_MEMORYSTATUS			(-14)
#define NOTE_MEMORYSTATUS_PRESSURE_NORMAL	0x00000001
#define NOTE_MEMORYSTATUS_PRESSURE_WARN		0x00000002
#define NOTE_MEMORYSTATUS_PRESSURE_CRITICAL	0x00000004
#endif

#ifdef EVFILT_MEMORYSTATUS

static void
tell(unsigned int pressure)
{
	if (pressure & NOTE_MEMORYSTATUS_PRESSURE_CRITICAL)
		printf("critical: drop every cache\n");
	else if (pressure & NOTE_MEMORYSTATUS_PRESSURE_WARN)
		printf("warning: drop what is easily had again\n");
	else
		printf("normal\n");
	fflush(stdout);
}

int
main(int argc, char *argv[])
{
	struct kevent ev[2];
	long seconds = 0;
	int changes = 1, kq, n;
	char *end;

	if (argc > 1)
		seconds = strtol(argv[1], &end, 10);
	if (argc > 2 || (argc == 2 && (end == argv[1] || *end != '\0' || seconds < 1 || seconds > 1000000))) {
		fprintf(stderr, "usage: memory-pressure [seconds]\n");
		return EX_USAGE;
	}
	if ((kq = kqueue()) == -1)
		err(EX_OSERR, "kqueue");

	/* The filter sets EV_CLEAR by itself: an event is a change, told once. */
	EV_SET(&ev[0], 0, EVFILT_MEMORYSTATUS, EV_ADD, NOTE_MEMORYSTATUS_PRESSURE_NORMAL |
	    NOTE_MEMORYSTATUS_PRESSURE_WARN | NOTE_MEMORYSTATUS_PRESSURE_CRITICAL, 0, NULL);
	if (seconds > 0) {
		EV_SET(&ev[1], 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, seconds * 1000, NULL);
		changes = 2;
	}
	if (kevent(kq, ev, changes, NULL, 0, NULL) == -1)
		err(errno == ENOTSUP ? EX_UNAVAILABLE : EX_OSERR, "cannot watch memory");
	printf("watching\n");
	fflush(stdout);

	for (;;) {
		n = kevent(kq, NULL, 0, ev, 1, NULL);
		if (n == -1 && errno != EINTR)
			err(EX_OSERR, "kevent");
		if (n < 1)
			continue;
		if (ev[0].filter == EVFILT_TIMER)
			return 0;
		tell(ev[0].fflags);
	}
}

#else

int
main(void)
{
	errx(EX_UNAVAILABLE, "this system's kqueue does not tell of memory");
}

#endif
