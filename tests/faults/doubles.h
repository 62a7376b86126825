/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doubles for what the library calls and what can fail: its memory, and the C
 * library's functions that make system calls.  The linker puts them in between
 * (--wrap), so each call of the library's comes here, and nothing else changes.
 *
 * A call is a point where the library can fail.  While faults are armed, the
 * points are counted, in this thread; the n-th fails.
 */
#ifndef KQ_TESTS_DOUBLES_H
#define KQ_TESTS_DOUBLES_H

#include <stdbool.h>

/* The errors that a call can fail with are no more than these. */
#define MOST_ERRORS 4

/* Functions that can fail. */
#define MOST_NAMES 64

/*
 * Which call fails, with which of the errors it can fail with, and for how long.  By name and number: how often
 * some functions are called is chance, which must not make another call of the others.
 */
struct fault {
	const char *f_name;
	int	f_point;	/* 1: the first of that name; 0: none */
	int	f_which;
	bool	f_lasts;	/* so do those behind it that can, until faults_disarm() */
};

void	faults_plan(struct fault fault);
void	faults_arm(void);
void	faults_disarm(void);

/* How many functions that can fail were called so far; how often the i-th of them, and its name. */
int	faults_names(void);
int	faults_points(int i, const char **name);

/* What the fault was: its errno; 0: it was not come to, or has no such error. */
int	faults_error(void);

/* The name of the function that failed. */
const char *faults_name(void);

/* How many blocks of memory the library has; how many bytes it has mapped itself. */
int	faults_blocks(void);
long	faults_mapped(void);

#endif
