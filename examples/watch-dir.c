/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch-dir directory: says what happens to the entries of a directory.
 *
 *	created: new
 *	written: draft
 *	attributes changed: draft
 *	renamed: draft -> letter
 *	deleted: old
 *
 * kqueue watches open files, not names.  EVFILT_VNODE on the directory tells
 * that some entry came or went, not which; so we keep a list of the entries
 * and compare.  EVFILT_VNODE on each entry tells what is done to that file.
 *
 * Holding every entry open has a second use.  As long as a file is open its
 * inode number cannot be given to another one.  So a new name with a known
 * number is an old friend renamed.
 *
 * Exit codes: 0 when the directory itself has been deleted, 64 for wrong
 * usage, 1 for other errors.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#ifndef O_EVTONLY			/* open for watching only, where that exists */
#define O_EVTONLY	O_RDONLY
#endif
#ifndef NOTE_TRUNCATE			/* OpenBSD's word for a write that shortens */
#define NOTE_TRUNCATE	0
#endif

#define NEVENTS		64
#define WRITTEN		(NOTE_WRITE | NOTE_EXTEND | NOTE_TRUNCATE)
#define GONE		(NOTE_DELETE | NOTE_RENAME)

struct entry {
	char		*name;
	char		*oldname;	/* for a moment: just renamed from this */
	int		 fresh;		/* for a moment: just come, not watched */
	int		 here;		/* for a moment: known, and still here */
	int		 fd;		/* -1 if it cannot be opened */
	struct stat	 st;		/* when last looked at */
};

struct list {
	struct entry	**e;		/* sorted by name */
	size_t		 n;
};

static int		 kq;		/* the queue for all */
static DIR		*dir;
static int		 dirq;		/* the directory's own queue */
static unsigned int	 dirnotes;	/* what happened to the directory itself */
static struct list	 known;

/* A name may hold any byte but '/' and 0: print it as one harmless line. */
static void
print_name(const char *s)
{
	mbstate_t state;
	wchar_t wc;
	size_t left, n;

	memset(&state, 0, sizeof(state));
	for (left = strlen(s); left > 0; s += n, left -= n) {
		n = mbrtowc(&wc, s, left, &state);
		if (n <= left && iswprint((wint_t)wc))
			fwrite(s, 1, n, stdout);
		else {
			printf("\\x%02x", (unsigned int)(unsigned char)*s);
			memset(&state, 0, sizeof(state));
			n = 1;
		}
	}
}

static void
say(const char *before, const char *name, const char *after)
{
	printf("%s: ", before);
	print_name(name);
	printf("%s\n", after);
}

static void *
check(void *p)
{
	if (p == NULL)
		err(EXIT_FAILURE, NULL);
	return (p);
}

static int
by_name(const void *a, const void *b)
{
	return (strcmp((*(struct entry *const *)a)->name, (*(struct entry *const *)b)->name));
}

static int
same_file(const struct entry *a, const struct entry *b)
{
	return (a->st.st_ino == b->st.st_ino && a->st.st_dev == b->st.st_dev);
}

static void
forget(struct entry *e)
{
	if (e->fd != -1)
		close(e->fd);		/* and its registration goes with it */
	free(e->name);
	free(e->oldname);
	free(e);
}

/* Has something come or gone since this was last asked, or will in so many ms? */
static int
dir_changed(long ms)
{
	const struct timespec timeout = { 0, ms * 1000000 };
	struct kevent ev;

	if (kevent(dirq, NULL, 0, &ev, 1, &timeout) < 1)
		return (0);
	dirnotes |= ev.fflags;
	return (1);
}

/* Read the directory. */
static void
look(struct list *l)
{
	struct dirent *d;
	struct entry *e;

	while (l->n > 0)
		forget(l->e[--l->n]);
	rewinddir(dir);
	while (errno = 0, (d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		e = check(calloc(1, sizeof(*e)));
		e->name = check(strdup(d->d_name));
		e->fresh = 1;
		e->fd = -1;
		if (fstatat(dirfd(dir), e->name, &e->st, AT_SYMLINK_NOFOLLOW) == -1) {
			forget(e);	/* gone again already */
			continue;
		}
		if ((l->n & (l->n - 1)) == 0)	/* full at 0, 1, 2, 4, 8, ... */
			l->e = check(realloc(l->e, (l->n == 0 ? 1 : 2 * l->n) * sizeof(*l->e)));
		l->e[l->n++] = e;
	}
	if (errno != 0 && errno != ENOENT)
		err(EXIT_FAILURE, "cannot read the directory");
	if (l->n > 0)
		qsort(l->e, l->n, sizeof(*l->e), by_name);
}

/*
 * Reading a directory while it changes may show an entry twice, or not at all.
 * If it did change, wait until it is quiet for a moment and read it again; but
 * not for ever, for some directories never are.
 */
static void
look_well(struct list *l)
{
	int again, wait;

	dir_changed(0);			/* this is why we are here */
	look(l);
	for (again = 0; again < 20 && dir_changed(0); again++) {
		for (wait = 0; wait < 50 && dir_changed(10); wait++)
			continue;
		look(l);
	}
}

/*
 * Watch one entry.  O_NONBLOCK: a FIFO shall not keep us waiting for someone
 * to write.  O_NOFOLLOW: a symbolic link is an entry, where it leads is not.
 * What cannot be watched is still known by its name.
 */
static void
watch(struct entry *e)
{
	struct kevent ev;

	e->fd = openat(dirfd(dir), e->name, O_EVTONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (e->fd != -1) {
		EV_SET(&ev, (uintptr_t)e->fd, EVFILT_VNODE, EV_ADD | EV_CLEAR,
		    WRITTEN | NOTE_ATTRIB | GONE, 0, e);
		if (kevent(kq, &ev, 1, NULL, 0, NULL) == 0)
			return;
	}
	printf("cannot watch: ");
	print_name(e->name);
	printf(": %s\n", strerror(errno));
}

/*
 * A known entry is no longer here.  A file that has lost a name was deleted;
 * one that has as many as before now has one elsewhere.
 */
static void
left(struct entry *e)
{
	struct stat st;

	if (e->fd == -1 || fstat(e->fd, &st) == -1 || st.st_nlink == 0 ||
	    (!S_ISDIR(st.st_mode) && st.st_nlink < e->st.st_nlink))
		say("deleted", e->name, "");
	else
		say("renamed", e->name, " (out of the directory)");
	forget(e);
}

/* Compare what is there with what we know, and tell the difference. */
static void
compare(int first)
{
	struct list now = { NULL, 0 };
	struct entry **found, *new, *old;
	size_t i, j;

	look_well(&now);

	/* What stayed: the same name for the same file.  Keep our entry. */
	for (j = 0; j < now.n && known.n > 0; j++) {
		new = now.e[j];
		found = bsearch(&new, known.e, known.n, sizeof(*known.e), by_name);
		if (found == NULL || (*found)->here || !same_file(*found, new))
			continue;
		(*found)->here = 1;
		(*found)->st = new->st;
		forget(new);
		now.e[j] = *found;
	}

	/* What was renamed: a new name for a file that has lost its own. */
	for (j = 0; j < now.n; j++) {
		new = now.e[j];
		for (i = 0; i < known.n && new->fresh; i++) {
			old = known.e[i];
			if (old->here || old->fd == -1 || !same_file(old, new))
				continue;
			old->here = 1;
			old->st = new->st;
			old->oldname = old->name;
			old->name = new->name;
			new->name = NULL;
			forget(new);
			new = now.e[j] = old;
		}
	}

	/* What remains in the old list has left, */
	for (i = 0; i < known.n; i++)
		if (!known.e[i]->here)
			left(known.e[i]);
	free(known.e);
	known = now;

	/* and what is fresh in the new one has come. */
	for (j = 0; j < now.n; j++) {
		new = now.e[j];
		new->here = 0;			/* to be seen the next time */
		if (new->oldname != NULL) {
			printf("renamed: ");
			print_name(new->oldname);
			printf(" -> ");
			print_name(new->name);
			putchar('\n');
			free(new->oldname);
			new->oldname = NULL;
		} else if (new->fresh) {
			/* Watched first: who reads that it is there may write to it at once. */
			new->fresh = 0;
			watch(new);
			if (!first)
				say("created", new->name, "");
		}
	}
}

/* An entry is a descriptor: have as many as we may.  (macOS: not infinity.) */
static void
raise_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return;
	rl.rlim_cur = rl.rlim_max == RLIM_INFINITY ? 10240 : rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int
main(int argc, char *argv[])
{
	struct kevent events[NEVENTS], *ev;
	struct entry *e;
	int changed, i, n;

	if (argc != 2) {
		fprintf(stderr, "usage: watch-dir directory\n");
		exit(EX_USAGE);
	}
	setlocale(LC_CTYPE, "");	/* for print_name() */
	setvbuf(stdout, NULL, _IOLBF, 0);
	raise_limit();
	if ((dir = opendir(argv[1])) == NULL)
		err(EXIT_FAILURE, "%s", argv[1]);
	if ((kq = kqueue()) == -1 || (dirq = kqueue()) == -1)
		err(EXIT_FAILURE, "kqueue");

	/*
	 * The directory is watched before we look into it, so that nothing is
	 * missed in between.  A queue is a descriptor that is readable when it
	 * has events: that is how the one is watched by the other.
	 */
	EV_SET(&events[0], (uintptr_t)dirfd(dir), EVFILT_VNODE, EV_ADD | EV_CLEAR,
	    WRITTEN | NOTE_LINK | NOTE_ATTRIB | GONE, 0, NULL);
	EV_SET(&events[1], (uintptr_t)dirq, EVFILT_READ, EV_ADD, 0, 0, NULL);
	if (kevent(dirq, &events[0], 1, NULL, 0, NULL) == -1 ||
	    kevent(kq, &events[1], 1, NULL, 0, NULL) == -1)
		err(EXIT_FAILURE, "cannot watch %s", argv[1]);
	compare(1);
	say("watching", argv[1], "");

	while ((dirnotes & NOTE_DELETE) == 0) {
		n = kevent(kq, NULL, 0, events, NEVENTS, NULL);
		if (n == -1 && errno != EINTR)
			err(EXIT_FAILURE, "kevent");

		changed = 0;
		for (i = 0; i < n; i++) {
			ev = &events[i];
			e = (struct entry *)ev->udata;
			if (e == NULL || (ev->fflags & GONE) != 0)
				changed = 1;
			if (e != NULL && (ev->fflags & WRITTEN) != 0)
				say("written", e->name, "");
			if (e != NULL && (ev->fflags & NOTE_ATTRIB) != 0)
				say("attributes changed", e->name, "");
		}

		/*
		 * Only now, for this frees entries, and an event of one of them
		 * could have been among the last ones.
		 */
		if (changed)
			compare(0);
		if ((dirnotes & NOTE_ATTRIB) != 0)
			say("attributes changed", ".", "");
		if ((dirnotes & NOTE_RENAME) != 0)
			say("renamed", ".", "");
		dirnotes &= NOTE_DELETE;
	}
	say("deleted", ".", "");
	return (0);
}
