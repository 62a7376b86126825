/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC on processes that are not our children. */
#include "proc.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static void
watch(int kq, pid_t pid)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), 0);
}

/*
 * A child whose own child tells its number and waits to be killed.  The child
 * then waits for a byte before it reaps.
 */
struct family {
	pid_t	child, grandchild;
	int	talk[2];
};

static void
family_start(struct family *f)
{
	pair(PAIR_UNIX, f->talk);
	f->child = fork();
	ck_assert_int_ne(f->child, -1);
	if (f->child == 0) {
		pid_t pid = sleeper();

		if (write(f->talk[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		get(f->talk[1], 1);
		_exit(waitpid(pid, NULL, 0) == pid ? 0 : 2);
	}
	ck_assert_int_eq(read(f->talk[0], &f->grandchild, sizeof(pid_t)), sizeof(pid_t));
}

static void
family_end(struct family *f)
{
	put(f->talk[0], 1);
	ck_assert_int_eq(reap(f->child), 0);
	close_pair(f->talk);
}

/* The event must come while nobody reaps; its status if that is ours to know. */
static void
check_grandchild(bool status)
{
	struct family f;
	struct kevent event;
	int kq = queue();

	family_start(&f);
	watch(kq, f.grandchild);
	no_event(kq);
	ck_assert_int_eq(kill(f.grandchild, SIGUSR2), 0);
	event = event_of(kq, (uintptr_t)f.grandchild, EVFILT_PROC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	ck_assert_uint_eq(event.flags, EV_EOF | EV_ONESHOT | EV_CLEAR);
	ck_assert(event.data == SIGUSR2 || (!status && event.data == 0));
	/* It is a zombie still. */
	watch(kq, f.grandchild);
	event = event_of(kq, (uintptr_t)f.grandchild, EVFILT_PROC);
	ck_assert(event.data == SIGUSR2 || (!status && event.data == 0));
	family_end(&f);
	ck_assert_int_eq(proc(kq, f.grandchild, EV_ADD, NOTE_EXIT), ESRCH);
	no_event(kq);
	close(kq);
}

START_TEST(proc_foreign__fires_before_it_is_reaped)
{
	check_grandchild(true);
}
END_TEST

START_TEST(proc_foreign__fires_after_it_was_reaped)
{
	struct family f;
	struct kevent event;
	int kq = queue();

	family_start(&f);
	watch(kq, f.grandchild);
	ck_assert_int_eq(kill(f.grandchild, SIGUSR2), 0);
	family_end(&f);
	event = event_of(kq, (uintptr_t)f.grandchild, EVFILT_PROC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	ck_assert(event.data == SIGUSR2 || event.data == 0);
	close(kq);
}
END_TEST

START_TEST(proc_foreign__ordinary_user)
{
	int go[2];
	pid_t pid, root;

	if (getuid() != 0)
		return;		/* then every other test was one */
	pair(PAIR_UNIX, go);
	root = fork();
	if (root == 0) {
		get(go[1], 1);
		_exit(0);
	}
	pid = fork();
	if (pid == 0) {
		struct kevent event;
		int kq;

		if (setgid(NOBODY) == -1 || setuid(NOBODY) == -1)
			_exit(1);
		check_grandchild(false);
		/* Somebody else's process. */
		kq = queue();
		watch(kq, root);
		put(go[0], 1);
		event = event_of(kq, (uintptr_t)root, EVFILT_PROC);
		ck_assert_uint_eq(event.fflags, NOTE_EXIT);
		ck_assert_int_eq(event.data, 0);
		watch(kq, 1);
		no_event(kq);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
	reap(root);
	close_pair(go);
}
END_TEST

HARNESS_MAIN("proc_foreign",
    proc_foreign__fires_before_it_is_reaped,
    proc_foreign__fires_after_it_was_reaped,
    proc_foreign__ordinary_user)
