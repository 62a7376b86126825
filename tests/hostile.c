/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What no program should pass, and some do: idents of every size, filters that
 * there are not, bits without a name, arrays of any length, numbers that are
 * the library's own.  Each is answered as the contract says, and whoever
 * behaves is served as if nothing had been.
 */
#include "harness.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MILLION = 1000000 };

/* Two that behave. */
static int fds[2];

static int
begin(void)
{
	int kq = queue();

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	return kq;
}

static void
still_works(int kq)
{
	no_event(kq);
	put(fds[1], 1);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 1);
	get(fds[0], 1);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	no_event(kq);
	ck_assert(!readable(kq, 0));
}

static void
end(int kq)
{
	still_works(kq);
	close_pair(fds);
	ck_assert_int_eq(close(kq), 0);
}

/* Every errno that kevent(2) names for a change. */
static bool
named(int error)
{
	static const int errors[] = {
		0, EBADF, ENOENT, EINVAL, ESRCH, EACCES, EPERM, ENOTSUP, EINPROGRESS, ENOMEM, ENOSPC, EMFILE, ENFILE,
		ENOSYS, /* EVFILT_LIBKQUEUE, as libkqueue says */
		ENXIO, /* EVFILT_NETDEV, as FreeBSD says */
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (error == errors[i])
			return true;
	return false;
}

static const uintptr_t idents[] = {
	0, 1, 63, 64, 65, 255, 256, 1023, 1024, 4095, 65535, 65536, 1u << 20, (1u << 20) + 1, 1u << 28, 1u << 30,
	INT_MAX - 1, INT_MAX, (uintptr_t)INT_MAX + 1, UINT_MAX - 1, UINT_MAX, (uintptr_t)UINT_MAX + 1,
	UINTPTR_MAX / 2, UINTPTR_MAX / 2 + 1, UINTPTR_MAX - 4095, UINTPTR_MAX - 1, UINTPTR_MAX,
};
#define IDENTS	(sizeof(idents) / sizeof(idents[0]))

/* Whether a filter is named in the header. */
static bool
exists(int filter)
{
	static const int filters[] = {
		EVFILT_READ, EVFILT_WRITE, EVFILT_VNODE, EVFILT_PROC, EVFILT_SIGNAL, EVFILT_TIMER, EVFILT_USER,
		EVFILT_LIBKQUEUE, EVFILT_EMPTY, EVFILT_EXCEPT,
#ifdef EVFILT_AIO
		EVFILT_AIO,
#endif
#ifdef EVFILT_LIO
		EVFILT_LIO,
#endif
#ifdef EVFILT_PROCDESC
		EVFILT_PROCDESC,
#endif
#ifdef EVFILT_FS
		EVFILT_FS,
#endif
#ifdef EVFILT_NETDEV
		EVFILT_NETDEV,
#endif
#ifdef EVFILT_MEMORYSTATUS
		EVFILT_MEMORYSTATUS,
#endif
	};

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (filter == filters[i])
			return true;
	return false;
}

START_TEST(hostile__every_ident_and_filter_has_a_named_answer)
{
	static const unsigned short flags[] = {
		EV_DELETE, EV_ENABLE, EV_DISABLE, 0, EV_FORCEONESHOT, EV_KEEPUDATA, EV_DISPATCH2, EV_DISPATCH2 | EV_DELETE,
		EV_ADD | EV_DISABLE, EV_DELETE, EV_ADD | EV_DISPATCH2 | EV_VANISHED | EV_DISABLE, EV_DISPATCH2 | EV_DELETE,
		EV_DISPATCH2 | EV_ENABLE | EV_DELETE,
	};
	int kq = begin(), other = queue();

	for (int filter = -40; filter <= 10; filter++)
		for (size_t i = 0; i < IDENTS; i++)
			for (size_t j = 0; j < sizeof(flags) / sizeof(flags[0]); j++) {
				int error = change(other, idents[i], (short)filter, flags[j], 0, 0, NULL);

				if (!exists(filter))
					ck_assert_msg(error == EINVAL, "filter %d, flags %#x: %d", filter, flags[j], error);
				ck_assert_msg(named(error), "filter %d, ident %ju, flags %#x: %s", filter,
				    (uintmax_t)idents[i], flags[j], strerror(error));
			}
	no_event(other);
	ck_assert(!readable(other, 0));
	ck_assert_int_eq(close(other), 0);
	end(kq);
}
END_TEST

/* Delivered or not, each is gone when it is deleted. */
START_TEST(hostile__every_ident_can_be_added_and_deleted)
{
	static const short filters[] = { EVFILT_USER, EVFILT_TIMER };
	int kq = begin();
	struct kevent event;

	for (int f = 0; f < 2; f++)
		for (size_t i = 0; i < IDENTS; i++) {
			bool user = filters[f] == EVFILT_USER;

			if (user && idents[i] == 1)
				continue;	/* of begin() */
			ck_assert_int_eq(change(kq, idents[i], filters[f], EV_ADD | (user ? 0 : EV_ONESHOT),
			    user ? NOTE_TRIGGER : 0, 0, NULL), 0);
			event = event_of(kq, idents[i], filters[f]);
			ck_assert_ptr_eq((void *)event.ident, (void *)idents[i]);
			ck_assert_int_eq(change(kq, idents[i], filters[f], EV_DELETE, 0, 0, NULL), user ? 0 : ENOENT);
		}
	end(kq);
}
END_TEST

/* A bit of flags that has no name is as if it were not there, and does not come back. */
START_TEST(hostile__unnamed_flags_are_ignored)
{
	int kq = begin();
	struct kevent given, event;

	for (unsigned bit = 0; bit < 16; bit++) {
		if (((EV_SYSFLAGS >> bit) & 1) == 0)
			continue;
		EV_SET(&given, 7, EVFILT_USER, EV_ADD | EV_CLEAR | 1u << bit, NOTE_TRIGGER | 5, 6, fds);
		ck_assert_int_eq(kevent(kq, &given, 1, NULL, 0, NULL), 0);
		event = event_of(kq, 7, EVFILT_USER);
		ck_assert_uint_eq(event.flags, EV_CLEAR);
		ck_assert_uint_eq(event.fflags, 5);
		ck_assert_int_eq(event.data, 6);
		ck_assert_int_eq(change(kq, 7, EVFILT_USER, (unsigned short)(EV_DELETE | 1u << bit), 0, 0, NULL), 0);
		EV_SET(&given, 8, EVFILT_USER, EV_ENABLE | 1u << bit, 0, 0, NULL);
		ck_assert_int_eq(kevent(kq, &given, 1, &event, 1, NULL), 1);
		ck_assert_uint_eq(event.flags, EV_ENABLE | EV_ERROR);
		ck_assert_int_eq(event.data, ENOENT);
	}
	end(kq);
}
END_TEST

/* One registration with a note that its filter has no name for: accepted, and of no effect. */
static void
unnamed_note(uintptr_t ident, short filter, unsigned int note)
{
	static const short levels[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_EMPTY };
	int kq = queue(), error = change(kq, ident, filter, EV_ADD, note, INT64_MAX, NULL);
	struct kevent event;
	bool ready = false;

	ck_assert_msg(error == 0, "filter %d, note %#x: %s", filter, note, strerror(error));
	for (int i = 0; i < 3; i++)
		ready = ready || filter == levels[i];
	if (ready) {
		event = event_of(kq, ident, filter);
		ck_assert_msg(event.fflags == 0, "filter %d, note %#x came back", filter, note);
	} else {
		no_event(kq);
	}
	ck_assert_int_eq(change(kq, ident, filter, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(close(kq), 0);
}

START_TEST(hostile__unnamed_notes_are_ignored_but_in_timers)
{
	static const unsigned int timer = NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS |
	    NOTE_ABSTIME | NOTE_ABSOLUTE | NOTE_LEEWAY | NOTE_CRITICAL | NOTE_BACKGROUND;
	static const unsigned int vnode = NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME |
	    NOTE_REVOKE | NOTE_TRUNCATE | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ | NOTE_OPEN;
	int kq = begin(), tcp[2], dir;

	pair(PAIR_TCP, tcp);
	ck_assert_int_ge(dir = open(scratch_dir(), O_RDONLY), 0);
	pass(tcp[1], tcp[0], 1);
	for (unsigned int bit = 1; bit != 0; bit <<= 1) {
		if ((bit & (NOTE_LOWAT | NOTE_FILE_POLL | NOTE_NOCOUNT)) == 0) {
			unnamed_note((uintptr_t)tcp[0], EVFILT_READ, bit);
			unnamed_note((uintptr_t)tcp[0], EVFILT_WRITE, bit);
			unnamed_note((uintptr_t)tcp[0], EVFILT_EMPTY, bit);
			if (bit != NOTE_OOB)
				unnamed_note((uintptr_t)tcp[0], EVFILT_EXCEPT, bit);
		}
		if ((bit & vnode) == 0)
			unnamed_note((uintptr_t)dir, EVFILT_VNODE, bit);
		/* macOS keeps data in the lower ones; those of 0xf0000000 all have a name on some system. */
		if ((bit & (NOTE_PCTRLMASK | NOTE_EXITSTATUS | 7)) == 0)
			unnamed_note((uintptr_t)getppid(), EVFILT_PROC, bit);
		unnamed_note(SIGUSR1, EVFILT_SIGNAL, bit);
		if ((bit & ~(NOTE_FFLAGSMASK | NOTE_FFCTRLMASK | NOTE_TRIGGER)) != 0)
			unnamed_note(9, EVFILT_USER, bit);
		if ((bit & timer) == 0)
			ck_assert_msg(change(kq, 9, EVFILT_TIMER, EV_ADD, bit, 1, NULL) == EINVAL, "timer, %#x", bit);
	}
	close(dir);
	close_pair(tcp);
	end(kq);
}
END_TEST

/* As many changes as anybody will ever make at once, a failing one among every hundred. */
START_TEST(hostile__a_million_changes_with_errors_in_one_array)
{
	struct kevent *all = calloc(MILLION, sizeof(*all));
	struct timespec zero = { 0, 0 };
	int kq = begin(), errors = 0;

	ck_assert_ptr_nonnull(all);
	for (int i = 0; i < MILLION; i++)
		EV_SET(&all[i], 2 + (uintptr_t)i % 1000, EVFILT_USER, (unsigned short)(i % 100 == 99 ? EV_ADD | EV_KEEPUDATA :
		    EV_ADD | EV_CLEAR), 0, i, (char *)all + i);
	/* The entries overwrite changes that were made. */
	ck_assert_int_eq(kevent(kq, all, MILLION, all, MILLION, &zero), MILLION / 100);
	for (int i = 0; i < MILLION / 100; i++) {
		errors += all[i].data == EINVAL && (all[i].flags & EV_ERROR) != 0;
		ck_assert_ptr_eq(all[i].udata, (char *)all + 100 * i + 99);
	}
	ck_assert_int_eq(errors, MILLION / 100);
	/* No room for the second error: what comes before it is applied, what follows is not. */
	for (int i = 0; i < 5; i++)
		EV_SET(&all[i], 2000 + (uintptr_t)i, EVFILT_USER, (unsigned short)(i == 1 || i == 3 ? 0 : EV_ADD), 0, 0, NULL);
	ck_assert_int_eq(kevent(kq, all, 5, all, 1, &zero), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(change(kq, 2000, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2002, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2004, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	free(all);
	end(kq);
}
END_TEST

START_TEST(hostile__a_million_registrations_come_in_one_call)
{
	struct kevent *all = calloc(MILLION, sizeof(*all));
	int kq = begin(), n;

	ck_assert_ptr_nonnull(all);
	for (int i = 0; i < MILLION; i++)
		EV_SET(&all[i], 2 + (uintptr_t)i, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL);
	ck_assert_int_eq(kevent(kq, all, MILLION, NULL, 0, NULL), 0);
	put(fds[1], 1);
	n = collect(kq, all, MILLION, 0);
	ck_assert_int_eq(n, MILLION);
	n = collect(kq, all, MILLION, 0);
	ck_assert_int_eq(n, 1);
	get(fds[0], 1);
	free(all);
	end(kq);
}
END_TEST

/* Room for all the events there can be, most of which is never touched. */
START_TEST(hostile__room_without_end)
{
#if UINTPTR_MAX > 0xffffffffu
	static const int rooms[] = { MILLION, 1 << 28, INT_MAX };
	size_t size = (size_t)INT_MAX * sizeof(struct kevent);
	struct timespec ts = { 0, 1000000 };
	int kq = begin(), n;
	struct kevent *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (all == MAP_FAILED)
		goto out;	/* the system does not lend that much */
	for (int i = 0; i < 3; i++) {
		put(fds[1], 1);
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		n = kevent(kq, NULL, 0, all, rooms[i], NULL);
		ck_assert_msg(n == 2, "room for %d: %d, %s", rooms[i], n, strerror(errno));
		n = kevent(kq, NULL, 0, all, rooms[i], &ts);
		ck_assert_msg(n == 0, "room for %d: %d, %s", rooms[i], n, strerror(errno));
		put(fds[1], 1);
		n = kevent(kq, NULL, 0, all, rooms[i], NULL);
		ck_assert_msg(n == 1, "room for %d: %d, %s", rooms[i], n, strerror(errno));
		get(fds[0], 2);
	}
	munmap(all, size);
out:
	end(kq);
#endif
}
END_TEST

START_TEST(hostile__page_zero_timeout_is_efault)
{
	static const uintptr_t bad[] = { 1, 8, 4095 };
	struct kevent given, event;
	int kq = begin();

	EV_SET(&given, 2, EVFILT_USER, EV_ADD, 0, 0, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(kevent(kq, &given, 1, &event, 1, (const struct timespec *)bad[i]), -1);
		ck_assert_int_eq(errno, EFAULT);
		ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	}
	end(kq);
}
END_TEST

/* The numbers of the library's own are not open as far as the program can tell. */
START_TEST(hostile__the_librarys_own_descriptors_cannot_be_watched)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_VNODE, EVFILT_EMPTY, EVFILT_EXCEPT };
	int kq = begin(), other = queue(), error, found = 0;

	/* Timer, inotify, pidfd: the queue has them, too. */
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
	for (int fd = 0; fd < 65536; fd++) {
		if (fd == kq || fd == other || fcntl(fd, F_GETFD) == -1 || fd < 256)
			continue;
		found++;
		for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
			error = change(other, (uintptr_t)fd, filters[i], EV_ADD, NOTE_WRITE, 0, NULL);
			ck_assert_msg(error == EBADF, "descriptor %d, filter %d: %s", fd, filters[i], strerror(error));
		}
	}
	ck_assert_int_gt(found, 0);
	no_event(other);
	ck_assert_int_eq(close(other), 0);
	end(kq);
}
END_TEST

/* Nor are they queues: using one as such must not keep the queue alive. */
START_TEST(hostile__the_librarys_own_descriptors_are_no_queues)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int before = open_descriptors(), kq = begin();

	for (int fd = 0; fd < 65536; fd++) {
		if (fd == kq)
			continue;
		ck_assert_int_eq(kevent(fd, NULL, 0, &event, 1, &zero), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	end(kq);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* With every mixture of filters and behaviours, and either end first. */
START_TEST(hostile__closed_while_registered_a_thousand_ways)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_EMPTY, EVFILT_EXCEPT };
	int kq = begin(), pairs[2];

	for (int i = 0; i < 1000; i++) {
		pair(i % 2 == 0 ? PAIR_UNIX : PAIR_TCP, pairs);
		for (int j = 0; j < 4; j++) {
			unsigned short flags = (unsigned short)(((i >> j) & 1) != 0 ? EV_CLEAR : (i & 16) != 0 ? EV_DISPATCH : 0);

			if ((i >> 5 & 3) == j)
				flags |= EV_UDATA_SPECIFIC;
			ck_assert_int_eq(change(kq, (uintptr_t)pairs[0], filters[j], EV_ADD | flags, NOTE_OOB, 0, NULL), 0);
			if ((i >> 6 & 1) != 0)
				ck_assert_int_eq(change(kq, (uintptr_t)pairs[0], filters[j],
				    EV_ADD | EV_UDATA_SPECIFIC | flags, NOTE_OOB, 0, &pairs[j % 2]), 0);
		}
		if (i % 3 == 0)
			put(pairs[1], 1);
		ck_assert_int_eq(close(pairs[i % 2]), 0);
		if (i % 5 == 0)
			collect(kq, (struct kevent[3]){ { 0 } }, 3, 0);
		ck_assert_int_eq(close(pairs[1 - i % 2]), 0);
	}
	end(kq);
}
END_TEST

HARNESS_MAIN("hostile",
    hostile__every_ident_and_filter_has_a_named_answer,
    hostile__every_ident_can_be_added_and_deleted,
    hostile__unnamed_flags_are_ignored,
    hostile__unnamed_notes_are_ignored_but_in_timers,
    hostile__a_million_changes_with_errors_in_one_array,
    hostile__a_million_registrations_come_in_one_call,
    hostile__room_without_end,
    hostile__page_zero_timeout_is_efault,
    hostile__the_librarys_own_descriptors_cannot_be_watched,
    hostile__the_librarys_own_descriptors_are_no_queues,
    hostile__closed_while_registered_a_thousand_ways)
