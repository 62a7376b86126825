/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_VNODE.  inotify tells that something happened, what it was shows in
 * the file's state now and when last looked at: it has one event for a write
 * that grows a file and one that does not, and one for chmod() and unlink().
 * Each part of the state is compared, and kept for the next time, when an
 * event comes that is about this part: otherwise an event that is still under
 * way would be told twice.
 *
 * kn_hook is that state, kn_fflags what happened and was not delivered.
 */
#include "filter.h"
#include "kqueue.h"
#include "mem.h"
#include "source/filestat.h"
#include "source/inotify.h"
#include "source/mounts.h"
#include "source/retry.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* statfs(2): where pipes and sockets without a name live. */
#define VNODE_PIPEFS	0x50495045u
#define VNODE_SOCKFS	0x534f434bu

/* What an event needs is in two cache lines, or three. */
struct vnode {
	struct inotify_mark v_mark;	/* on the file */
	dev_t		v_dev;
	ino_t		v_ino;
	off_t		v_size;
	struct timespec	v_mtime, v_ctime;
	nlink_t		v_nlink;
	mode_t		v_mode;
	uid_t		v_uid;
	gid_t		v_gid;
	uint16_t	v_call;		/* kq_call, when it was last seen to be the descriptor's file */
	bool		v_unnamed;	/* the name it was opened by is gone; if that is of interest */
	bool		v_fell;		/* names went by the count; the own one may have been among them */
	bool		v_again;	/* to be looked at again when it is enabled */
	struct inotify_mark v_above;	/* on its parent, if it is a directory */
	struct mounts_mark v_mount;	/* on the mount, if that counts */
};

/* Nanoseconds: after so long a wait a name stays, and who made the count fall was another's. */
#define VNODE_LAST_DOUBT	4096000000
#define VNODE_LAST_FALL		64000000

/* Events by what they are about. */
#define VNODE_CONTENT	IN_MODIFY
#define VNODE_ENTRIES	(IN_CREATE | IN_DELETE | IN_MOVE)
#define VNODE_LINKS	(IN_ATTRIB | IN_DELETE_SELF)

/* What must be watched for each note, of a directory and of anything else. */
static const struct {
	uint32_t note, directory, file;
} vnode_events[] = {
	{ NOTE_WRITE,		VNODE_ENTRIES,			IN_MODIFY },
	{ NOTE_EXTEND,		0,				IN_MODIFY },
	{ NOTE_TRUNCATE,	0,				IN_MODIFY },
	{ NOTE_ATTRIB,		IN_ATTRIB,			IN_ATTRIB | IN_MODIFY },
	{ NOTE_DELETE,		IN_ATTRIB | IN_MOVE_SELF,	IN_ATTRIB },
	{ NOTE_LINK,		IN_ATTRIB | IN_MOVE_SELF | VNODE_ENTRIES | INOTIFY_SUBDIRS,
								IN_ATTRIB },
	{ NOTE_RENAME,		IN_MOVE_SELF,			IN_MOVE_SELF },
	{ NOTE_OPEN,		IN_OPEN,			IN_OPEN },
	{ NOTE_READ,		IN_ACCESS,			IN_ACCESS },
	{ NOTE_CLOSE,		IN_CLOSE_NOWRITE,		IN_CLOSE_NOWRITE },
	{ NOTE_CLOSE_WRITE,	0,				IN_CLOSE_WRITE },
	{ NOTE_REVOKE,		0,				0 },	/* v_mount */
};
#define VNODE_EVENTS	(sizeof(vnode_events) / sizeof(vnode_events[0]))

/* Linux wants to be asked for something: IN_DELETE_SELF costs nothing. */
static uint32_t
vnode_mask(uint32_t sfflags, bool directory)
{
	uint32_t mask = IN_DELETE_SELF;

	for (size_t i = 0; i < VNODE_EVENTS; i++)
		if ((sfflags & vnode_events[i].note) != 0)
			mask |= directory ? vnode_events[i].directory : vnode_events[i].file;
	return mask;
}

/*
 * Whether it counts that a name goes: what IN_ATTRIB means cannot be told without.  It takes a
 * look at the name when the watch begins, which costs as much as the watch itself.
 */
static bool
vnode_wants_names(uint32_t sfflags)
{
	return (sfflags & (NOTE_DELETE | NOTE_LINK | NOTE_ATTRIB)) != 0;
}

/* Whether the removal of the directory is asked for, which only its parent tells. */
static bool
vnode_wants_above(uint32_t sfflags, bool directory)
{
	return directory && (sfflags & (NOTE_DELETE | NOTE_LINK)) != 0;
}

/* Sockets, pipes and what has no file type are no files, unless opened by a name: 0 or -errno. */
static int
vnode_check(int fd, const struct stat *st)
{
	struct statfs fs;

	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	case S_IFIFO:
	case S_IFSOCK:
		if (fstatfs(fd, &fs) == -1)
			return -errno;
		return (uint32_t)fs.f_type != VNODE_PIPEFS && (uint32_t)fs.f_type != VNODE_SOCKFS ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

/*
 * The file's state now: 0; -ENOENT if the number is another file's, or none's; else -errno, since
 * a file of a network, or of FUSE, may not tell.
 */
static int
vnode_stat(const struct knote *kn, struct stat *now)
{
	const struct vnode *v = kn->kn_hook;
	int saved = errno, error = 0;

	if (filestat((int)kn->kn_ident, now) == -1)
		error = errno == EBADF ? -ENOENT : -errno;
	else if (now->st_dev != v->v_dev || now->st_ino != v->v_ino)
		error = -ENOENT;
	errno = saved;
	return error;
}

/* If it is not told: what it was when last looked at. */
static void
vnode_recall(const struct vnode *v, struct stat *now)
{
	memset(now, 0, sizeof(*now));
	now->st_dev = v->v_dev;
	now->st_ino = v->v_ino;
	now->st_mode = v->v_mode;
	now->st_uid = v->v_uid;
	now->st_gid = v->v_gid;
	now->st_nlink = v->v_nlink;
	now->st_size = v->v_size;
	now->st_mtim = v->v_mtime;
	now->st_ctim = v->v_ctime;
}

static bool
vnode_differ(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

static bool
vnode_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static bool
vnode_mode_changed(const struct vnode *v, const struct stat *now)
{
	return v->v_mode != now->st_mode || v->v_uid != now->st_uid || v->v_gid != now->st_gid;
}

/* Keeps the parts of the state that the events were about. */
static void
vnode_keep(struct vnode *v, const struct stat *now, uint32_t events)
{
	v->v_mtime = now->st_mtim;
	v->v_ctime = now->st_ctim;
	if ((events & VNODE_CONTENT) != 0)
		v->v_size = now->st_size;
	/* A directory's end shows in its count before its parent's watch tells of it. */
	if ((events & VNODE_LINKS) != 0 || ((events & VNODE_ENTRIES) != 0 && now->st_nlink != 0)) {
		v->v_fell |= now->st_nlink < v->v_nlink && !S_ISDIR(now->st_mode);
		v->v_nlink = now->st_nlink;
	}
	if ((events & IN_ATTRIB) != 0) {
		v->v_mode = now->st_mode;
		v->v_uid = now->st_uid;
		v->v_gid = now->st_gid;
	}
}

/*
 * Linux reports futimens() of the modification time alone as a write.  A write
 * leaves a time not before the last look and not after the change time.
 */
static uint32_t
vnode_content(const struct vnode *v, const struct stat *now)
{
	uint32_t notes = NOTE_WRITE;

	if (now->st_size > v->v_size)
		notes |= NOTE_EXTEND;
	else if (now->st_size < v->v_size)
		notes |= NOTE_TRUNCATE | NOTE_ATTRIB;
	if (vnode_differ(&now->st_mtim, &v->v_mtime) &&
	    (vnode_before(&now->st_mtim, &v->v_ctime) ||
	    vnode_before(&now->st_ctim, &now->st_mtim)))
		notes |= NOTE_ATTRIB;
	return notes;
}

/* A directory replaced by another's rename is one less, with no event of its own. */
static uint32_t
vnode_entries(const struct vnode *v, const struct stat *now, uint32_t hint)
{
	if ((hint & INOTIFY_SUBDIRS) != 0 ||
	    ((hint & IN_MOVED_TO) != 0 && now->st_nlink != v->v_nlink))
		return NOTE_WRITE | NOTE_LINK;
	return NOTE_WRITE;
}

/*
 * A name may have gone while another came, so the count is not all.  A
 * directory's count is that of its subdirectories, too, or means nothing.
 */
static uint32_t
vnode_links(const struct vnode *v, const struct stat *now, uint32_t hint, bool unnamed)
{
	bool directory = S_ISDIR(now->st_mode);
	uint32_t notes = 0;

	if (unnamed || (directory ? now->st_nlink == 0 && v->v_nlink != 0 :
	    now->st_nlink < v->v_nlink))
		notes = NOTE_DELETE | NOTE_LINK;
	else if (!directory && now->st_nlink != v->v_nlink)
		notes = NOTE_LINK;
	if ((hint & IN_ATTRIB) != 0 && (notes == 0 || vnode_mode_changed(v, now)))
		notes |= NOTE_ATTRIB;
	return notes;
}

/*
 * Events were lost: those that can be seen to have come.  A change time that
 * nothing else explains may be that of a rename or of extended attributes.
 */
static uint32_t
vnode_lost(const struct vnode *v, const struct stat *now)
{
	bool directory = S_ISDIR(now->st_mode);
	uint32_t hint = 0;

	if (vnode_differ(&now->st_mtim, &v->v_mtime)) {
		hint |= directory ? IN_CREATE : IN_MODIFY;
		if (directory && (now->st_nlink != v->v_nlink || now->st_nlink < 2))
			hint |= INOTIFY_SUBDIRS;
	}
	if (vnode_mode_changed(v, now))
		hint |= IN_ATTRIB;
	else if (vnode_differ(&now->st_ctim, &v->v_ctime) &&
	    vnode_differ(&now->st_ctim, &now->st_mtim))
		hint |= now->st_nlink == v->v_nlink ? IN_ATTRIB | IN_MOVE_SELF : IN_ATTRIB;
	return hint;
}

/* What the events in hint mean, seen from the state now. */
static uint32_t
vnode_notes(const struct vnode *v, const struct stat *now, uint32_t hint, bool unnamed)
{
	uint32_t notes = 0;

	if ((hint & VNODE_CONTENT) != 0)
		notes |= vnode_content(v, now);
	if ((hint & VNODE_ENTRIES) != 0)
		notes |= vnode_entries(v, now, hint);
	if ((hint & VNODE_LINKS) != 0)
		notes |= vnode_links(v, now, hint, unnamed);
	if ((hint & IN_MOVE_SELF) != 0)
		notes |= NOTE_RENAME;
	if ((hint & IN_OPEN) != 0)
		notes |= NOTE_OPEN;
	if ((hint & IN_ACCESS) != 0)
		notes |= NOTE_READ;
	if ((hint & IN_CLOSE_NOWRITE) != 0)
		notes |= NOTE_CLOSE;
	if ((hint & IN_CLOSE_WRITE) != 0)
		notes |= NOTE_CLOSE_WRITE;
	if ((hint & (IN_UNMOUNT | MOUNTS_LOST)) != 0)
		notes |= NOTE_REVOKE;
	return notes;
}

/* Of these, what was asked for; a write that extends is told whole. */
static uint32_t
vnode_asked(uint32_t sfflags, uint32_t notes)
{
	uint32_t asked = notes & sfflags;

	if ((notes & NOTE_EXTEND) != 0 && (asked & (NOTE_WRITE | NOTE_EXTEND)) != 0)
		asked |= NOTE_WRITE | NOTE_EXTEND;
	return asked;
}

/*
 * Whether the name is found to be gone, unless the count told of that before:
 * it falls first.  The state is taken again after the name was looked at.
 */
static bool
vnode_lost_name(struct knote *kn, struct stat *now)
{
	struct vnode *v = kn->kn_hook;
	struct stat again;
	int error;

	if (v->v_unnamed || !inotify_unnamed((int)kn->kn_ident))
		return false;
	error = vnode_stat(kn, &again);
	if (error == -ENOENT)
		return false;
	if (error == 0)
		*now = again;
	v->v_unnamed = true;
	return !v->v_fell && v->v_nlink != 0;
}

/*
 * unlink() tells that the count fell before the name is gone.  If a link came meanwhile, neither
 * shows, and whatever else was done since may be all that does: inotify makes one event of several.
 * So the name is looked at again, for eight seconds, since who calls unlink() may have to wait for a
 * processor just then.  If the count fell it is for a tenth of a second only: after that it was
 * another name that went, and the own one's end will be news.  And so it is if the state was not to be
 * had (untold).
 */
static void
vnode_look_again(struct kqueue *kq, struct knote *kn, bool untold)
{
	struct vnode *v = kn->kn_hook;
	bool doubt = (kn->kn_sfflags & (NOTE_DELETE | NOTE_LINK)) != 0 && (untold || !S_ISDIR(v->v_mode));
	int64_t last = v->v_fell ? VNODE_LAST_FALL : VNODE_LAST_DOUBT;

	v->v_again = false;
	if ((doubt || v->v_fell) && !v->v_unnamed && kn->kn_data < last) {
		v->v_again = (kn->kn_status & KN_DISABLED) != 0;
		retry_wait_at_most(kq, kn, last);
	} else {
		v->v_fell = false;
		retry_stop(kq, kn);
	}
}

/*
 * Has the parent tell of the directory's removal.  If it must not be read, or cannot be watched,
 * nobody tells, and each kevent() looks.
 */
static int
vnode_set_above(struct kqueue *kq, struct knote *kn)
{
	struct vnode *v = kn->kn_hook;
	int error = inotify_set_above(kq, &v->v_above, kn, (int)kn->kn_ident);

	if (error < 0)
		kn->kn_status |= KN_LOOK;
	else
		kn->kn_status &= (uint8_t)~KN_LOOK;
	return error;
}

__attribute__((noinline)) static void
vnode_note_any(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	struct vnode *v = kn->kn_hook;
	struct stat now;
	uint32_t asked, notes;
	bool unnamed = false, news = hint != 0, fell = v->v_fell;
	int error;

	/* vnode_look_again(): what is to be told of is not to be found first, and told again. */
	if (hint == 0) {
		inotify_report(kq);
		hint = IN_DELETE_SELF;
	}
	/* Between a move and the new parent's watch it may have been removed. */
	if ((hint & (IN_MOVE_SELF | IN_Q_OVERFLOW)) != 0) {
		if (vnode_wants_above(kn->kn_sfflags, S_ISDIR(v->v_mode)) &&
		    vnode_set_above(kq, kn) < 0 && (kn->kn_status & KN_ACTIVE) == 0)
			knote_deactivate(kq, kn);	/* it is to be looked at */
		hint |= IN_DELETE_SELF;
	}
	error = vnode_stat(kn, &now);
	if (error == -ENOENT)
		return;
	/* What has happened is told without, as far as inotify says; the rest shows later. */
	if (error < 0)
		vnode_recall(v, &now);
	v->v_call = kq->kq_call;
	if ((hint & VNODE_LINKS) != 0 && vnode_wants_names(kn->kn_sfflags))
		unnamed = vnode_lost_name(kn, &now);
	if ((hint & IN_Q_OVERFLOW) != 0)
		hint |= vnode_lost(v, &now);
	notes = vnode_notes(v, &now, hint, unnamed);
	asked = vnode_asked(kn->kn_sfflags, notes);
	vnode_keep(v, &now, hint);
	if ((hint & VNODE_LINKS) != 0) {
		/* How long what came before was looked into is nothing to this. */
		if (v->v_fell ? !fell : news)
			retry_rest(kq, kn);
		vnode_look_again(kq, kn, error < 0);
	}
	if (asked != 0) {
		kn->kn_fflags |= asked;
		knote_activate(kq, kn);
	}
}

/* A write, and nothing else: the usual event.  errno is inotify_report()'s business. */
static void
vnode_written(struct kqueue *kq, struct knote *kn)
{
	struct vnode *v = kn->kn_hook;
	struct stat now;
	uint32_t asked;

	if (filestat((int)kn->kn_ident, &now) == -1 || now.st_dev != v->v_dev || now.st_ino != v->v_ino) {
		vnode_note_any(kq, kn, IN_MODIFY);
		return;
	}
	v->v_call = kq->kq_call;
	asked = vnode_asked(kn->kn_sfflags, vnode_content(v, &now));
	v->v_size = now.st_size;
	v->v_mtime = now.st_mtim;
	v->v_ctime = now.st_ctim;
	if (asked != 0) {
		kn->kn_fflags |= asked;
		knote_activate(kq, kn);
	}
}

static void
vnode_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	if (hint == IN_MODIFY)
		vnode_written(kq, kn);
	else
		vnode_note_any(kq, kn, hint);
}

static int
vnode_watch_file(struct kqueue *kq, struct knote *kn, uint32_t sfflags, bool directory)
{
	struct vnode *v = kn->kn_hook;
	bool fresh = v->v_mark.im_watch == NULL;
	int fd = (int)kn->kn_ident;
	int error = inotify_set(kq, &v->v_mark, kn, fd, vnode_mask(sfflags, directory));

	if (error < 0)
		return error;
	if (!vnode_wants_above(sfflags, directory)) {
		inotify_unset(kq, &v->v_above);
		kn->kn_status &= (uint8_t)~KN_LOOK;
		return 0;
	}
	/* A parent that must not be read is no error, but one that cannot be watched is. */
	error = v->v_above.im_watch != NULL ? 0 : vnode_set_above(kq, kn);
	if (error != -ENOMEM && error != -ENOSPC)
		return 0;
	if (!vnode_wants_above(kn->kn_sfflags, directory))
		kn->kn_status &= (uint8_t)~KN_LOOK;
	if (fresh)
		inotify_unset(kq, &v->v_mark);
	else
		inotify_set(kq, &v->v_mark, kn, fd, vnode_mask(kn->kn_sfflags, directory));
	return error;
}

/* Arranges for sfflags to be told; 0 or -errno with everything as it was. */
static int
vnode_watch(struct kqueue *kq, struct knote *kn, uint32_t sfflags, bool directory)
{
	struct vnode *v = kn->kn_hook;
	bool had = v->v_mount.mm_knote != NULL, revoke = (sfflags & NOTE_REVOKE) != 0;
	int error = revoke ? mounts_set(kq, &v->v_mount, kn, (int)kn->kn_ident) : 0;

	if (error == 0)
		error = vnode_watch_file(kq, kn, sfflags, directory);
	if (error < 0 ? revoke && !had : !revoke)
		mounts_unset(kq, &v->v_mount);
	return error;
}

/*
 * From now on sfflags are asked for; before only notes were, so what was not watched until now
 * is what it is now.
 */
static void
vnode_begin(struct knote *kn, const struct stat *now, uint32_t notes, uint32_t sfflags)
{
	struct vnode *v = kn->kn_hook;
	bool directory = S_ISDIR(now->st_mode);
	uint32_t events = ~vnode_mask(notes, directory) & (IN_MODIFY | IN_ATTRIB);

	if (directory && !vnode_wants_above(notes, directory))
		events |= IN_DELETE_SELF;
	if (directory && now->st_nlink != 0)
		events |= VNODE_ENTRIES;
	vnode_keep(v, now, events);
	if (vnode_wants_names(sfflags) && !vnode_wants_names(notes)) {
		v->v_unnamed = now->st_nlink == 0 || inotify_unnamed((int)kn->kn_ident);
		v->v_fell = false;
	}
}

static int
vnode_attach(struct kqueue *kq, struct knote *kn)
{
	int error, saved = errno, fd = (int)kn->kn_ident;
	struct vnode *v;
	struct stat now;

	if (filestat(fd, &now) == -1) {
		error = -errno;
		errno = saved;
		return error;
	}
	error = vnode_check(fd, &now);
	errno = saved;
	if (error < 0)
		return error;
	v = mem_alloc(sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v->v_dev = now.st_dev;
	v->v_ino = now.st_ino;
	kn->kn_hook = v;
	vnode_begin(kn, &now, 0, kn->kn_sfflags);
	error = vnode_watch(kq, kn, kn->kn_sfflags, S_ISDIR(now.st_mode));
	if (error < 0)
		mem_free(v);
	return error;
}

static void
vnode_detach(struct kqueue *kq, struct knote *kn)
{
	struct vnode *v = kn->kn_hook;

	retry_stop(kq, kn);
	mounts_unset(kq, &v->v_mount);
	inotify_unset(kq, &v->v_above);
	inotify_unset(kq, &v->v_mark);
	mem_free(v);
}

static int
vnode_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	struct stat now, later;
	int error = vnode_stat(kn, &now);

	if ((kev->flags & EV_ADD) == 0 && kev->fflags == 0)
		return error == -ENOENT ? error : 0;
	if (error < 0)
		return error;
	error = vnode_watch(kq, kn, kev->fflags, S_ISDIR(now.st_mode));
	if (error < 0)
		return error;
	if (vnode_stat(kn, &later) == 0)
		now = later;
	vnode_begin(kn, &now, kn->kn_sfflags, kev->fflags);
	kn->kn_sfflags = kev->fflags;
	kn->kn_fflags = vnode_asked(kev->fflags, kn->kn_fflags);
	if (kn->kn_fflags == 0)
		knote_deactivate(kq, kn);
	return 0;
}

static bool
vnode_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	const struct vnode *v = kn->kn_hook;
	struct stat now;

	(void)revents;
	/* What was noted in this very call was seen to be the descriptor's file. */
	if (kn->kn_fflags == 0 || (v->v_call != kq->kq_call && vnode_stat(kn, &now) == -ENOENT))
		return false;
	out->fflags = kn->kn_fflags;
	if ((kn->kn_fflags & NOTE_REVOKE) != 0)
		out->flags |= EV_EOF;
	return true;
}

static bool
vnode_look(struct kqueue *kq, struct knote *kn)
{
	const struct vnode *v = kn->kn_hook;
	struct stat now;

	if (vnode_stat(kn, &now) == 0 && now.st_nlink == 0 && v->v_nlink != 0)
		vnode_note(kq, kn, IN_DELETE_SELF);
	return false;
}

static void
vnode_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	const struct vnode *v = kn->kn_hook;

	if (enabled && v->v_again)
		vnode_note(kq, kn, IN_DELETE_SELF);
}

const struct filterops filter_vnode = {
	.fo_fd = true,
	.fo_attach = vnode_attach,
	.fo_detach = vnode_detach,
	.fo_note = vnode_note,
	.fo_touch = vnode_touch,
	.fo_event = vnode_event,
	.fo_look = vnode_look,
	.fo_enable = vnode_enable,
};
