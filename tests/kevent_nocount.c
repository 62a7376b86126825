/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTE_NOCOUNT: what can be read is not counted.  An event that was told before is told again without
 * a look at its registration, as long as nothing has changed; so every change must be seen.
 */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The usual call. */
static int
usual(int kq, struct kevent *events, int room)
{
	return kevent(kq, NULL, 0, events, room, NULL);
}

/* data is 1 whatever there is; all else is as ever. */
START_TEST(kevent_nocount__says_one)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX, PAIR_UDP, PAIR_PIPE };
	int kq = queue(), fds[2];
	struct kevent event;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		pair(kinds[i], fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, NULL), 0);
		no_event(kq);
		put(fds[1], 5);
		event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		ck_assert_msg(event.data == 1, "%s: %jd", pair_name(kinds[i]), (intmax_t)event.data);
		ck_assert_int_eq(usual(kq, &event, 1), 1);
		ck_assert_int_eq(event.data, 1);
		ck_assert_int_eq(event.flags, 0);
		get(fds[0], 5);
		no_event(kq);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, NOTE_NOCOUNT, 0, NULL), 0);
		ck_assert_int_eq(event_of(kq, (uintptr_t)fds[1], EVFILT_WRITE).data, 1);
		close(fds[1]);
		if (kinds[i] != PAIR_UDP) {
			event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
			ck_assert_uint_ne(event.flags & EV_EOF, 0);
			ck_assert_int_eq(event.data, 0);
		}
		close(fds[0]);
	}
	close(kq);
}
END_TEST

/* A mark needs the count, a file's end does, too; and a change of the note takes effect. */
START_TEST(kevent_nocount__counts_where_it_must)
{
	int kq = queue(), fds[2], file;
	char path[128];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_NOCOUNT | NOTE_LOWAT, 4, NULL), 0);
	put(fds[1], 3);
	no_event(kq);
	put(fds[1], 3);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 6);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, NULL), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 6);
	close_pair(fds);
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, NULL), 0);
	no_event(kq);
	put(file, 7);
	ck_assert_int_eq(lseek(file, 0, SEEK_SET), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)file, EVFILT_READ).data, 7);
	close(file);
	close(kq);
}
END_TEST

/* An own shutdown is the end, whether bytes are counted or not. */
START_TEST(kevent_nocount__tells_an_own_shutdown)
{
	int kq = queue(), fds[2];
	struct kevent event;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, NOTE_NOCOUNT, 0, NULL), 0);
	ck_assert_int_eq(usual(kq, &event, 1), 1);
	ck_assert_uint_eq(event.flags & EV_EOF, 0);
	ck_assert_int_eq(shutdown(fds[0], SHUT_WR), 0);
	ck_assert_int_eq(usual(kq, &event, 1), 1);
	ck_assert_uint_ne(event.flags & EV_EOF, 0);
	close_pair(fds);
	close(kq);
}
END_TEST

/*
 * Two descriptors that can be read, both told before: the first is what a test changes, the second
 * is told in any case.
 */
struct two {
	int	kq, first[2], second[2];
};

static int marks[3];

static void
two_make(struct two *two, enum pair kind)
{
	struct kevent events[8];

	two->kq = queue();
	pair(kind, two->first);
	pair(PAIR_UNIX, two->second);
	put(two->second[1], 2);
	pass(two->first[1], two->first[0], 3);
	ck_assert_int_eq(change(two->kq, (uintptr_t)two->first[0], EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[0]),
	    0);
	ck_assert_int_eq(change(two->kq, (uintptr_t)two->second[0], EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[1]),
	    0);
	for (int again = 0; again < 3; again++)
		ck_assert_int_eq(usual(two->kq, events, 8), 2);
}

static void
two_close(struct two *two)
{
	close_pair(two->first);
	close_pair(two->second);
	close(two->kq);
}

static int
two_change(const struct two *two, short filter, unsigned flags, unsigned fflags, int64_t data, void *udata)
{
	return change(two->kq, (uintptr_t)two->first[0], filter, (unsigned short)flags, fflags, data, udata);
}

/* One call tells of both; of the first with what is given. */
static void
two_told(const struct two *two, int64_t data, unsigned flags, void *udata)
{
	struct kevent events[8];
	int n = usual(two->kq, events, 8), first, second;

	ck_assert_int_eq(n, 2);
	first = events[0].ident == (uintptr_t)two->first[0] ? 0 : 1;
	second = 1 - first;
	ck_assert_uint_eq(events[first].ident, (uintptr_t)two->first[0]);
	ck_assert_int_eq(events[first].filter, EVFILT_READ);
	ck_assert_int_eq(events[first].data, data);
	ck_assert_uint_eq(events[first].flags, flags);
	ck_assert_uint_eq(events[first].fflags, 0);
	ck_assert_ptr_eq(events[first].udata, udata);
	ck_assert_uint_eq(events[second].ident, (uintptr_t)two->second[0]);
	ck_assert_int_eq(events[second].data, 1);
	ck_assert_uint_eq(events[second].flags, 0);
	ck_assert_ptr_eq(events[second].udata, &marks[1]);
}

/* ... and again, as often as wanted. */
static void
two_stay(const struct two *two, int64_t data, unsigned flags, void *udata)
{
	for (int again = 0; again < 3; again++)
		two_told(two, data, flags, udata);
}

/* It tells of the second only. */
static void
two_silent(const struct two *two)
{
	struct kevent events[8];

	for (int again = 0; again < 3; again++) {
		ck_assert_int_eq(usual(two->kq, events, 8), 1);
		ck_assert_uint_eq(events[0].ident, (uintptr_t)two->second[0]);
	}
}

START_TEST(kevent_nocount__told_again_it_has_what_was_changed)
{
	struct two two;

	two_make(&two, PAIR_UNIX);
	two_stay(&two, 1, 0, &marks[0]);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[2]), 0);
	two_stay(&two, 1, 0, &marks[2]);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, 0, 0, 0, NULL), 0);
	two_stay(&two, 1, 0, NULL);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, 0, 0, &marks[0]), 0);
	two_stay(&two, 3, 0, &marks[0]);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[0]), 0);
	two_stay(&two, 1, 0, &marks[0]);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, 0, NOTE_NOCOUNT | NOTE_LOWAT, 4, &marks[0]), 0);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[0]), 0);
	two_stay(&two, 1, 0, &marks[0]);
	two_close(&two);
}
END_TEST

START_TEST(kevent_nocount__told_again_it_is_still_wanted)
{
	struct two two;

	two_make(&two, PAIR_UNIX);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_DISABLE, 0, 0, &marks[0]), 0);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ENABLE, 0, 0, &marks[0]), 0);
	two_stay(&two, 1, 0, &marks[0]);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD | EV_CLEAR, NOTE_NOCOUNT, 0, &marks[2]), 0);
	two_told(&two, 1, EV_CLEAR, &marks[2]);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD | EV_DISPATCH, NOTE_NOCOUNT, 0, &marks[2]), 0);
	two_told(&two, 1, EV_DISPATCH, &marks[2]);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[0]), 0);
	two_stay(&two, 1, 0, &marks[0]);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_FORCEONESHOT, 0, 0, &marks[0]), 0);
	two_told(&two, 1, EV_ONESHOT, &marks[0]);
	two_silent(&two);
	two_close(&two);
}
END_TEST

START_TEST(kevent_nocount__told_again_it_need_not_be_alone)
{
	struct two two;
	struct kevent events[8];

	two_make(&two, PAIR_UNIX);
	/* What is written to the same descriptor. */
	ck_assert_int_eq(two_change(&two, EVFILT_WRITE, EV_ADD, NOTE_NOCOUNT, 0, &marks[2]), 0);
	for (int again = 0; again < 3; again++)
		ck_assert_int_eq(usual(two.kq, events, 8), 3);
	ck_assert_int_eq(two_change(&two, EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	two_stay(&two, 1, 0, &marks[0]);
	/* Another who reads it. */
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD | EV_UDATA_SPECIFIC, NOTE_NOCOUNT, 0, &marks[2]), 0);
	for (int again = 0; again < 3; again++)
		ck_assert_int_eq(usual(two.kq, events, 8), 3);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_DELETE | EV_UDATA_SPECIFIC, 0, 0, &marks[2]), 0);
	two_stay(&two, 1, 0, &marks[0]);
	two_close(&two);
}
END_TEST

START_TEST(kevent_nocount__told_again_it_is_the_same_descriptor)
{
	struct two two;
	int more[2];

	two_make(&two, PAIR_UNIX);
	pair(PAIR_PIPE, more);
	put(more[1], 1);
	/* Nothing is registered on the new one. */
	ck_assert_int_eq(dup2(more[0], two.first[0]), two.first[0]);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[2]), 0);
	two_stay(&two, 1, 0, &marks[2]);
	close(two.first[0]);
	two_silent(&two);
	ck_assert_int_eq(fcntl(more[0], F_DUPFD, two.first[0]), two.first[0]);
	two_silent(&two);
	ck_assert_int_eq(two_change(&two, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	two_stay(&two, 1, 0, NULL);
	close_pair(more);
	two_close(&two);
}
END_TEST

/* What was silent meanwhile, since it was neither ready nor at its end, waits for an edge. */
START_TEST(kevent_nocount__told_again_after_it_was_not_connected)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer), size = sizeof(int);
	int listener, other, on = 1, error;
	struct two two;

	two_make(&two, PAIR_TCP);
	/* From now on somebody else answers there. */
	ck_assert_int_ge(listener = socket(AF_INET, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	memset(&peer, 0, sizeof(peer));
	peer.ss_family = AF_INET;
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&peer, sizeof(struct sockaddr_in)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&peer, &length), 0);
	get(two.first[0], 3);
	ck_assert_int_eq(connect(two.first[0], &none, sizeof(none)), 0);
	ck_assert_int_eq(getsockopt(two.first[0], SOL_SOCKET, SO_ERROR, &error, &size), 0);
	two_silent(&two);
	ck_assert_int_eq(connect(two.first[0], (struct sockaddr *)&peer, length), 0);
	ck_assert_int_ge(other = accept(listener, NULL, NULL), 0);
	two_silent(&two);
	pass(other, two.first[0], 5);
	two_stay(&two, 1, 0, &marks[0]);
	close(other);
	close(listener);
	two_close(&two);
}
END_TEST

/* The end has a count. */
START_TEST(kevent_nocount__told_again_it_may_be_at_its_end)
{
	struct two two;

	two_make(&two, PAIR_UNIX);
	close(two.first[1]);
	two_stay(&two, 3, EV_EOF, &marks[0]);
	get(two.first[0], 3);
	two_stay(&two, 0, EV_EOF, &marks[0]);
	close(two.first[0]);
	close_pair(two.second);
	close(two.kq);
}
END_TEST

/* A number below n, the same in each run. */
static unsigned
any(unsigned n)
{
	static uint32_t state = 88172645;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

/* Something happens to one of the pairs, or to what is registered on it. */
static void
disturb(int kq, int fds[2])
{
	static const unsigned fflags[] = { NOTE_NOCOUNT, NOTE_NOCOUNT, NOTE_NOCOUNT, 0, NOTE_LOWAT, NOTE_LOWAT | NOTE_NOCOUNT };
	static const unsigned short flags[] = {
		EV_ADD, EV_ADD, EV_ADD, EV_ADD | EV_DISABLE, EV_DISABLE, EV_ENABLE, EV_DELETE, 0,
		EV_ADD | EV_UDATA_SPECIFIC, EV_DELETE | EV_UDATA_SPECIFIC, EV_ADD | EV_ENABLE
	};
	const short filter = any(4) == 0 ? EVFILT_WRITE : EVFILT_READ;
	int copy;

	switch (any(8)) {
	case 0:
		put(fds[1], 1 + any(5));
		break;
	case 1:
		drain(fds[0]);
		break;
	case 2:
		close_pair(fds);
		pair(any(2) == 0 ? PAIR_UNIX : PAIR_PIPE, fds);
		break;
	case 3:
		/* The same file under the same number, as a new descriptor. */
		ck_assert_int_ge(copy = dup(fds[0]), 0);
		ck_assert_int_eq(dup2(copy, fds[0]), fds[0]);
		close(copy);
		break;
	default:
		(void)change(kq, (uintptr_t)fds[0], filter, flags[any(sizeof(flags) / sizeof(flags[0]))],
		    fflags[any(sizeof(fflags) / sizeof(fflags[0]))], any(6), &marks[any(3)]);
	}
}

static int
by_what_they_are(const void *a, const void *b)
{
	const struct kevent *x = a, *y = b;

	if (x->ident != y->ident)
		return x->ident < y->ident ? -1 : 1;
	if (x->filter != y->filter)
		return x->filter - y->filter;
	return (x->udata > y->udata) - (x->udata < y->udata);
}

/* A call with a timeout goes the long way, and looks at everything. */
START_TEST(kevent_nocount__told_again_as_by_the_long_way)
{
	enum { PAIRS = 6, ROOM = 64 };
	static const struct timespec at_once = { 0, 0 };
	struct kevent events[ROOM], others[ROOM];
	int kq = queue(), fds[PAIRS][2], n, m;

	for (int i = 0; i < PAIRS; i++)
		pair(PAIR_UNIX, fds[i]);
	/* Two that are always ready, so that no call waits, and none tells of one only. */
	for (int i = 0; i < 2; i++) {
		put(fds[i][1], 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, NULL), 0);
	}
	for (int step = 0; step < 2000; step++) {
		disturb(kq, fds[2 + any(PAIRS - 2)]);
		for (int again = 0; again < 2; again++) {
			n = usual(kq, events, ROOM);
			m = kevent(kq, NULL, 0, others, ROOM, &at_once);
			ck_assert_msg(n == m, "step %d: %d events, %d by the long way", step, n, m);
			qsort(events, (size_t)n, sizeof(events[0]), by_what_they_are);
			qsort(others, (size_t)m, sizeof(others[0]), by_what_they_are);
			for (int i = 0; i < n; i++) {
				ck_assert_uint_eq(events[i].ident, others[i].ident);
				ck_assert_int_eq(events[i].filter, others[i].filter);
				ck_assert_uint_eq(events[i].flags, others[i].flags);
				ck_assert_uint_eq(events[i].fflags, others[i].fflags);
				ck_assert_int_eq(events[i].data, others[i].data);
				ck_assert_ptr_eq(events[i].udata, others[i].udata);
			}
		}
	}
	for (int i = 0; i < PAIRS; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

/* Whoever changes it: another thread does, in turns with who is told. */

struct changer {
	const struct two *two;
	sem_t		change, told;
};

static void *
changes(void *arg)
{
	struct changer *changer = arg;

	for (int i = 0; i < 100; i++) {
		sem_wait(&changer->change);
		two_change(changer->two, EVFILT_READ, EV_ADD, NOTE_NOCOUNT, 0, &marks[i % 3]);
		sem_post(&changer->told);
	}
	return NULL;
}

START_TEST(kevent_nocount__told_again_it_has_what_another_thread_has_changed)
{
	struct changer changer;
	pthread_t thread;
	struct two two;

	two_make(&two, PAIR_UNIX);
	changer.two = &two;
	ck_assert_int_eq(sem_init(&changer.change, 0, 0), 0);
	ck_assert_int_eq(sem_init(&changer.told, 0, 0), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, changes, &changer), 0);
	for (int i = 0; i < 100; i++) {
		sem_post(&changer.change);
		sem_wait(&changer.told);
		two_stay(&two, 1, 0, &marks[i % 3]);
	}
	pthread_join(thread, NULL);
	two_close(&two);
}
END_TEST

HARNESS_MAIN("kevent_nocount",
    kevent_nocount__says_one,
    kevent_nocount__counts_where_it_must,
    kevent_nocount__tells_an_own_shutdown,
    kevent_nocount__told_again_it_has_what_was_changed,
    kevent_nocount__told_again_it_is_still_wanted,
    kevent_nocount__told_again_it_need_not_be_alone,
    kevent_nocount__told_again_it_is_the_same_descriptor,
    kevent_nocount__told_again_after_it_was_not_connected,
    kevent_nocount__told_again_it_may_be_at_its_end,
    kevent_nocount__told_again_as_by_the_long_way,
    kevent_nocount__told_again_it_has_what_another_thread_has_changed)
