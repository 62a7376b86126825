/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything at once with what may come at any moment: a signal every 100
 * microseconds, or a cancellation that waits for its point.  And what the
 * program has set is as it was, whatever goes on.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the changes are about. */
struct scene {
	int	kq, inner, file, dir, fds[2];
	pid_t	child;
	char	path[128];
};

static void
scene_begin(struct scene *s)
{
	pid_t child;

	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "%s/file", scratch_dir());
	ck_assert_int_ge(s->file = open(s->path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
	ck_assert_int_eq(pwrite(s->file, "x", 1, 0), 1);
	ck_assert_int_ge(s->dir = open(scratch_dir(), O_RDONLY | O_DIRECTORY), 0);
	pair(PAIR_TCP, s->fds);
	ck_assert_int_ge(child = fork(), 0);
	if (child == 0) {
		for (;;)
			pause();
	}
	s->child = child;
}

static void
scene_end(struct scene *s)
{
	int status;

	kill(s->child, SIGKILL);
	while (waitpid(s->child, &status, 0) == -1)
		ck_assert_int_eq(errno, EINTR);
	close_pair(s->fds);
	close(s->file);
	close(s->dir);
}

enum { STEPS = 14 };

static void
scene_changes(const struct scene *s, struct kevent all[STEPS])
{
	EV_SET(&all[0], (uintptr_t)s->fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
	EV_SET(&all[1], (uintptr_t)s->fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL);
	EV_SET(&all[2], (uintptr_t)s->fds[0], EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL);
	EV_SET(&all[3], (uintptr_t)s->fds[1], EVFILT_EMPTY, EV_ADD, 0, 0, NULL);
	EV_SET(&all[4], (uintptr_t)s->file, EVFILT_READ, EV_ADD, 0, 0, NULL);
	EV_SET(&all[5], (uintptr_t)s->file, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, NULL);
	EV_SET(&all[6], (uintptr_t)s->dir, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE | NOTE_DELETE, 0, NULL);
	EV_SET(&all[7], (uintptr_t)s->child, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
	EV_SET(&all[8], SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
	EV_SET(&all[9], 1, EVFILT_TIMER, EV_ADD, 0, 1, NULL);
	EV_SET(&all[10], 2, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME | NOTE_SECONDS, 1, NULL);
	EV_SET(&all[11], 3, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL);
	EV_SET(&all[12], (uintptr_t)s->inner, EVFILT_READ, EV_ADD, 0, 0, NULL);
	EV_SET(&all[13], (uintptr_t)s->fds[1], EVFILT_READ, EV_ADD | EV_UDATA_SPECIFIC | EV_DISPATCH, NOTE_LOWAT, 9, NULL);
}

static int
errno_of(int result)
{
	return result == -1 ? errno : 0;
}

/* Makes every condition of scene_changes() true but the last one's. */
static void
scene_stir(const struct scene *s)
{
	char entry[160];
	int fd;

	put(s->fds[1], 1);
	ck_assert_int_eq(send(s->fds[1], "!", 1, MSG_OOB), 1);
	ck_assert_int_eq(chmod(s->path, 0640), 0);
	ck_assert_int_eq(chmod(s->path, 0600), 0);
	snprintf(entry, sizeof(entry), "%s/entry", scratch_dir());
	ck_assert_int_ge(fd = open(entry, O_WRONLY | O_CREAT, 0600), 0);
	close(fd);
	ck_assert_int_eq(unlink(entry), 0);
	ck_assert_int_eq(kill(s->child, SIGKILL), 0);
	ck_assert_int_eq(raise(SIGUSR2), 0);
}

/* Collects until all but the last of them were told; room: of a call. */
static void
scene_collect(int kq, const struct kevent all[STEPS], int room, const struct timespec *timeout)
{
	struct kevent events[STEPS];
	unsigned seen = 0;
	int64_t start = now_ns();

	while (seen != (1u << (STEPS - 1)) - 1) {
		int n = kevent(kq, NULL, 0, events, room, timeout);

		ck_assert_msg(n >= 0 || errno == EINTR, "kevent: %s", strerror(errno));
		ck_assert_msg(now_ns() - start < INT64_C(30000000000), "only %#x of them came", seen);
		for (int i = 0; i < n; i++)
			for (unsigned j = 0; j < STEPS; j++)
				if (all[j].ident == events[i].ident && all[j].filter == events[i].filter)
					seen |= 1u << j;
	}
}

/* Every kind of change and delivery, on a queue of its own; timeout: of what collects. */
static void
play(struct scene *s, int room, const struct timespec *timeout)
{
	struct kevent all[STEPS], again[STEPS];
	int copy, error;

	s->kq = kqueue();
	s->inner = kqueue1(0);
	ck_assert_int_ge(s->kq, 0);
	ck_assert_int_ge(s->inner, 0);
	ck_assert_int_eq(change(s->inner, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	scene_changes(s, all);
	for (int i = 0; i < STEPS; i++) {
		error = errno_of(kevent(s->kq, &all[i], 1, NULL, 0, NULL));
		ck_assert_msg(error == 0, "change %d: %s", i, strerror(error));
	}
	/* All at once, disabled and enabled, and with a duplicate that nobody saw being made. */
	copy = (int)syscall(SYS_dup, s->kq);
	ck_assert_int_ge(copy, 0);
	memcpy(again, all, sizeof(all));
	for (int i = 0; i < STEPS; i++)
		again[i].flags = (unsigned short)((all[i].flags & EV_UDATA_SPECIFIC) | EV_DISABLE);
	ck_assert_int_eq(errno_of(kevent(s->kq, again, STEPS, NULL, 0, NULL)), 0);
	for (int i = 0; i < STEPS; i++)
		again[i].flags = (unsigned short)((all[i].flags & EV_UDATA_SPECIFIC) | EV_ENABLE);
	ck_assert_int_eq(errno_of(kevent(copy, again, STEPS, NULL, 0, NULL)), 0);
	ck_assert_int_eq(close(copy), 0);
	scene_stir(s);
	scene_collect(s->kq, all, room, timeout);
	for (int i = 0; i < STEPS; i++) {
		again[i].flags = (unsigned short)((all[i].flags & EV_UDATA_SPECIFIC) | EV_DELETE);
		error = errno_of(kevent(s->kq, &again[i], 1, NULL, 0, NULL));
		ck_assert_msg(error == (all[i].filter == EVFILT_PROC ? ENOENT : 0), "deleting %d: %s", i, strerror(error));
	}
}

static void
nothing(int signo)
{
	(void)signo;
}

static void
handle(int signo, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(signo, &action, NULL), 0);
}

static void
every_100_us(bool on)
{
	struct itimerval timer = { .it_interval.tv_usec = on ? 100 : 0, .it_value.tv_usec = on ? 100 : 0 };

	ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void
under_signals(int flags)
{
	static const struct timespec zero = { 0, 0 }, some = { 0, 3000000 };

	handle(SIGUSR2, SIG_IGN, 0);
	handle(SIGALRM, nothing, flags);
	for (int round = 0; round < 40; round++) {
		struct scene s;

		scene_begin(&s);
		every_100_us(true);
		play(&s, 1 + round % STEPS, round % 3 == 0 ? NULL : round % 3 == 1 ? &zero : &some);
		ck_assert_int_eq(close(s.kq), 0);
		ck_assert_int_eq(close(s.inner), 0);
		every_100_us(false);
		scene_end(&s);
	}
}

START_TEST(disturbed__by_a_signal_every_100_us)
{
	under_signals(0);
}
END_TEST

START_TEST(disturbed__by_a_signal_that_restarts_calls)
{
	under_signals(SA_RESTART);
}
END_TEST

/* A handler that itself opens, duplicates and closes. */
static void
open_and_close(int signo)
{
	int saved = errno, fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = dup(fd);

	(void)signo;
	close(fd);
	close(copy);
	errno = saved;
}

START_TEST(disturbed__by_a_handler_that_opens_and_closes)
{
	static const struct timespec some = { 0, 3000000 };

	handle(SIGUSR2, SIG_IGN, 0);
	handle(SIGALRM, open_and_close, 0);
	for (int round = 0; round < 40; round++) {
		struct scene s;

		scene_begin(&s);
		every_100_us(true);
		play(&s, 1 + round % STEPS, &some);
		ck_assert_int_eq(close(s.kq), 0);
		ck_assert_int_eq(close(s.inner), 0);
		every_100_us(false);
		scene_end(&s);
	}
}
END_TEST

/* A signal interrupts a wait, but no event and no timeout comes early or is lost by it. */
START_TEST(disturbed__timeouts_are_kept)
{
	struct timespec timeout = { 0, 5000000 };
	struct kevent event;
	int kq = queue(), ended = 0, interrupted = 0, n;
	int64_t start;

	handle(SIGALRM, nothing, 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	every_100_us(true);
	for (int i = 0; i < 500; i++) {
		if (i % 2 == 0)
			ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		start = now_ns();
		n = kevent(kq, NULL, 0, &event, 1, &timeout);
		if (i % 2 == 0)
			ck_assert_int_eq(n, 1);
		else if (n == 0)
			ended += now_ns() - start >= 5000000 ? 1 : 1000000;
		else
			interrupted += n == -1 && errno == EINTR ? 1 : 1000000;
	}
	every_100_us(false);
	ck_assert_int_eq(ended + interrupted, 250);
	close(kq);
}
END_TEST

/* Cancelled since its first instruction; what cannot wait is no cancellation point. */
static void *
play_cancelled(void *arg)
{
	static const struct timespec zero = { 0, 0 };
	struct scene *s = arg;
	struct kevent all[STEPS], events[STEPS];
	int copy;

	pthread_cancel(pthread_self());
	s->kq = kqueue();
	s->inner = kqueue1(0);
	change(s->inner, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL);
	scene_changes(s, all);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < STEPS; i++)
			kevent(s->kq, &all[i], 1, NULL, 0, NULL);
		kevent(s->kq, all, STEPS, events, STEPS, &zero);
		for (int room = 1; room <= STEPS; room++)
			kevent(s->kq, NULL, 0, events, room, &zero);
		for (int i = 0; i < STEPS; i++) {
			change(s->kq, all[i].ident, all[i].filter, EV_DISABLE, 0, 0, NULL);
			change(s->kq, all[i].ident, all[i].filter, EV_ENABLE, 0, 0, NULL);
			change(s->kq, all[i].ident, all[i].filter, EV_DELETE, 0, 0, NULL);
		}
	}
	copy = (int)syscall(SYS_dup, s->kq);
	kevent(copy, all, STEPS, events, STEPS, &zero);
	kevent(copy, NULL, 0, events, STEPS, &zero);
	/* close() is one. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	close(copy);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	for (int i = 0; i < STEPS; i++)
		change(s->kq, all[i].ident, all[i].filter, (unsigned short)(EV_DELETE | (all[i].flags & EV_UDATA_SPECIFIC)),
		    0, 0, NULL);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return arg;
}

START_TEST(disturbed__by_a_cancellation_that_waits)
{
	static const struct timespec some = { 1, 0 };
	pthread_t thread;
	struct scene s;
	void *result;

	handle(SIGUSR2, SIG_IGN, 0);
	scene_begin(&s);
	scene_stir(&s);
	ck_assert_int_eq(pthread_create(&thread, NULL, play_cancelled, &s), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_msg(result == &s, "it was cancelled where it could not wait");
	ck_assert_int_eq(close(s.kq), 0);
	ck_assert_int_eq(close(s.inner), 0);
	scene_end(&s);
	/* Nothing is locked. */
	scene_begin(&s);
	play(&s, 3, &some);
	ck_assert_int_eq(close(s.kq), 0);
	ck_assert_int_eq(close(s.inner), 0);
	scene_end(&s);
}
END_TEST

/* Everything of a process and its descriptors that a library might be tempted to change. */
struct settings {
	uint64_t	mask;
	struct {
		void	(*handler)(int);
		uint64_t mask, flags;
	} actions[65];
	mode_t		umask;
	char		directory[256];
	int		cancel, type;
	int		flags[4], mark[2], inline_oob[2];
	off_t		offset;
	struct itimerval timers[3];
};

/* A set of signals has room for more than there are, which nobody fills in. */
static uint64_t
bits_of(const sigset_t *set)
{
	uint64_t bits = 0;

	for (int signo = 1; signo < 65; signo++)
		if (sigismember(set, signo) == 1)
			bits |= UINT64_C(1) << (signo - 1);
	return bits;
}

static void
settings_get(struct settings *now, const struct scene *s)
{
	const int fds[4] = { s->fds[0], s->fds[1], s->file, s->dir };
	socklen_t len = sizeof(int);
	struct sigaction action;
	sigset_t mask;

	memset(now, 0, sizeof(*now));
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
	now->mask = bits_of(&mask);
	for (int signo = 1; signo < 65; signo++) {
		if (sigaction(signo, NULL, &action) == -1)
			continue;
		now->actions[signo].handler = action.sa_handler;
		now->actions[signo].mask = bits_of(&action.sa_mask);
		now->actions[signo].flags = (unsigned)action.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO |
		    SA_ONSTACK | SA_RESETHAND | SA_NOCLDSTOP | SA_NOCLDWAIT);
	}
	now->umask = umask(0);
	umask(now->umask);
	ck_assert_ptr_nonnull(getcwd(now->directory, sizeof(now->directory)));
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &now->cancel);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &now->type);
	for (int i = 0; i < 4; i++)
		now->flags[i] = fcntl(fds[i], F_GETFL) << 1 | fcntl(fds[i], F_GETFD);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(getsockopt(fds[i], SOL_SOCKET, SO_RCVLOWAT, &now->mark[i], &len), 0);
		ck_assert_int_eq(getsockopt(fds[i], SOL_SOCKET, SO_OOBINLINE, &now->inline_oob[i], &len), 0);
	}
	now->offset = lseek(s->file, 0, SEEK_CUR);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(getitimer(i, &now->timers[i]), 0);
}

/* The program's settings stay its own: before, while and after all of it is watched. */
START_TEST(disturbed__is_none_of_the_programs_settings)
{
	static const struct timespec some = { 1, 0 };
	struct settings before, while_watched, after;
	struct scene s;

	handle(SIGUSR2, SIG_IGN, 0);
	handle(SIGUSR1, nothing, SA_RESTART | SA_NODEFER);
	umask(027);
	scene_begin(&s);
	ck_assert_int_eq(fcntl(s.fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(setsockopt(s.fds[0], SOL_SOCKET, SO_RCVLOWAT, &(int){ 2 }, sizeof(int)), 0);
	settings_get(&before, &s);
	errno = ETXTBSY;
	play(&s, 3, &some);
	ck_assert_int_eq(change(s.kq, (uintptr_t)s.fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, NULL), 0);
	ck_assert_int_eq(change(s.kq, (uintptr_t)s.fds[0], EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL), 0);
	ck_assert_int_eq(change(s.kq, (uintptr_t)s.file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(s.kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	settings_get(&while_watched, &s);
	ck_assert_int_eq(close(s.kq), 0);
	ck_assert_int_eq(close(s.inner), 0);
	settings_get(&after, &s);
	ck_assert_int_eq(memcmp(&before, &while_watched, sizeof(before)), 0);
	ck_assert_int_eq(memcmp(&before, &after, sizeof(before)), 0);
	scene_end(&s);
}
END_TEST

/* A close() that is cancelled has closed nothing, and nothing is forgotten. */
static void *
close_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	close(*(int *)arg);
	return NULL;
}

START_TEST(disturbed__by_a_cancelled_close)
{
	int kq = queue(), fds[2];
	pthread_t thread;
	void *result;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, close_cancelled, i == 0 ? &fds[0] : &kq), 0);
		ck_assert_int_eq(pthread_join(thread, &result), 0);
		ck_assert_ptr_eq(result, PTHREAD_CANCELED);
		put(fds[1], 1);
		event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	}
	close_pair(fds);
	ck_assert_int_eq(close(kq), 0);
}
END_TEST

HARNESS_MAIN("disturbed",
    disturbed__is_none_of_the_programs_settings,
    disturbed__by_a_cancelled_close,
    disturbed__by_a_signal_every_100_us,
    disturbed__by_a_signal_that_restarts_calls,
    disturbed__by_a_handler_that_opens_and_closes,
    disturbed__timeouts_are_kept,
    disturbed__by_a_cancellation_that_waits)
