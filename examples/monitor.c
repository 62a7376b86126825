/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor [interface ...]: tells when file systems are mounted and unmounted,
 * and when network interfaces, by default all there are, come up and go down.
 *
 *	watching: mounts
 *	watching: eth0
 *	eth0: down
 *	eth0: up
 *	mounted
 *	mounted, unmounted
 *	eth0: gone
 *
 * EVFILT_FS tells that something was mounted or unmounted, not what: a program
 * that wants to know reads the table of mounts when it is told, getmntinfo(3)
 * on the BSDs, getmntent(3) on Linux.
 *
 * Neither filter is on every system that has kqueue, so we ask whether their
 * names are defined, and watch what can be watched.
 *
 * Exit codes: 0 when there is nothing left to watch, 1 for errors.
 */
#include <sys/param.h>
#include <sys/event.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVENTS		16

static int	 kq;
static int	 watched;		/* registrations that there are */

#ifdef EVFILT_FS
static void
watch_mounts(void)
{
	struct kevent ev;

	/* Any number will do as ident: there is only one table of mounts. */
	EV_SET(&ev, 0, EVFILT_FS, EV_ADD, VQ_MOUNT | VQ_UNMOUNT, 0, NULL);
	if (kevent(kq, &ev, 1, NULL, 0, NULL) == -1) {
		warn("cannot watch mounts");
		return;
	}
	watched++;
	printf("watching: mounts\n");
}

static void
tell_mounts(const struct kevent *ev)
{
	printf("%s%s%s\n", (ev->fflags & VQ_MOUNT) != 0 ? "mounted" : "",
	    ev->fflags == (VQ_MOUNT | VQ_UNMOUNT) ? ", " : "",
	    (ev->fflags & VQ_UNMOUNT) != 0 ? "unmounted" : "");
}
#endif

#ifdef EVFILT_NETDEV
/* An interface is known by its index; the name, which may change, is what we call it. */
static void
watch_interface(const char *name)
{
	unsigned int index = if_nametoindex(name);
	struct kevent ev;
	char *copy;

	if ((copy = strdup(name)) == NULL)
		err(EXIT_FAILURE, NULL);
	EV_SET(&ev, index, EVFILT_NETDEV, EV_ADD,
	    NOTE_LINKUP | NOTE_LINKDOWN | NOTE_LINKINV, 0, copy);
	if (index == 0 || kevent(kq, &ev, 1, NULL, 0, NULL) == -1) {
		warn("cannot watch %s", name);
		free(copy);
		return;
	}
	watched++;
	printf("watching: %s\n", name);
}

static void
watch_all_interfaces(void)
{
	struct if_nameindex *all, *i;

	if ((all = if_nameindex()) == NULL) {
		warn("no list of interfaces");
		return;
	}
	for (i = all; i->if_name != NULL; i++)
		watch_interface(i->if_name);
	if_freenameindex(all);
}

/* fflags is what has happened, perhaps both; data is how it is now. */
static void
tell_interface(const struct kevent *ev)
{
	char *name = (char *)ev->udata;

	if ((ev->flags & EV_EOF) != 0) {
		printf("%s: gone\n", name);
		free(name);
		watched--;		/* the registration is gone, too */
		return;
	}
	if (ev->data == NOTE_LINKUP)
		printf("%s: %sup\n", name, (ev->fflags & NOTE_LINKDOWN) != 0 ? "down, " : "");
	else if (ev->data == NOTE_LINKDOWN)
		printf("%s: %sdown\n", name, (ev->fflags & NOTE_LINKUP) != 0 ? "up, " : "");
	else
		printf("%s: not known\n", name);
}
#endif

int
main(int argc, char *argv[])
{
	struct kevent events[NEVENTS];
	int i, n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if ((kq = kqueue()) == -1)
		err(EXIT_FAILURE, "kqueue");
#ifdef EVFILT_FS
	watch_mounts();
#endif
#ifdef EVFILT_NETDEV
	if (argc == 1)
		watch_all_interfaces();
	for (i = 1; i < argc; i++)
		watch_interface(argv[i]);
#else
	if (argc > 1)
		warnx("network interfaces cannot be watched on %s", argv[0]);
#endif
	while (watched > 0) {
		n = kevent(kq, NULL, 0, events, NEVENTS, NULL);
		if (n == -1 && errno != EINTR)
			err(EXIT_FAILURE, "kevent");
		for (i = 0; i < n; i++) {
#ifdef EVFILT_FS
			if (events[i].filter == EVFILT_FS)
				tell_mounts(&events[i]);
#endif
#ifdef EVFILT_NETDEV
			if (events[i].filter == EVFILT_NETDEV)
				tell_interface(&events[i]);
#endif
		}
	}
	return (0);
}
