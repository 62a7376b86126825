/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the library's memory comes from.  Nothing here is called while waiting. */
#ifndef KQ_MEM_H
#define KQ_MEM_H

#include <stddef.h>

void	*mem_alloc(size_t size);			/* zeroed; NULL: no memory */
void	*mem_grow(void *p, size_t count, size_t size);	/* NULL: no memory, p as it was */
void	 mem_free(void *p);

#endif
