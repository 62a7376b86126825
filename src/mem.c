/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem.h"

#include <stdlib.h>

void *
mem_alloc(size_t size)
{
	return calloc(1, size);
}

void *
mem_grow(void *p, size_t count, size_t size)
{
	return reallocarray(p, count, size);
}

void
mem_free(void *p)
{
	free(p);
}
