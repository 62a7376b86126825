/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_SIGNAL on what a terminal sends: the kernel itself asks whether
 * SIGTTIN and SIGTTOU are ignored, and jobs are stopped and go on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master, tty;
static _Atomic int handled;

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

/* In a job: ends it unless so. */
#define REQUIRE(condition, code)	do { if (!(condition)) _exit(code); } while (0)

static int
job_queue(int signo, void (*disposition)(int))
{
	struct sigaction sa = { .sa_handler = disposition };
	struct kevent kev;
	int kq = kqueue();

	REQUIRE(kq != -1, 101);
	EV_SET(&kev, (uintptr_t)signo, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
	REQUIRE(kevent(kq, &kev, 1, NULL, 0, NULL) == 0, 102);
	REQUIRE(sigaction(signo, &sa, NULL) == 0, 103);
	return kq;
}

static int64_t
job_count(int kq)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;

	return kevent(kq, NULL, 0, &event, 1, &zero) == 1 ? event.data : 0;
}

/* A session whose leader has the terminal, in a child; what it returns is that child's status. */
static int
session(int (*leader)(void))
{
	int status;
	pid_t pid;

	ck_assert_int_ge(master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_ge(pid = fork(), 0);
	if (pid == 0) {
		alarm(HARNESS_TIMEOUT / 2);
		REQUIRE(setsid() != -1, 90);
		REQUIRE((tty = open(ptsname(master), O_RDWR)) != -1, 91);
		_exit(leader());
	}
	close(master);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* A job in the background, or in the foreground if that is asked for. */
static pid_t
job(void (*run)(void), bool foreground)
{
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		alarm(HARNESS_TIMEOUT / 3);
		signal(SIGTTOU, SIG_IGN);
		if (foreground)
			tcsetpgrp(tty, getpid());
		signal(SIGTTOU, SIG_DFL);
		run();
		_exit(0);
	}
	return pid;
}

static int
job_status(pid_t pid, int options)
{
	int status = -1;

	REQUIRE(waitpid(pid, &status, options) == pid, 92);
	return status;
}

/* What the job ended with becomes what the leader ends with. */
static int
result(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

static void
read_ignoring(void)
{
	int kq = job_queue(SIGTTIN, SIG_IGN);
	char byte;

	for (int i = 0; i < 3; i++) {
		errno = 0;
		REQUIRE(read(tty, &byte, 1) == -1 && errno == EIO, 1);
		/* No signal was sent, as on FreeBSD. */
		REQUIRE(job_count(kq) == 0, 4);
	}
	/* It is watched as before. */
	raise(SIGTTIN);
	REQUIRE(job_count(kq) == 1, 2);
	close(kq);
	errno = 0;
	REQUIRE(read(tty, &byte, 1) == -1 && errno == EIO, 3);
}

static int
lead_read_ignoring(void)
{
	return result(job_status(job(read_ignoring, false), 0));
}

START_TEST(tty__background_read_with_ttin_ignored_fails)
{
	ck_assert_int_eq(session(lead_read_ignoring), 0);
}
END_TEST

static void
write_ignoring(void)
{
	int kq = job_queue(SIGTTOU, SIG_IGN);
	struct termios t;

	REQUIRE(tcgetattr(tty, &t) == 0, 1);
	for (int i = 0; i < 3; i++) {
		t.c_lflag |= TOSTOP;
		REQUIRE(tcsetattr(tty, TCSANOW, &t) == 0, 2);
		REQUIRE(write(tty, "x", 1) == 1, 3);
		REQUIRE(job_count(kq) == 0, 7);
	}
	raise(SIGTTOU);
	REQUIRE(job_count(kq) == 1, 4);
	/* The shell's way to come back to the foreground. */
	REQUIRE(tcsetpgrp(tty, getpid()) == 0, 5);
	REQUIRE(tcgetpgrp(tty) == getpid(), 6);
}

static int
lead_write_ignoring(void)
{
	return result(job_status(job(write_ignoring, false), 0));
}

START_TEST(tty__background_write_with_ttou_ignored_works)
{
	ck_assert_int_eq(session(lead_write_ignoring), 0);
}
END_TEST

static void
read_default(void)
{
	int kq = job_queue(SIGTTIN, SIG_DFL);
	char line[8];

	REQUIRE(read(tty, line, sizeof(line)) == 3 && memcmp(line, "ab\n", 3) == 0, 1);
	REQUIRE(job_count(kq) >= 1, 2);
}

static int
lead_read_default(void)
{
	pid_t pid = job(read_default, false);
	int status = job_status(pid, WUNTRACED);

	REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN, 93);
	/* Still in the background: it is stopped again. */
	kill(pid, SIGCONT);
	status = job_status(pid, WUNTRACED);
	REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN, 94);
	REQUIRE(tcsetpgrp(tty, pid) == 0, 95);
	kill(pid, SIGCONT);
	REQUIRE(write(master, "ab\n", 3) == 3, 96);
	return result(job_status(pid, 0));
}

START_TEST(tty__background_read_stops_and_goes_on)
{
	ck_assert_int_eq(session(lead_read_default), 0);
}
END_TEST

static void
read_handling(void)
{
	int kq = job_queue(SIGTTIN, handler);
	char byte;

	errno = 0;
	REQUIRE(read(tty, &byte, 1) == -1 && errno == EINTR, 1);
	REQUIRE(handled == 1, 2);
	REQUIRE(job_count(kq) == 1, 3);
}

static int
lead_read_handling(void)
{
	return result(job_status(job(read_handling, false), 0));
}

START_TEST(tty__background_read_with_a_handler_is_interrupted)
{
	ck_assert_int_eq(session(lead_read_handling), 0);
}
END_TEST

/* Waits for the key in kevent() with its default: is stopped there, goes on, and is told. */
static void
wait_for_key(void)
{
	int kq = job_queue(SIGTSTP, SIG_DFL);
	struct kevent event;
	int n;

	REQUIRE(write(tty, "r", 1) == 1, 1);
	/* Being stopped and continued is no event by itself; what came is, then. */
	while ((n = kevent(kq, NULL, 0, &event, 1, NULL)) == -1 && errno == EINTR)
		continue;
	REQUIRE(n == 1 && event.ident == SIGTSTP && event.data == 1, 2);
}

static int
lead_key(void)
{
	pid_t pid = job(wait_for_key, true);
	char byte;
	int status;

	REQUIRE(read(master, &byte, 1) == 1, 93);
	REQUIRE(write(master, "\032", 1) == 1, 94);	/* ^Z */
	status = job_status(pid, WUNTRACED);
	REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP, 95);
	kill(pid, SIGCONT);
	return result(job_status(pid, 0));
}

START_TEST(tty__suspend_key_stops_and_is_counted)
{
	ck_assert_int_eq(session(lead_key), 0);
}
END_TEST

/* The keys that end a program do not end one that ignores them. */
static void
wait_for_interrupt(void)
{
	int kq = job_queue(SIGINT, SIG_IGN);
	struct kevent event;

	REQUIRE(write(tty, "r", 1) == 1, 1);
	REQUIRE(kevent(kq, NULL, 0, &event, 1, NULL) == 1, 2);
	REQUIRE(event.ident == SIGINT && event.data == 1, 3);
}

static int
lead_interrupt(void)
{
	pid_t pid = job(wait_for_interrupt, true);
	char byte;

	REQUIRE(read(master, &byte, 1) == 1, 93);
	REQUIRE(write(master, "\003", 1) == 1, 94);	/* ^C */
	return result(job_status(pid, 0));
}

START_TEST(tty__interrupt_key_that_is_ignored_is_counted)
{
	ck_assert_int_eq(session(lead_interrupt), 0);
}
END_TEST

HARNESS_MAIN("signal_tty",
    tty__background_read_with_ttin_ignored_fails,
    tty__background_write_with_ttou_ignored_works,
    tty__background_read_stops_and_goes_on,
    tty__background_read_with_a_handler_is_interrupted,
    tty__suspend_key_stops_and_is_counted,
    tty__interrupt_key_that_is_ignored_is_counted)
