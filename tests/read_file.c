/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_READ on regular files: data is what lies between the offset and the
 * end; silent at the end, and awake again when the file grows.
 */
#define _FILE_OFFSET_BITS 64
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int kq, file, writer;	/* two open files: one is watched, one writes at the end */
static char path[128];

static void
begin(size_t size, unsigned int flags, unsigned int fflags)
{
	kq = queue();
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(writer = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600), 0);
	if (size > 0)
		put(writer, size);
	ck_assert_int_ge(file = open(path, O_RDONLY), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, (unsigned short)(EV_ADD | flags), fflags, 0, NULL), 0);
}

static void
end(void)
{
	close(file);
	close(writer);
	close(kq);
}

static struct kevent
read_event(void)
{
	return event_of(kq, (uintptr_t)file, EVFILT_READ);
}

static void
seek(off_t offset)
{
	ck_assert_int_eq(lseek(file, offset, SEEK_SET), offset);
}

static void
check_asleep(void)
{
	struct kevent event;
	int64_t used = cpu_ns();

	ck_assert_int_eq(collect(kq, &event, 1, 300), 0);
	ck_assert_int_lt(cpu_ns() - used, 150000000);
	ck_assert(!readable(kq, 0));
}

START_TEST(read_file__data_is_what_lies_before_the_end)
{
	begin(100, 0, 0);
	struct kevent event = read_event();
	ck_assert_int_eq(event.data, 100);
	ck_assert_uint_eq(event.flags, 0);
	ck_assert_uint_eq(event.fflags, 0);
	get(file, 30);
	ck_assert_int_eq(read_event().data, 70);
	ck_assert_int_eq(read_event().data, 70);
	seek(99);
	ck_assert_int_eq(read_event().data, 1);
	end();
}
END_TEST

START_TEST(read_file__queue_is_readable_while_there_is_data)
{
	begin(10, 0, 0);
	ck_assert(readable(kq, 1000));
	read_event();
	ck_assert(readable(kq, 1000));
	seek(10);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	end();
}
END_TEST

START_TEST(read_file__silent_at_its_end)
{
	begin(10, 0, 0);
	read_event();
	get(file, 10);
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

START_TEST(read_file__empty_file_is_silent)
{
	begin(0, 0, 0);
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

START_TEST(read_file__fires_when_it_grows)
{
	begin(10, 0, 0);
	seek(10);
	no_event(kq);
	for (int i = 1; i < 5; i++) {
		put(writer, (size_t)i);
		ck_assert(readable(kq, 10000));
		ck_assert_int_eq(read_event().data, i);
		get(file, (size_t)i);
		no_event(kq);
	}
	end();
}
END_TEST

START_TEST(read_file__growth_wakes_a_waiting_thread)
{
	struct waiter w;

	begin(10, 0, 0);
	seek(10);
	for (int i = 0; i < 3; i++) {
		waiter_start(&w, kq, -1);
		put(writer, 7);
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_int_eq(w.event.data, 7);
		get(file, 7);
	}
	end();
}
END_TEST

START_TEST(read_file__growth_by_truncate)
{
	begin(0, 0, 0);
	no_event(kq);
	ck_assert_int_eq(ftruncate(writer, 1000), 0);
	ck_assert_int_eq(read_event().data, 1000);
	end();
}
END_TEST

START_TEST(read_file__growth_by_the_watched_descriptor)
{
	kq = queue();
	snprintf(path, sizeof(path), "%s/own", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	put(file, 10);			/* the offset is at the end again */
	no_event(kq);
	ck_assert_int_eq(pwrite(file, "more", 4, 10), 4);
	ck_assert_int_eq(read_event().data, 4);
	close(file);
	close(kq);
}
END_TEST

START_TEST(read_file__seek_back_fires_at_the_next_call)
{
	begin(10, 0, 0);
	seek(10);
	no_event(kq);
	seek(4);
	ck_assert_int_eq(read_event().data, 6);
	seek(10);
	no_event(kq);
	seek(0);
	ck_assert_int_eq(read_event().data, 10);
	end();
}
END_TEST

/* Another descriptor that shares the offset moves it. */
START_TEST(read_file__seek_by_a_duplicate_fires_at_the_next_call)
{
	begin(10, 0, 0);
	seek(10);
	no_event(kq);
	int copy = dup(file);
	ck_assert_int_eq(lseek(copy, 3, SEEK_SET), 3);
	ck_assert_int_eq(read_event().data, 7);
	close(copy);
	end();
}
END_TEST

START_TEST(read_file__offset_beyond_the_end_is_negative)
{
	begin(10, 0, 0);
	seek(25);
	ck_assert_int_eq(read_event().data, -15);
	seek(10);
	no_event(kq);
	end();
}
END_TEST

START_TEST(read_file__truncated_to_the_offset_is_silent)
{
	begin(10, 0, 0);
	seek(5);
	ck_assert_int_eq(read_event().data, 5);
	ck_assert_int_eq(ftruncate(writer, 5), 0);
	no_event(kq);
	put(writer, 2);
	ck_assert_int_eq(read_event().data, 2);
	end();
}
END_TEST

START_TEST(read_file__clear_fires_once_and_when_it_grows)
{
	begin(10, EV_CLEAR, 0);
	ck_assert_int_eq(read_event().data, 10);
	no_event(kq);
	check_asleep();
	put(writer, 5);			/* the old bytes are still unread */
	ck_assert_int_eq(read_event().data, 15);
	no_event(kq);
	get(file, 15);
	no_event(kq);
	put(writer, 1);
	ck_assert_int_eq(read_event().data, 1);
	no_event(kq);
	end();
}
END_TEST

/* However much was left when it was looked at last. */
START_TEST(read_file__clear_fires_for_what_comes_after_all_was_read)
{
	begin(10, EV_CLEAR, 0);
	ck_assert_int_eq(read_event().data, 10);
	get(file, 10);
	put(writer, 1);
	ck_assert_int_eq(read_event().data, 1);
	no_event(kq);
	end();
}
END_TEST

START_TEST(read_file__clear_fires_for_a_file_that_was_cut_and_grew_again)
{
	begin(10, EV_CLEAR, 0);
	ck_assert_int_eq(read_event().data, 10);
	ck_assert_int_eq(ftruncate(writer, 0), 0);
	put(writer, 1);
	ck_assert_int_ge(read_event().data, 1);
	end();
}
END_TEST

START_TEST(read_file__clear_fires_after_seeking_back_from_the_end)
{
	begin(10, EV_CLEAR, 0);
	get(file, 10);
	no_event(kq);
	seek(0);
	ck_assert_int_eq(read_event().data, 10);
	no_event(kq);
	end();
}
END_TEST

START_TEST(read_file__oneshot_and_dispatch)
{
	begin(10, EV_ONESHOT, 0);
	read_event();
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, NULL), 0);
	read_event();
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	read_event();
	seek(10);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	no_event(kq);
	put(writer, 1);
	read_event();
	no_event(kq);
	end();
}
END_TEST

START_TEST(read_file__disabled_sleeps_and_keeps_recording)
{
	begin(10, EV_DISABLE, 0);
	check_asleep();
	seek(10);
	put(writer, 3);
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(read_event().data, 3);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_DISABLE, 0, 0, NULL), 0);
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

START_TEST(read_file__file_poll_is_always_ready)
{
	begin(10, 0, NOTE_FILE_POLL);
	ck_assert_int_eq(read_event().data, 10);
	seek(10);
	for (int i = 0; i < 3; i++) {
		ck_assert(readable(kq, 1000));
		struct kevent event = read_event();
		ck_assert_int_eq(event.data, 0);
		ck_assert_uint_eq(event.flags, 0);
	}
	end();
}
END_TEST

START_TEST(read_file__unlinked_file_goes_on)
{
	begin(10, 0, 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(read_event().data, 10);
	seek(10);
	no_event(kq);
	put(writer, 6);
	ck_assert_int_eq(read_event().data, 6);
	end();
}
END_TEST

START_TEST(read_file__file_unlinked_before_the_registration)
{
	begin(10, 0, 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(read_event().data, 10);
	seek(10);
	no_event(kq);
	put(writer, 6);
	ck_assert(readable(kq, 10000));
	ck_assert_int_eq(read_event().data, 6);
	end();
}
END_TEST

START_TEST(read_file__renamed_file_goes_on)
{
	char other[160];

	begin(10, 0, 0);
	seek(10);
	snprintf(other, sizeof(other), "%s.renamed", path);
	ck_assert_int_eq(rename(path, other), 0);
	no_event(kq);
	put(writer, 6);
	ck_assert_int_eq(read_event().data, 6);
	end();
}
END_TEST

START_TEST(read_file__more_than_two_gigabytes)
{
	const off_t size = (off_t)5 << 30;

	begin(0, 0, 0);
	ck_assert_int_eq(ftruncate(writer, size), 0);
	ck_assert_int_eq(read_event().data, size);
	seek(1);
	ck_assert_int_eq(read_event().data, size - 1);
	seek(((off_t)3 << 30) + 7);
	ck_assert_int_eq(read_event().data, ((intmax_t)2 << 30) - 7);
	seek(size - 1);
	ck_assert_int_eq(read_event().data, 1);
	seek(size);
	no_event(kq);
	seek(size + ((off_t)3 << 30));
	ck_assert_int_eq(read_event().data, -((intmax_t)3 << 30));
	seek(0);
	for (int shift = 31; shift < 34; shift++)	/* the sizes at which a count might wrap to 0 */
		for (int off = -1; off <= 1; off++) {
			ck_assert_int_eq(ftruncate(writer, ((off_t)1 << shift) + off), 0);
			ck_assert_int_eq(read_event().data, ((intmax_t)1 << shift) + off);
		}
	end();
}
END_TEST

START_TEST(read_file__watching_leaves_the_offset_alone)
{
	begin(100, 0, 0);
	seek(42);
	for (int i = 0; i < 3; i++)
		read_event();
	ck_assert_int_eq(lseek(file, 0, SEEK_CUR), 42);
	ck_assert_int_eq(ftruncate(writer, (off_t)3 << 30), 0);
	for (int i = 0; i < 3; i++)
		read_event();
	ck_assert_int_eq(lseek(file, 0, SEEK_CUR), 42);
	end();
}
END_TEST

START_TEST(read_file__descriptors_of_one_file_have_their_own_offsets)
{
	struct kevent events[4];
	int other;

	begin(10, 0, 0);
	ck_assert_int_ge(other = open(path, O_RDONLY), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)other, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	seek(10);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 1);
	ck_assert_uint_eq(events[0].ident, (uintptr_t)other);
	ck_assert_int_eq(events[0].data, 10);
	ck_assert_int_eq(lseek(other, 10, SEEK_SET), 10);
	no_event(kq);
	put(writer, 2);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 2);
	close(other);
	get(file, 2);
	no_event(kq);
	put(writer, 2);
	read_event();
	end();
}
END_TEST

START_TEST(read_file__two_queues_watch_one_file)
{
	int other;

	begin(10, 0, 0);
	other = queue();
	seek(10);
	ck_assert_int_eq(change(other, (uintptr_t)file, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	no_event(kq);
	no_event(other);
	put(writer, 2);
	ck_assert_int_eq(read_event().data, 2);
	ck_assert_int_eq(event_of(other, (uintptr_t)file, EVFILT_READ).data, 2);
	no_event(other);
	close(other);
	read_event();
	end();
}
END_TEST

START_TEST(read_file__read_beside_vnode)
{
	struct kevent events[4];

	begin(10, 0, 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, NULL), 0);
	seek(10);
	no_event(kq);
	put(writer, 3);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 1);
	ck_assert_int_eq(events[0].filter, EVFILT_READ);
	get(file, 3);
	ck_assert_int_eq(fchmod(writer, 0640), 0);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 1);
	ck_assert_int_eq(events[0].filter, EVFILT_VNODE);
	ck_assert_uint_eq(events[0].fflags, NOTE_ATTRIB);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_VNODE, EV_DELETE, 0, 0, NULL), 0);
	put(writer, 3);
	ck_assert_int_eq(read_event().data, 3);
	end();
}
END_TEST

START_TEST(read_file__deleted_registration_is_silent)
{
	begin(10, 0, 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	put(writer, 3);
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

HARNESS_MAIN("read_file",
    read_file__data_is_what_lies_before_the_end,
    read_file__queue_is_readable_while_there_is_data,
    read_file__silent_at_its_end,
    read_file__empty_file_is_silent,
    read_file__fires_when_it_grows,
    read_file__growth_wakes_a_waiting_thread,
    read_file__growth_by_truncate,
    read_file__growth_by_the_watched_descriptor,
    read_file__seek_back_fires_at_the_next_call,
    read_file__seek_by_a_duplicate_fires_at_the_next_call,
    read_file__offset_beyond_the_end_is_negative,
    read_file__truncated_to_the_offset_is_silent,
    read_file__clear_fires_once_and_when_it_grows,
    read_file__clear_fires_for_what_comes_after_all_was_read,
    read_file__clear_fires_for_a_file_that_was_cut_and_grew_again,
    read_file__clear_fires_after_seeking_back_from_the_end,
    read_file__oneshot_and_dispatch,
    read_file__disabled_sleeps_and_keeps_recording,
    read_file__file_poll_is_always_ready,
    read_file__unlinked_file_goes_on,
    read_file__file_unlinked_before_the_registration,
    read_file__renamed_file_goes_on,
    read_file__more_than_two_gigabytes,
    read_file__watching_leaves_the_offset_alone,
    read_file__descriptors_of_one_file_have_their_own_offsets,
    read_file__two_queues_watch_one_file,
    read_file__read_beside_vnode,
    read_file__deleted_registration_is_silent)
