/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue's descriptor in poll, select, epoll and another queue: for every
 * filter it is readable when, and only when, an event can be returned.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif

/* One thing of every kind that a queue can watch. */
enum what { SOCKET, ROOM, FILE_, TIMER, USER, SIGNAL, VNODE, PROC, WHATS };
static const char *const what_name[] = {
	"READ", "WRITE", "READ of a file", "TIMER", "USER", "SIGNAL", "VNODE", "PROC",
};

struct source {
	enum what	what;
	uintptr_t	ident;
	short		filter;
	int		fds[2];		/* SOCKET, ROOM; a file's in fds[0] */
	pid_t		pid;
};

/* Registers what is not ready yet; more: EV_CLEAR or 0. */
static void
source_add(struct source *s, enum what what, int kq, unsigned int more)
{
	static const short filters[] = {
		EVFILT_READ, EVFILT_WRITE, EVFILT_READ, EVFILT_TIMER, EVFILT_USER, EVFILT_SIGNAL,
		EVFILT_VNODE, EVFILT_PROC,
	};
	unsigned int fflags = 0;
	char path[128];

	memset(s, 0, sizeof(*s));
	s->what = what;
	s->filter = filters[what];
	s->ident = 1;
	switch (what) {
	case SOCKET:
	case ROOM:
		pair(PAIR_UNIX, s->fds);
		s->ident = (uintptr_t)s->fds[0];
		if (what == ROOM)
			fill(s->fds[0]);
		break;
	case FILE_:
	case VNODE:
		snprintf(path, sizeof(path), "%s/%d", scratch_dir(), (int)what);
		ck_assert_int_ge(s->fds[0] = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
		s->ident = (uintptr_t)s->fds[0];
		fflags = what == VNODE ? NOTE_ATTRIB : 0;
		break;
	case SIGNAL:
		s->ident = SIGUSR1;
		signal(SIGUSR1, SIG_IGN);
		break;
	case PROC:
		if ((s->pid = fork()) == 0)
			for (;;)
				pause();
		s->ident = (uintptr_t)s->pid;
		fflags = NOTE_EXIT;
		break;
	default:
		break;
	}
	if (what == TIMER)
		return;		/* it starts when it is added */
	ck_assert_int_eq(change(kq, s->ident, s->filter, (unsigned short)(EV_ADD | more), fflags, 0, NULL), 0);
}

static void
source_fire(struct source *s, int kq)
{
	switch (s->what) {
	case SOCKET:
		put(s->fds[1], 1);
		break;
	case ROOM:
		drain(s->fds[1]);
		break;
	case FILE_:
		ck_assert_int_eq(pwrite(s->fds[0], "x", 1, 0), 1);
		break;
	case VNODE:
		ck_assert_int_eq(fchmod(s->fds[0], 0640), 0);
		break;
	case TIMER:
		ck_assert_int_eq(change(kq, s->ident, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 5, NULL), 0);
		break;
	case USER:
		ck_assert_int_eq(change(kq, s->ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		break;
	case SIGNAL:
		ck_assert_int_eq(raise(SIGUSR1), 0);
		break;
	default:
		ck_assert_int_eq(kill(s->pid, SIGKILL), 0);
		break;
	}
}

static void
source_end(struct source *s, int kq)
{
	change(kq, s->ident, s->filter, EV_DELETE, 0, 0, NULL);
	if (s->what == SOCKET || s->what == ROOM)
		close_pair(s->fds);
	else if (s->what == FILE_ || s->what == VNODE)
		close(s->fds[0]);
	else if (s->what == PROC)
		waitpid(s->pid, NULL, 0);
}

/* How a program may look at the descriptor. */
static bool
select_readable(int fd, int ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000L };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &tv) == 1 && FD_ISSET(fd, &set);
}

#ifdef __linux__
static bool
epoll_readable(int fd, int ms)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), n;

	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	do
		n = epoll_wait(ep, &event, 1, ms);
	while (n == -1 && errno == EINTR);
	close(ep);
	return n == 1 && (event.events & EPOLLIN) != 0;
}
#endif

static bool
queue_readable(int fd, int ms)
{
	int outer = queue(), n;
	struct kevent event;

	ck_assert_int_eq(change(outer, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	n = collect(outer, &event, 1, ms);
	if (n == 1) {
		ck_assert_uint_eq(event.ident, (uintptr_t)fd);
		ck_assert_int_eq(event.filter, EVFILT_READ);
		ck_assert_int_eq(event.data, 1);
		ck_assert_uint_eq(event.flags, 0);
	}
	close(outer);
	return n == 1;
}

/* Before, while and after a source is ready, with both ways to forget an event. */
static void
check_each_source(bool (*look)(int, int), unsigned int more)
{
	for (enum what what = 0; what < WHATS; what++) {
		int kq = queue();
		struct source s;

		source_add(&s, what, kq, more);
		ck_assert_msg(!look(kq, 0), "%s: readable too early", what_name[what]);
		source_fire(&s, kq);
		ck_assert_msg(look(kq, 10000), "%s: never readable", what_name[what]);
		ck_assert_msg(look(kq, 1000), "%s: readable no longer", what_name[what]);
		event_of(kq, s.ident, s.filter);
		if (more == 0 && (what <= FILE_ || what == USER || what == VNODE))
			ck_assert_msg(look(kq, 1000), "%s: level-triggered, and not readable", what_name[what]);
		else {
			no_event(kq);
			ck_assert_msg(!look(kq, 0), "%s: still readable", what_name[what]);
		}
		source_end(&s, kq);
		no_event(kq);
		ck_assert_msg(!look(kq, 0), "%s: readable though deleted", what_name[what]);
		close(kq);
	}
}

START_TEST(kqueue_poll__poll_sees_every_filter)
{
	check_each_source(readable, 0);
	check_each_source(readable, EV_CLEAR);
}
END_TEST

START_TEST(kqueue_poll__select_sees_every_filter)
{
	check_each_source(select_readable, 0);
	check_each_source(select_readable, EV_CLEAR);
}
END_TEST

START_TEST(kqueue_poll__epoll_sees_every_filter)
{
#ifdef __linux__
	check_each_source(epoll_readable, 0);
	check_each_source(epoll_readable, EV_CLEAR);
#endif
}
END_TEST

START_TEST(kqueue_poll__another_queue_sees_every_filter)
{
	check_each_source(queue_readable, 0);
	check_each_source(queue_readable, EV_CLEAR);
}
END_TEST

/* The program is asleep in poll(2), or in the outer queue, when it happens. */
struct later { struct source *source; int kq; };

static void *
fire_later(void *arg)
{
	struct later *later = arg;

	await_state(getpid(), 'S');
	source_fire(later->source, later->kq);
	return NULL;
}

static void
check_each_wakes(bool nested)
{
	for (enum what what = 0; what < WHATS; what++) {
		int kq = queue(), outer = queue();
		struct source s;
		struct later later = { &s, kq };
		pthread_t thread;

		ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		source_add(&s, what, kq, 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, fire_later, &later), 0);
		if (nested)
			ck_assert_int_eq(event_of(outer, (uintptr_t)kq, EVFILT_READ).data, 1);
		else {
			struct pollfd pfd = { .fd = kq, .events = POLLIN };
			int n;

			do
				n = poll(&pfd, 1, 20000);
			while (n == -1 && errno == EINTR);
			ck_assert_msg(n == 1, "%s: poll was not woken", what_name[what]);
		}
		event_of(kq, s.ident, s.filter);
		pthread_join(thread, NULL);
		source_end(&s, kq);
		no_event(outer);
		close(outer);
		close(kq);
	}
}

START_TEST(kqueue_poll__every_filter_wakes_poll)
{
	check_each_wakes(false);
}
END_TEST

START_TEST(kqueue_poll__every_filter_wakes_another_queue)
{
	check_each_wakes(true);
}
END_TEST

/* Who has all in a call that had room for more waits for the next edge. */
START_TEST(kqueue_poll__epoll_has_an_edge_once_all_was_collected)
{
#ifdef __linux__
	struct epoll_event item = { .events = EPOLLIN | EPOLLET };
	int kq, outer, ep;
	struct kevent events[4];

	for (int counted = 0; counted < 2; counted++) {
		kq = queue();
		outer = queue();
		ep = epoll_create1(EPOLL_CLOEXEC);
		item.events = EPOLLIN | EPOLLET;
		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, kq, &item), 0);
		if (counted)
			ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		for (int n = 0; n < 8; n++) {
			ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
			ck_assert_int_eq(epoll_wait(ep, &item, 1, 0), 1);
			if (counted)
				event_of(outer, (uintptr_t)kq, EVFILT_READ);
			ck_assert_int_eq(collect(kq, events, 4, 0), 1);
		}
		close(ep);
		close(kq);
		close(outer);
	}
#endif
}
END_TEST

/* An event that is withdrawn may leave the queue readable once, and no longer than that. */
START_TEST(kqueue_poll__withdrawn_event_is_not_readable_for_long)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	put(fds[1], 3);
	get(fds[0], 3);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("kqueue_poll",
    kqueue_poll__poll_sees_every_filter,
    kqueue_poll__select_sees_every_filter,
    kqueue_poll__epoll_sees_every_filter,
    kqueue_poll__another_queue_sees_every_filter,
    kqueue_poll__every_filter_wakes_poll,
    kqueue_poll__every_filter_wakes_another_queue,
    kqueue_poll__epoll_has_an_edge_once_all_was_collected,
    kqueue_poll__withdrawn_event_is_not_readable_for_long)
