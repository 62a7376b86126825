/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_VNODE while other threads do something to the file, or wait: what happens is told, once, and wakes. */
#include "vnode_file.h"

#include <sys/stat.h>
#include <unistd.h>

START_TEST(vnode_threads__write_of_another_thread_wakes_a_waiter)
{
	struct waiter w;

	begin();
	watch(EV_CLEAR, NOTE_WRITE);
	waiter_start(&w, kq, -1);
	put(fd, 1);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, (uintptr_t)fd);
	ck_assert_uint_eq(w.event.fflags, NOTE_WRITE | NOTE_EXTEND);
	end();
}
END_TEST

/* What wakes the queue but is not asked for must not end the wait, nor make it spin. */
START_TEST(vnode_threads__what_is_not_asked_for_wakes_nobody)
{
	struct waiter w;
	int64_t used;

	begin();
	watch(EV_CLEAR, NOTE_EXTEND | NOTE_ATTRIB);
	waiter_start(&w, kq, 300);
	ok((int)pwrite(fd, "y", 1, 0));
	used = cpu_ns();
	waiter_join(&w);
	ck_assert_int_eq(w.count, 0);
	ck_assert_int_lt(cpu_ns() - used, 100000000);
	ck_assert(!readable(kq, 0));
	end();
}
END_TEST

#define WRITES	20000

static void *
write_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < WRITES; i++)
		put(fd, 1);
	return NULL;
}

/* If the last write were lost, the last wait would never end. */
START_TEST(vnode_threads__no_write_is_lost)
{
	struct stat st = { .st_size = 0 };
	pthread_t writer;

	begin();
	watch(EV_CLEAR, NOTE_WRITE);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_many, NULL), 0);
	while (st.st_size < SIZE + WRITES) {
		ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags & NOTE_WRITE,
		    NOTE_WRITE);
		ok(fstat(fd, &st));
	}
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	end();
}
END_TEST

static void *
remove_slowly(void *arg)
{
	(void)arg;
	ok(fchmod(fd, 0600));
	ok(link(path, path2));
	ok(unlink(path));
	return NULL;
}

/* Linux tells of what is linked and unlinked by one event or by two. */
START_TEST(vnode_threads__no_removal_is_lost)
{
	begin();
	for (int i = 0; i < 500; i++) {
		pthread_t remover;

		renew();
		watch(EV_CLEAR, NOTE_DELETE);
		ck_assert_int_eq(pthread_create(&remover, NULL, remove_slowly, NULL), 0);
		ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_DELETE);
		ck_assert_int_eq(pthread_join(remover, NULL), 0);
		ck_assert_uint_eq(told(), 0);
	}
	end();
}
END_TEST

static void *
remove_one_name(void *arg)
{
	(void)arg;
	ok(unlink(path));
	return NULL;
}

/* While unlink() is under way the count has fallen but the name is still there. */
START_TEST(vnode_threads__removal_is_told_once)
{
	unsigned int notes;

	begin();
	for (int i = 0; i < 2000; i++) {
		pthread_t remover;

		renew();
		ok(link(path, path2));
		watch(EV_CLEAR, NOTE_DELETE);
		ck_assert_int_eq(pthread_create(&remover, NULL, remove_one_name, NULL), 0);
		while ((notes = told()) == 0)
			;
		ck_assert_uint_eq(notes, NOTE_DELETE);
		ck_assert_int_eq(pthread_join(remover, NULL), 0);
		ok(fchmod(fd, 0600));
		ck_assert_uint_eq(told(), 0);
	}
	end();
}
END_TEST

HARNESS_MAIN("vnode_threads",
	vnode_threads__write_of_another_thread_wakes_a_waiter,
	vnode_threads__what_is_not_asked_for_wakes_nobody,
	vnode_threads__no_write_is_lost,
	vnode_threads__no_removal_is_lost,
	vnode_threads__removal_is_told_once)
