/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_VNODE on a regular file: what each operation is told as, what it is
 * not told as, and how what happened adds up.  Directories are in vnode_dir.c,
 * other kinds of files and descriptors in vnode_kinds.c, the life of a
 * registration in vnode_life.c, other threads in vnode_threads.c.
 */
#include "vnode_file.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)

static void
touch_other(void)
{
	int other = open(path2, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ok(other);
	close(other);
}

static void
open_and_close(int flags)
{
	int other = open(path, flags);

	ok(other);
	close(other);
}

static void grow(void) { put(fd, 1); }
static void overwrite(void) { ok((int)pwrite(fd, "y", 1, 0)); }
static void write_nothing(void) { ok((int)pwrite(fd, "y", 0, 0)); }
static void truncate_shorter(void) { ok(ftruncate(fd, SIZE / 2)); }
static void truncate_longer(void) { ok(ftruncate(fd, SIZE * 2)); }
static void truncate_by_name(void) { ok(truncate(path, 0)); }
static void allocate(void) { ck_assert_int_eq(posix_fallocate(fd, 0, SIZE * 2), 0); }
static void change_mode(void) { ok(fchmod(fd, 0600)); }
static void change_mode_by_name(void) { ok(chmod(path, 0600)); }
static void same_mode(void) { ok(fchmod(fd, 0644)); }
static void change_owner(void) { ok(fchown(fd, getuid(), getgid())); }
static void touch(void) { ok(utimensat(AT_FDCWD, path, NULL, 0)); }
static void make_link(void) { ok(link(path, path2)); }
static void remove_name(void) { ok(unlink(path)); }
static void rename_it(void) { ok(rename(path, path2)); }
static void rename_to_itself(void) { ok(rename(path, path)); }
static void look_at_it(void) { struct stat st; ok(stat(path, &st)); ok(access(path, R_OK)); }
static void seek(void) { ok((int)lseek(fd, 3, SEEK_SET)); }
static void lock_it(void) { ok(flock(fd, LOCK_EX)); ok(flock(fd, LOCK_UN)); }
static void open_to_read(void) { open_and_close(O_RDONLY); }
static void open_to_write(void) { open_and_close(O_WRONLY); }
static void open_both_ways(void) { open_and_close(O_RDWR); }
static void open_truncating(void) { open_and_close(O_WRONLY | O_TRUNC); }

static void
set_times(void)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };

	ok(futimens(fd, times));
}

static void
set_attribute(void)
{
	/* Not every file system has attributes; then another change will do. */
	if (fsetxattr(fd, "user.kq", "1", 1, 0) == -1)
		change_mode();
}

static void
read_it(void)
{
	char c;

	ck_assert_int_eq(pread(fd, &c, 1, 0), 1);
}

static void
link_and_remove(void)
{
	make_link();
	ok(unlink(path2));
}

/* Another name comes, and the one that was opened goes: as many as before. */
static void
link_and_remove_first(void)
{
	make_link();
	remove_name();
}

static void
replace_it(void)
{
	touch_other();
	ok(rename(path2, path));
}

static void
replace_other(void)
{
	touch_other();
	rename_it();
}

static const struct action {
	const char	*name;
	void		(*act)(void);
	unsigned int	notes;		/* what is told, if all is asked for ... */
	unsigned int	maybe;		/* ... and what may be told, too */
} actions[] = {
	{ "a write that grows it", grow, NOTE_WRITE | NOTE_EXTEND, 0 },
	{ "a write inside it", overwrite, NOTE_WRITE, 0 },
	{ "a write of nothing", write_nothing, 0, 0 },
	{ "ftruncate, shorter", truncate_shorter, NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB, 0 },
	{ "ftruncate, longer", truncate_longer, NOTE_WRITE | NOTE_EXTEND, 0 },
	{ "truncate by name", truncate_by_name, NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB, 0 },
	{ "posix_fallocate", allocate, NOTE_WRITE | NOTE_EXTEND, 0 },
	{ "fchmod", change_mode, NOTE_ATTRIB, 0 },
	{ "chmod", change_mode_by_name, NOTE_ATTRIB, 0 },
	{ "fchmod to the same mode", same_mode, NOTE_ATTRIB, 0 },
	{ "fchown", change_owner, NOTE_ATTRIB, 0 },
	{ "utimensat to now", touch, NOTE_ATTRIB, 0 },
	{ "futimens", set_times, NOTE_ATTRIB, 0 },
	{ "fsetxattr", set_attribute, NOTE_ATTRIB, 0 },
	{ "link", make_link, NOTE_LINK, 0 },
	{ "unlink", remove_name, NOTE_DELETE | NOTE_LINK, 0 },
	{ "link and unlink of the new name", link_and_remove, 0, ALL },
	{ "link and unlink of the old name", link_and_remove_first,
	    NOTE_DELETE | NOTE_LINK, 0 },
	{ "rename", rename_it, NOTE_RENAME, 0 },
	{ "rename to itself", rename_to_itself, 0, 0 },
	{ "rename over another", replace_other, NOTE_RENAME, 0 },
	{ "being replaced by rename", replace_it, NOTE_DELETE, NOTE_LINK },
	{ "stat and access", look_at_it, 0, 0 },
	{ "lseek", seek, 0, 0 },
	{ "flock", lock_it, 0, 0 },
	{ "read", read_it, NOTE_READ, 0 },
	{ "open and close, read only", open_to_read, NOTE_OPEN | NOTE_CLOSE, 0 },
	{ "open and close, write only", open_to_write, NOTE_OPEN | NOTE_CLOSE_WRITE, 0 },
	{ "open and close, read and write", open_both_ways, NOTE_OPEN | NOTE_CLOSE_WRITE, 0 },
	{ "open with O_TRUNC and close", open_truncating, NOTE_OPEN | NOTE_WRITE |
	    NOTE_TRUNCATE | NOTE_ATTRIB | NOTE_CLOSE_WRITE, 0 },
};
#define ACTIONS	(sizeof(actions) / sizeof(actions[0]))

START_TEST(vnode__each_operation_is_told_as_what_it_is)
{
	begin();
	for (const struct action *a = actions; a < actions + ACTIONS; a++) {
		unsigned int notes;

		renew();
		watch(EV_CLEAR, ALL);
		ck_assert_msg(told() == 0, "%s: told of before it happened", a->name);
		a->act();
		notes = told();
		ck_assert_msg((notes & ~a->maybe) == a->notes, "%s: told %#x where %#x was expected",
		    a->name, notes, a->notes);
		ck_assert_msg(told() == 0, "%s: told again", a->name);
	}
	end();
}
END_TEST

/* A growing write is told as WRITE|EXTEND if either was asked for. */
static unsigned int
expected(const struct action *a, unsigned int note)
{
	if ((a->notes & NOTE_EXTEND) != 0 && (note & (NOTE_WRITE | NOTE_EXTEND)) != 0)
		return NOTE_WRITE | NOTE_EXTEND;
	return a->notes & note;
}

START_TEST(vnode__only_what_was_asked_for_is_told)
{
	begin();
	for (const struct action *a = actions; a < actions + ACTIONS; a++)
		for (unsigned int note = 1; note <= ALL; note <<= 1) {
			unsigned int notes;

			if ((note & ALL) == 0 || (note & a->maybe) != 0)
				continue;
			renew();
			watch(EV_CLEAR, note);
			a->act();
			notes = told();
			ck_assert_msg(notes == expected(a, note),
			    "%s, asked for %#x: told %#x where %#x was expected",
			    a->name, note, notes, expected(a, note));
		}
	end();
}
END_TEST

START_TEST(vnode__nothing_asked_for_is_never_told)
{
	begin();
	watch(EV_CLEAR, 0);
	grow();
	change_mode();
	remove_name();
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	end();
}
END_TEST

START_TEST(vnode__what_was_before_is_not_told)
{
	begin();
	change_mode();
	make_link();
	remove_name();
	watch(EV_CLEAR, ALL);
	ck_assert_uint_eq(told(), 0);
	end();
}
END_TEST

START_TEST(vnode__several_operations_add_up)
{
	begin();
	watch(EV_CLEAR, ALL);
	grow();
	change_mode();
	rename_it();
	ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_RENAME);
	ck_assert_uint_eq(told(), 0);
	end();
}
END_TEST

/* chmod and unlink give one event of Linux's between them. */
START_TEST(vnode__change_of_mode_before_unlink_is_told)
{
	begin();
	watch(EV_CLEAR, ALL);
	change_mode();
	remove_name();
	ck_assert_uint_eq(told(), NOTE_ATTRIB | NOTE_DELETE | NOTE_LINK);
	end();
}
END_TEST

START_TEST(vnode__each_write_is_told_anew)
{
	begin();
	watch(EV_CLEAR, ALL);
	for (int i = 0; i < 10; i++) {
		grow();
		ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_EXTEND);
		overwrite();
		ck_assert_uint_eq(told(), NOTE_WRITE);
	}
	truncate_shorter();
	ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB);
	/* Its size now is what the next change is measured by. */
	ok((int)pwrite(fd, "zz", 2, SIZE / 2 - 1));
	ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_EXTEND);
	end();
}
END_TEST

START_TEST(vnode__level_triggered_is_told_again_and_again)
{
	begin();
	watch(0, NOTE_WRITE | NOTE_ATTRIB);
	overwrite();
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(told(), NOTE_WRITE);
	change_mode();
	for (int i = 0; i < 10 && told() == NOTE_WRITE; i++)
		;
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_ATTRIB);
	ck_assert(readable(kq, 0));
	end();
}
END_TEST

START_TEST(vnode__returned_flags_are_those_given)
{
	struct kevent event;
	int mark;

	begin();
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 77,
	    &mark), 0);
	grow();
	event = event_of(kq, (uintptr_t)fd, EVFILT_VNODE);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_uint_eq(event.fflags, NOTE_WRITE | NOTE_EXTEND);
	ck_assert_int_eq(event.data, 0);
	ck_assert_ptr_eq(event.udata, &mark);
	end();
}
END_TEST

START_TEST(vnode__file_without_a_name_goes_on_telling)
{
	begin();
	watch(EV_CLEAR, ALL);
	remove_name();
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	grow();
	ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_EXTEND);
	change_mode();
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	truncate_shorter();
	ck_assert_uint_eq(told(), NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB);
	end();
}
END_TEST

START_TEST(vnode__renamed_file_goes_on_telling)
{
	begin();
	watch(EV_CLEAR, ALL);
	rename_it();
	ck_assert_uint_eq(told(), NOTE_RENAME);
	ok(chmod(path2, 0600));
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	ok(rename(path2, path));
	ck_assert_uint_eq(told(), NOTE_RENAME);
	remove_name();
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	end();
}
END_TEST

START_TEST(vnode__unlink_of_any_name_is_told)
{
	begin();
	make_link();
	watch(EV_CLEAR, NOTE_DELETE | NOTE_LINK | NOTE_ATTRIB);
	ok(unlink(path2));
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	make_link();
	ck_assert_uint_eq(told(), NOTE_LINK);
	remove_name();
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	ok(chmod(path2, 0600));
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	ok(unlink(path2));
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	end();
}
END_TEST

/* The name " (deleted)" is how Linux says that a name has gone. */
START_TEST(vnode__strange_name_is_not_a_deleted_one)
{
	char strange[160];

	begin();
	snprintf(strange, sizeof(strange), "%s (deleted)", path);
	ok(rename(path, strange));
	close(fd);
	ok(fd = open(strange, O_RDWR));
	watch(EV_CLEAR, ALL);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	ok(unlink(strange));
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	end();
}
END_TEST

/*
 * Linux reports a new modification time alone as a write; if no write could
 * have left that time, it is told as what it is, too.
 */
START_TEST(vnode__modification_time_alone_is_an_attribute)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 2000 } };

	begin();
	watch(EV_CLEAR, NOTE_ATTRIB);
	ok(futimens(fd, times));
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	overwrite();
	ck_assert_uint_eq(told(), 0);
	times[1].tv_sec = INT32_MAX;
	ok(futimens(fd, times));
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	end();
}
END_TEST

START_TEST(vnode__queue_is_readable_while_there_is_something_to_tell)
{
	begin();
	watch(EV_CLEAR, NOTE_WRITE);
	ck_assert(!readable(kq, 0));
	overwrite();
	ck_assert(readable(kq, 0));
	ck_assert_uint_eq(told(), NOTE_WRITE);
	ck_assert(!readable(kq, 0));
	end();
}
END_TEST

HARNESS_MAIN("vnode",
	vnode__each_operation_is_told_as_what_it_is,
	vnode__only_what_was_asked_for_is_told,
	vnode__nothing_asked_for_is_never_told,
	vnode__what_was_before_is_not_told,
	vnode__several_operations_add_up,
	vnode__change_of_mode_before_unlink_is_told,
	vnode__each_write_is_told_anew,
	vnode__level_triggered_is_told_again_and_again,
	vnode__returned_flags_are_those_given,
	vnode__file_without_a_name_goes_on_telling,
	vnode__renamed_file_goes_on_telling,
	vnode__unlink_of_any_name_is_told,
	vnode__strange_name_is_not_a_deleted_one,
	vnode__modification_time_alone_is_an_attribute,
	vnode__queue_is_readable_while_there_is_something_to_tell)
