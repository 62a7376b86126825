/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_VNODE when the file's mount is taken away, in a mount name space that
 * each test makes; and other file systems than the one the tests run on.
 */
#include "sandbox.h"
#include "vnode.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)
#define GROWS	(NOTE_WRITE | NOTE_EXTEND)

static char one[128], two[128];	/* directories to mount on */
static int kq;

/* A queue and two file systems; false: this cannot be tested. */
static bool
begin(void)
{
	if (!mounts_of_our_own(one, two))
		return false;
	ok(mount("none", one, "tmpfs", 0, NULL));
	ok(mount("none", two, "tmpfs", 0, NULL));
	kq = queue();
	return true;
}

static void
end(void)
{
	close(kq);
	umount2(one, MNT_DETACH);
	umount2(two, MNT_DETACH);
}

static const char *
name_in(const char *dir, const char *name)
{
	static char names[4][160];
	static unsigned next;
	char *full = names[next++ % 4];

	snprintf(full, sizeof(names[0]), "%s/%s", dir, name);
	return full;
}

static int
make_file(const char *dir)
{
	int fd = open(name_in(dir, "file"), O_RDWR | O_CREAT, 0644);

	ok(fd);
	return fd;
}

static int
do_change(int fd, unsigned int flags, unsigned int notes)
{
	return change(kq, (uintptr_t)fd, EVFILT_VNODE, (unsigned short)flags, notes, 0, NULL);
}

static void
watch(int fd, unsigned int notes)
{
	ck_assert_int_eq(do_change(fd, EV_ADD | EV_CLEAR, notes), 0);
}

START_TEST(vnode_unmount__forced_unmount_revokes)
{
	int fd;

	if (!begin())
		return;
	fd = make_file(one);
	watch(fd, ALL);
	/* Linux refuses to take away a mount with an open file, forced or not ... */
	ck_assert(umount(one) == -1 && errno == EBUSY);
	ck_assert(umount2(one, MNT_FORCE) == -1 && errno == EBUSY);
	ck_assert_uint_eq(told_of(kq, fd), 0);
	/* ... unless it is left to the file. */
	ok(umount2(one, MNT_FORCE | MNT_DETACH));
	ck_assert(readable(kq, 10000));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	ck_assert_uint_eq(told_of(kq, fd), 0);
	ck_assert(!readable(kq, 0));
	/* Which lives on. */
	put(fd, 1);
	ck_assert_uint_eq(told_of(kq, fd), GROWS);
	ok(umount2(two, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, fd), 0);
	close(fd);
	end();
}
END_TEST

START_TEST(vnode_unmount__a_waiter_wakes)
{
	struct waiter w;
	int fd;

	if (!begin())
		return;
	fd = make_file(one);
	watch(fd, NOTE_REVOKE);
	waiter_start(&w, kq, -1);
	ok(umount2(one, MNT_DETACH));
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, (uintptr_t)fd);
	ck_assert_uint_eq(w.event.fflags, NOTE_REVOKE);
	ck_assert_uint_eq(w.event.flags, EV_CLEAR | EV_EOF);
	close(fd);
	end();
}
END_TEST

START_TEST(vnode_unmount__only_files_of_that_mount_are_told)
{
	int a, b, memory;

	if (!begin())
		return;
	a = make_file(one);
	b = make_file(two);
	ok(memory = memfd_create("test", MFD_CLOEXEC));
	watch(a, ALL);
	watch(b, ALL);
	watch(memory, ALL);
	ok(umount2(two, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, b), NOTE_REVOKE);
	no_event(kq);
	/* The numbers of what is gone are not in the way of what comes. */
	ok(mount("none", two, "tmpfs", 0, NULL));
	no_event(kq);
	ok(umount2(one, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, a), NOTE_REVOKE);
	no_event(kq);
	close(a);
	close(b);
	close(memory);
	end();
}
END_TEST

START_TEST(vnode_unmount__only_who_asks_is_told)
{
	int fd;

	if (!begin())
		return;
	fd = make_file(one);
	watch(fd, ALL & ~(unsigned)NOTE_REVOKE);
	ok(umount2(one, MNT_DETACH));
	no_event(kq);
	close(fd);
	fd = make_file(two);
	watch(fd, NOTE_REVOKE);
	watch(fd, NOTE_ATTRIB);
	ok(umount2(two, MNT_DETACH));
	no_event(kq);
	/* What has happened already is not told. */
	watch(fd, ALL);
	no_event(kq);
	close(fd);
	end();
}
END_TEST

START_TEST(vnode_unmount__update_to_revoke)
{
	int fd;

	if (!begin())
		return;
	fd = make_file(one);
	watch(fd, NOTE_WRITE);
	ck_assert_int_eq(do_change(fd, 0, NOTE_REVOKE), 0);
	put(fd, 1);
	ck_assert_uint_eq(told_of(kq, fd), 0);
	ok(umount2(one, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	close(fd);
	end();
}
END_TEST

START_TEST(vnode_unmount__disabled_one_keeps_it)
{
	int fd;

	if (!begin())
		return;
	fd = make_file(one);
	ck_assert_int_eq(do_change(fd, EV_ADD | EV_DISABLE, NOTE_REVOKE), 0);
	ok(umount2(one, MNT_DETACH));
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(do_change(fd, EV_ENABLE, 0), 0);
	/* Level-triggered. */
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	close(fd);
	no_event(kq);
	end();
}
END_TEST

/* A mount is what counts, not the file system, nor where it is. */
START_TEST(vnode_unmount__bound_and_moved_mounts)
{
	int original, bound;

	if (!begin())
		return;
	original = make_file(one);
	ok(umount2(two, MNT_DETACH));
	ok(mount(one, two, "", MS_BIND, NULL));
	bound = make_file(two);
	watch(original, NOTE_REVOKE);
	watch(bound, NOTE_REVOKE);
	ok(umount2(two, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, bound), NOTE_REVOKE);
	no_event(kq);
	ok(mount(one, two, "", MS_MOVE, NULL));
	no_event(kq);
	ok(mount(NULL, two, "", MS_REMOUNT | MS_BIND | MS_NOATIME, NULL));
	no_event(kq);
	ok(umount2(two, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, original), NOTE_REVOKE);
	no_event(kq);
	close(original);
	close(bound);
	end();
}
END_TEST

START_TEST(vnode_unmount__what_is_mounted_below_goes_too)
{
	char below[160];
	int dir, link;

	if (!begin())
		return;
	snprintf(below, sizeof(below), "%s/below", one);
	ok(mkdir(below, 0700));
	ok(mount("none", below, "tmpfs", 0, NULL));
	ok(dir = open(below, O_RDONLY | O_DIRECTORY));
	ok(symlink("nowhere", name_in(one, "link")));
	ok(link = open(name_in(one, "link"), O_EVTONLY | O_NOFOLLOW));
	watch(dir, ALL);
	ok(umount2(one, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, dir), NOTE_REVOKE);
	close(dir);
	/* A file whose mount has gone before has none to lose. */
	watch(link, ALL);
	no_event(kq);
	close(link);
	end();
}
END_TEST

START_TEST(vnode_unmount__any_kind_of_descriptor)
{
	int fds[4];

	if (!begin())
		return;
	ok(symlink("nowhere", name_in(one, "link")));
	ok(mkfifo(name_in(one, "fifo"), 0600));
	ok(fds[0] = open(name_in(one, "link"), O_EVTONLY | O_NOFOLLOW));
	ok(fds[1] = open(name_in(one, "fifo"), O_RDWR));
	ok(fds[2] = open(one, O_EVTONLY | O_DIRECTORY));
	ok(fds[3] = open(name_in(one, "file"), O_WRONLY | O_CREAT, 0600));
	for (int i = 0; i < 4; i++)
		watch(fds[i], NOTE_REVOKE);
	ok(umount2(one, MNT_DETACH));
	for (int i = 0; i < 4; i++) {
		struct kevent event;

		ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
		ck_assert_uint_eq(event.fflags, NOTE_REVOKE);
		close((int)event.ident);
	}
	no_event(kq);
	end();
}
END_TEST

START_TEST(vnode_unmount__beside_mounts_that_are_watched)
{
	struct kevent events[3];
	int before, fd;

	if (!begin())
		return;
	fd = make_file(one);
	before = open_descriptors();
	ck_assert_int_eq(change(kq, 1, EVFILT_FS, EV_ADD, VQ_UNMOUNT, 0, NULL), 0);
	watch(fd, NOTE_REVOKE);
	ok(umount2(one, MNT_DETACH));
	ck_assert_int_eq(collect(kq, events, 3, 0), 2);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(events[i].fflags,
		    events[i].filter == EVFILT_FS ? VQ_UNMOUNT : NOTE_REVOKE);
	ck_assert_int_ne(events[0].filter, events[1].filter);
	/* Either can do without the other. */
	ck_assert_int_eq(change(kq, 1, EVFILT_FS, EV_DISABLE, 0, 0, NULL), 0);
	close(fd);
	fd = make_file(two);
	watch(fd, NOTE_REVOKE);
	ok(umount2(two, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	ck_assert_int_eq(do_change(fd, EV_DELETE, 0), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_FS, EV_DELETE, 0, 0, NULL), 0);
	/* All that is left is the instance of inotify. */
	ck_assert_int_eq(open_descriptors(), before + 1);
	close(fd);
	end();
}
END_TEST

/* What is kept between two registrations is of no use in another name space. */
START_TEST(vnode_unmount__in_another_name_space)
{
	int before, fd;

	if (!begin())
		return;
	fd = make_file(one);
	watch(fd, NOTE_REVOKE);
	before = open_descriptors();
	ck_assert_int_eq(do_change(fd, EV_DELETE, 0), 0);
	for (int i = 0; i < 100; i++) {
		watch(fd, NOTE_REVOKE);
		ck_assert_int_eq(do_change(fd, EV_DELETE, 0), 0);
	}
	ck_assert_int_eq(open_descriptors(), before);
	ok(mount("none", two, "tmpfs", 0, NULL));
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(fd);
	ok(unshare(CLONE_NEWNS));
	fd = make_file(one);
	watch(fd, NOTE_REVOKE);
	ok(umount2(one, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	ck_assert_int_eq(open_descriptors(), before);
	close(fd);
	end();
}
END_TEST

/* Linux before 5.8 does not tell a mount's number by statx(), and some sandboxes forbid it. */
START_TEST(vnode_unmount__without_statx)
{
	int fd;

	if (!begin())
		return;
	fd = make_file(one);
	if (!refuse_call(SYS_statx, ENOSYS)) {
		fprintf(stderr, "skipped: no system call can be forbidden: %s\n", strerror(errno));
		close(fd);
		end();
		return;
	}
	watch(fd, NOTE_REVOKE);
	ok(umount2(one, MNT_DETACH));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_REVOKE);
	close(fd);
	end();
}
END_TEST

/* What there is to be told of a file and a directory, on whatever file system dir is. */
static void
check_tree(const char *dir)
{
	int fd, sub;

	ok(fd = open(name_in(dir, "old"), O_RDWR));
	watch(fd, ALL & ~(unsigned)NOTE_LINK);
	put(fd, 20);
	ck_assert_uint_eq(told_of(kq, fd), GROWS);
	ok(ftruncate(fd, 3));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB);
	ok(rename(name_in(dir, "old"), name_in(dir, "new")));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_RENAME);
	ok(fchmod(fd, 0611));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_ATTRIB);
	ok(unlink(name_in(dir, "new")));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_DELETE);
	close(fd);
	ok(mkdir(name_in(dir, "a"), 0755));
	ok(mkdir(name_in(dir, "a/sub"), 0755));
	ok(mkdir(name_in(dir, "b"), 0755));
	ok(sub = open(name_in(dir, "a/sub"), O_RDONLY | O_DIRECTORY));
	watch(sub, ALL & ~(unsigned)(NOTE_OPEN | NOTE_CLOSE));
	ok(mkdir(name_in(dir, "a/sub/x"), 0755));
	ck_assert_uint_eq(told_of(kq, sub), NOTE_WRITE | NOTE_LINK);
	ok(rmdir(name_in(dir, "a/sub/x")));
	ck_assert_uint_eq(told_of(kq, sub), NOTE_WRITE | NOTE_LINK);
	ok(rename(name_in(dir, "a/sub"), name_in(dir, "b/sub")));
	ck_assert_uint_eq(told_of(kq, sub), NOTE_RENAME);
	ok(rmdir(name_in(dir, "b/sub")));
	ck_assert_uint_eq(told_of(kq, sub), NOTE_DELETE | NOTE_LINK);
	ok(rmdir(name_in(dir, "a")));
	ok(rmdir(name_in(dir, "b")));
	ck_assert_uint_eq(told_of(kq, sub), 0);
	close(sub);
}

START_TEST(vnode_unmount__on_tmpfs)
{
	if (!begin())
		return;
	close(open(name_in(one, "old"), O_WRONLY | O_CREAT, 0644));
	check_tree(one);
	end();
}
END_TEST

/* The file comes from the lower layer and is copied up when it is opened to be written. */
START_TEST(vnode_unmount__on_overlayfs)
{
	char options[512];

	if (!begin())
		return;
	ok(mkdir(name_in(one, "upper"), 0755));
	ok(mkdir(name_in(one, "work"), 0755));
	ok(mkdir(name_in(one, "lower"), 0755));
	close(open(name_in(one, "lower/old"), O_WRONLY | O_CREAT, 0644));
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
	    one, one, one);
	if (mount("none", two, "overlay", 0, options) == -1)
		fprintf(stderr, "skipped: no overlayfs: %s\n", strerror(errno));
	else
		check_tree(two);
	end();
}
END_TEST

HARNESS_MAIN("vnode_unmount",
	vnode_unmount__forced_unmount_revokes,
	vnode_unmount__a_waiter_wakes,
	vnode_unmount__only_files_of_that_mount_are_told,
	vnode_unmount__only_who_asks_is_told,
	vnode_unmount__update_to_revoke,
	vnode_unmount__disabled_one_keeps_it,
	vnode_unmount__bound_and_moved_mounts,
	vnode_unmount__what_is_mounted_below_goes_too,
	vnode_unmount__any_kind_of_descriptor,
	vnode_unmount__beside_mounts_that_are_watched,
	vnode_unmount__in_another_name_space,
	vnode_unmount__without_statx,
	vnode_unmount__on_tmpfs,
	vnode_unmount__on_overlayfs)
