/* SPDX-License-Identifier: BSD-2-Clause */
/* What the program's own handlers of watched signals are told, and what faults and children do. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"
#include "sanitizer.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int kq;

/* What the handler was told, in order. */
enum { MOST = 64 };
static struct told { int signo, code, value, status; pid_t pid; uid_t uid; void *addr; } told[MOST];
static _Atomic int times;
static sigjmp_buf back;

static void
note(const siginfo_t *info)
{
	int i = times;

	if (i == MOST)
		return;
	told[i] = (struct told){ .signo = info->si_signo, .code = info->si_code, .pid = info->si_pid };
	if (info->si_code == SI_QUEUE) {
		told[i].value = info->si_value.sival_int;
		told[i].uid = info->si_uid;
	} else if (info->si_signo == SIGCHLD) {
		told[i].status = info->si_status;
	} else {
		told[i].addr = info->si_addr;
	}
	times = i + 1;
}

static void
handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	note(info);
}

static void
jumping_handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	note(info);
	siglongjmp(back, signo);
}

static void
handle(int signo, void (*function)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = function, .sa_flags = SA_SIGINFO | flags };

	ck_assert_int_eq(sigaction(signo, &sa, NULL), 0);
}

static void
watch(int signo)
{
	if (kq <= 0)
		kq = queue();
	ck_assert_int_eq(change(kq, (uintptr_t)signo, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

static void
reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1)
		ck_assert_int_eq(errno, EINTR);
}

/* The handler runs after the count. */
static void
wait_told(int n)
{
	for (int tries = 0; times < n && tries < 10000; tries++)
		nap(1);
	ck_assert_int_eq(times, n);
}

/*
 * Sent while the handler runs, too: each with its own value, in the order of sending.  Not so with ThreadSanitizer,
 * which defers handlers, and keeps one signal of a number meanwhile.
 */
START_TEST(info__realtime_values_reach_the_handler)
{
	int64_t count = 0;
	pid_t pid;

	if (THREAD_SANITIZER)
		return;
	handle(SIGRTMIN + 1, handler, SA_RESTART);
	watch(SIGRTMIN + 1);
	if ((pid = fork()) == 0) {
		for (int i = 0; i < 50; i++)
			sigqueue(getppid(), SIGRTMIN + 1, (union sigval){ .sival_int = 1000 + i });
		_exit(0);
	}
	while (count < 50)
		count += event_of(kq, (uintptr_t)SIGRTMIN + 1, EVFILT_SIGNAL).data;
	wait_told(50);
	ck_assert_int_eq(count, 50);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(told[i].signo, SIGRTMIN + 1);
		ck_assert_int_eq(told[i].code, SI_QUEUE);
		ck_assert_int_eq(told[i].value, 1000 + i);
		ck_assert_int_eq(told[i].pid, pid);
		ck_assert_uint_eq(told[i].uid, getuid());
	}
	no_event(kq);
	reap(pid);
	close(kq);
}
END_TEST

START_TEST(info__blocked_realtime_signals_keep_their_values)
{
	siginfo_t info;
	sigset_t set;
	int signo = SIGRTMIN + 2;

	if (THREAD_SANITIZER)
		return;		/* as above */
	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	handle(signo, handler, 0);
	watch(signo);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(sigqueue(getpid(), signo, (union sigval){ .sival_int = i }), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)signo, EVFILT_SIGNAL).data, 1);
	no_event(kq);
	/* Two are taken by hand, the others by the handler. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(sigwaitinfo(&set, &info), signo);
		ck_assert_int_eq(info.si_value.sival_int, i);
	}
	ck_assert_int_eq(times, 0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	wait_told(3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(told[i].value, 2 + i);
	close(kq);
}
END_TEST

static void *
sender(void *arg)
{
	pthread_sigqueue(*(pthread_t *)arg, SIGRTMIN + 3, (union sigval){ .sival_int = 77 });
	return NULL;
}

START_TEST(info__of_another_thread_and_of_the_kernel)
{
	pthread_t self = pthread_self(), thread;
	int fds[2];

	handle(SIGRTMIN + 3, handler, 0);
	watch(SIGRTMIN + 3);
	ck_assert_int_eq(pthread_create(&thread, NULL, sender, &self), 0);
	pthread_join(thread, NULL);
	wait_told(1);
	ck_assert_int_eq(told[0].value, 77);
	ck_assert_int_eq(event_of(kq, (uintptr_t)SIGRTMIN + 3, EVFILT_SIGNAL).data, 1);
	/* A write to a pipe that nobody reads. */
	handle(SIGPIPE, handler, 0);
	watch(SIGPIPE);
	pair(PAIR_PIPE, fds);
	close(fds[0]);
	ck_assert_int_eq(write(fds[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	wait_told(2);
	ck_assert_int_eq(told[1].signo, SIGPIPE);
	ck_assert_int_eq(event_of(kq, SIGPIPE, EVFILT_SIGNAL).data, 1);
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(write(fds[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_int_eq(event_of(kq, SIGPIPE, EVFILT_SIGNAL).data, 1);
	close(fds[1]);
	close(kq);
}
END_TEST

/* A process that stops and goes on, if it is told to, and ends. */
static pid_t
child(bool stops, int status)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (stops)
			raise(SIGSTOP);
		_exit(status);
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

static void
wait_stopped(pid_t pid)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT) == -1)
		ck_assert_int_eq(errno, EINTR);
}

START_TEST(info__of_children)
{
	pid_t pid;

	handle(SIGCHLD, handler, SA_RESTART);
	watch(SIGCHLD);
	pid = child(true, 7);
	wait_stopped(pid);
	event_of(kq, SIGCHLD, EVFILT_SIGNAL);
	wait_told(1);
	ck_assert_int_eq(told[0].code, CLD_STOPPED);
	ck_assert_int_eq(told[0].status, SIGSTOP);
	ck_assert_int_eq(told[0].pid, pid);
	/* Each one before the next is sent, or Linux would merge them. */
	kill(pid, SIGKILL);
	event_of(kq, SIGCHLD, EVFILT_SIGNAL);
	wait_told(2);
	ck_assert_int_eq(told[1].code, CLD_KILLED);
	ck_assert_int_eq(told[1].status, SIGKILL);
	reap(pid);
	pid = child(false, 7);
	event_of(kq, SIGCHLD, EVFILT_SIGNAL);
	wait_told(3);
	ck_assert_int_eq(told[2].code, CLD_EXITED);
	ck_assert_int_eq(told[2].status, 7);
	ck_assert_int_eq(told[2].pid, pid);
	reap(pid);
	close(kq);
}
END_TEST

/* With a handler and without one. */
START_TEST(info__no_stop_is_told_that_was_not_asked_for)
{
	struct sigaction plain = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP };
	struct kevent event;
	pid_t pid;

	watch(SIGCHLD);
	for (int with = 0; with < 2; with++) {
		if (with == 1)
			handle(SIGCHLD, handler, SA_NOCLDSTOP);
		else
			ck_assert_int_eq(sigaction(SIGCHLD, &plain, NULL), 0);
		pid = child(true, 0);
		wait_stopped(pid);
		nap(20);
		no_event(kq);
		ck_assert_int_eq(times, 0);
		kill(pid, SIGCONT);
		event = event_of(kq, SIGCHLD, EVFILT_SIGNAL);
		ck_assert_int_eq(event.data, 1);
		reap(pid);
	}
	wait_told(1);
	close(kq);
}
END_TEST

/* SA_NOCLDWAIT: the kernel reaps, and the signal comes all the same. */
START_TEST(info__children_nobody_waits_for_are_reaped_by_the_kernel)
{
	struct sigaction plain = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
	pid_t pid;

	watch(SIGCHLD);
	for (int with = 0; with < 2; with++) {
		if (with == 1)
			handle(SIGCHLD, handler, SA_NOCLDWAIT);
		else
			ck_assert_int_eq(sigaction(SIGCHLD, &plain, NULL), 0);
		pid = child(false, 0);
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			continue;
		ck_assert_int_eq(errno, ECHILD);
		ck_assert_int_eq(event_of(kq, SIGCHLD, EVFILT_SIGNAL).data, 1);
	}
	wait_told(1);
	close(kq);
}
END_TEST

/* Faults.  Each is caused by an instruction; what addr says is known for those of memory. */
static volatile int zero;
static char *page;		/* that nobody may touch */
static char *beyond;		/* a page of a file that has none */

static void
fault(int signo)
{
	switch (signo) {
	case SIGSEGV:
		*(volatile char *)(page + 100) = 1;
		break;
	case SIGBUS:
		*(volatile char *)(beyond + 200) = 1;
		break;
#if defined(__x86_64__) || defined(__i386__)
	case SIGFPE:
		__asm__ volatile ("xorl %%edx, %%edx; movl $1, %%eax; divl %0" : : "m"(zero) : "eax", "edx");
		break;
	case SIGTRAP:
		__asm__ volatile ("int3");
		break;
	case SIGILL:
		__asm__ volatile ("ud2");
		break;
#else
	case SIGILL:
	case SIGTRAP:
		__builtin_trap();
#endif
	}
}

#if defined(__x86_64__) || defined(__i386__)
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
#elif defined(__aarch64__)
static const int faults[] = { SIGSEGV, SIGBUS, SIGTRAP };
#else
static const int faults[] = { SIGSEGV, SIGBUS };
#endif
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

static void
prepare_faults(void)
{
	int fd = memfd_create("kq", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	beyond = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	ck_assert_ptr_ne(beyond, MAP_FAILED);
	close(fd);
}

static void
end_faults(void)
{
	munmap(page, 4096);
	munmap(beyond, 4096);
}

START_TEST(info__handled_faults_say_where)
{
	struct told one;

	prepare_faults();
	for (int i = 0; i < FAULTS; i++) {
		int signo = faults[i];
		volatile int round;

		watch(signo);
		handle(signo, jumping_handler, SA_NODEFER);
		for (round = 0; round < 2; round++) {
			times = 0;
			if (sigsetjmp(back, 1) == 0) {
				fault(signo);
				if (signo != SIGTRAP)
					ck_abort_msg("no fault");
			}
			one = told[0];
			ck_assert_int_eq(times, 1);
			ck_assert_int_eq(one.signo, signo);
			ck_assert_int_gt(one.code, 0);
			if (signo == SIGSEGV)
				ck_assert_ptr_eq(one.addr, page + 100);
			if (signo == SIGBUS)
				ck_assert_ptr_eq(one.addr, beyond + 200);
			ck_assert_int_eq(event_of(kq, (uintptr_t)signo, EVFILT_SIGNAL).data, 1);
		}
		signal(signo, SIG_DFL);
	}
	end_faults();
	close(kq);
}
END_TEST

/* How a process ends that has a fault, with a core file if the system makes any. */
static int
ends(int signo, bool watched, void (*disposition)(int))
{
	struct kevent kev;
	int status, queue_;
	pid_t pid = fork();

	if (pid == 0) {
		if (chdir(scratch_dir()) != 0)
			_exit(1);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 1 << 20, 1 << 20 });
		signal(signo, disposition);
		if (watched) {
			queue_ = kqueue();
			EV_SET(&kev, (uintptr_t)signo, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
			if (kevent(queue_, &kev, 1, NULL, 0, NULL) == -1)
				_exit(2);
		}
		fault(signo);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* As if nobody watched: the signal and whether there was a core file. */
START_TEST(info__faults_end_as_they_do_unwatched)
{
	scratch_dir();
	prepare_faults();
	for (int i = 0; i < FAULTS; i++) {
		int control = ends(faults[i], false, SIG_DFL);

		ck_assert(WIFSIGNALED(control));
		ck_assert_int_eq(WTERMSIG(control), faults[i]);
		ck_assert_int_eq(ends(faults[i], true, SIG_DFL), control);
		ck_assert_int_eq(ends(faults[i], false, SIG_IGN), control);
		ck_assert_int_eq(ends(faults[i], true, SIG_IGN), control);
	}
	end_faults();
}
END_TEST

/* With SA_RESETHAND the handler runs once, and what it comes back to ends the process. */
static void
once(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	if (times++ > 0 || info->si_addr != page + 100)
		_exit(3);
}

START_TEST(info__fault_after_resethand_ends)
{
	int status;
	pid_t pid;

	prepare_faults();
	if ((pid = fork()) == 0) {
		struct sigaction sa = { .sa_sigaction = once, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND };
		struct kevent kev;

		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		kq = kqueue();
		EV_SET(&kev, SIGSEGV, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
		if (kevent(kq, &kev, 1, NULL, 0, NULL) == -1 || sigaction(SIGSEGV, &sa, NULL) == -1)
			_exit(2);
		fault(SIGSEGV);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
	end_faults();
}
END_TEST

HARNESS_MAIN("signal_info",
    info__realtime_values_reach_the_handler,
    info__blocked_realtime_signals_keep_their_values,
    info__of_another_thread_and_of_the_kernel,
    info__of_children,
    info__no_stop_is_told_that_was_not_asked_for,
    info__children_nobody_waits_for_are_reaped_by_the_kernel,
    info__handled_faults_say_where,
    info__faults_end_as_they_do_unwatched,
    info__fault_after_resethand_ends)
