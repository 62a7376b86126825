/* SPDX-License-Identifier: BSD-2-Clause */
#include "interpose/next.h"

#include "hidden.h"

#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>

/* Weak: a static program has none, and need not be given it. */
#pragma weak dlsym

/* Weak: a static program has none of these, either. */
#pragma weak before_resolve

#if KQ_INTERPOSE
/* The program's close(), ours or not. */
static int (*next_program_close)(int) = close;
#endif

void *
next_symbol(const char *name)
{
	return dlsym == NULL ? NULL : dlsym(RTLD_NEXT, name);
}

#if KQ_INTERPOSE && KQ_INTERPOSE_STREAMS
/*
 * What the program finds, which RTLD_DEFAULT does not say: loaded with
 * RTLD_DEEPBIND, a library finds itself first.  Looked up at load, because the
 * loader's lock must not be taken with one of ours held.
 */
static void
next_resolve_program(void)
{
	void *program = dlopen(NULL, RTLD_LAZY);

	if (program != NULL)
		*(void **)(void *)&next_program_close = dlsym(program, "close");
}
#endif

/*
 * Only behaviour can tell (addresses differ for other reasons, too): a number
 * of our own is not open as far as our close() can tell.
 */
bool
next_in_effect(int hidden)
{
#if KQ_INTERPOSE
	return next_program_close == NULL || next_program_close(hidden) == -1;
#else
	hidden_close(hidden);
	return false;
#endif
}

void
next_resolve_all(void)
{
#if KQ_INTERPOSE
#if KQ_INTERPOSE_STREAMS
	next_resolve_program();
#endif
	close_resolve();
	dup_resolve();
	sigaction_resolve();
	if (before_resolve != NULL)
		before_resolve();
#endif
}
