/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The usual call, which changes nothing and waits for ever, goes a short way through the library,
 * and so do level-triggered events of descriptors.  What is unusual about a call, or an event,
 * must make no difference: the short way ends anywhere.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The usual call. */
static int
usual(int kq, struct kevent *events, int room)
{
	return kevent(kq, NULL, 0, events, room, NULL);
}

static const struct kevent *
find(const struct kevent *events, int n, int fd, short filter)
{
	for (int i = 0; i < n; i++)
		if (events[i].ident == (uintptr_t)fd && events[i].filter == filter)
			return &events[i];
	ck_abort_msg("filter %d of %d did not come", filter, fd);
}

/* Among usual events every kind of unusual one, in each place. */
START_TEST(kevent_usual__unusual_ones_come_in_between)
{
	enum { PAIRS = 9 };
	int kq = queue(), fds[PAIRS][2], n, marks[PAIRS];
	struct kevent events[4 * PAIRS];

	for (int i = 0; i < PAIRS; i++) {
		pair(i % 2 == 0 ? PAIR_UNIX : PAIR_PIPE, fds[i]);
		put(fds[i][1], (size_t)i + 1);
	}
	for (int unusual = 0; unusual < PAIRS; unusual++) {
		for (int i = 0; i < PAIRS; i++)
			ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ,
			    EV_ADD | (i == unusual ? EV_CLEAR : 0), 0, 0, &marks[i]), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[unusual][1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
		for (int again = 0; again < 2; again++) {
			n = usual(kq, events, 4 * PAIRS);
			ck_assert_int_eq(n, PAIRS + 1 - again);
			for (int i = 0; i < PAIRS; i++) {
				if (i == unusual && again == 1)
					continue;
				const struct kevent *event = find(events, n, fds[i][0], EVFILT_READ);
				ck_assert_int_eq(event->data, i + 1);
				ck_assert_ptr_eq(event->udata, &marks[i]);
				ck_assert_int_eq(event->flags, i == unusual ? EV_CLEAR : 0);
				ck_assert_int_eq(event->fflags, 0);
			}
			ck_assert_int_ge(find(events, n, fds[unusual][1], EVFILT_WRITE)->data, 1);
		}
		for (int i = 0; i < PAIRS; i++)
			ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[unusual][1], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	}
	for (int i = 0; i < PAIRS; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

/* Room for fewer than are ready: all have their turn, whatever else waits. */
START_TEST(kevent_usual__all_have_their_turn)
{
	enum { PAIRS = 5 };
	static const int rooms[] = { 1, 2, 3, 255, 256, 257 };
	int kq = queue(), fds[PAIRS][2], n;
	bool seen[PAIRS + 1];
	struct kevent events[257];

	for (int i = 0; i < PAIRS; i++) {
		pair(PAIR_UNIX, fds[i]);
		put(fds[i][1], 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	}
	ck_assert_int_eq(change(kq, 1000, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	for (size_t r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
		memset(seen, 0, sizeof(seen));
		for (int calls = 0; calls < 4 * PAIRS; calls++) {
			n = usual(kq, events, rooms[r]);
			ck_assert_int_ge(n, 1);
			ck_assert_int_le(n, PAIRS + 1);
			for (int i = 0; i < n; i++)
				for (int k = 0; k <= PAIRS; k++)
					seen[k] |= events[i].ident == (k < PAIRS ? (uintptr_t)fds[k][0] : 1000);
		}
		for (int k = 0; k <= PAIRS; k++)
			ck_assert_msg(seen[k], "room %d: %d never came", rooms[r], k);
	}
	for (int i = 0; i < PAIRS; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

/* With more room than reports are read into at a time: each comes once, and the room is filled. */
START_TEST(kevent_usual__much_room_is_filled)
{
	enum { PAIRS = 400, ROOM = 1000 };
	static const int rooms[] = { 257, 399, 400, 401, 513, 799, 800, 801, ROOM };
	static const int written[] = { -1, 0, 127, 128, 257, PAIRS - 1 };
	static struct kevent events[ROOM];
	static int fds[PAIRS][2];
	int kq = queue(), n, all = PAIRS;
	bool seen[PAIRS][2];

	for (int i = 0; i < PAIRS; i++) {
		pair(PAIR_UNIX, fds[i]);
		put(fds[i][1], (size_t)i + 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_ADD, 0, 0, fds[i]), 0);
	}
	for (size_t w = 0; w < sizeof(written) / sizeof(written[0]); w++) {
		if (written[w] >= 0) {
			ck_assert_int_eq(change(kq, (uintptr_t)fds[written[w]][0], EVFILT_WRITE, EV_ADD, 0, 0,
			    fds[written[w]]), 0);
			all++;
		}
		for (size_t r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
			memset(seen, 0, sizeof(seen));
			n = usual(kq, events, rooms[r]);
			ck_assert_int_eq(n, rooms[r] < all ? rooms[r] : all);
			for (int k = 0; k < n; k++) {
				int i = (int)(((int *)events[k].udata - fds[0]) / 2);
				bool *once = &seen[i][events[k].filter == EVFILT_WRITE];

				ck_assert_int_eq((int)events[k].ident, fds[i][0]);
				if (events[k].filter == EVFILT_READ)
					ck_assert_int_eq(events[k].data, i + 1);
				ck_assert_msg(!*once, "room %d: %d came twice", rooms[r], i);
				*once = true;
			}
		}
	}
	for (int i = 0; i < PAIRS; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

struct sleeper {
	pthread_t	thread;
	int		kq, count, error, room;
	_Atomic int	tid;
	struct kevent	events[4];
};

static void *
sleep_in_kevent(void *arg)
{
	struct sleeper *s = arg;

	s->tid = (int)syscall(SYS_gettid);
	s->count = usual(s->kq, s->events, s->room);
	s->error = errno;
	return NULL;
}

static void
sleeper_start(struct sleeper *s, int kq, int room)
{
	s->kq = kq;
	s->room = room;
	s->tid = 0;
	ck_assert_int_eq(pthread_create(&s->thread, NULL, sleep_in_kevent, s), 0);
	await_sleep(&s->tid);
}

/* What wakes it: a descriptor, a change, a timer, a signal's handler, the end of the queue. */
START_TEST(kevent_usual__is_woken_by_anything)
{
	int kq = queue(), fds[2];
	struct sleeper s;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	sleeper_start(&s, kq, 4);
	put(fds[1], 3);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.count, 1);
	ck_assert_int_eq(s.events[0].data, 3);
	get(fds[0], 3);
	sleeper_start(&s, kq, 1);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.count, 1);
	ck_assert_int_eq(s.events[0].filter, EVFILT_USER);
	sleeper_start(&s, kq, 4);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 10, NULL), 0);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.count, 1);
	ck_assert_int_eq(s.events[0].filter, EVFILT_TIMER);
	sleeper_start(&s, kq, 4);
	close(kq);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.count, -1);
	ck_assert_int_eq(s.error, EBADF);
	close_pair(fds);
}
END_TEST

static void
on_usr1(int signo)
{
	(void)signo;
}

/* A handler ends it with EINTR, an ignored signal that is watched does not. */
START_TEST(kevent_usual__is_interrupted_by_handlers_only)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	int kq = queue();
	struct sleeper s;

	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGUSR2, SIG_IGN);
	sleeper_start(&s, kq, 4);
	pthread_kill(s.thread, SIGUSR1);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.count, -1);
	ck_assert_int_eq(s.error, EINTR);
	ck_assert_int_eq(change(kq, SIGUSR2, EVFILT_SIGNAL, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	sleeper_start(&s, kq, 4);
	pthread_kill(s.thread, SIGUSR2);
	nap(30);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.count, 1);
	ck_assert_int_eq(s.events[0].filter, EVFILT_USER);
	close(kq);
}
END_TEST

/* errno is the program's own. */
START_TEST(kevent_usual__keeps_errno)
{
	int kq = queue(), fds[2];
	struct kevent event;

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	errno = EXDEV;
	ck_assert_int_eq(usual(kq, &event, 1), 1);
	ck_assert_int_eq(errno, EXDEV);
	close_pair(fds);
	close(kq);
}
END_TEST

/* Cancelled while it waits, it takes nothing away. */
START_TEST(kevent_usual__cancelled_it_leaves_the_queue_whole)
{
	int kq = queue(), fds[2];
	struct sleeper s;
	void *result;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	sleeper_start(&s, kq, 4);
	ck_assert_int_eq(pthread_cancel(s.thread), 0);
	ck_assert_int_eq(pthread_join(s.thread, &result), 0);
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	put(fds[1], 2);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 2);
	no_event(kq);
	close_pair(fds);
	close(kq);
}
END_TEST

/* A descriptor closed, and its number opened again, while the report is under way: see also the storm. */
START_TEST(kevent_usual__new_owner_of_a_number_is_new)
{
	int kq = queue(), fds[2], more[2], copy;
	struct kevent event;

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &fds), 0);
	ck_assert_int_ge(copy = dup(fds[0]), 0);
	pair(PAIR_PIPE, more);
	put(more[1], 2);
	ck_assert_int_eq(dup2(more[0], fds[0]), fds[0]);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &more), 0);
	ck_assert_int_eq(usual(kq, &event, 1), 1);
	ck_assert_int_eq(event.data, 2);
	ck_assert_ptr_eq(event.udata, &more);
	close(copy);
	close_pair(fds);
	close_pair(more);
	close(kq);
}
END_TEST

/* What was told the short way is not told again when the call goes on the long way. */
START_TEST(kevent_usual__nothing_comes_twice_in_a_call)
{
	int kq = queue(), fds[2], dir, child;
	struct kevent events[2];
	char path[128];

	pair(PAIR_UNIX, fds);
	ck_assert_int_ge(dir = open(scratch_dir(), O_RDONLY | O_DIRECTORY), 0);
	snprintf(path, sizeof(path), "%s/child", scratch_dir());
	ck_assert_int_ge(child = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)dir, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, NULL), 0);
	put(fds[1], 1);
	for (int i = 0; i < 10; i++) {
		/* Epoll reports both, and the directory's comes to nothing: there is room, and it has more. */
		ck_assert_int_eq(fchmod(child, i % 2 == 0 ? 0640 : 0600), 0);
		ck_assert_int_eq(usual(kq, events, 2), 1);
		ck_assert_int_eq(events[0].ident, fds[0]);
	}
	close(child);
	close(dir);
	close_pair(fds);
	close(kq);
}
END_TEST

/* Epoll's reports lie at the end of the caller's array: where that is full, the last is written over. */
START_TEST(kevent_usual__the_last_of_a_full_array_is_told_like_the_others)
{
	enum { MOST = 130 };
	int kq = queue(), fds[MOST][2], both, n;
	struct kevent events[2 * MOST];

	for (int i = 0; i < MOST; i++)
		pair(PAIR_UNIX, fds[i]);
	for (int room = 257; room <= 260; room++) {
		both = (room - 1) / 2;
		for (int i = 0; i <= both; i++) {
			put(fds[i][1], 1);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_ADD, 0, 0, (void *)-1), 0);
			if (i < both)
				ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_WRITE, EV_ADD, 0, 0,
				    (void *)-1), 0);
		}
		for (int again = 0; again < 4; again++) {
			n = usual(kq, events, room);
			ck_assert_int_eq(n, 2 * both + 1);
			for (int i = 0; i <= both; i++) {
				ck_assert_int_eq(find(events, n, fds[i][0], EVFILT_READ)->data, 1);
				ck_assert_ptr_eq(find(events, n, fds[i][0], EVFILT_READ)->udata, (void *)-1);
			}
		}
		for (int i = 0; i <= both; i++) {
			get(fds[i][0], 1);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
			if (i < both)
				ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL),
				    0);
		}
	}
	for (int i = 0; i < MOST; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

/* The same of a small one, whose reports all lie in it: what comes last is unusual, and what was told is written over them. */
START_TEST(kevent_usual__a_small_array_may_be_filled_by_all)
{
	enum { MOST = 12 };
	int kq = queue(), fds[MOST][2];
	struct kevent events[MOST + 1];

	for (int i = 0; i < MOST; i++)
		pair(PAIR_UNIX, fds[i]);
	for (int room = 1; room <= MOST; room++)
		for (unsigned fflags = 0; fflags <= NOTE_NOCOUNT; fflags += NOTE_NOCOUNT) {
			for (int i = 0; i < room; i++)
				ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ,
				    i == room - 1 ? EV_ADD | EV_CLEAR : EV_ADD, fflags, 0, (void *)-1), 0);
			for (int i = 0; i < room; i++)
				put(fds[i][1], 3);
			memset(events, 0xee, sizeof(events));
			ck_assert_int_eq(usual(kq, events, room), room);
			for (int i = 0; i < room; i++) {
				const struct kevent *event = find(events, room, fds[i][0], EVFILT_READ);

				ck_assert_int_eq(event->data, fflags == 0 ? 3 : 1);
				ck_assert_ptr_eq(event->udata, (void *)-1);
				ck_assert_int_eq(event->flags, i == room - 1 ? EV_CLEAR : 0);
				ck_assert_int_eq(event->fflags, 0);
			}
			/* Not a byte behind it. */
			ck_assert_int_eq(((unsigned char *)&events[room])[0], 0xee);
			for (int i = 0; i < room; i++) {
				get(fds[i][0], 3);
				ck_assert_int_eq(change(kq, (uintptr_t)fds[i][0], EVFILT_READ, EV_DELETE, 0, 0, NULL),
				    0);
			}
		}
	for (int i = 0; i < MOST; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

/* What does not say how many bytes it has, in the only place: the report was not written over in vain. */
START_TEST(kevent_usual__the_only_place_may_be_asked_in_vain)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int kq = queue(), s = socket(AF_INET, SOCK_STREAM, 0), peer = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(to);
	struct kevent event;

	ck_assert_int_eq(bind(s, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(listen(s, 5), 0);
	ck_assert_int_eq(getsockname(s, (struct sockaddr *)&to, &length), 0);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&to, length), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)s, EVFILT_READ, EV_ADD, 0, 0, &kq), 0);
	for (int again = 0; again < 3; again++) {
		errno = 0;
		ck_assert_int_eq(usual(kq, &event, 1), 1);
		ck_assert_int_eq(errno, 0);
		ck_assert_int_eq(event.ident, s);
		ck_assert_int_eq(event.data, 1);
		ck_assert_ptr_eq(event.udata, &kq);
	}
	close(peer);
	close(s);
	close(kq);
}
END_TEST

/* As at home: who says that there is more room than there is has no harm from it as long as few events come. */
START_TEST(kevent_usual__behind_the_events_nothing_is_written)
{
	const int room[] = { 2, 64, 256 };
	struct kevent events[256];
	char before[sizeof(events)];
	int kq = queue(), fds[2];

	memset(before, 0x5a, sizeof(before));
	pair(PAIR_UNIX, fds);
	put(fds[1], 3);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	for (size_t i = 0; i < sizeof(room) / sizeof(room[0]); i++) {
		memcpy(events, before, sizeof(events));
		ck_assert_int_eq(usual(kq, events, room[i]), 1);
		ck_assert_int_eq(events[0].data, 3);
		ck_assert_int_eq(memcmp(&events[1], before, sizeof(events) - sizeof(events[0])), 0);
	}
	close_pair(fds);
	close(kq);
}
END_TEST

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
/* A program that looks at this has a copy, which tells of threads, but not that one cancels itself. */
#define ALONE	(__libc_single_threaded != 0)
#endif
#endif
#ifndef ALONE
#define ALONE	false
#endif

/* The bare call: AddressSanitizer takes the frames that were left for live ones where a function does not return. */
static void
ends_well(void *arg)
{
	(void)arg;
	syscall(SYS_exit_group, ALONE ? 7 : 8);
}

/* The program begins as one that cancels itself, if it is told to: only a new one is known to be alone. */
__attribute__((constructor)) static void
cancel_myself(void)
{
	struct kevent event;
	int kq, fds[2];

	if (getenv("KEVENT_USUAL_ALONE") == NULL)
		return;
	kq = kqueue();
	if (pipe(fds) == -1 || write(fds[1], "x", 1) != 1 ||
	    change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL) != 0 || usual(kq, &event, 1) != 1)
		_exit(1);
	pthread_cleanup_push(ends_well, NULL);
	pthread_cancel(pthread_self());
	usual(kq, &event, 1);
	pthread_cleanup_pop(0);
	_exit(2);
}

/* Who has no other threads can cancel himself, and is then cancelled by a call that may wait, though it need not. */
START_TEST(kevent_usual__who_is_alone_may_cancel_himself)
{
	char *const arguments[] = { (char *)(uintptr_t)"alone", NULL };
	pid_t child = fork();
	int status;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		setenv("KEVENT_USUAL_ALONE", "1", 1);
		execv("/proc/self/exe", arguments);
		_exit(3);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_ge(WEXITSTATUS(status), 7);
}
END_TEST

HARNESS_MAIN("kevent_usual",
    kevent_usual__unusual_ones_come_in_between,
    kevent_usual__all_have_their_turn,
    kevent_usual__much_room_is_filled,
    kevent_usual__is_woken_by_anything,
    kevent_usual__is_interrupted_by_handlers_only,
    kevent_usual__keeps_errno,
    kevent_usual__cancelled_it_leaves_the_queue_whole,
    kevent_usual__new_owner_of_a_number_is_new,
    kevent_usual__nothing_comes_twice_in_a_call,
    kevent_usual__the_last_of_a_full_array_is_told_like_the_others,
    kevent_usual__a_small_array_may_be_filled_by_all,
    kevent_usual__the_only_place_may_be_asked_in_vain,
    kevent_usual__behind_the_events_nothing_is_written,
    kevent_usual__who_is_alone_may_cancel_himself)
