/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs, which the library and the model run side by side. */
#ifndef KQ_TESTS_RUN_H
#define KQ_TESTS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Any bytes are a program: what makes no sense where it stands does nothing. */
struct op {
	uint8_t	o_code;		/* an enum code, modulo their number */
	uint8_t	o_arg[11];
};

enum code {
	OP_CHANGE, OP_COLLECT, OP_WRITE, OP_READ, OP_FILL, OP_DRAIN, OP_QUEUE, OP_PIPE, OP_STREAM, OP_DGRAM,
	OP_FILE, OP_CLOSE, OP_DUP, OP_DUP2, OP_SHUTDOWN, OP_SEEK, OP_APPEND, OP_TRUNCATE, OP_CHMOD, OP_LINK,
	OP_UNLINK, OP_RENAME, OP_TIME, OP_DATE, OP_RAISE, OP_ACTION, OP_CHILD, OP_EXIT, OP_REAP, OP_FORK, OP_WAIT,
	OP_TOGETHER, OP_TRIGGERS, OP_TCP, OP_LISTEN, OP_CONNECT, OP_ACCEPT, OP_RESET,
	OP_URGENT,
	OP_CODES
};

#define RUN_OPS		200	/* what comes after is not run */

struct outcome {
	long	o_events, o_changes;	/* how many were compared */
	long	o_done[OP_CODES];	/* how often each operation did something */
	int	o_at;			/* the operation at which they disagreed */
	char	o_why[400];
};

/* What an operation is called. */
const char *run_name(int code);

/* Where files are made. */
void	run_init(const char *dir);

/* Whether they agree.  c: if not NULL, what is done is written there as C. */
bool	run(const struct op *ops, size_t n, struct outcome *o, FILE *c);

#endif
