/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program as a user would write it, built against the installed library in every way there is.
 * It fails unless events come, and unless the library sees a close(2).
 */
#include <sys/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
need(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

int
main(void)
{
	struct kevent change, event;
	struct timespec zero = { 0, 0 };
	int kq, ends[2], duplicate;

	need((kq = kqueue()) >= 0, "kqueue");
	EV_SET(&change, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL);
	need(kevent(kq, &change, 1, &event, 1, NULL) == 1, "kevent");
	need(event.ident == 1 && event.filter == EVFILT_TIMER && event.data == 1, "event");

	/* A duplicate keeps the pipe open; the number that was watched is gone all the same. */
	need(pipe(ends) == 0, "pipe");
	need((duplicate = dup(ends[0])) >= 0, "dup");
	EV_SET(&change, ends[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
	need(kevent(kq, &change, 1, NULL, 0, NULL) == 0, "EVFILT_READ");
	need(write(ends[1], "x", 1) == 1, "write");
	need(kevent(kq, NULL, 0, &event, 1, &zero) == 1, "readable");
	close(ends[0]);
	need(kevent(kq, NULL, 0, &event, 1, &zero) == 0, "closed");

	close(kq);
	need(kevent(kq, NULL, 0, &event, 1, &zero) == -1, "close");
	puts("ok");
	return 0;
}
