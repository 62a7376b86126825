/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever the library asks the system for may be refused: memory, descriptors,
 * watches, items of epoll; and what takes time may be interrupted.  One scenario
 * with every filter is run in a child for each of the places where that can
 * happen and each error that can: there the call fails, once, or with all that
 * follow in the same kevent().
 *
 * A failure must be an error that the contract has, at the call that needed
 * what was refused, and leave nothing behind.  No registration may be lost: the
 * same change succeeds when it is made again, then each condition is brought
 * about and each is told.  What is left in the end, descriptors and memory, is
 * what is left without a failure.
 */
#include "doubles.h"
#include "scenario.h"
#include "../harness.h"
#include "../sanitizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char place[128];		/* a directory of the worker's own */

/* What the parent is told, of each way in which the fault lasts or not. */
static struct report {
	int	error, failures;
	char	name[32];
	int	names;
	struct {
		char	name[32];
		int	calls;
	} points[MOST_NAMES];
	int	blocks, descriptors;
	long	mapped;
} *report;

/* In a child. */
static void
run(struct fault fault)
{
	const char *name;

	faults_plan(fault);
	scenario(place);
	report->names = faults_names();
	for (int i = 0; i < report->names; i++) {
		report->points[i].calls = faults_points(i, &name);
		snprintf(report->points[i].name, sizeof(report->points[i].name), "%s", name);
	}
	report->error = faults_error();
	report->failures = scenario_failures();
	snprintf(report->name, sizeof(report->name), "%s", faults_name());
	report->blocks = faults_blocks();
	report->mapped = faults_mapped();
	report->descriptors = open_descriptors();
	/* What is left has been counted; to look for leaks would take as long again. */
	if (ADDRESS_SANITIZER)
		_exit(0);
	exit(0);
}

static struct report
run_child(struct fault fault)
{
	int status;
	pid_t pid;

	memset(report, 0, sizeof(*report));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		run(fault);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	/* What it was, FAULT tells if it is set to these numbers. */
	if (status != 0) {
		fprintf(stderr, "faults: FAULT='%d,%d,%d,%s' fails, status %#x\n", fault.f_point, fault.f_which,
		    fault.f_lasts, fault.f_name, (unsigned)status);
		report->error = -1;
	}
	return *report;
}

/* What is there more than without a fault, or less. */
static bool
left_behind(const struct fault *fault, const struct report *one, const struct report *whole)
{
	if (one->descriptors == whole->descriptors && one->blocks == whole->blocks && one->mapped <= whole->mapped)
		return false;
	fprintf(stderr, "faults: %s of %s %d, %d, %d: %+d descriptors, %+d blocks, %+ld bytes\n", strerror(one->error),
	    fault->f_name, fault->f_point, fault->f_which, fault->f_lasts, one->descriptors - whole->descriptors,
	    one->blocks - whole->blocks, one->mapped - whole->mapped);
	return true;
}

/*
 * Most of the time goes by while the kernel closes what was watched, so several do that at once.  Each test is a part
 * of the points, so that none takes too long.
 */
enum { WORKERS = 8, PARTS = 6 };

static struct total {
	int	points, faults, errors, failed;
} *totals;

/* Each error of one call. */
static void
try_point(struct total *total, const struct report *whole, const char *name, int point, bool lasts)
{
	struct report one;

	for (int which = 0; which < MOST_ERRORS; which++) {
		struct fault fault = { name, point, which, lasts };

		one = run_child(fault);
		if (one.error == 0)
			break;
		total->faults++;
		total->errors += one.failures;
		total->failed += one.error == -1 || left_behind(&fault, &one, whole);
	}
}

static void
work(int worker, bool lasts, int part)
{
	struct report whole;
	struct total *total = &totals[worker];

	snprintf(place, sizeof(place), "%s/%d", scratch_dir(), worker);
	ck_assert_int_eq(mkdir(place, 0700), 0);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(report, MAP_FAILED);
	scenario_look_around();
	whole = run_child((struct fault){ "nothing", 0, 0, false });
	total->failed = whole.error != 0 || whole.failures != 0;
	for (int i = 0; i < whole.names; i++)
		for (int point = 1; point <= whole.points[i].calls; point++, total->points++)
			/* Whatever another worker's count of other calls is. */
			if ((i * 7 + point) % (PARTS * WORKERS) == PARTS * worker + part)
				try_point(total, &whole, whole.points[i].name, point, lasts);
	exit(0);
}

/* FAULT=point,which,lasts,name: that one alone, for who looks for what went wrong. */
static void
one_point(const char *text)
{
	struct fault fault;
	char name[32];
	int lasts;

	ck_assert_int_eq(sscanf(text, "%d,%d,%d,%31[^\n]", &fault.f_point, &fault.f_which, &lasts, name), 4);
	fault.f_lasts = lasts != 0;
	fault.f_name = name;
	snprintf(place, sizeof(place), "%s", scratch_dir());
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	scenario_look_around();
	ck_assert_int_ge(run_child(fault).error, 0);
}

static void
every_point(bool lasts, int part)
{
	struct total sum = { 0, 0, 0, 0 };
	pid_t pids[WORKERS];
	int status;

	if (getenv("FAULT") != NULL) {
		one_point(getenv("FAULT"));
		return;
	}
	(void)scratch_dir();
	totals = mmap(NULL, WORKERS * sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(totals, MAP_FAILED);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_ge(pids[i] = fork(), 0);
		if (pids[i] == 0)
			work(i, lasts, part);
	}
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		sum.points = totals[i].points;
		sum.faults += totals[i].faults;
		sum.errors += totals[i].errors;
		sum.failed += totals[i].failed + (status != 0);
	}
	munmap(totals, WORKERS * sizeof(*totals));
	printf("faults: %d points, %d faults, %d errors\n", sum.points, sum.faults, sum.errors);
	ck_assert_int_eq(sum.failed, 0);
	ck_assert_int_gt(sum.points, 100);
	ck_assert_int_gt(sum.errors, 25);
}

START_TEST(faults__each_once_first_part)
{
	every_point(false, 0);
}
END_TEST

START_TEST(faults__each_once_second_part)
{
	every_point(false, 1);
}
END_TEST

START_TEST(faults__each_once_third_part)
{
	every_point(false, 2);
}
END_TEST

START_TEST(faults__each_once_fourth_part)
{
	every_point(false, 3);
}
END_TEST

START_TEST(faults__each_once_fifth_part)
{
	every_point(false, 4);
}
END_TEST

START_TEST(faults__each_once_sixth_part)
{
	every_point(false, 5);
}
END_TEST

START_TEST(faults__each_and_all_that_follow_first_part)
{
	every_point(true, 0);
}
END_TEST

START_TEST(faults__each_and_all_that_follow_second_part)
{
	every_point(true, 1);
}
END_TEST

START_TEST(faults__each_and_all_that_follow_third_part)
{
	every_point(true, 2);
}
END_TEST

START_TEST(faults__each_and_all_that_follow_fourth_part)
{
	every_point(true, 3);
}
END_TEST

START_TEST(faults__each_and_all_that_follow_fifth_part)
{
	every_point(true, 4);
}
END_TEST

START_TEST(faults__each_and_all_that_follow_sixth_part)
{
	every_point(true, 5);
}
END_TEST

HARNESS_MAIN("faults",
    faults__each_once_first_part,
    faults__each_once_second_part,
    faults__each_once_third_part,
    faults__each_once_fourth_part,
    faults__each_once_fifth_part,
    faults__each_once_sixth_part,
    faults__each_and_all_that_follow_first_part,
    faults__each_and_all_that_follow_second_part,
    faults__each_and_all_that_follow_third_part,
    faults__each_and_all_that_follow_fourth_part,
    faults__each_and_all_that_follow_fifth_part,
    faults__each_and_all_that_follow_sixth_part)
