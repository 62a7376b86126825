/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_VNODE: which notes come for which kind of file, as the table in kq(7)
 * says, each when it is all that is asked for; and by which calls a file's
 * content may change.
 */
#include "vnode.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)
#define GROWS	(NOTE_WRITE | NOTE_EXTEND)
#define SHRINKS	(NOTE_WRITE | NOTE_TRUNCATE | NOTE_ATTRIB)

static int kq, fd;
static char path[100], path2[100];

static void
begin(void)
{
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	snprintf(path2, sizeof(path2), "%s/other", scratch_dir());
	kq = queue();
	fd = -1;
}

static void
watch(unsigned int notes)
{
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, notes, 0, NULL),
	    0);
}

static unsigned int
told(void)
{
	return told_of(kq, fd);
}

/* Kinds of files: how each is made, and opened. */

static void
open_it(int flags)
{
	fd = open(path, flags | O_CLOEXEC, 0644);
	ok(fd);
}

static bool
make_regular(void)
{
	open_it(O_RDWR | O_CREAT | O_EXCL);
	put(fd, 10);
	return true;
}

static bool
make_directory(void)
{
	ok(mkdir(path, 0755));
	open_it(O_RDONLY | O_DIRECTORY);
	return true;
}

static bool
make_fifo(void)
{
	ok(mkfifo(path, 0644));
	open_it(O_RDWR | O_NONBLOCK);
	return true;
}

static bool
make_symlink(void)
{
	ok(symlink("nowhere", path));
	open_it(O_EVTONLY | O_NOFOLLOW);
	return true;
}

static bool
make_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	ok(s);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ok(bind(s, (struct sockaddr *)&address, sizeof(address)));
	close(s);
	open_it(O_EVTONLY);
	return true;
}

/* That of /dev/full, which can be read. */
static bool
make_device(void)
{
	if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) == -1 || (fd = open(path, O_RDWR)) == -1) {
		fprintf(stderr, "skipped: devices: %s\n", strerror(errno));
		return false;
	}
	return true;
}

/* Everything that can be done with a file; what a kind of file refuses is of no interest. */
static unsigned int
do_everything(void)
{
	char buffer[1024], entry[160];
	unsigned int notes;
	int other;

	if ((other = open(path, O_RDWR | O_NONBLOCK)) != -1) {
		(void)!write(other, "x", 1);
		(void)!pwrite(other, "x", 1, 100);
	}
	notes = told();		/* else what grows and shrinks does neither */
	if (other != -1) {
		(void)!read(other, buffer, 1);
		(void)!ftruncate(other, 1);
		close(other);
	}
	if ((other = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)) != -1) {
		syscall(SYS_getdents64, other, buffer, sizeof(buffer));
		close(other);
	}
	(void)!readlink(path, buffer, sizeof(buffer));
	snprintf(entry, sizeof(entry), "%s/entry", path);
	if (mkdir(entry, 0755) == 0)
		rmdir(entry);
	ok(utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW));
	notes |= told();	/* nor have its times changed when it has gone */
	if (link(path, path2) == 0)
		ok(unlink(path2));
	ok(rename(path, path2));
	if (unlink(path2) == -1)
		ok(rmdir(path2));
	return notes;
}

static const struct kind {
	const char	*name;
	bool		(*make)(void);
	unsigned int	notes;	/* but NOTE_REVOKE: see vnode_unmount.c */
} kinds[] = {
	{ "a file", make_regular, ALL & ~(unsigned)NOTE_REVOKE },
	{ "a directory", make_directory, NOTE_DELETE | NOTE_WRITE | NOTE_ATTRIB | NOTE_LINK |
	    NOTE_RENAME | NOTE_OPEN | NOTE_CLOSE | NOTE_READ },
	{ "a FIFO", make_fifo, NOTE_DELETE | NOTE_WRITE | NOTE_ATTRIB | NOTE_LINK |
	    NOTE_RENAME | NOTE_OPEN | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ },
	{ "a device", make_device, NOTE_DELETE | NOTE_WRITE | NOTE_ATTRIB | NOTE_LINK |
	    NOTE_RENAME | NOTE_OPEN | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ },
	{ "a symlink", make_symlink, NOTE_DELETE | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME },
	{ "a socket's name", make_socket, NOTE_DELETE | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME },
};

/* What is told of everything if notes are asked for; ALL + 1: this kind cannot be made. */
static unsigned int
notes_of(const struct kind *kind, unsigned int notes)
{
	unsigned int all, some;

	if (!kind->make())
		return ALL + 1;
	watch(notes);
	all = do_everything();
	while ((some = told()) != 0)
		all |= some;
	close(fd);
	return all;
}

START_TEST(vnode_notes__each_kind_tells_what_the_manual_says)
{
	begin();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		unsigned int notes = notes_of(&kinds[i], ALL);

		if (notes == ALL + 1)
			continue;
		ck_assert_msg(notes == kinds[i].notes, "%s: told %#x where %#x was expected",
		    kinds[i].name, notes, kinds[i].notes);
		for (unsigned int note = 1; note <= ALL; note <<= 1) {
			unsigned int expected = kinds[i].notes & note;

			if ((note & ALL) == 0)
				continue;
			if (note == NOTE_WRITE || note == NOTE_EXTEND)
				expected = expected == 0 ? 0 : kinds[i].notes & GROWS;
			notes = notes_of(&kinds[i], note);
			ck_assert_msg(notes == expected, "%s, asked for %#x: told %#x",
			    kinds[i].name, note, notes);
		}
	}
	close(kq);
}
END_TEST

/* Ways to change a file's content, of 10 bytes. */

static int from, pipes[2];	/* from: another file, of 26 bytes */

static loff_t *
at(loff_t offset)
{
	static loff_t offsets[2];
	static unsigned next;
	loff_t *place = &offsets[next++ % 2];

	*place = offset;
	return place;
}

static struct iovec *
bytes(void)
{
	static char text[3];
	static struct iovec io = { text, sizeof(text) };

	return &io;
}

static void
seek_to(off_t offset)
{
	ok(lseek(fd, offset, SEEK_SET));
	ok(lseek(from, 0, SEEK_SET));
}

static long copy_inside(void) { return copy_file_range(from, at(0), fd, at(2), 5, 0); }
static long copy_beyond(void) { return copy_file_range(from, at(0), fd, at(8), 5, 0); }
static long copy_out(void) { return copy_file_range(fd, at(0), from, at(0), 5, 0); }
static long send_inside(void) { seek_to(0); return sendfile(fd, from, NULL, 5); }
static long send_beyond(void) { seek_to(8); return sendfile(fd, from, NULL, 5); }
static long send_out(void) { seek_to(0); return sendfile(from, fd, NULL, 5); }
static long splice_out(void) { return splice(fd, at(0), pipes[1], NULL, 3, 0); }
static long write_vector(void) { return pwritev(fd, bytes(), 1, 0); }
static long write_vector_beyond(void) { return pwritev(fd, bytes(), 1, 9); }
static long read_vector(void) { return preadv(fd, bytes(), 1, 0); }
static long read_at_end(void) { char c; return pread(fd, &c, 1, 1000); }
static long keep_size(void) { return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5000); }
static long allocate(void) { return fallocate(fd, 0, 0, 5000); }
static long zero(void) { return fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 5); }
static long synchronize(void) { return fsync(fd); }
static long same_size(void) { return ftruncate(fd, 10); }
static long punch(void) { return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5); }
static long remove_attribute(void) { return fremovexattr(fd, "user.before"); }

static long
splice_inside(void)
{
	put(pipes[1], 3);
	return splice(pipes[0], NULL, fd, at(0), 3, 0);
}

static long
splice_beyond(void)
{
	put(pipes[1], 3);
	return splice(pipes[0], NULL, fd, at(9), 3, 0);
}

static long
look_at_attribute(void)
{
	char value[8];

	return fgetxattr(fd, "user.before", value, sizeof(value));
}

static long
store(void)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	memory[0] = 'z';
	ok(msync(memory, 4096, MS_SYNC));
	return munmap(memory, 4096);
}

/* It shrank meanwhile, but is larger in the end. */
static long
rewrite_larger(void)
{
	int other = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	ok(other);
	put(other, 20);
	return close(other);
}

static long
rewrite_smaller(void)
{
	int other = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	ok(other);
	put(other, 5);
	return close(other);
}

/* As large as before: nothing but its content has changed. */
static long
rewrite_same(void)
{
	ok(ftruncate(fd, 0));
	return pwrite(fd, "0123456789", 10, 0);
}

static const struct way {
	const char	*name;
	long		(*act)(void);
	unsigned int	notes;
} ways[] = {
	{ "copy_file_range into it", copy_inside, NOTE_WRITE },
	{ "copy_file_range beyond it", copy_beyond, GROWS },
	{ "copy_file_range from it", copy_out, NOTE_READ },
	{ "sendfile into it", send_inside, NOTE_WRITE },
	{ "sendfile beyond it", send_beyond, GROWS },
	{ "sendfile from it", send_out, NOTE_READ },
	{ "splice into it", splice_inside, NOTE_WRITE },
	{ "splice beyond it", splice_beyond, GROWS },
	{ "splice from it", splice_out, NOTE_READ },
	{ "pwritev into it", write_vector, NOTE_WRITE },
	{ "pwritev beyond it", write_vector_beyond, GROWS },
	{ "preadv", read_vector, NOTE_READ },
	{ "pread beyond it", read_at_end, 0 },
	{ "fallocate that keeps the size", keep_size, NOTE_WRITE },
	{ "fallocate that grows it", allocate, GROWS },
	{ "fallocate of zeros", zero, NOTE_WRITE },
	{ "fallocate of a hole", punch, NOTE_WRITE },
	{ "ftruncate to the same size", same_size, NOTE_WRITE },
	{ "a store through mmap", store, 0 },
	{ "fsync", synchronize, 0 },
	{ "fgetxattr", look_at_attribute, 0 },
	{ "fremovexattr", remove_attribute, NOTE_ATTRIB },
	{ "O_TRUNC and a larger content", rewrite_larger, GROWS | NOTE_OPEN | NOTE_CLOSE_WRITE },
	{ "O_TRUNC and a smaller content", rewrite_smaller,
	    SHRINKS | NOTE_OPEN | NOTE_CLOSE_WRITE },
	{ "ftruncate and the same size again", rewrite_same, NOTE_WRITE },
};

/* Linux 6.1 tells nobody of it, Linux 6.12 does. */
static bool
splice_is_told(void)
{
	int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char news[256];
	bool told;

	ck_assert_int_ge(in, 0);
	ck_assert_int_ge(inotify_add_watch(in, path, IN_ACCESS), 0);
	ck_assert_int_ge(splice_out(), 0);
	told = read(in, news, sizeof(news)) > 0;
	close(in);
	return told;
}

START_TEST(vnode_notes__each_way_to_change_a_file)
{
	begin();
	ok(from = open(path2, O_RDWR | O_CREAT, 0644));
	ok(pipe(pipes));
	for (const struct way *w = ways; w < ways + sizeof(ways) / sizeof(ways[0]); w++) {
		unsigned int notes;

		put(from, 26);
		make_regular();
		(void)fsetxattr(fd, "user.before", "1", 1, 0);
		if (w->act == splice_out && !splice_is_told()) {
			fprintf(stderr, "skipped: %s: this kernel tells nobody\n", w->name);
			close(fd);
			ok(unlink(path));
			continue;
		}
		watch(ALL);
		/* Not every file system can do everything. */
		if (w->act() == -1) {
			ck_assert_msg(errno == EOPNOTSUPP || errno == ENODATA || errno == EXDEV ||
			    errno == ENOSYS || errno == EINVAL, "%s: %s", w->name, strerror(errno));
			fprintf(stderr, "skipped: %s: %s\n", w->name, strerror(errno));
		} else {
			notes = told();
			ck_assert_msg(notes == w->notes, "%s: told %#x where %#x was expected",
			    w->name, notes, w->notes);
			ck_assert_msg(told() == 0, "%s: told again", w->name);
		}
		close(fd);
		ok(unlink(path));
	}
	close(pipes[0]);
	close(pipes[1]);
	close(from);
	close(kq);
}
END_TEST

/* Two files exchange their names: both are renamed, none is removed. */
START_TEST(vnode_notes__exchange_of_names)
{
	int other;

	begin();
	make_regular();
	ok(other = open(path2, O_RDWR | O_CREAT, 0644));
	watch(ALL);
	if (syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, path2, 2 /* RENAME_EXCHANGE */) == 0) {
		ck_assert_uint_eq(told(), NOTE_RENAME);
		ok(unlink(path));
		ck_assert_uint_eq(told(), 0);
		ok(unlink(path2));
		ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	} else {
		fprintf(stderr, "skipped: renameat2: %s\n", strerror(errno));
	}
	close(other);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(vnode_notes__file_that_gets_its_first_name)
{
	char name[64];

	begin();
	fd = open(scratch_dir(), O_TMPFILE | O_RDWR, 0600);
	if (fd == -1) {
		fprintf(stderr, "skipped: O_TMPFILE: %s\n", strerror(errno));
		close(kq);
		return;
	}
	watch(ALL);
	put(fd, 1);
	ck_assert_uint_eq(told(), GROWS);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ok(linkat(AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
	ck_assert_uint_eq(told(), NOTE_LINK);
	ok(fchmod(fd, 0611));
	ck_assert_uint_eq(told(), NOTE_ATTRIB);
	ok(unlink(path));
	ck_assert_uint_eq(told(), NOTE_DELETE | NOTE_LINK);
	close(fd);
	close(kq);
}
END_TEST

/* A change of names is looked into again: what that look finds is not told a second time as something else. */
START_TEST(vnode_notes__look_that_finds_a_link_before_it_is_told)
{
	begin();
	for (int i = 0; i < 10; i++) {
		open_it(O_RDWR | O_CREAT);
		watch(NOTE_DELETE | NOTE_WRITE | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME);
		ok(rename(path, path2));
		ck_assert_uint_eq(told(), NOTE_RENAME);
		no_event(kq);
		ck_assert(readable(kq, 10000));		/* the look is due */
		ok(link(path2, path));
		ck_assert_uint_eq(told(), NOTE_LINK);
		no_event(kq);
		close(fd);
		ok(unlink(path));
	}
	close(kq);
}
END_TEST

HARNESS_MAIN("vnode_notes",
	vnode_notes__each_kind_tells_what_the_manual_says,
	vnode_notes__each_way_to_change_a_file,
	vnode_notes__exchange_of_names,
	vnode_notes__file_that_gets_its_first_name,
	vnode_notes__look_that_finds_a_link_before_it_is_told)
