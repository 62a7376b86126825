/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams are closed below close(): the C library's own calls do not pass
 * through ours.  In a static program these cannot stand before the C
 * library's: see beneath.c, and before.c.
 */
#if KQ_INTERPOSE && KQ_INTERPOSE_STREAMS

#include "interpose/next.h"
#include "kqueue.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

/* musl names freopen64 only as a macro, and not at all in later versions. */
#undef freopen64

static struct {
	int	(*fclose)(FILE *);
	FILE	*(*freopen)(const char *restrict, const char *restrict, FILE *restrict);
	FILE	*(*freopen64)(const char *restrict, const char *restrict, FILE *restrict);
	int	(*pclose)(FILE *);
	int	(*closedir)(DIR *);
} next;

FILE	*freopen64(const char *restrict, const char *restrict, FILE *restrict);

void
stream_resolve(void)
{
	NEXT_RESOLVE(next, fclose);
	NEXT_RESOLVE(next, freopen);
	NEXT_RESOLVE(next, freopen64);
	NEXT_RESOLVE(next, pclose);
	NEXT_RESOLVE(next, closedir);
}

/* Other libraries' constructors may come here before ours. */
static void
stream_begin(void)
{
	if (next.fclose == NULL)
		stream_resolve();
}

/* The stream's number is closed, if it has one: who asks for it changes errno if not. */
static void
stream_closes(FILE *stream)
{
	int saved = errno;

	stream_begin();
	kqueue_descriptor_closes(fileno(stream));
	errno = saved;
}

KQ_WRAPPER int
fclose(FILE *stream)
{
	stream_closes(stream);
	return next.fclose(stream);
}

KQ_WRAPPER FILE *
freopen(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
	stream_closes(stream);
	return next.freopen(path, mode, stream);
}

KQ_WRAPPER FILE *
freopen64(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
	stream_closes(stream);
	return next.freopen64 != NULL ? next.freopen64(path, mode, stream) :
	    next.freopen(path, mode, stream);
}

KQ_WRAPPER int
pclose(FILE *stream)
{
	stream_closes(stream);
	return next.pclose(stream);
}

/* Of NULL glibc says that it is none, which the compiler does not know. */
KQ_WRAPPER int
closedir(DIR *dir)
{
	DIR *volatile given = dir;

	stream_begin();
	if (given != NULL)
		kqueue_descriptor_closes(dirfd(dir));
	return next.closedir(dir);
}

#else
typedef int stream_is_not_wrapped;
#endif
