/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program takes a number of the library's own for itself, by dup2(), at the very moment that another thread is
 * about to make a system call on it: here a handler does so, just before.  Or the library lets go of the number just
 * when it is taken.
 */
#include "../numbers.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long	__real_syscall(long number, ...);
long	__wrap_syscall(long number, ...);

/* What is done before which epoll_ctl(2) of this thread from now on, with the epoll's number; 0: before none. */
static void (*volatile meanwhile)(int ep);
static _Thread_local volatile int which;	/* volatile: dup2() and raise() are taken not to come back here */

/* What is done before the next duplicate of the library's. */
static void (*volatile before_copy)(void);

long
__wrap_syscall(long number, ...)
{
	void (*copied)(void) = before_copy;
	long arg[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_epoll_ctl && which > 0 && --which == 0)
		meanwhile((int)arg[0]);
	if (number == SYS_fcntl && arg[1] == F_DUPFD_CLOEXEC && copied != NULL) {
		before_copy = NULL;
		copied();
	}
	return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* What the program puts there, and where it did. */
static int file, taken;

static void
take(int ep)
{
	ck_assert_int_eq(dup2(file, ep), ep);
	taken = ep;
}

/* Whether a change made so many calls of epoll_ctl(2), before the last one of which the number was taken. */
static bool
change_meanwhile(int n, int kq, uintptr_t ident, short filter, unsigned short flags, unsigned int fflags, int64_t data)
{
	int error;

	meanwhile = take;
	taken = -1;
	which = n;
	error = change(kq, ident, filter, flags, fflags, data, NULL);
	which = 0;
	ck_assert_msg(error == 0, "filter %d, call %d: %s", filter, n, strerror(error));
	return taken >= 0;
}

/* A registration of each kind that has a descriptor of its own, or the program's, in epoll, and what makes it ready. */
static uintptr_t
ident_of(short filter, const int ends[2])
{
	switch (filter) {
	case EVFILT_READ:
	case EVFILT_WRITE:
		return (uintptr_t)ends[filter == EVFILT_WRITE];
	case EVFILT_PROC:
		return (uintptr_t)getpid();
	default:
		return 1;
	}
}

static void
add_meanwhile(short filter, unsigned short flags, int64_t data)
{
	uintptr_t ident;
	int ends[2], kq;
	bool more = true;

	for (int n = 1; more; n++) {
		pair(PAIR_UNIX, ends);
		kq = queue();
		ident = ident_of(filter, ends);
		/* So that one that is told by edges needs an epoll of its own. */
		if (filter == EVFILT_READ)
			ck_assert_int_eq(change(kq, ident, EVFILT_WRITE, EV_ADD | EV_DISPATCH, NOTE_LOWAT, INT32_MAX, NULL), 0);
		more = change_meanwhile(n, kq, ident, filter, EV_ADD | flags, filter == EVFILT_PROC ? NOTE_EXIT : 0, data);
		if (filter == EVFILT_READ) {
			no_event(kq);
			put(ends[1], 1);
		}
		if (filter != EVFILT_PROC)
			event_of(kq, ident, filter);
		else
			ck_assert_int_eq(change(kq, ident, filter, EV_DELETE, 0, 0, NULL), 0);
		/* It has had no other item, and no other has the program's. */
		if (filter == EVFILT_READ || filter == EVFILT_WRITE)
			ck_assert_int_eq(change(kq, ident, filter, EV_DELETE, 0, 0, NULL), 0);
		close(kq);
		if (taken >= 0)
			close(taken);
		close_pair(ends);
	}
}

static void
add_each_meanwhile(void)
{
	add_meanwhile(EVFILT_READ, 0, 0);
	add_meanwhile(EVFILT_READ, EV_CLEAR, 0);
	add_meanwhile(EVFILT_READ, EV_DISPATCH, 0);
	add_meanwhile(EVFILT_WRITE, 0, 0);
	add_meanwhile(EVFILT_TIMER, 0, 1);
	add_meanwhile(EVFILT_PROC, 0, 0);
}

START_TEST(taken__by_a_file_while_something_is_registered)
{
	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	add_each_meanwhile();
	close(file);
}
END_TEST

/* How many items an epoll has, as /proc lists them. */
static int
items_of(int ep)
{
	char path[64], line[256];
	int items = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	ck_assert_ptr_nonnull(info = fopen(path, "r"));
	while (fgets(line, sizeof(line), info) != NULL)
		items += strncmp(line, "tfd:", 4) == 0;
	fclose(info);
	return items;
}

START_TEST(taken__by_an_epoll_that_gets_nothing)
{
	ck_assert_int_ge(file = epoll_create1(EPOLL_CLOEXEC), 0);
	add_each_meanwhile();
	ck_assert_int_eq(items_of(file), 0);
	close(file);
}
END_TEST

/* What is closed meanwhile is removed from the queue, though a duplicate of it is ready. */
START_TEST(taken__while_something_is_closed)
{
	static const unsigned short flags[] = { 0, EV_CLEAR };
	int ends[2], copy, kq;

	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		pair(PAIR_UNIX, ends);
		kq = queue();
		ck_assert_int_eq(change(kq, (uintptr_t)ends[0], EVFILT_READ, EV_ADD | flags[i], 0, 0, NULL), 0);
		put(ends[1], 1);
		ck_assert_int_ge(copy = dup(ends[0]), 0);
		meanwhile = take;
		which = 1;
		close(ends[0]);
		ck_assert_int_eq(which, 0);
		ck_assert(!readable(kq, 0));
		no_event(kq);
		close(kq);
		close(taken);
		close(copy);
		close(ends[1]);
	}
	close(file);
}
END_TEST

static void
ignore(int signo)
{
	(void)signo;
}

/* The handler rings, and another signal rings again. */
START_TEST(taken__while_a_signal_arrives)
{
	struct sigaction sa = { .sa_handler = ignore };
	int kq = queue();

	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	meanwhile = take;
	for (int i = 0; i < 2; i++) {
		which = i == 0;
		ck_assert_int_eq(raise(SIGUSR1), 0);
		ck_assert_int_eq(which, 0);
		ck_assert_int_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 1);
	}
	close(kq);
	close(taken);
	close(file);
}
END_TEST

static int going;
static pthread_t closer;

static void *
close_queue(void *queue)
{
	close(*(int *)queue);
	return NULL;
}

/* The queue is closed elsewhere, as far as the number that goes. */
static void
close_elsewhere(void)
{
	static int number;

	number = going;
	ck_assert_int_eq(pthread_create(&closer, NULL, close_queue, &number), 0);
	while (kind_of(taken)[0] != '\0')
		nap(1);
}

/* The number is nobody's any more, so there is nothing to be moved. */
START_TEST(taken__when_the_library_has_just_let_go_of_it)
{
	int kept = queue();

	going = queue();
	ck_assert_int_eq(change(going, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
	for (taken = 256; strcmp(kind_of(taken), "anon_inode:[timerfd]") != 0; taken++)
		ck_assert_int_lt(taken, 65536);
	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	before_copy = close_elsewhere;
	ck_assert_int_eq(dup2(file, taken), taken);
	ck_assert(before_copy == NULL);
	pthread_join(closer, NULL);
	ck_assert_str_eq(kind_of(taken), "/dev/null");
	ck_assert_int_eq(change(kept, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kept, 1, EVFILT_USER);
	close(taken);
	close(kept);
	close(file);
}
END_TEST

HARNESS_MAIN("taken",
    taken__by_a_file_while_something_is_registered,
    taken__by_an_epoll_that_gets_nothing,
    taken__while_something_is_closed,
    taken__while_a_signal_arrives,
    taken__when_the_library_has_just_let_go_of_it)
