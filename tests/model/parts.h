/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the model share: its state is in model.c, events are in ready.c, changes in change.c. */
#ifndef KQ_TESTS_PARTS_H
#define KQ_TESTS_PARTS_H

#include "model.h"

#include <stddef.h>

#define FOR_EACH_KNOTE(kn, m)							\
	for (struct mknote *kn = (m)->m_knote; kn < (m)->m_knote + MODEL_KNOTES; kn++) \
		if (kn->k_used)

static inline enum certainty
surer(enum certainty a, enum certainty b)
{
	return a > b ? a : b;
}

static inline bool
gone(const struct file *f)
{
	return f == NULL || f->f_refs == 0;
}

/* Whether nothing more will come in, and whether nothing can go out. */
bool	model_in_ended(const struct file *f);
bool	model_out_ended(const struct file *f);

/* News for those who watch any descriptor of a file, and for those who watch their queues. */
void	model_post(struct model *m, struct file *f, short filter, enum certainty sure);

/* tcp.c: the parts of what is in model.c that are TCP's. */
void	model_tcp_closed(struct model *m, struct file *f, bool hard);
int64_t	model_tcp_write(struct model *m, struct file *f, int64_t n);

/* A queue's state changes with that of all it watches: whether that is news is left open. */
void	model_post_queues(struct model *m);

/* A change looks at the condition again. */
void	model_look(struct model *m, struct mknote *kn);

#endif
