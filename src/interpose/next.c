/* SPDX-License-Identifier: BSD-2-Clause */
#include "interpose/next.h"

#include "hidden.h"

#include <dlfcn.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Weak: a static program has no dlsym(), and need not be given one. */
#pragma weak dlsym

void *
next_symbol(const char *name)
{
	return dlsym == NULL ? NULL : dlsym(RTLD_NEXT, name);
}

/*
 * Only behaviour can tell (addresses differ for other reasons, too): a number
 * of our own is not open as far as our close() can tell.
 */
bool
next_in_effect(void)
{
#if KQ_INTERPOSE
	int (*program_close)(int) = close;
	_Atomic int probe;
	bool ours;

	if (dlsym != NULL)
		*(void **)(void *)&program_close = dlsym(RTLD_DEFAULT, "close");
	if (program_close == NULL || hidden_move(eventfd(0, EFD_CLOEXEC), &probe) < 0)
		return true;
	ours = program_close(probe) == -1;
	hidden_free(&probe);
	return ours;
#else
	return false;
#endif
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
	aio_resolve();
#endif
#endif
}
