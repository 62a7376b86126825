/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_VNODE on a directory: its entries, itself, and what it must not tell. */
#include "vnode.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)

/*
 * In the scratch directory top:
 *	dir/file dir/other dir/sub/ dir/sub2/ out/ out/file out/sub/
 * fd is dir, and names are relative to top.
 */
static int kq, top, fd;

static void
make_dir(const char *name)
{
	ok(mkdirat(top, name, 0755));
}

static void
make_file(const char *name)
{
	int file = openat(top, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ok(file);
	put(file, 10);
	close(file);
}

static void
move(const char *from, const char *to)
{
	ok(renameat(top, from, top, to));
}

static int
open_dir(const char *name)
{
	int dir = openat(top, name, O_RDONLY | O_DIRECTORY);

	ok(dir);
	return dir;
}

/* Another tree takes the place of the one before. */
static void
renew(void)
{
	static int count;
	char name[16];
	int scratch = open(scratch_dir(), O_RDONLY | O_DIRECTORY);

	close(fd);
	close(top);
	snprintf(name, sizeof(name), "%d", count++);
	ok(scratch);
	ok(mkdirat(scratch, name, 0755));
	ok(top = openat(scratch, name, O_RDONLY | O_DIRECTORY));
	close(scratch);
	make_dir("dir");
	make_file("dir/file");
	make_file("dir/other");
	make_dir("dir/sub");
	make_dir("dir/sub2");
	make_dir("out");
	make_file("out/file");
	make_dir("out/sub");
	fd = open_dir("dir");
}

static void
begin(void)
{
	fd = top = -1;
	renew();
	kq = queue();
}

static void
end(void)
{
	close(kq);
	close(fd);
	close(top);
}

static void
watch(int dir, unsigned int notes)
{
	ck_assert_int_eq(change(kq, (uintptr_t)dir, EVFILT_VNODE, EV_ADD | EV_CLEAR, notes, 0, NULL),
	    0);
}

/* What is told now, and of which descriptor; 0: nothing. */
static unsigned int
told(int *dir)
{
	struct kevent event;

	if (collect(kq, &event, 1, 0) == 0)
		return 0;
	ck_assert_int_eq(event.filter, EVFILT_VNODE);
	ck_assert_int_eq(event.data, 0);
	*dir = (int)event.ident;
	return event.fflags;
}

static void
open_and_close(const char *name, int flags)
{
	int file = openat(top, name, flags);

	ok(file);
	close(file);
}

static void create(void) { make_file("dir/new"); }
static void create_dir(void) { make_dir("dir/new"); }
static void create_fifo(void) { ok(mkfifoat(top, "dir/new", 0644)); }
static void create_symlink(void) { ok(symlinkat("nowhere", top, "dir/new")); }
static void create_link(void) { ok(linkat(top, "out/file", top, "dir/new", 0)); }
static void remove_file(void) { ok(unlinkat(top, "dir/file", 0)); }
static void remove_dir(void) { ok(unlinkat(top, "dir/sub", AT_REMOVEDIR)); }
static void rename_file(void) { move("dir/file", "dir/new"); }
static void rename_dir(void) { move("dir/sub", "dir/new"); }
static void replace_file(void) { move("dir/file", "dir/other"); }
static void replace_dir(void) { move("dir/sub", "dir/sub2"); }
static void file_in(void) { move("out/file", "dir/new"); }
static void file_out(void) { move("dir/file", "out/new"); }
static void dir_in(void) { move("out/sub", "dir/new"); }
static void dir_out(void) { move("dir/sub", "out/new"); }
static void change_mode(void) { ok(fchmod(fd, 0700)); }
static void change_mode_by_name(void) { ok(fchmodat(top, "dir", 0700, 0)); }
static void touch(void) { ok(utimensat(top, "dir", NULL, 0)); }
static void rename_it(void) { move("dir", "renamed"); }
static void rename_away(void) { move("dir", "out/dir"); }
static void open_it(void) { open_and_close("dir", O_RDONLY); }

static void
remove_it(void)
{
	ok(unlinkat(top, "dir/file", 0));
	ok(unlinkat(top, "dir/other", 0));
	ok(unlinkat(top, "dir/sub", AT_REMOVEDIR));
	ok(unlinkat(top, "dir/sub2", AT_REMOVEDIR));
	ok(unlinkat(top, "dir", AT_REMOVEDIR));
}

static void
read_it(void)
{
	char buffer[1024];

	ok((int)syscall(SYS_getdents64, fd, buffer, sizeof(buffer)));
}

static const struct action {
	const char	*name;
	void		(*act)(void);
	unsigned int	notes;
} actions[] = {
	{ "a new file", create, NOTE_WRITE },
	{ "a new directory", create_dir, NOTE_WRITE | NOTE_LINK },
	{ "a new FIFO", create_fifo, NOTE_WRITE },
	{ "a new symlink", create_symlink, NOTE_WRITE },
	{ "a new link", create_link, NOTE_WRITE },
	{ "unlink in it", remove_file, NOTE_WRITE },
	{ "rmdir in it", remove_dir, NOTE_WRITE | NOTE_LINK },
	{ "rename of a file in it", rename_file, NOTE_WRITE },
	{ "rename of a directory in it", rename_dir, NOTE_WRITE },
	{ "rename over a file in it", replace_file, NOTE_WRITE },
	{ "rename over a directory in it", replace_dir, NOTE_WRITE | NOTE_LINK },
	{ "rename of a file into it", file_in, NOTE_WRITE },
	{ "rename of a file out of it", file_out, NOTE_WRITE },
	{ "rename of a directory into it", dir_in, NOTE_WRITE | NOTE_LINK },
	{ "rename of a directory out of it", dir_out, NOTE_WRITE | NOTE_LINK },
	{ "fchmod", change_mode, NOTE_ATTRIB },
	{ "chmod", change_mode_by_name, NOTE_ATTRIB },
	{ "utimensat", touch, NOTE_ATTRIB },
	{ "rename of itself", rename_it, NOTE_RENAME },
	{ "rename of itself to elsewhere", rename_away, NOTE_RENAME },
	{ "emptying and rmdir of itself", remove_it, NOTE_WRITE | NOTE_LINK | NOTE_DELETE },
	{ "open and close", open_it, NOTE_OPEN | NOTE_CLOSE },
	{ "getdents", read_it, NOTE_READ },
};
#define ACTIONS	(sizeof(actions) / sizeof(actions[0]))

/* A directory that goes while another takes its name shows in the link count only. */
static unsigned int
expected(const struct action *a)
{
	struct stat st;

	ok(fstat(top, &st));
	return a->act == replace_dir && st.st_nlink < 2 ? a->notes & ~(unsigned)NOTE_LINK : a->notes;
}

START_TEST(vnode_dir__each_operation_is_told_as_what_it_is)
{
	begin();
	for (const struct action *a = actions; a < actions + ACTIONS; a++) {
		unsigned int notes;

		renew();
		watch(fd, ALL);
		a->act();
		notes = told_of(kq, fd);
		ck_assert_msg(notes == expected(a), "%s: told %#x where %#x was expected",
		    a->name, notes, expected(a));
		ck_assert_msg(told_of(kq, fd) == 0, "%s: told again", a->name);
	}
	end();
}
END_TEST

START_TEST(vnode_dir__only_what_was_asked_for_is_told)
{
	begin();
	for (const struct action *a = actions; a < actions + ACTIONS; a++)
		for (unsigned int note = 1; note <= ALL; note <<= 1) {
			unsigned int notes;

			if ((note & ALL) == 0)
				continue;
			renew();
			watch(fd, note);
			a->act();
			notes = told_of(kq, fd);
			ck_assert_msg(notes == (expected(a) & note),
			    "%s, asked for %#x: told %#x where %#x was expected",
			    a->name, note, notes, expected(a) & note);
		}
	end();
}
END_TEST

START_TEST(vnode_dir__what_happens_in_a_file_is_no_event)
{
	int file;

	begin();
	ok(file = openat(top, "dir/file", O_RDWR));
	watch(fd, ALL);
	get(file, 1);
	put(file, 20);
	ok(ftruncate(file, 1));
	ok(fchmod(file, 0600));
	ok(futimens(file, NULL));
	ok(fchmodat(top, "dir/sub", 0700, 0));
	open_and_close("dir/file", O_RDONLY);
	open_and_close("dir/file", O_WRONLY | O_TRUNC);
	open_and_close("dir/sub", O_RDONLY);
	close(file);
	ck_assert_uint_eq(told_of(kq, fd), 0);
	ck_assert(!readable(kq, 0));
	end();
}
END_TEST

START_TEST(vnode_dir__what_happens_in_a_subdirectory_is_no_event)
{
	begin();
	watch(fd, ALL);
	make_file("dir/sub/file");
	make_dir("dir/sub/sub");
	move("dir/sub/file", "dir/sub/file2");
	move("dir/sub/file2", "out/new");
	ok(unlinkat(top, "dir/sub/sub", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, fd), 0);
	end();
}
END_TEST

START_TEST(vnode_dir__what_happens_beside_it_is_no_event)
{
	begin();
	watch(fd, ALL);
	make_dir("dir2");
	make_file("new");
	ok(unlinkat(top, "new", 0));
	ok(unlinkat(top, "dir2", AT_REMOVEDIR));
	ok(unlinkat(top, "out/sub", AT_REMOVEDIR));
	ok(fchmod(top, 0700));
	ck_assert_uint_eq(told_of(kq, fd), 0);
	end();
}
END_TEST

START_TEST(vnode_dir__open_directory_that_is_removed_is_told_at_once)
{
	begin();
	remove_it();
	make_dir("dir");
	close(fd);
	fd = open_dir("dir");
	watch(fd, NOTE_DELETE);
	ok(unlinkat(top, "dir", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_DELETE);
	/* Its name may come again, but it is another directory then. */
	make_dir("dir");
	ok(unlinkat(top, "dir", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, fd), 0);
	end();
}
END_TEST

START_TEST(vnode_dir__directory_replaced_by_rename_is_told)
{
	int sub2, sub;

	begin();
	sub2 = open_dir("dir/sub2");
	sub = open_dir("dir/sub");
	watch(sub2, ALL);
	watch(sub, ALL);
	replace_dir();
	for (int i = 0, which = -1; i < 2; i++) {
		unsigned int notes = told(&which);

		if (which == sub2)
			ck_assert_uint_eq(notes & ~NOTE_LINK, NOTE_DELETE);
		else
			ck_assert_uint_eq(notes, NOTE_RENAME);
	}
	close(sub);
	close(sub2);
	end();
}
END_TEST

START_TEST(vnode_dir__moved_directory_goes_on_telling)
{
	begin();
	watch(fd, ALL);
	rename_away();
	ck_assert_uint_eq(told_of(kq, fd), NOTE_RENAME);
	make_file("out/dir/new");
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE);
	make_dir("out/dir/newdir");
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE | NOTE_LINK);
	ok(fchmodat(top, "out/dir", 0700, 0));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_ATTRIB);
	move("out/dir", "dir");
	ck_assert_uint_eq(told_of(kq, fd), NOTE_RENAME);
	end();
}
END_TEST

/* Its removal is told by the directory above, which is another one after a move. */
START_TEST(vnode_dir__moved_directory_that_is_removed_is_told_at_once)
{
	for (int looked = 0; looked < 2; looked++) {
		int sub;

		begin();
		sub = open_dir("dir/sub");
		watch(sub, NOTE_DELETE);
		remove_file();
		move("dir/sub", "out/sub2");
		if (looked != 0)
			ck_assert_uint_eq(told_of(kq, sub), 0);
		ok(unlinkat(top, "dir/sub2", AT_REMOVEDIR));
		ck_assert_uint_eq(told_of(kq, sub), 0);
		move("out/sub2", "sub3");
		move("sub3", "out/sub4");
		if (looked != 0)
			ck_assert_uint_eq(told_of(kq, sub), 0);
		ok(unlinkat(top, "out/sub4", AT_REMOVEDIR));
		ck_assert_uint_eq(told_of(kq, sub), NOTE_DELETE);
		close(sub);
		end();
	}
}
END_TEST

START_TEST(vnode_dir__directory_below_a_moved_one_is_told)
{
	int sub;

	begin();
	sub = open_dir("dir/sub");
	watch(sub, ALL);
	rename_away();
	ck_assert_uint_eq(told_of(kq, sub), 0);
	make_file("out/dir/sub/new");
	ck_assert_uint_eq(told_of(kq, sub), NOTE_WRITE);
	ok(unlinkat(top, "out/dir/sub/new", 0));
	ok(unlinkat(top, "out/dir/sub", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, sub), NOTE_WRITE | NOTE_DELETE | NOTE_LINK);
	close(sub);
	end();
}
END_TEST

/* Both are told through one watch of Linux's, by different rules. */
START_TEST(vnode_dir__parent_and_child_are_each_told_their_own)
{
	unsigned int notes[2] = { 0, 0 };
	int sub, which = -1;

	begin();
	sub = open_dir("dir/sub");
	watch(sub, ALL);
	watch(fd, ALL);
	create();
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE);
	ok(unlinkat(top, "dir/sub2", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE | NOTE_LINK);
	remove_dir();
	for (int i = 0; i < 2; i++) {
		unsigned int some = told(&which);

		notes[which == sub] |= some;
	}
	ck_assert_uint_eq(notes[0], NOTE_WRITE | NOTE_LINK);
	ck_assert_uint_eq(notes[1], NOTE_DELETE | NOTE_LINK);
	close(sub);
	end();
}
END_TEST

START_TEST(vnode_dir__child_is_told_when_the_parent_is_watched_no_more)
{
	int sub, other;

	begin();
	sub = open_dir("dir/sub");
	other = open_dir("dir/sub2");
	watch(sub, NOTE_DELETE);
	watch(fd, ALL);
	watch(other, NOTE_DELETE);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_DELETE, 0, 0, NULL), 0);
	open_and_close("dir/file", O_RDONLY);
	create();
	no_event(kq);
	remove_dir();
	ck_assert_uint_eq(told_of(kq, sub), NOTE_DELETE);
	close(sub);
	ok(unlinkat(top, "dir/sub2", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, other), NOTE_DELETE);
	close(other);
	end();
}
END_TEST

START_TEST(vnode_dir__parent_is_told_when_the_child_is_watched_no_more)
{
	int sub;

	begin();
	sub = open_dir("dir/sub");
	watch(sub, NOTE_DELETE);
	watch(fd, NOTE_WRITE);
	close(sub);
	remove_dir();
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE);
	create();
	ck_assert_uint_eq(told_of(kq, fd), NOTE_WRITE);
	end();
}
END_TEST

START_TEST(vnode_dir__update_to_delete_is_told_of_rmdir)
{
	int sub;

	begin();
	sub = open_dir("dir/sub");
	watch(sub, NOTE_WRITE);
	watch(sub, NOTE_DELETE);
	remove_dir();
	ck_assert_uint_eq(told_of(kq, sub), NOTE_DELETE);
	close(sub);
	sub = open_dir("dir/sub2");
	watch(sub, NOTE_DELETE);
	watch(sub, NOTE_WRITE);
	ok(unlinkat(top, "dir/sub2", AT_REMOVEDIR));
	ck_assert_uint_eq(told_of(kq, sub), 0);
	close(sub);
	end();
}
END_TEST

START_TEST(vnode_dir__removed_before_it_was_asked_for_is_not_told)
{
	int sub;

	begin();
	sub = open_dir("dir/sub");
	watch(sub, NOTE_ATTRIB);
	remove_dir();
	watch(sub, NOTE_ATTRIB | NOTE_DELETE | NOTE_LINK);
	ok(fchmod(sub, 0700));
	ck_assert_uint_eq(told_of(kq, sub), NOTE_ATTRIB);
	close(sub);
	end();
}
END_TEST

START_TEST(vnode_dir__subdirectories_that_came_before_it_was_asked_for_are_not_told)
{
	begin();
	watch(fd, NOTE_DELETE);
	create_dir();
	watch(fd, NOTE_DELETE | NOTE_LINK);
	replace_file();
	ck_assert_uint_eq(told_of(kq, fd), 0);
	dir_out();
	ck_assert_uint_eq(told_of(kq, fd), NOTE_LINK);
	end();
}
END_TEST

START_TEST(vnode_dir__root_can_be_watched)
{
	int root;

	begin();
	ok(root = open("/", O_RDONLY | O_DIRECTORY));
	ck_assert_int_eq(change(kq, (uintptr_t)root, EVFILT_VNODE, EV_ADD | EV_CLEAR,
	    NOTE_DELETE | NOTE_LINK | NOTE_RENAME, 0, NULL), 0);
	ck_assert_uint_eq(told_of(kq, root), 0);
	close(root);
	end();
}
END_TEST

#define MANY	500

START_TEST(vnode_dir__many_directories_removed_at_once_are_each_told_once)
{
	static int subs[MANY];
	static bool seen[MANY];
	struct kevent events[MANY];
	char name[32];
	int count;

	begin();
	make_dir("many");
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		make_dir(name);
		subs[i] = open_dir(name);
		watch(subs[i], NOTE_DELETE);
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		ok(unlinkat(top, name, AT_REMOVEDIR));
	}
	count = collect(kq, events, MANY, 0);
	ck_assert_int_eq(count, MANY);
	for (int i = 0; i < count; i++) {
		int which = 0;

		while (subs[which] != (int)events[i].ident)
			which++;
		ck_assert(!seen[which]);
		seen[which] = true;
		ck_assert_uint_eq(events[i].fflags, NOTE_DELETE);
	}
	no_event(kq);
	for (int i = 0; i < MANY; i++)
		close(subs[i]);
	end();
}
END_TEST

HARNESS_MAIN("vnode_dir",
	vnode_dir__each_operation_is_told_as_what_it_is,
	vnode_dir__only_what_was_asked_for_is_told,
	vnode_dir__what_happens_in_a_file_is_no_event,
	vnode_dir__what_happens_in_a_subdirectory_is_no_event,
	vnode_dir__what_happens_beside_it_is_no_event,
	vnode_dir__open_directory_that_is_removed_is_told_at_once,
	vnode_dir__directory_replaced_by_rename_is_told,
	vnode_dir__moved_directory_goes_on_telling,
	vnode_dir__moved_directory_that_is_removed_is_told_at_once,
	vnode_dir__directory_below_a_moved_one_is_told,
	vnode_dir__parent_and_child_are_each_told_their_own,
	vnode_dir__child_is_told_when_the_parent_is_watched_no_more,
	vnode_dir__parent_is_told_when_the_child_is_watched_no_more,
	vnode_dir__update_to_delete_is_told_of_rmdir,
	vnode_dir__removed_before_it_was_asked_for_is_not_told,
	vnode_dir__subdirectories_that_came_before_it_was_asked_for_are_not_told,
	vnode_dir__root_can_be_watched,
	vnode_dir__many_directories_removed_at_once_are_each_told_once)
