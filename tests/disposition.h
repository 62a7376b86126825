/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done with a signal: as sigaction(2) shows it, and as the kernel has it. */
#ifndef KQ_TESTS_DISPOSITION_H
#define KQ_TESTS_DISPOSITION_H

#include "harness.h"
#include "sanitizer.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel has as handler.  ThreadSanitizer puts one of its own before the program's. */
static inline void (*
kernels(int signo))(int)
{
	struct { void (*handler)(int); unsigned long rest[15]; } ksa;

	memset(&ksa, 0, sizeof(ksa));
	ck_assert_int_eq(syscall(SYS_rt_sigaction, signo, NULL, &ksa, (size_t)8), 0);
	return ksa.handler;
}

static inline struct sigaction
shown(int signo)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	ck_assert_int_eq(sigaction(signo, NULL, &sa), 0);
	return sa;
}

static inline bool
same(const struct sigaction *a, const struct sigaction *b)
{
	return a->sa_handler == b->sa_handler && a->sa_flags == b->sa_flags &&
	    memcmp(&a->sa_mask, &b->sa_mask, 8) == 0;
}

/* How a child ends that does something. */
static inline int
child(void (*run)(void))
{
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		run();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

#endif
