/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of the Check library's interface as the tests here use, for machines
 * and C libraries that Check is not packaged for (-DKQ_CHECK_STANDIN=ON).  Each
 * test runs in a process group of its own, which is killed when it has ended.
 * CK_TIMEOUT_MULTIPLIER gives slow machines more time.
 */
#ifndef KQ_TESTS_STANDIN_CHECK_H
#define KQ_TESTS_STANDIN_CHECK_H

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct TTest {
	const char	*name;
	void		(*fn)(int);
} TTest;

#define START_TEST(NAME)						\
	static void NAME##_fn(int);					\
	static const TTest NAME##_test = { #NAME, NAME##_fn };		\
	static const TTest *const NAME = &NAME##_test;			\
	static void							\
	NAME##_fn(int _i __attribute__((unused)))
#define END_TEST

/* In each process and each of its sources a variable of its own: a test and its fixture fail alike. */
__attribute__((format(printf, 3, 4), noreturn, unused)) static void
standin_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s:%d:F: ", file, line);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	exit(1);
}

#define ck_abort_msg(...)	standin_fail(__FILE__, __LINE__, __VA_ARGS__)
#define ck_assert_msg(holds, ...)					\
	do {								\
		if (!(holds))						\
			standin_fail(__FILE__, __LINE__, __VA_ARGS__);	\
	} while (0)
#define ck_assert(holds)	ck_assert_msg(holds, "Assertion '%s' failed", #holds)

#define STANDIN_COMPARE(type, conversion, x, op, y)			\
	do {								\
		type standin_x = (x), standin_y = (y);			\
									\
		ck_assert_msg(standin_x op standin_y,			\
		    "Assertion '%s' failed: %s == %" conversion ", %s == %" conversion, \
		    #x " " #op " " #y, #x, standin_x, #y, standin_y);	\
	} while (0)

#define ck_assert_int_eq(x, y)	STANDIN_COMPARE(intmax_t, "jd", x, ==, y)
#define ck_assert_int_ne(x, y)	STANDIN_COMPARE(intmax_t, "jd", x, !=, y)
#define ck_assert_int_lt(x, y)	STANDIN_COMPARE(intmax_t, "jd", x, <, y)
#define ck_assert_int_le(x, y)	STANDIN_COMPARE(intmax_t, "jd", x, <=, y)
#define ck_assert_int_gt(x, y)	STANDIN_COMPARE(intmax_t, "jd", x, >, y)
#define ck_assert_int_ge(x, y)	STANDIN_COMPARE(intmax_t, "jd", x, >=, y)
#define ck_assert_uint_eq(x, y)	STANDIN_COMPARE(uintmax_t, "ju", x, ==, y)
#define ck_assert_uint_ne(x, y)	STANDIN_COMPARE(uintmax_t, "ju", x, !=, y)
#define ck_assert_uint_lt(x, y)	STANDIN_COMPARE(uintmax_t, "ju", x, <, y)
#define ck_assert_uint_le(x, y)	STANDIN_COMPARE(uintmax_t, "ju", x, <=, y)
#define ck_assert_uint_gt(x, y)	STANDIN_COMPARE(uintmax_t, "ju", x, >, y)
#define ck_assert_uint_ge(x, y)	STANDIN_COMPARE(uintmax_t, "ju", x, >=, y)
#define ck_assert_ptr_eq(x, y)	STANDIN_COMPARE(uintmax_t, "#jx", (uintptr_t)(x), ==, (uintptr_t)(y))
#define ck_assert_ptr_ne(x, y)	STANDIN_COMPARE(uintmax_t, "#jx", (uintptr_t)(x), !=, (uintptr_t)(y))
#define ck_assert_ptr_null(x)	ck_assert_ptr_eq(x, NULL)
#define ck_assert_ptr_nonnull(x) ck_assert_ptr_ne(x, NULL)
#define ck_assert_mem_eq(x, y, n) ck_assert(memcmp(x, y, n) == 0)
#define ck_assert_str_eq(x, y)						\
	do {								\
		const char *standin_x = (x), *standin_y = (y);		\
									\
		ck_assert_msg(strcmp(standin_x, standin_y) == 0,	\
		    "Assertion '%s' failed: \"%s\", \"%s\"", #x " == " #y, \
		    standin_x, standin_y);				\
	} while (0)

#define STANDIN_TESTS	200

/* A suite, its only case and its runner are one and the same. */
typedef struct standin {
	const char	*name;
	void		(*before)(void);
	void		(*after)(void);
	double		timeout;
	const TTest	*test[STANDIN_TESTS];
	int		tests, failures, errors;
} Suite, TCase, SRunner;

enum fork_status { CK_FORK };
enum print_output { CK_ENV };

static struct standin standin __attribute__((unused));

#define suite_create(NAME)		(standin.name = (NAME), &standin)
#define tcase_create(NAME)		((void)(NAME), &standin)
#define tcase_set_timeout(tc, seconds)	((tc)->timeout = (seconds))
#define tcase_add_checked_fixture(tc, b, a)	((tc)->before = (b), (tc)->after = (a))
#define tcase_add_test(tc, t)						\
	((tc)->tests < STANDIN_TESTS ? (void)((tc)->test[(tc)->tests++] = (t)) : abort())
#define suite_add_tcase(s, tc)		((void)(s), (void)(tc))
#define srunner_create(s)		(s)
#define srunner_set_fork_status(r, how)	((void)(r), (void)(how))
#define srunner_run_all(r, how)		((void)(how), standin_run(r))
#define srunner_ntests_failed(r)	((r)->failures + (r)->errors)
#define srunner_free(r)			((void)(r))

/* The wait status of a test, which is killed when its time is up. */
__attribute__((unused)) static int
standin_wait(pid_t pid, double seconds)
{
	struct timespec tick = { 0, 1000000 }, start, now;
	int status = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((double)(now.tv_sec - start.tv_sec) > seconds) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
		/* To wait for a process with a limit takes SIGCHLD or a queue, which are what is tested. */
		nanosleep(&tick, NULL);
	}
	kill(-pid, SIGKILL);
	return status;
}

__attribute__((unused)) static void
standin_run(SRunner *r)
{
	const char *times = getenv("CK_TIMEOUT_MULTIPLIER");
	double limit = r->timeout * (times != NULL ? atof(times) : 1);
	int status, i;
	pid_t pid;

	for (i = 0; i < r->tests; i++) {
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			setpgid(0, 0);
			r->before();
			r->test[i]->fn(0);
			r->after();
			exit(0);
		}
		setpgid(pid, pid);
		status = pid == -1 ? SIGABRT : standin_wait(pid, limit);
		if (status == 0)
			continue;
		if (WIFEXITED(status)) {
			r->failures++;
			printf("failed: %s\n", r->test[i]->name);
		} else {
			r->errors++;
			printf("failed: %s: signal %d%s\n", r->test[i]->name, WTERMSIG(status),
			    WTERMSIG(status) == SIGKILL ? " (out of time)" : "");
		}
	}
	printf("%d%%: Checks: %d, Failures: %d, Errors: %d\n",
	    r->tests == 0 ? 0 : (r->tests - r->failures - r->errors) * 100 / r->tests,
	    r->tests, r->failures, r->errors);
	fflush(stdout);
}

#endif
