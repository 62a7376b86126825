/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of <sys/event.h> for a test that is not linked with the library but
 * loads it, as a plug-in or an interpreter's extension does.  KQ_LOADER says
 * how: "local", "global" or "deepbind" for dlopen(3); "preload" if LD_PRELOAD
 * has done it.
 */
#include "loader.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>

void *loader_library;

static struct {
	int	(*kqueue)(void);
	int	(*kqueue1)(int);
	int	(*kqueuex)(unsigned);
	int	(*kevent)(int, const struct kevent *, int, struct kevent *, int,
		    const struct timespec *);
	int	(*kevent64)(int, const struct kevent64_s *, int, struct kevent64_s *, int,
		    unsigned, const struct timespec *);
} loaded;

static int
loader_mode(const char *how)
{
	if (strcmp(how, "global") == 0)
		return RTLD_NOW | RTLD_GLOBAL;
#ifdef RTLD_DEEPBIND
	if (strcmp(how, "deepbind") == 0)
		return RTLD_NOW | RTLD_DEEPBIND;
#endif
	return RTLD_NOW | RTLD_LOCAL;
}

static void *
loader_symbol(const char *name)
{
	void *symbol = dlsym(loader_library, name);

	if (symbol != NULL)
		return symbol;
	fprintf(stderr, "loader: %s\n", dlerror());
	exit(1);
}

__attribute__((constructor)) static void
loader_load(void)
{
	const char *how = getenv("KQ_LOADER");

	if (how == NULL)
		how = "local";
	if (strcmp(how, "preload") != 0)
		loader_library = dlopen(LOADER_LIBRARY, loader_mode(how));
	else
		loader_library = dlopen(NULL, RTLD_NOW);
	if (loader_library == NULL) {
		fprintf(stderr, "loader: %s\n", dlerror());
		exit(1);
	}
	*(void **)(void *)&loaded.kqueue = loader_symbol("kqueue");
	*(void **)(void *)&loaded.kqueue1 = loader_symbol("kqueue1");
	*(void **)(void *)&loaded.kqueuex = loader_symbol("kqueuex");
	*(void **)(void *)&loaded.kevent = loader_symbol("kevent");
	*(void **)(void *)&loaded.kevent64 = loader_symbol("kevent64");
}

int
kqueue(void)
{
	return loaded.kqueue();
}

int
kqueue1(int flags)
{
	return loaded.kqueue1(flags);
}

int
kqueuex(unsigned int flags)
{
	return loaded.kqueuex(flags);
}

int
kevent(int fd, const struct kevent *changelist, int nchanges, struct kevent *eventlist,
    int nevents, const struct timespec *timeout)
{
	return loaded.kevent(fd, changelist, nchanges, eventlist, nevents, timeout);
}

int
kevent64(int fd, const struct kevent64_s *changelist, int nchanges,
    struct kevent64_s *eventlist, int nevents, unsigned int flags,
    const struct timespec *timeout)
{
	return loaded.kevent64(fd, changelist, nchanges, eventlist, nevents, flags, timeout);
}
