/* SPDX-License-Identifier: BSD-2-Clause */
/* pdfork(), pdgetpid() and pdkill(). */
#include "child.h"
#include "procdesc.h"
#include "sandbox.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/procdesc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
refused(int *fdp, int flags, int error)
{
	pid_t pid = pdfork(fdp, flags);

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(pid, -1);
	ck_assert_int_eq(errno, error);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

START_TEST(pdfork__arguments)
{
	int fd = -7;

	refused(&fd, 0, ENOTSUP);
	refused(&fd, PD_CLOEXEC, ENOTSUP);
	refused(&fd, PD_DAEMON | 0x4, EINVAL);
	refused(&fd, -1, EINVAL);
	refused(NULL, PD_DAEMON, EFAULT);
	ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(pdfork__parent_and_child)
{
	int fd = -7, status;
	pid_t pid;

	errno = EILSEQ;
	pid = pdfork_of(&fd, PD_DAEMON);
	if (pid == 0)
		_exit(fd == -7 && errno == EILSEQ && getpid() != getppid() ? 5 : 1);
	ck_assert_int_eq(errno, EILSEQ);
	ck_assert_int_ge(fd, 0);
	ck_assert(readable(fd, HARNESS_TIMEOUT * 500));	/* it polls, as pidfds do */
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 5 << 8);
	close(fd);
}
END_TEST

START_TEST(pdfork__close_on_exec_only_if_asked)
{
	int fd, flags[] = { 0, PD_CLOEXEC };

	for (int i = 0; i < 2; i++) {
		pid_t pid = pdfork_of(&fd, PD_DAEMON | flags[i]);

		if (pid == 0)
			_exit(0);
		ck_assert_int_eq(fcntl(fd, F_GETFD), i == 0 ? 0 : FD_CLOEXEC);
		reap(pid, 0);
		close(fd);
	}
}
END_TEST

/* The child has no descriptor of itself. */
START_TEST(pdfork__child_has_no_descriptor)
{
	int fd, before = open_descriptors();
	pid_t pid = pdfork_of(&fd, PD_DAEMON), of;

	if (pid == 0) {
		for (int i = 0; i < 5000; i++)
			if (pdgetpid(i, &of) == 0)
				_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(open_descriptors(), before + 1);
	reap(pid, 0);
	close(fd);
}
END_TEST

START_TEST(pdfork__closing_leaves_it_alive)
{
	int fd, go[2];
	pid_t pid;

	pair(PAIR_PIPE, go);
	pid = pdfork_of(&fd, PD_DAEMON);
	if (pid == 0) {
		get(go[0], 1);
		_exit(3);
	}
	close(fd);
	nap(20);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	put(go[1], 1);
	reap(pid, 3 << 8);
	close_pair(go);
}
END_TEST

static int prepared, in_parent, in_child;

static void
prepare(void)
{
	prepared++;
}

static void
parent(void)
{
	in_parent++;
}

static void
child(void)
{
	in_child++;
}

START_TEST(pdfork__runs_the_fork_handlers)
{
	int fd, kq = queue();
	pid_t pid;

	ck_assert_int_eq(pthread_atfork(prepare, parent, child), 0);
	pid = pdfork_of(&fd, PD_DAEMON);
	if (pid == 0) {
		struct kevent event;
		int own;

		if (in_child != 1 || prepared != 1 || in_parent != 0)
			_exit(1);
		/* The queue is the parent's. */
		if (kevent(kq, NULL, 0, &event, 1, &(struct timespec){ 0, 0 }) != -1 || errno != EBADF)
			_exit(2);
		own = kqueue();
		_exit(own >= 0 && change(own, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL) == 0 &&
		    collect(own, &event, 1, 0) == 1 ? 0 : 3);
	}
	ck_assert_int_eq(in_child, 0);
	ck_assert_int_eq(in_parent, 1);
	reap(pid, 0);
	no_event(kq);
	close(kq);
	close(fd);
}
END_TEST

/* Children that end at once, while somebody reaps whatever there is. */
static void
check_race(int rounds)
{
	int kq = queue(), fd;
	struct kevent event;

	for (int i = 0; i < rounds; i++) {
		pid_t pid = pdfork_of(&fd, PD_DAEMON | PD_CLOEXEC);

		if (pid == 0)
			_exit(9);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_PROCDESC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
		event = event_of(kq, (uintptr_t)fd, EVFILT_PROCDESC);
		ck_assert(event.data == 9 << 8 || event.data == 0);
		close(fd);
	}
	close(kq);
}

static void
reap_all(int signo)
{
	int saved = errno;

	(void)signo;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = saved;
}

static void
wait_for_none(void)
{
	for (int tries = 0; waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD; tries++) {
		ck_assert_int_lt(tries, 10000);
		nap(1);
	}
}

START_TEST(pdfork__while_a_handler_reaps)
{
	struct sigaction sa = { .sa_handler = reap_all, .sa_flags = SA_RESTART };

	sigaction(SIGCHLD, &sa, NULL);
	check_race(100);
	wait_for_none();
	sa.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &sa, NULL);
}
END_TEST

START_TEST(pdfork__while_children_are_reaped_unseen)
{
	signal(SIGCHLD, SIG_IGN);
	check_race(100);
	wait_for_none();
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

static _Atomic bool stop;

static void *
reap_thread(void *arg)
{
	(void)arg;
	while (!stop)
		if (waitpid(-1, NULL, 0) == -1)
			nap(1);
	return NULL;
}

START_TEST(pdfork__while_a_thread_reaps)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, reap_thread, NULL), 0);
	check_race(100);
	wait_for_none();
	stop = true;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(pdfork__no_descriptor_left)
{
	struct rlimit limit, low;
	int fd = -7, highest = dup(0);

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)highest + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	refused(&fd, PD_DAEMON, EMFILE);
	ck_assert_int_eq(fd, -7);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(highest);
}
END_TEST

/* A fork handler takes the last number: the child must go again. */
static void
take_one(void)
{
	in_parent = dup(0);
}

START_TEST(pdfork__no_descriptor_left_after_the_fork)
{
	struct rlimit limit, low;
	int fd = -7, highest = dup(0);

	ck_assert_int_eq(pthread_atfork(take_one, NULL, NULL), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)highest + 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	refused(&fd, PD_DAEMON, EMFILE);
	ck_assert_int_eq(fd, -7);
	ck_assert_int_ge(in_parent, 0);
	close(in_parent);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(highest);
}
END_TEST

/* False in an emulator, which has no such limits. */
static bool
memory_is_limited(void)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return true;
	munmap(page, 4096);
	return false;
}

/* No memory for the page that both share, then no process. */
START_TEST(pdfork__no_memory_and_no_process)
{
	struct rlimit limit, none;
	int fd = -7, result = -1, error = ENOMEM;
	bool limited = true;
	pid_t pid;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	none = limit;
	none.rlim_cur = 1;
	/* The sanitizer's runtime would end the program. */
	if (!THREAD_SANITIZER) {
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
		limited = memory_is_limited();
		if (limited) {
			result = pdfork(&fd, PD_DAEMON);
			error = errno;
		}
		if (result == 0)
			_exit(1);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	}
	if (!limited)
		return;
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(error, ENOMEM);
	/* In a child, since what is refused is refused for good. */
	pid = fork();
	if (pid == 0) {
		CHILD_CHECK(refuse_call(SYS_clone, EAGAIN));
		CHILD_CHECK(pdfork(&fd, PD_DAEMON) == -1 && errno == EAGAIN && fd == -7);
		_exit(0);
	}
	child_succeeds(pid);
}
END_TEST

START_TEST(pdgetpid__of_descriptors)
{
	int fd, copy, fds[2], dir;
	pid_t pid = pdfork_of(&fd, PD_DAEMON), got = 0;
	siginfo_t info;

	while (pid == 0)
		pause();
	errno = EILSEQ;
	ck_assert_int_eq(pdgetpid(fd, &got), 0);
	ck_assert_int_eq(got, pid);
	ck_assert_int_eq(errno, EILSEQ);
	ck_assert_int_ge(copy = dup(fd), 0);
	ck_assert_int_eq(pdgetpid(copy, &got), 0);
	ck_assert_int_eq(got, pid);
	close(copy);
	ck_assert_int_eq(pdgetpid(fd, NULL), -1);
	ck_assert_int_eq(errno, EFAULT);
	pair(PAIR_PIPE, fds);
	ck_assert_int_ge(dir = open("/proc/self", O_RDONLY | O_DIRECTORY), 0);
	for (int i = 0; i < 4; i++) {
		int others[] = { -1, fds[0], dir, 1000 };

		ck_assert_int_eq(pdgetpid(others[i], &got), -1);
		ck_assert_int_eq(errno, EBADF);
		ck_assert_int_eq(pdkill(others[i], 0), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	close(dir);
	close_pair(fds);
	/* A zombie has its number still. */
	ck_assert_int_eq(pdkill(fd, SIGKILL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	got = 0;
	ck_assert_int_eq(pdgetpid(fd, &got), 0);
	ck_assert_int_eq(got, pid);
	reap(pid, SIGKILL);
	ck_assert_int_eq(pdgetpid(fd, &got), -1);
	ck_assert_int_eq(errno, ESRCH);
	close(fd);
}
END_TEST

START_TEST(pdkill__sends_signals)
{
	int fd;
	pid_t pid = pdfork_of(&fd, PD_DAEMON);

	while (pid == 0)
		pause();
	errno = EILSEQ;
	ck_assert_int_eq(pdkill(fd, 0), 0);
	ck_assert_int_eq(errno, EILSEQ);
	ck_assert_int_eq(pdkill(fd, -1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(pdkill(fd, 1000), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(pdkill(fd, SIGUSR2), 0);
	reap(pid, SIGUSR2);
	ck_assert_int_eq(pdkill(fd, SIGUSR2), -1);
	ck_assert_int_eq(errno, ESRCH);
	close(fd);
}
END_TEST

/* Its parent is killed before it has opened the gate: the child must not wait for ever. */
static void
die(void)
{
	raise(SIGKILL);
}

START_TEST(pdfork__outlives_a_parent_that_is_killed_in_it)
{
	int talk[2], status;
	pid_t pid;

	pair(PAIR_PIPE, talk);
	pid = fork();
	if (pid == 0) {
		int fd;

		pthread_atfork(NULL, die, NULL);
		if (pdfork(&fd, PD_DAEMON) == 0)
			put(talk[1], 1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, SIGKILL);
	ck_assert(readable(talk[0], HARNESS_TIMEOUT * 500));
	get(talk[0], 1);
	close_pair(talk);
}
END_TEST

HARNESS_MAIN("pdfork",
    pdfork__arguments,
    pdfork__parent_and_child,
    pdfork__close_on_exec_only_if_asked,
    pdfork__child_has_no_descriptor,
    pdfork__closing_leaves_it_alive,
    pdfork__runs_the_fork_handlers,
    pdfork__while_a_handler_reaps,
    pdfork__while_children_are_reaped_unseen,
    pdfork__while_a_thread_reaps,
    pdfork__no_descriptor_left,
    pdfork__no_descriptor_left_after_the_fork,
    pdfork__no_memory_and_no_process,
    pdgetpid__of_descriptors,
    pdkill__sends_signals,
    pdfork__outlives_a_parent_that_is_killed_in_it)
