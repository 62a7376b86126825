/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc-tree command [argument ...]: runs a command and tells of every process
 * that comes of it: who forked whom, who became another program, who ended how.
 *
 * One registration does it all.  NOTE_TRACK has each child registered as its
 * parent is, with the same notes and the same udata, and tells of it by an event
 * of the child's own: NOTE_CHILD, with the parent in data.
 *
 * Exit codes: the command's, or 128 and the signal that ended it; 64 for wrong
 * usage, 69 if the system does not tell us, 71 if it refuses to play along, 126
 * and 127 if the command cannot be run.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

/* Start the command, but not before we say go: nothing it does is to be missed. */
static pid_t
start(char *const command[], int *go)
{
	int fds[2];
	pid_t pid;
	char c;

	if (pipe(fds) == -1 || (pid = fork()) == -1)
		err(EX_OSERR, "cannot start %s", command[0]);
	if (pid == 0) {
		close(fds[1]);
		if (read(fds[0], &c, 1) != 1)
			_exit(EX_OSERR);	/* they gave up */
		close(fds[0]);
		execvp(command[0], command);
		warn("%s", command[0]);
		_exit(errno == ENOENT ? 127 : 126);
	}
	close(fds[0]);
	*go = fds[1];
	return pid;
}

/* Print what an event tells; return how many processes more, or less, there are. */
static int
tell(const struct kevent *ev)
{
	int pid = (int)ev->ident, status = (int)ev->data;

	if (ev->fflags & NOTE_CHILD) {
		printf("%d: child of %d\n", pid, (int)ev->data);
		return 1;
	}
	/* There was no room for one, or too much happened at a time. */
	if (ev->fflags & NOTE_TRACKERR)
		printf("%d: has children that I cannot follow\n", pid);
	/* Several may come at once; the end is the last of them. */
	if (ev->fflags & NOTE_EXEC)
		printf("%d: runs another program\n", pid);
	if (!(ev->fflags & NOTE_EXIT))
		return 0;
	if (WIFSIGNALED(status))
		printf("%d: ended by signal %d\n", pid, WTERMSIG(status));
	else
		printf("%d: exit code %d\n", pid, WEXITSTATUS(status));
	return -1;
}

int
main(int argc, char *argv[])
{
	struct kevent ev;
	int go, kq, n, status, alive = 1;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: proc-tree command [argument ...]\n");
		return EX_USAGE;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);	/* in step with the command's own output */

	pid = start(argv + 1, &go);
	if ((kq = kqueue()) == -1)
		err(EX_OSERR, "kqueue");
	EV_SET(&ev, (uintptr_t)pid, EVFILT_PROC, EV_ADD,
	    NOTE_TRACK | NOTE_EXEC | NOTE_EXIT, 0, NULL);
	if (kevent(kq, &ev, 1, NULL, 0, NULL) == -1)
		err(errno == ENOTSUP ? EX_UNAVAILABLE : EX_OSERR, "cannot follow processes");
	if (write(go, "", 1) == -1)
		err(EX_OSERR, "cannot start %s", argv[1]);
	close(go);

	/* Of the last one, there may be something left to tell. */
	do {
		static const struct timespec now;

		n = kevent(kq, NULL, 0, &ev, 1, alive > 0 ? NULL : &now);
		if (n == -1 && errno != EINTR)
			err(EX_OSERR, "kevent");
		if (n == 1)
			alive += tell(&ev);
	} while (n != 0);

	if (waitpid(pid, &status, 0) == -1)
		err(EX_OSERR, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
