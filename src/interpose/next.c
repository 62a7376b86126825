/* SPDX-License-Identifier: BSD-2-Clause */
#include "interpose/next.h"

#include <dlfcn.h>
#include <stddef.h>

/* Weak: a static program has no dlsym(), and need not be given one. */
#pragma weak dlsym

void *
next_symbol(const char *name)
{
	return dlsym == NULL ? NULL : dlsym(RTLD_NEXT, name);
}

void
next_resolve_all(void)
{
#if KQ_INTERPOSE
	close_resolve();
	dup_resolve();
	sigaction_resolve();
#if KQ_INTERPOSE_STREAMS
	stream_resolve();
#endif
#endif
}
