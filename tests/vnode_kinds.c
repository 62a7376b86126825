/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_VNODE on every kind of file and of descriptor: what works, what is
 * refused, and what permission it takes.
 */
#include "sandbox.h"
#include "vnode.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)

static int kq;
static char path[128];

static int
watch(int fd, unsigned int notes)
{
	return change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, notes, 0, NULL);
}

static unsigned int
told(int fd)
{
	struct kevent event;

	if (collect(kq, &event, 1, 0) == 0)
		return 0;
	ck_assert_uint_eq(event.ident, (uintptr_t)fd);
	ck_assert_int_eq(event.filter, EVFILT_VNODE);
	return event.fflags;
}

/* A queue, and a file of 10 bytes with this mode. */
static void
begin(mode_t mode)
{
	int fd;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ok(fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
	put(fd, 10);
	ok(fchmod(fd, mode));
	close(fd);
	kq = queue();
}

static void
end(int fd)
{
	close(kq);
	close(fd);
}

/* What must be told of a file with one name, through whatever descriptor. */
static void
check_all(int fd)
{
	int other;

	ck_assert_int_eq(watch(fd, ALL), 0);
	ok(other = open(path, O_WRONLY | O_APPEND));
	ck_assert_uint_eq(told(fd), NOTE_OPEN);
	put(other, 1);
	ck_assert_uint_eq(told(fd), NOTE_WRITE | NOTE_EXTEND);
	ok(ftruncate(other, 3));
	ck_assert_uint_eq(told(fd), NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB);
	close(other);
	ck_assert_uint_eq(told(fd), NOTE_CLOSE_WRITE);
	ok(chmod(path, 0644));
	ck_assert_uint_eq(told(fd), NOTE_ATTRIB);
	ok(unlink(path));
	ck_assert_uint_eq(told(fd), NOTE_DELETE | NOTE_LINK);
	ck_assert_uint_eq(told(fd), 0);
}

START_TEST(vnode_kinds__descriptor_for_events_only)
{
	int fd;

	begin(0644);
	ok(fd = open(path, O_EVTONLY));
	check_all(fd);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__descriptor_for_writing_only)
{
	int fd;

	begin(0644);
	ok(fd = open(path, O_WRONLY));
	check_all(fd);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__descriptor_for_reading_only)
{
	int fd;

	begin(0644);
	ok(fd = open(path, O_RDONLY));
	check_all(fd);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__directory_for_events_only)
{
	int fd;
	char sub[160];

	begin(0644);
	ok(fd = open(scratch_dir(), O_EVTONLY | O_DIRECTORY));
	ck_assert_int_eq(watch(fd, ALL), 0);
	ok(unlink(path));
	ck_assert_uint_eq(told(fd), NOTE_WRITE);
	close(fd);
	snprintf(sub, sizeof(sub), "%s/sub", scratch_dir());
	ok(mkdir(sub, 0755));
	ok(fd = open(sub, O_EVTONLY | O_DIRECTORY));
	ck_assert_int_eq(watch(fd, ALL), 0);
	ok(rmdir(sub));
	ck_assert_uint_eq(told(fd), NOTE_DELETE | NOTE_LINK);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__symlink_itself)
{
	char name[160], name2[160];
	int fd;

	begin(0644);
	snprintf(name, sizeof(name), "%s/symlink", scratch_dir());
	snprintf(name2, sizeof(name2), "%s/symlink2", scratch_dir());
	ok(symlink(path, name));
	ok(fd = open(name, O_EVTONLY | O_NOFOLLOW));
	ck_assert_int_eq(watch(fd, ALL), 0);
	ok(chmod(name, 0600));		/* changes the file that it leads to */
	ok(truncate(path, 0));
	ck_assert_uint_eq(told(fd), 0);
	ok(utimensat(AT_FDCWD, name, NULL, AT_SYMLINK_NOFOLLOW));
	ck_assert_uint_eq(told(fd), NOTE_ATTRIB);
	ok(rename(name, name2));
	ck_assert_uint_eq(told(fd), NOTE_RENAME);
	ok(unlink(name2));
	ck_assert_uint_eq(told(fd), NOTE_DELETE | NOTE_LINK);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__fifo)
{
	char name[160];
	int fd;

	begin(0644);
	snprintf(name, sizeof(name), "%s/fifo", scratch_dir());
	ok(mkfifo(name, 0644));
	ok(fd = open(name, O_RDWR));
	ck_assert_int_eq(watch(fd, ALL & ~(unsigned)NOTE_OPEN), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(fd), NOTE_WRITE);
	get(fd, 1);
	ck_assert_uint_eq(told(fd), NOTE_READ);
	ok(chmod(name, 0600));
	ck_assert_uint_eq(told(fd), NOTE_ATTRIB);
	ok(unlink(name));
	ck_assert_uint_eq(told(fd), NOTE_DELETE | NOTE_LINK);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__fifo_beside_a_read_registration)
{
	struct kevent events[2];
	char name[160];
	int fd;

	begin(0644);
	snprintf(name, sizeof(name), "%s/fifo", scratch_dir());
	ok(mkfifo(name, 0644));
	ok(fd = open(name, O_RDWR));
	ck_assert_int_eq(watch(fd, NOTE_WRITE), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	put(fd, 3);
	ck_assert_int_eq(collect(kq, events, 2, 0), 2);
	for (int i = 0; i < 2; i++)
		if (events[i].filter == EVFILT_READ)
			ck_assert_int_eq(events[i].data, 3);
		else
			ck_assert_uint_eq(events[i].fflags, NOTE_WRITE);
	ck_assert_int_ne(events[0].filter, events[1].filter);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__device)
{
	int fd, slave;
	const char *name;

	begin(0644);
	ok(fd = open("/dev/null", O_RDWR));
	ck_assert_int_eq(watch(fd, NOTE_ATTRIB | NOTE_DELETE), 0);
	ck_assert_uint_eq(told(fd), 0);
	close(fd);
	ok(fd = posix_openpt(O_RDWR | O_NOCTTY));
	ok(grantpt(fd));
	ok(unlockpt(fd));
	name = ptsname(fd);
	ck_assert_ptr_nonnull(name);
	ok(slave = open(name, O_RDWR | O_NOCTTY));
	ck_assert_int_eq(watch(slave, NOTE_ATTRIB), 0);
	ok(fchmod(slave, 0600));
	ck_assert_uint_eq(told(slave), NOTE_ATTRIB);
	close(slave);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__socket_by_its_name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, s;

	begin(0644);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", scratch_dir());
	ok(s = socket(AF_UNIX, SOCK_STREAM, 0));
	ok(bind(s, (struct sockaddr *)&address, sizeof(address)));
	ok(fd = open(address.sun_path, O_EVTONLY));
	ck_assert_int_eq(watch(fd, NOTE_DELETE), 0);
	ok(unlink(address.sun_path));
	ck_assert_uint_eq(told(fd), NOTE_DELETE);
	close(s);
	end(fd);
}
END_TEST

/* Linux does not report writes to it, but its size is told. */
START_TEST(vnode_kinds__memory_file)
{
	int fd;

	begin(0644);
	ok(fd = memfd_create("test", MFD_CLOEXEC));
	ck_assert_int_eq(watch(fd, NOTE_WRITE | NOTE_EXTEND), 0);
	ok(ftruncate(fd, 10));
	ck_assert_uint_eq(told(fd), NOTE_WRITE | NOTE_EXTEND);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__no_file_is_refused)
{
	int fds[2], fd;

	begin(0644);
	for (enum pair kind = PAIR_TCP; kind <= PAIR_PIPE; kind++) {
		if (kind == PAIR_TCP6 && !have_ipv6())
			continue;
		pair(kind, fds);
		ck_assert_msg(watch(fds[0], ALL) == EINVAL && watch(fds[1], ALL) == EINVAL,
		    "%s is accepted", pair_name(kind));
		close_pair(fds);
	}
	ok(fd = eventfd(0, 0));
	ck_assert_int_eq(watch(fd, ALL), EINVAL);
	close(fd);
	ck_assert_int_eq(watch(fd, ALL), EBADF);
	ck_assert_int_eq(watch(-1, ALL), EBADF);
	ck_assert_int_eq(watch(kq, ALL), EINVAL);
	no_event(kq);
	close(kq);
}
END_TEST

/* Runs fn in a child that is an ordinary user; its result. */
static int
as_ordinary_user(int (*fn)(int), int fd)
{
	pid_t pid = fork();
	int status;

	ok(pid);
	if (pid == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) == -1 || !become_nobody()))
			_exit(255);
		_exit(fn(fd));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The error of a new registration, or 0; a failed one must leave nothing behind. */
static int
try_to_watch(int fd)
{
	int q = kqueue(), error = 0;
	struct kevent kev;

	EV_SET(&kev, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, ALL, 0, NULL);
	if (q == -1)
		return 254;
	if (kevent(q, &kev, 1, NULL, 0, NULL) == -1) {
		error = errno;
		EV_SET(&kev, (uintptr_t)fd, EVFILT_VNODE, EV_DELETE, 0, 0, NULL);
		if (kevent(q, &kev, 1, NULL, 0, NULL) != -1 || errno != ENOENT)
			return 253;
	}
	return close(q) == -1 ? 252 : error;
}

START_TEST(vnode_kinds__linux_wants_read_permission)
{
	int fd;

	begin(0200);
	ok(chown(path, geteuid() == 0 ? NOBODY : geteuid(), (gid_t)-1));
	ok(fd = open(path, O_WRONLY));
	ck_assert_int_eq(as_ordinary_user(try_to_watch, fd), EACCES);
	close(fd);
	ok(fd = open(path, O_EVTONLY));
	ck_assert_int_eq(as_ordinary_user(try_to_watch, fd), EACCES);
	ok(chmod(path, 0400));
	ck_assert_int_eq(as_ordinary_user(try_to_watch, fd), 0);
	end(fd);
}
END_TEST

static char dir_in[160], dir_out[160];	/* in a directory that cannot be read, and not */

/* What the queue tells when the directory of this name is removed,: 0 if it is its end. */
static int
told_of_removal(int q, const char *name)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;

	if (kevent(q, NULL, 0, &event, 1, &zero) != 0)
		return 1;
	if (rmdir(name) == -1)
		return 2;
	if (kevent(q, NULL, 0, &event, 1, &zero) != 1)
		return 3;
	return event.fflags == (NOTE_DELETE | NOTE_LINK) &&
	    kevent(q, NULL, 0, &event, 1, &zero) == 0 ? 0 : 4;
}

static int
watch_all(int fd)
{
	struct kevent kev;
	int q = kqueue();

	EV_SET(&kev, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, ALL, 0, NULL);
	return q != -1 && kevent(q, &kev, 1, NULL, 0, NULL) == 0 ? q : -1;
}

/* Its parent, which would tell of its removal, cannot be read: that is no error. */
static int
watch_below_unreadable(int fd)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int q = watch_all(fd);

	if (q == -1)
		return errno;
	if (mkdirat(fd, "new", 0755) == -1 || kevent(q, NULL, 0, &event, 1, &zero) != 1 ||
	    event.fflags != (NOTE_WRITE | NOTE_LINK))
		return 255;
	if (unlinkat(fd, "new", AT_REMOVEDIR) == -1 || kevent(q, NULL, 0, &event, 1, &zero) != 1)
		return 254;
	return told_of_removal(q, dir_in);
}

static int
watch_moved_below_unreadable(int fd)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int q = watch_all(fd);

	if (rename(dir_out, dir_in) == -1 || kevent(q, NULL, 0, &event, 1, &zero) != 1 ||
	    event.fflags != NOTE_RENAME)
		return 255;
	return told_of_removal(q, dir_in);
}

/* And out of it, after which its new parent tells again. */
static int
watch_moved_from_unreadable(int fd)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int q = watch_all(fd);

	if (rename(dir_in, dir_out) == -1 || kevent(q, NULL, 0, &event, 1, &zero) != 1 ||
	    event.fflags != NOTE_RENAME)
		return 255;
	return told_of_removal(q, dir_out);
}

START_TEST(vnode_kinds__directory_in_an_unreadable_one)
{
	static const struct {
		const char *dir;
		int (*fn)(int);
	} cases[] = {
		{ dir_in, watch_below_unreadable },
		{ dir_out, watch_moved_below_unreadable },
		{ dir_in, watch_moved_from_unreadable },
	};
	uid_t owner = geteuid() == 0 ? NOBODY : geteuid();
	char parent[128];
	int fd;

	begin(0644);
	snprintf(parent, sizeof(parent), "%s/parent", scratch_dir());
	snprintf(dir_in, sizeof(dir_in), "%s/child", parent);
	snprintf(dir_out, sizeof(dir_out), "%s/child", scratch_dir());
	ok(chmod(scratch_dir(), 0777));
	ok(mkdir(parent, 0755));
	ok(chown(parent, owner, (gid_t)-1));
	for (int i = 0; i < 3; i++) {
		ok(chmod(parent, 0755));
		ok(mkdir(cases[i].dir, 0755));
		ok(chown(cases[i].dir, owner, (gid_t)-1));
		ok(fd = open(cases[i].dir, O_RDONLY | O_DIRECTORY));
		ok(chmod(parent, 0311));
		ck_assert_int_eq(as_ordinary_user(cases[i].fn, fd), 0);
		close(fd);
	}
	ok(chmod(parent, 0755));
	close(kq);
}
END_TEST

/* Sets a limit of a user name space of this process's own; false: it may not. */
static bool
limit(const char *what, const char *n)
{
	char name[64];
	int fd;
	bool set;

	snprintf(name, sizeof(name), "/proc/sys/user/%s", what);
	if (unshare(CLONE_NEWUSER) == -1 || (fd = open(name, O_WRONLY)) == -1)
		return false;
	set = write(fd, n, strlen(n)) == (ssize_t)strlen(n);
	close(fd);
	return set;
}

/* A directory's removal takes two watches of Linux's, of which there is one. */
static int
watch_with_one_watch(int fd)
{
	struct timespec zero = { 0, 0 };
	struct kevent kev, event;
	int q;

	if (!limit("max_inotify_watches", "1"))
		return 251;
	if (try_to_watch(fd) != ENOSPC || (q = kqueue()) == -1)
		return 1;
	EV_SET(&kev, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, NULL);
	if (kevent(q, &kev, 1, NULL, 0, NULL) == -1)
		return 2;
	kev.fflags = NOTE_DELETE | NOTE_WRITE;
	if (kevent(q, &kev, 1, NULL, 0, NULL) != -1 || errno != ENOSPC)
		return 3;
	/* It is as it was. */
	if (mkdirat(fd, "new", 0755) == -1 || kevent(q, NULL, 0, &event, 1, &zero) != 0)
		return 4;
	if (fchmod(fd, 0700) == -1 || kevent(q, NULL, 0, &event, 1, &zero) != 1 ||
	    event.fflags != NOTE_ATTRIB)
		return 5;
	return close(q) == -1 ? 6 : 0;
}

static int
watch_with_no_instance(int fd)
{
	return limit("max_inotify_instances", "0") ? try_to_watch(fd) : 251;
}

/* 251: this process may not take /proc away. */
static int
watch_without_proc(int fd)
{
	if (unshare(CLONE_NEWNS) == -1 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
	    umount2("/proc", MNT_DETACH) == -1)
		return 251;
	return try_to_watch(fd);
}

/* The result of fn in a child; false: the child may not do what it must. */
static bool
in_child(int (*fn)(int), int fd, int *result)
{
	pid_t pid = fork();
	int status;

	ok(pid);
	if (pid == 0)
		_exit(fn(fd));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	*result = WEXITSTATUS(status);
	if (*result == 251)
		fprintf(stderr, "skipped: it takes root or a user name space\n");
	return *result != 251;
}

START_TEST(vnode_kinds__without_proc_it_is_not_supported)
{
	int fd, result;

	begin(0644);
	ok(fd = open(path, O_RDONLY));
	if (in_child(watch_without_proc, fd, &result))
		ck_assert_int_eq(result, ENOTSUP);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__no_more_watches)
{
	int fd, result;

	begin(0644);
	ok(fd = open(scratch_dir(), O_RDONLY | O_DIRECTORY));
	if (in_child(watch_with_one_watch, fd, &result))
		ck_assert_int_eq(result, 0);
	end(fd);
}
END_TEST

START_TEST(vnode_kinds__no_more_instances)
{
	int fd, result;

	begin(0644);
	ok(fd = open(path, O_RDONLY));
	if (in_child(watch_with_no_instance, fd, &result))
		ck_assert_int_eq(result, EMFILE);
	end(fd);
}
END_TEST

HARNESS_MAIN("vnode_kinds",
	vnode_kinds__descriptor_for_events_only,
	vnode_kinds__descriptor_for_writing_only,
	vnode_kinds__descriptor_for_reading_only,
	vnode_kinds__directory_for_events_only,
	vnode_kinds__symlink_itself,
	vnode_kinds__fifo,
	vnode_kinds__fifo_beside_a_read_registration,
	vnode_kinds__device,
	vnode_kinds__socket_by_its_name,
	vnode_kinds__memory_file,
	vnode_kinds__no_file_is_refused,
	vnode_kinds__linux_wants_read_permission,
	vnode_kinds__directory_in_an_unreadable_one,
	vnode_kinds__without_proc_it_is_not_supported,
	vnode_kinds__no_more_watches,
	vnode_kinds__no_more_instances)
