/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A forked child has none of its parent's queues, does them no harm, and can
 * make its own.
 */
#include "child.h"
#include "numbers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a parent has: a queue, a pair, a timer. */
static int kq, fds[2];

static void
begin(void)
{
	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 200, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
}

/* All of it still works in the parent. */
static void
end(void)
{
	struct kevent event;

	put(fds[1], 1);
	do
		ck_assert_int_eq(collect(kq, &event, 1, 10000), 1);
	while (event.filter == EVFILT_TIMER);
	ck_assert_int_eq(event.filter, EVFILT_READ);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	do
		ck_assert_int_eq(collect(kq, &event, 1, 10000), 1);
	while (event.filter == EVFILT_TIMER);
	ck_assert_int_eq(event.filter, EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	no_event(kq);
	close_pair(fds);
	close(kq);
}

START_TEST(kqueue_fork__inherited_number_is_ebadf)
{
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		struct timespec zero = { 0, 0 };
		struct kevent event;

		CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, &zero) == -1 && errno == EBADF);
		CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, NULL) == -1 && errno == EBADF);
		CHILD_CHECK(change(kq, 2, EVFILT_USER, EV_ADD, 0, 0, NULL) == EBADF);
		CHILD_CHECK(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL) == EBADF);
		_exit(0);
	}
	child_succeeds(pid);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	end();
}
END_TEST

START_TEST(kqueue_fork__what_the_child_closes_stays_the_parents)
{
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		close(fds[0]);
		close(fds[1]);
		close(kq);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_fork__what_the_child_replaces_stays_the_parents)
{
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, fds[0]);
		dup2(null, fds[1]);
		dup2(null, kq);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_fork__child_closes_everything)
{
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		int own;

		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		CHILD_CHECK((own = kqueue()) >= 0);
		CHILD_CHECK(change(own, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL) == 0);
		struct kevent event;
		CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

/* Every filter on a queue of this process; false if something does not come. */
static void
child_uses_its_own_queue(void)
{
	int own, p[2];
	struct kevent event;
	pid_t pid;

	CHILD_CHECK((own = kqueue()) >= 0);
	CHILD_CHECK(pipe(p) == 0);
	CHILD_CHECK(change(own, (uintptr_t)p[0], EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0, NULL) == 0);
	CHILD_CHECK(write(p[1], "x", 1) == 1);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_READ);
	CHILD_CHECK(change(own, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL) == 0);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_TIMER);
	CHILD_CHECK(change(own, 1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL) == 0);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_USER);
	signal(SIGUSR2, SIG_IGN);
	CHILD_CHECK(change(own, SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL) == 0);
	kill(getpid(), SIGUSR2);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_SIGNAL);
	if ((pid = fork()) == 0)
		_exit(7);
	CHILD_CHECK(change(own, (uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL) == 0);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_PROC);
	CHILD_CHECK(WEXITSTATUS(event.data) == 7);
	CHILD_CHECK(waitpid(pid, NULL, 0) == pid);
	close(p[0]);
	close(p[1]);
	CHILD_CHECK(close(own) == 0);
}

START_TEST(kqueue_fork__child_makes_its_own_queue)
{
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		child_uses_its_own_queue();
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_fork__grandchild_makes_its_own_queue)
{
	pid_t pid;

	begin();
	if ((pid = fork()) == 0) {
		int status, own = kqueue();
		struct kevent event;

		CHILD_CHECK(own >= 0);
		CHILD_CHECK(change(own, 5, EVFILT_USER, EV_ADD, 0, 0, NULL) == 0);
		if ((pid = fork()) == 0) {
			CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == -1 && errno == EBADF);
			CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, NULL) == -1 && errno == EBADF);
			child_uses_its_own_queue();
			_exit(0);
		}
		CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHILD_CHECK(change(own, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) == 0);
		CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.ident == 5);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_fork__child_leaks_no_descriptor)
{
	pid_t pid;

	begin();
	int before = open_descriptors();
	if ((pid = fork()) == 0) {
		CHILD_CHECK(open_descriptors() <= before);
		child_uses_its_own_queue();
		close(kq);
		/* The queue's number and what it needed inside are gone. */
		CHILD_CHECK(open_descriptors() < before);
		_exit(0);
	}
	child_succeeds(pid);
	ck_assert_int_eq(open_descriptors(), before);
	end();
}
END_TEST

/* Bytes of address space, which a mapping that nobody can give back goes on to take. */
static long
pages_mapped(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages;

	CHILD_CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
	fclose(file);
	return pages;
}

/* Each generation makes a queue with some thousands of registrations, and forks: nothing adds up. */
START_TEST(kqueue_fork__generations_leak_no_memory)
{
	enum { GENERATIONS = 40, MANY = 5000, BYTES_EACH = 80 };
	long second = 0, page = sysconf(_SC_PAGESIZE);
	int status;
	pid_t pid;

	begin();
	for (int generation = 0; generation < GENERATIONS; generation++) {
		if ((pid = fork()) != 0) {
			ck_assert_int_eq(waitpid(pid, &status, 0), pid);
			if (generation > 0)
				_exit(status != 0);
			ck_assert_msg(status == 0, "status %#x", (unsigned)status);
			end();
			return;
		}
		int own = kqueue();

		CHILD_CHECK(own >= 0);
		for (uintptr_t i = 0; i < MANY; i++)
			CHILD_CHECK(change(own, i, EVFILT_USER, EV_ADD, 0, 0, NULL) == 0);
		if (generation == 1)
			second = pages_mapped();
	}
	CHILD_CHECK((pages_mapped() - second) * page < 3L * MANY * BYTES_EACH);
	_exit(0);
}
END_TEST

/* What the parent had goes with the child's first queue, whatever the thread did before. */
START_TEST(kqueue_fork__memory_goes_after_a_descriptor_moved)
{
	enum { MANY = 50000, BYTES_EACH = 80 };
	long before, page = sysconf(_SC_PAGESIZE);
	pid_t pid;
	int taken;

	begin();
	for (uintptr_t i = 0; i < MANY; i++)
		ck_assert_int_eq(change(kq, 10 + i, EVFILT_USER, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	/* The library's eventfd gets another number, when the program takes the one it had. */
	ck_assert_int_ge(taken = dup2(fds[0], bell()), 0);
	ck_assert_int_eq(close(taken), 0);
	if ((pid = fork()) == 0) {
		before = pages_mapped();
		CHILD_CHECK(kqueue() >= 0);
		CHILD_CHECK((before - pages_mapped()) * page > (long)MANY / 2 * BYTES_EACH);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_fork__parents_queue_is_ready_in_the_parent_only)
{
	pid_t pid;

	begin();
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	if ((pid = fork()) == 0) {
		struct timespec zero = { 0, 0 };
		struct kevent event;

		CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, &zero) == -1 && errno == EBADF);
		_exit(0);
	}
	child_succeeds(pid);
	event_of(kq, 1, EVFILT_USER);
	end();
}
END_TEST

/* Threads that are in kevent() all the time while the process forks. */
static atomic_int stop, events_seen;

static void *
trigger_and_collect(void *arg)
{
	uintptr_t ident = (uintptr_t)arg;
	struct timespec ts = { 0, 1000000 };
	struct kevent event;

	change(kq, ident, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL);
	while (!atomic_load(&stop)) {
		change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
		if (kevent(kq, NULL, 0, &event, 1, &ts) == 1)
			atomic_fetch_add(&events_seen, 1);
	}
	return NULL;
}

START_TEST(kqueue_fork__while_threads_use_the_queue)
{
	pthread_t thread[8];

	kq = queue();
	for (uintptr_t i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, trigger_and_collect, (void *)(i + 100)), 0);
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct timespec zero = { 0, 0 };
			struct kevent event;

			CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, &zero) == -1 && errno == EBADF);
			if (i % 10 == 0)
				child_uses_its_own_queue();
			_exit(0);
		}
		child_succeeds(pid);
	}
	int seen = atomic_load(&events_seen);
	for (int i = 0; i < 10000 && atomic_load(&events_seen) == seen; i++)
		nap(1);
	int seen_now = atomic_load(&events_seen);
	ck_assert_int_gt(seen_now, seen);
	atomic_store(&stop, 1);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	close(kq);
}
END_TEST

/* vfork() shares the parent's memory: what its child closes is still open in the parent. */
START_TEST(kqueue_fork__vfork_child_closes_its_own_descriptors_only)
{
	pid_t pid;

	begin();
	/* Some systems advise against vfork(); what it does is tested here. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
	pid = vfork();
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
	if (pid == 0) {
		close(fds[0]);
		close(kq);
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_fork__program_that_is_run_leaves_the_queue_alone)
{
	FILE *stream;
	char line[16];

	begin();
	ck_assert_ptr_nonnull(stream = popen("echo hello", "r"));
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
	ck_assert_str_eq(line, "hello\n");
	ck_assert_int_eq(pclose(stream), 0);
	end();
}
END_TEST

HARNESS_MAIN("kqueue_fork",
    kqueue_fork__inherited_number_is_ebadf,
    kqueue_fork__what_the_child_closes_stays_the_parents,
    kqueue_fork__what_the_child_replaces_stays_the_parents,
    kqueue_fork__child_closes_everything,
    kqueue_fork__child_makes_its_own_queue,
    kqueue_fork__grandchild_makes_its_own_queue,
    kqueue_fork__child_leaks_no_descriptor,
    kqueue_fork__generations_leak_no_memory,
    kqueue_fork__memory_goes_after_a_descriptor_moved,
    kqueue_fork__parents_queue_is_ready_in_the_parent_only,
    kqueue_fork__while_threads_use_the_queue,
    kqueue_fork__vfork_child_closes_its_own_descriptors_only,
    kqueue_fork__program_that_is_run_leaves_the_queue_alone)
