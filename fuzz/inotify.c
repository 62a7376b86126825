/* SPDX-License-Identifier: BSD-2-Clause */
/* What read(2) of an inotify instance gives, for a queue that watches files, directories and what is in them; links. */
#include "feed.h"

#include <stdlib.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

int	LLVMFuzzerInitialize(int *argc, char ***argv);

#define NOTES	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME | NOTE_REVOKE | \
		NOTE_OPEN | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ)
#define FILES	4

static int files[FILES];

/*
 * No real instance, for the kernel takes its time to end one, and counts watches up. A watch has the
 * number of its file, and what is above has the last.
 */
static int
feed_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	struct stat asked, file;

	(void)fd;
	(void)mask;
	if (stat(path, &asked) == -1)
		return -1;
	for (int i = 0; i < FILES; i++)
		if (fstat(files[i], &file) == 0 && file.st_ino == asked.st_ino)
			return i + 1;
	return FILES + 1;
}

#define inotify_init1(flags)			eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
#define inotify_add_watch(fd, path, mask)	feed_inotify_add_watch(fd, path, mask)
#define inotify_rm_watch(fd, wd)		((void)(fd), (void)(wd), 0)

#include "source/inotify.c"

/* A directory, one in it, a file in that and the directory again. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char dir[] = "/tmp/kq-fuzz.XXXXXX";
	int top, sub;

	(void)argc;
	(void)argv;
	if (mkdtemp(dir) == NULL)
		abort();
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(top, "sub", 0700) == -1)
		abort();
	sub = openat(top, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	files[0] = top;
	files[1] = sub;
	files[2] = openat(sub, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	files[3] = openat(top, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (files[2] == -1 || files[3] == -1)
		abort();
	/* Nothing of it stays behind: what is open is enough to be watched. */
	if (unlinkat(sub, "file", 0) == -1 || unlinkat(top, "sub", AT_REMOVEDIR) == -1 || rmdir(dir) == -1)
		abort();
	return 0;
}

static void
report(int fd)
{
	struct kqueue *kq = kqueue_enter(fd);

	if (kq == NULL)
		abort();
	kqueue_lock(kq);
	inotify_report(kq);
	kqueue_unlock(kq);
	kqueue_leave(kq);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct timespec at_once = { .tv_sec = 0 };
	struct kevent changes[FILES], events[FILES];
	int kq = kqueue();

	if (kq == -1)
		abort();
	feed = (struct feed){ NULL, 0 };
	for (int i = 0; i < FILES; i++)
		EV_SET(&changes[i], (uintptr_t)files[i], EVFILT_VNODE, EV_ADD | EV_CLEAR, i == 3 ? NOTE_DELETE : NOTES,
		    0, NULL);
	if (kevent(kq, changes, FILES, NULL, 0, &at_once) == -1)
		abort();
	feed = (struct feed){ bytes, size / 2 };
	report(kq);
	kevent(kq, NULL, 0, events, FILES, &at_once);
	/* A watch less, and then what the kernel may still say of it. */
	changes[0].flags = EV_DELETE;
	kevent(kq, changes, 1, events, FILES, &at_once);
	feed = (struct feed){ bytes + size / 2, size - size / 2 };
	report(kq);
	kevent(kq, NULL, 0, events, FILES, &at_once);
	feed = (struct feed){ bytes, size };
	inotify_unnamed(files[0]);
	close(kq);
	return 0;
}
