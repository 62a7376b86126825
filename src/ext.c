/* SPDX-License-Identifier: BSD-2-Clause */
#include "ext.h"

#include "mem.h"

#include <errno.h>
#include <string.h>

const struct ext ext_none;

static int
ext_reserve(struct ext_table *table, uint32_t slot)
{
	uint32_t index = slot >> EXT_CHUNK_SHIFT, chunks = (index | 15) + 1;
	struct ext **larger;

	if (index >= table->xt_chunks) {
		larger = mem_grow(table->xt_chunk, chunks, sizeof(*larger));
		if (larger == NULL)
			return -ENOMEM;
		memset(larger + table->xt_chunks, 0,
		    (chunks - table->xt_chunks) * sizeof(*larger));
		table->xt_chunk = larger;
		table->xt_chunks = chunks;
	}
	if (table->xt_chunk[index] == NULL)
		table->xt_chunk[index] = mem_alloc(EXT_CHUNK * sizeof(struct ext));
	return table->xt_chunk[index] == NULL ? -ENOMEM : 0;
}

int
ext_set(struct ext_table *table, uint32_t slot, const struct ext *ext)
{
	int error;

	if (ext_get(table, slot) == &ext_none) {
		if ((ext->x_value[0] | ext->x_value[1]) == 0)
			return 0;
		error = ext_reserve(table, slot);
		if (error < 0)
			return error;
	}
	table->xt_chunk[slot >> EXT_CHUNK_SHIFT][slot & (EXT_CHUNK - 1)] = *ext;
	return 0;
}

void
ext_free(struct ext_table *table)
{
	for (uint32_t i = 0; i < table->xt_chunks; i++)
		mem_free(table->xt_chunk[i]);
	mem_free(table->xt_chunk);
	memset(table, 0, sizeof(*table));
}
