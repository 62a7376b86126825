/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the library's memory comes from.  Nothing here is called while waiting. */
#ifndef KQ_MEM_H
#define KQ_MEM_H

#include <stddef.h>

void	*mem_alloc(size_t size);			/* zeroed; NULL: no memory */
void	*mem_grow(void *p, size_t count, size_t size);	/* NULL: no memory, p as it was */

/* Takes no lock: fit for signal handlers, whatever they have interrupted. */
void	 mem_free(void *p);

/* This is a forked child: what other threads held is free.  Fit for signal handlers. */
void	 mem_fork_child(void);

/* Gives everything back to the system: nobody may know of any block. */
void	 mem_reset(void);

#endif
