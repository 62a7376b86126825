/* SPDX-License-Identifier: BSD-2-Clause */
/* A program under way. */
#ifndef KQ_TESTS_WORLD_H
#define KQ_TESTS_WORLD_H

#include "acts.h"
#include "model.h"
#include "run.h"

struct names {
	bool	n_name, n_link;
	int	n_renamed;
};

struct world {
	struct model	w_model;
	struct outcome	*w_outcome;
	FILE		*w_c;
	struct call	w_call;		/* whose changes are being gathered */
	struct names	w_names[MODEL_FILES];
	bool		w_handles[MODEL_SIGNALS];
	int		w_waits;	/* so many threads wait in w_waiter ... */
	struct file	*w_awaited;	/* ... for events of this queue */
	int64_t		w_waits_since;
	struct call	w_waiter[WAITERS];
	bool		w_failed;
	bool		w_did;		/* something, which it wrote */
};

/* Notes that they disagree. */
void	world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes C. */
void	world_say(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The signal with this index. */
int	world_signal(unsigned i);

/* compare.c: the operations that call kevent(). */
void	compare_change(struct world *w, const uint8_t *arg);
void	compare_collect(struct world *w, const uint8_t *arg);
void	compare_readable(struct world *w);

/* In which way a call is made; NULL stands for none of these. */
struct manner {
	bool	same, apart, wide;
	unsigned flags;		/* of kevent64() */
	bool	for_ever;	/* but for these flags */
};
void	compare_submit(struct world *w, struct file *q, int slot, int nevents, const struct manner *manner);
void	compare_events(struct world *w, struct file *q, const struct call *c, enum share share);

/* threads.c: the operations that take several threads. */
void	compare_wait(struct world *w, const uint8_t *arg);
void	compare_woken(struct world *w);
void	compare_together(struct world *w, const uint8_t *arg);
void	compare_triggers(struct world *w, const uint8_t *arg);

/* files.c: the operations on descriptors, and on the names of files. */
void	op_queue(struct world *w);
void	op_pair(struct world *w, enum kind first, enum kind second);
void	op_file(struct world *w, const uint8_t *arg);
void	op_close(struct world *w, const uint8_t *arg);
void	op_dup(struct world *w, const uint8_t *arg);
void	op_dup2(struct world *w, const uint8_t *arg);
void	op_write(struct world *w, const uint8_t *arg);
void	op_read(struct world *w, const uint8_t *arg);
void	op_fill(struct world *w, const uint8_t *arg);
void	op_drain(struct world *w, const uint8_t *arg);
void	op_shutdown(struct world *w, const uint8_t *arg);

/* sockets.c: the operations on connections. */
void	op_tcp(struct world *w);
void	op_listen(struct world *w);
void	op_connect(struct world *w, const uint8_t *arg);
void	op_accept(struct world *w, const uint8_t *arg);
void	op_reset(struct world *w, const uint8_t *arg);
void	op_urgent(struct world *w, const uint8_t *arg);
void	world_reset(struct world *w, int slot);

/* Waits until the kernel is as the model says. */
void	world_settle(struct world *w);

/* files.c again. */
int	world_free_slot(const struct world *w);
void	world_agree(struct world *w, const char *what, int64_t result, int64_t model);
void	op_of_file(struct world *w, enum code code, const uint8_t *arg);
void	op_of_name(struct world *w, enum code code, const uint8_t *arg);

/* Closes what is in a slot. */
void	world_close(struct world *w, int slot);

/* The name of a file, or its second one. */
const char *world_path(const struct world *w, const struct file *f, bool link);

/* A slot that holds something of these kinds, starting at the one asked for; -1: none. */
int	world_slot(const struct world *w, unsigned kinds, unsigned from);
#define KIND(k)	(1u << (k))

#endif
