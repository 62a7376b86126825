/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer [seconds [command ...]]: runs a command again and again, by default
 * date(1) every 5 seconds.
 *
 * Two filters at work.  EVFILT_TIMER fires every so many milliseconds until it
 * is deleted.  EVFILT_PROC tells when a child has exited, so that it can be
 * waited for without waiting: a command may well take longer than the period,
 * and the next one starts on time all the same.
 *
 * Exit codes: 64 for wrong usage, 71 if the system refuses to play along.
 * Otherwise it runs until a signal ends it, as ^C does.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static int	 kq;

/* Collect an exited child: until someone does, it remains as a zombie. */
static void
reap(pid_t pid, const char *name)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return;
	if (WIFSIGNALED(status))
		warnx("%s[%d]: ended by signal %d", name, (int)pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		warnx("%s[%d]: exit code %d", name, (int)pid, WEXITSTATUS(status));
}

/* Start the command and have its end reported. */
static void
run(char *const command[])
{
	struct kevent ev;
	pid_t pid;

	switch (pid = fork()) {
	case -1:
		warn("fork");		/* there is always a next time */
		return;
	case 0:
		/* A queue is not inherited: nothing to close here. */
		execvp(command[0], command);
		warn("%s", command[0]);
		_exit(127);
	}

	/*
	 * One event, once: after NOTE_EXIT there is nothing more to tell, and
	 * the registration is gone.  If it cannot be made (ESRCH), the child
	 * was faster than we, and is already there to be collected.
	 */
	EV_SET(&ev, (uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
	if (kevent(kq, &ev, 1, NULL, 0, NULL) == -1) {
		if (errno != ESRCH)
			warn("cannot watch %s[%d]", command[0], (int)pid);
		reap(pid, command[0]);
	}
}

static void
usage(void)
{
	fprintf(stderr, "usage: timer [seconds [command ...]]\n");
	exit(EX_USAGE);
}

int
main(int argc, char *argv[])
{
	static char date[] = "date";
	static char *by_default[] = { date, NULL };
	char **command = by_default, *end;
	struct kevent ev;
	double seconds = 5;
	int n;

	if (argc > 1) {
		errno = 0;
		seconds = strtod(argv[1], &end);
		/* A thousandth of a second to 24 days: what every BSD takes. */
		if (end == argv[1] || *end != '\0' || errno != 0 ||
		    !(seconds >= 0.001 && seconds <= INT_MAX / 1000))
			usage();
	}
	if (argc > 2)
		command = argv + 2;

	/* Whoever started us may have had children reaped unseen; we look. */
	signal(SIGCHLD, SIG_DFL);

	if ((kq = kqueue()) == -1)
		err(EX_OSERR, "kqueue");
	/* Any number will do as ident: it tells one timer from another. */
	EV_SET(&ev, 1, EVFILT_TIMER, EV_ADD, 0, (int)(seconds * 1000 + 0.5), NULL);
	if (kevent(kq, &ev, 1, NULL, 0, NULL) == -1)
		err(EX_OSERR, "timer");

	for (;;) {
		n = kevent(kq, NULL, 0, &ev, 1, NULL);
		if (n == -1 && errno != EINTR)
			err(EX_OSERR, "kevent");
		if (n < 1)
			continue;

		/*
		 * ev.data of a timer is how often it expired since last told:
		 * more than once if we were stopped (^Z) for a while.  Those
		 * runs are missed, not made up for.
		 */
		if (ev.filter == EVFILT_TIMER)
			run(command);
		else
			reap((pid_t)ev.ident, command[0]);
	}
}
