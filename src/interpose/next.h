/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions that our wrappers stand before.
 *
 * A wrapper has the C library's name and no symbol version: libraries bound to
 * close@GLIBC_2.2.5 take an unversioned close of ours, but not close@KQ_1.0.
 * What it calls is looked up once, when the library is loaded, never inside
 * the wrapper; before that, and in static programs, where there is no next
 * definition, it makes the system call.
 */
#ifndef KQ_NEXT_H
#define KQ_NEXT_H

#include <stdbool.h>

#ifdef KQ_BEFORE_MARK
#define KQ_WRAPPER __attribute__((visibility("default"), weak))
#else
#define KQ_WRAPPER __attribute__((visibility("default")))
#endif

/* What stands in for a function of the C library's own, in a static program: see beneath.c. */
#define KQ_BENEATH __attribute__((visibility("hidden"), weak))

/* The next definition of a function after ours, or NULL. */
void	*next_symbol(const char *name);

/* Sets a function pointer to the next definition of the function it is named after. */
#define NEXT_RESOLVE(table, name) (*(void **)(void *)&(table).name = next_symbol(#name))

/*
 * Whether the program's calls go to our wrappers, which is not so if we were loaded late, or left them
 * out.  Tried on a number of the library's own, which is closed then.
 */
bool	next_in_effect(int hidden);

/* Has every file of wrappers look up what it needs; also links them into static programs. */
void	next_resolve_all(void);

/* close() where there is no next one. */
int	close_bare(int fd);

/* One for each file of wrappers. */
void	close_resolve(void);
void	dup_resolve(void);
void	sigaction_resolve(void);
void	stream_resolve(void);
void	spawn_resolve(void);
void	aio_resolve(void);
void	before_resolve(void);

#endif
