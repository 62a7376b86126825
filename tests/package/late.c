/* SPDX-License-Identifier: BSD-2-Clause */
/* late library: loads it, and closes a descriptor without its seeing it. */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <unistd.h>

static int (*late_kqueue)(void);
static int (*late_kevent)(int, const struct kevent *, int, struct kevent *, int,
    const struct timespec *);

int
main(int argc, char **argv)
{
	const struct timespec at_once = { 0, 0 };
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	struct kevent event;
	int kq, fds[2], copy, before, after;

	if (library == NULL) {
		fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "which library?");
		return 1;
	}
	*(void **)(void *)&late_kqueue = dlsym(library, "kqueue");
	*(void **)(void *)&late_kevent = dlsym(library, "kevent");
	if ((kq = late_kqueue()) == -1 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1)
		return 1;
	EV_SET(&event, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
	if (late_kevent(kq, &event, 1, NULL, 0, NULL) == -1 || write(fds[1], "x", 1) != 1)
		return 1;
	before = late_kevent(kq, NULL, 0, &event, 1, &at_once);
	copy = dup(fds[0]);
	close(fds[0]);
	after = late_kevent(kq, NULL, 0, &event, 1, &at_once);
	if (copy == -1 || before != 1 || after != 0)
		return 1;
	dlclose(library);
	printf("late: ok\n");
	return 0;
}
