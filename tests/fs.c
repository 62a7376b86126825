/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_FS, in a mount name space that each test makes. */
#include "harness.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL	(VQ_MOUNT | VQ_UNMOUNT)
#define NOBODY	65534

static char one[128], two[128];

static int
fs(int kq, uintptr_t ident, unsigned flags, unsigned fflags)
{
	return change(kq, ident, EVFILT_FS, (unsigned short)flags, fflags, 0, NULL);
}

static void
ok(int result)
{
	ck_assert_msg(result >= 0, "%s", strerror(errno));
}

static bool
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

/* An ordinary user becomes root of a user name space. */
static bool
enter_namespace(void)
{
	char users[64], groups[64];

	if (unshare(CLONE_NEWNS) == 0)
		return true;
	snprintf(users, sizeof(users), "0 %d 1\n", (int)getuid());
	snprintf(groups, sizeof(groups), "0 %d 1\n", (int)getgid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	    write_file("/proc/self/setgroups", "deny") &&
	    write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups);
}

/* Two directories to mount on; false: this cannot be tested. */
static bool
begin(void)
{
	if (!enter_namespace()) {
		fprintf(stderr, "skipped: no mount name space: it takes root or a user name space\n");
		return false;
	}
	ok(mount("none", "/", "", MS_REC | MS_PRIVATE, NULL));
	snprintf(one, sizeof(one), "%s/one", scratch_dir());
	snprintf(two, sizeof(two), "%s/two", scratch_dir());
	ok(mkdir(one, 0700));
	ok(mkdir(two, 0700));
	return true;
}

static void
mount_on(const char *where)
{
	ok(mount("none", where, "tmpfs", 0, NULL));
}

static void
unmount(const char *where)
{
	ok(umount2(where, MNT_DETACH));
}

static void
expect(int kq, uintptr_t ident, unsigned notes)
{
	struct kevent event = event_of(kq, ident, EVFILT_FS);

	ck_assert_uint_eq(event.fflags, notes);
	ck_assert_int_eq(event.data, 0);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
}

START_TEST(fs__mount_and_unmount)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	mount_on(one);
	ck_assert(readable(kq, 10000));
	expect(kq, 0, VQ_MOUNT);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	unmount(one);
	ck_assert(readable(kq, 10000));
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(fs__a_waiter_wakes)
{
	struct waiter w;
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 7, EV_ADD, ALL), 0);
	waiter_start(&w, kq, -1);
	mount_on(one);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, 7);
	ck_assert_uint_eq(w.event.fflags, VQ_MOUNT);
	unmount(one);
	close(kq);
}
END_TEST

START_TEST(fs__only_what_was_asked)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 1, EV_ADD, VQ_MOUNT), 0);
	ck_assert_int_eq(fs(kq, 2, EV_ADD, VQ_UNMOUNT | 0x10000), 0);
	ck_assert_int_eq(fs(kq, 3, EV_ADD, 0x10000), 0);
	mount_on(one);
	expect(kq, 1, VQ_MOUNT);
	no_event(kq);
	unmount(one);
	expect(kq, 2, VQ_UNMOUNT);
	no_event(kq);
	/* Without notes: all. */
	ck_assert_int_eq(fs(kq, 4, EV_ADD, 0), 0);
	ck_assert_int_eq(fs(kq, 1, EV_DELETE, 0), 0);
	mount_on(one);
	expect(kq, 4, VQ_MOUNT);
	no_event(kq);
	/* What has happened goes by the old notes, what comes by the new ones. */
	unmount(one);
	ck_assert_int_eq(fs(kq, 2, EV_ADD, VQ_MOUNT), 0);
	expect(kq, 4, VQ_UNMOUNT);
	no_event(kq);
	mount_on(one);
	ck_assert_int_eq(fs(kq, 4, EV_DELETE, 0), 0);
	expect(kq, 2, VQ_MOUNT);
	unmount(one);
	close(kq);
}
END_TEST

/* What is mounted at last is told as well as what is no longer. */
START_TEST(fs__several_changes_in_one_event)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	mount_on(one);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	/* The new one gets the number of the old one. */
	unmount(one);
	mount_on(two);
	expect(kq, 0, ALL);
	mount_on(one);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	unmount(one);
	unmount(one);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

/* What leaves the table as it was. */
START_TEST(fs__between_two_looks)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	mount_on(one);
	unmount(one);
	expect(kq, 0, ALL);
	no_event(kq);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	unmount(one);
	mount_on(one);
	expect(kq, 0, ALL);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__remounting_is_no_event)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	mount_on(one);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	ok(mount("none", one, "", MS_REMOUNT | MS_RDONLY, NULL));
	no_event(kq);
	ok(mount("none", one, "", MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL));
	no_event(kq);
	ok(mount("none", one, "", MS_SHARED, NULL));
	no_event(kq);
	ok(mount("none", one, "", MS_REMOUNT | MS_BIND, NULL));
	no_event(kq);
	ck_assert(!readable(kq, 0));
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

START_TEST(fs__bind_and_move)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	ok(mount(one, two, "", MS_BIND, NULL));
	expect(kq, 0, VQ_MOUNT);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	ok(mount(one, two, "", MS_MOVE, NULL));
	expect(kq, 0, ALL);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

/* Names may be anything, and long. */
START_TEST(fs__odd_names)
{
	static const char odd[] = "/ - \n\\ \t-";
	char path[sizeof(one) + sizeof(odd)], options[4000], deep[4000];
	int kq, i;

	if (!begin())
		return;
	kq = queue();
	snprintf(path, sizeof(path), "%s%s", one, odd);
	ok(mkdir(path, 0700));
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	ok(mount(" - - \n", path, "tmpfs", 0, NULL));
	expect(kq, 0, VQ_MOUNT);
	ok(mount("", one, "tmpfs", 0, NULL));
	expect(kq, 0, VQ_MOUNT);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	unmount(path);
	expect(kq, 0, VQ_UNMOUNT);
	/* A source that fills a page, on a path that does. */
	memset(options, ' ', sizeof(options) - 1);
	options[sizeof(options) - 1] = '\0';
	strcpy(deep, one);
	for (i = 0; i < 14; i++) {
		memset(deep + strlen(deep) + 1, '\0', 251);
		memset(deep + strlen(deep) + 1, '\n', 250);
		deep[strlen(deep)] = '/';
		ok(mkdir(deep, 0700));
	}
	ok(mount(options, deep, "tmpfs", 0, NULL));
	expect(kq, 0, VQ_MOUNT);
	mount_on(two);
	expect(kq, 0, VQ_MOUNT);
	unmount(deep);
	expect(kq, 0, VQ_UNMOUNT);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__thousands)
{
	char path[sizeof(one) + 16];
	int kq, i;

	if (!begin())
		return;
	kq = queue();
	mount_on(one);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	for (i = 0; i < 3000; i++) {
		snprintf(path, sizeof(path), "%s/%d", one, i);
		ok(mkdir(path, 0700));
		ok(mount(two, path, "", MS_BIND, NULL));
	}
	expect(kq, 0, VQ_MOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	unmount(path);
	expect(kq, 0, VQ_UNMOUNT);
	ok(mount(two, path, "", MS_BIND, NULL));
	expect(kq, 0, VQ_MOUNT);
	unmount(path);
	ok(mount(one, path, "", MS_BIND, NULL));
	expect(kq, 0, ALL);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__disabled)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD | EV_DISABLE, ALL), 0);
	mount_on(one);
	ck_assert(!readable(kq, 50));
	no_event(kq);
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	ck_assert(readable(kq, 10000));
	expect(kq, 0, VQ_MOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DISABLE, 0), 0);
	unmount(one);
	ck_assert(!readable(kq, 50));
	no_event(kq);
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__dispatch_and_oneshot)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD | EV_DISPATCH, ALL), 0);
	mount_on(one);
	event = event_of(kq, 0, EVFILT_FS);
	ck_assert_uint_eq(event.fflags, VQ_MOUNT);
	unmount(one);
	ck_assert(!readable(kq, 50));
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	event = event_of(kq, 0, EVFILT_FS);
	ck_assert_uint_eq(event.fflags, VQ_UNMOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, EV_ADD | EV_ONESHOT, ALL), 0);
	no_event(kq);
	mount_on(one);
	event = event_of(kq, 0, EVFILT_FS);
	ck_assert_uint_eq(event.fflags, VQ_MOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), ENOENT);
	unmount(one);
	no_event(kq);
	close(kq);
}
END_TEST

/* One that comes later knows nothing of what was before. */
START_TEST(fs__future_events_only)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 1, EV_ADD, ALL), 0);
	mount_on(one);
	ck_assert_int_eq(fs(kq, 2, EV_ADD, ALL), 0);
	expect(kq, 1, VQ_MOUNT);
	no_event(kq);
	unmount(one);
	ck_assert_int_eq(fs(kq, 1, EV_DELETE, 0), 0);
	expect(kq, 2, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

/* Several threads wait: none makes two events of one change. */
START_TEST(fs__several_waiters)
{
	struct waiter w[4];
	int kq, i, round;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 4; i++)
			waiter_start(&w[i], kq, 10000);
		for (i = 0; i < 4; i++) {
			if (i % 2 == 0)
				mount_on(one);
			else
				unmount(one);
			nap(3);
		}
		/* Those that have slept on. */
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
		for (i = 0; i < 4; i++) {
			waiter_join(&w[i]);
			ck_assert_int_eq(w[i].count, 1);
		}
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
		while (collect(kq, &w[0].event, 1, 0) > 0)
			continue;
	}
	close(kq);
}
END_TEST

/* A queue stays in the name space where it began, until its last registration goes. */
START_TEST(fs__name_space_of_the_first)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	if (unshare(CLONE_NEWNS) == -1) {
		close(kq);
		return;
	}
	no_event(kq);
	mount_on(one);
	no_event(kq);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	no_event(kq);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

/* Somebody else's mounts, in the same name space. */
START_TEST(fs__mounted_by_another_process_forked_child)
{
	int kq, status, own;
	pid_t pid;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (fs(kq, 0, EV_ADD, ALL) != EBADF || (own = kqueue()) == -1 ||
		    fs(own, 0, EV_ADD, ALL) != 0)
			_exit(1);
		mount_on(one);
		expect(own, 0, VQ_MOUNT);
		_exit(0);
	}
	expect(kq, 0, VQ_MOUNT);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

START_TEST(fs__ordinary_user)
{
	int kq, status, go[2];
	pid_t pid;

	if (getuid() != 0 || !begin())
		return;		/* then every other test was one */
	pair(PAIR_UNIX, go);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (setgid(NOBODY) == -1 || setuid(NOBODY) == -1)
			_exit(1);
		kq = queue();
		ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
		put(go[1], 1);
		expect(kq, 0, VQ_MOUNT);
		_exit(0);
	}
	get(go[0], 1);
	mount_on(one);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	unmount(one);
	close_pair(go);
}
END_TEST

START_TEST(fs__without_proc_it_is_not_supported)
{
	int kq, status;
	pid_t pid;

	if (!begin())
		return;
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		kq = kqueue();
		if (unshare(CLONE_NEWNS) == -1 || umount2("/proc", MNT_DETACH) == -1)
			_exit(251);
		_exit(fs(kq, 0, EV_ADD, ALL) == ENOTSUP ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 251)
		fprintf(stderr, "skipped: /proc cannot be taken away\n");
	else
		ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* Takes every number at which the library has a descriptor of its own. */
static void
take_numbers(bool take)
{
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	static bool taken[8192];
	char path[64], target[64];

	for (int fd = 256; fd < 8192; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (take && !taken[fd] && readlink(path, target, sizeof(target)) > 0) {
			ck_assert_int_eq(dup3(file, fd, O_CLOEXEC), fd);
			taken[fd] = true;
		} else if (!take && taken[fd]) {
			ck_assert_int_eq(close(fd), 0);
		}
	}
	close(file);
}

START_TEST(fs__moved_descriptors)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	take_numbers(true);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	/* Disabled, an event may show once, but not stay. */
	ck_assert_int_eq(fs(kq, 0, EV_DISABLE, 0), 0);
	unmount(one);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	expect(kq, 0, VQ_UNMOUNT);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	unmount(one);
	take_numbers(false);
	close(kq);
}
END_TEST

/* The kernel's table of descriptors is full: an error, and nothing is left behind. */
START_TEST(fs__no_more_descriptors)
{
	int kq = queue(), fds[2], before;

	before = open_descriptors();
	ok(pipe(fds));
	for (int room = 0; room < 2; room++) {
		struct kevent kev;
		int error = 0;
		pid_t pid = fork();

		ck_assert_int_ne(pid, -1);
		if (pid == 0) {
			int fill[1100], n = 0, own = kqueue();

			close(fds[0]);
			while (n < 1100 && (fill[n] = dup(fds[1])) != -1)
				n++;
			if (n == 1100)
				_exit(251);
			if (room == 1)
				close(fill[n - 1]);
			EV_SET(&kev, 0, EVFILT_FS, EV_ADD, ALL, 0, NULL);
			if (kevent(own, &kev, 1, NULL, 0, NULL) != -1 || errno != EMFILE)
				_exit(1);
			while (n > 0)
				close(fill[--n]);
			if (kevent(own, &kev, 1, NULL, 0, NULL) != 0)
				_exit(2);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &error, 0), pid);
		ck_assert(error == 0 || (WIFEXITED(error) && WEXITSTATUS(error) == 251));
	}
	close_pair(fds);
	ck_assert_int_eq(open_descriptors(), before);
	close(kq);
}
END_TEST

HARNESS_MAIN("fs",
    fs__mount_and_unmount,
    fs__a_waiter_wakes,
    fs__only_what_was_asked,
    fs__several_changes_in_one_event,
    fs__between_two_looks,
    fs__remounting_is_no_event,
    fs__bind_and_move,
    fs__odd_names,
    fs__thousands,
    fs__disabled,
    fs__dispatch_and_oneshot,
    fs__future_events_only,
    fs__several_waiters,
    fs__name_space_of_the_first,
    fs__mounted_by_another_process_forked_child,
    fs__ordinary_user,
    fs__without_proc_it_is_not_supported,
    fs__moved_descriptors,
    fs__no_more_descriptors)
