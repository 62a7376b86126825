/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two numbers that kevent64() carries besides: ext, by a knote's slot.  Few
 * registrations have any, so they are kept apart, in pieces made when needed.
 */
#ifndef KQ_EXT_H
#define KQ_EXT_H

#include <stddef.h>
#include <stdint.h>

struct ext {
	uint64_t	x_value[2];
};

struct ext_table {
	struct ext	**xt_chunk;
	uint32_t	xt_chunks;
};

extern const struct ext ext_none;

#define EXT_CHUNK_SHIFT	6
#define EXT_CHUNK	(1u << EXT_CHUNK_SHIFT)

/* A slot's, ext_none if it was never set. */
static inline const struct ext *
ext_get(const struct ext_table *table, uint32_t slot)
{
	if (slot >> EXT_CHUNK_SHIFT >= table->xt_chunks ||
	    table->xt_chunk[slot >> EXT_CHUNK_SHIFT] == NULL)
		return &ext_none;
	return &table->xt_chunk[slot >> EXT_CHUNK_SHIFT][slot & (EXT_CHUNK - 1)];
}

/* 0 or -ENOMEM; what was set before, and ext_none, can always be set. */
int	ext_set(struct ext_table *table, uint32_t slot, const struct ext *ext);

/* Frees the table, which is empty then. */
void	ext_free(struct ext_table *table);

#endif
