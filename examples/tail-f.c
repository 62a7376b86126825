/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tail-f file: prints what is appended to a file, as tail -n 0 -F does.
 *
 * A log file is rotated in three ways: it is renamed, or removed, and another
 * one made in its place; or its content is copied and it is cut to nothing.
 * kqueue watches open files, not names.  EVFILT_VNODE on the file tells that it
 * grew or was cut.  EVFILT_VNODE on the directory tells that some entry came or
 * went; then we look whether the name leads to another file than ours.  The old
 * one is printed to its end first.
 *
 * A file that is cut and has grown beyond where we were when we look is not
 * seen to have been cut: nobody tells what happened in between.
 *
 * Exit codes: 64 for wrong usage, 1 for errors; it does not end by itself.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef NOTE_TRUNCATE			/* OpenBSD's word for a write that shortens */
#define NOTE_TRUNCATE	0
#endif

/* FreeBSD tells of ftruncate() by NOTE_ATTRIB. */
#define CHANGED	(NOTE_WRITE | NOTE_EXTEND | NOTE_TRUNCATE | NOTE_ATTRIB)

static int		 kq;
static int		 dir;		/* where the file is */
static char		*name;		/* in it */
static int		 file = -1;	/* the one that is printed, if there is one */

static void
watch(int fd, unsigned int notes)
{
	struct kevent change;

	EV_SET(&change, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, notes, 0, NULL);
	if (kevent(kq, &change, 1, NULL, 0, NULL) == -1)
		err(EXIT_FAILURE, "cannot watch %s", name);
}

/* Print what the file has beyond where we are; from its beginning, if it is shorter. */
static void
print(void)
{
	char buffer[65536];
	struct stat st;
	ssize_t n;

	if (file == -1)
		return;
	if (fstat(file, &st) == 0 && st.st_size < lseek(file, 0, SEEK_CUR)) {
		warnx("%s: truncated", name);
		lseek(file, 0, SEEK_SET);
	}
	while ((n = read(file, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)n, stdout);
	if (n == -1)
		warn("%s", name);
	if (fflush(stdout) == EOF || ferror(stdout))
		err(EXIT_FAILURE, "standard output");
}

/*
 * If the name leads to another file than before, that is ours from now on; not
 * so if it leads nowhere, for somebody may still write to the old one.  0: there
 * is one that cannot be opened, so try again.
 */
static int
follow(void)
{
	struct stat old, new;
	int fd;

	/* O_NONBLOCK: a FIFO shall not keep us waiting for someone to write. */
	fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return (errno == ENOENT);
	if (fstat(fd, &new) == -1)
		err(EXIT_FAILURE, "%s", name);
	if (file != -1) {
		if (fstat(file, &old) == 0 && old.st_dev == new.st_dev && old.st_ino == new.st_ino) {
			close(fd);
			return (1);
		}
		print();
		close(file);		/* and its registration goes with it */
		warnx("%s: another file", name);
	}
	file = fd;
	watch(file, CHANGED);		/* before it is read, so that nothing is missed */
	return (1);
}

int
main(int argc, char *argv[])
{
	const struct timespec second = { 1, 0 };
	char path[PATH_MAX];
	struct kevent event;
	int found;

	if (argc != 2 || strlen(argv[1]) >= sizeof(path)) {
		fprintf(stderr, "usage: tail-f file\n");
		exit(EX_USAGE);
	}
	strcpy(path, argv[1]);		/* dirname() and basename() may change it */
	if ((dir = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		err(EXIT_FAILURE, "%s", path);
	strcpy(path, argv[1]);
	if ((name = strdup(basename(path))) == NULL || (kq = kqueue()) == -1)
		err(EXIT_FAILURE, NULL);

	watch(dir, NOTE_WRITE);
	found = follow();
	if (file != -1)
		lseek(file, 0, SEEK_END);
	warnx("%s: %s", name, file != -1 ? "following" : "not there yet");
	for (;;) {
		if (kevent(kq, NULL, 0, &event, 1, found ? NULL : &second) == -1)
			err(EXIT_FAILURE, "kevent");
		print();
		found = follow();
		print();
	}
}
