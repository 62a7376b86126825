/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp-client host port: sends standard input to the host and writes what the
 * host sends to standard output, both at once and byte for byte.
 *
 * There are two ways for data, each with one buffer.  A way whose buffer is
 * empty waits to read; one whose buffer is not waits to write.  So at most
 * two of four events are of interest at any time, and every call of kevent()
 * says which, in its list of changes.
 *
 * When the input ends, the host is told so (half-close), and its answer is
 * still awaited.  When the host has said its last word, the rest of the input
 * is still sent, unless a person types it at a terminal: then that is the end.
 *
 * Exit codes:
 *	 0	all was sent, and the host's answer came to its end
 *	 1	the network: no such host, no connection, connection lost
 *	64	wrong usage
 *	71	the system refuses to play along
 *	74	standard input or output failed
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define NETWORK_ERROR	1		/* exit code */
#define PATIENCE	30		/* seconds for one address to answer */

#ifndef PIPE_BUF
#define PIPE_BUF	512		/* what POSIX promises at least */
#endif

struct way {
	int	 from, to;
	int	 eof;			/* nothing more will come */
	size_t	 off, len;		/* buf[off] to buf[len - 1] is to be written */
	char	 buf[65536];
};

static int	 kq, sock;
static int	 status;		/* exit code */

/*
 * Connect to one address without blocking: connect() only starts, and the
 * socket becomes writable when it is done, well or not.  Returns 0 or errno.
 */
static int
try_address(const struct addrinfo *ai)
{
	const struct timespec patience = { PATIENCE, 0 };
	struct kevent ev;
	socklen_t len;
	int error, n;

	sock = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol);
	if (sock == -1)
		return (errno);
	if (fcntl(sock, F_SETFL, O_NONBLOCK) == -1)
		err(EX_OSERR, "fcntl");
	if (connect(sock, ai->ai_addr, ai->ai_addrlen) == 0)
		return (0);
	error = errno;
	if (error == EINPROGRESS || error == EINTR) {
		EV_SET(&ev, (uintptr_t)sock, EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, NULL);
		if (kevent(kq, &ev, 1, NULL, 0, NULL) == -1)
			err(EX_OSERR, "kevent");
		do
			n = kevent(kq, NULL, 0, &ev, 1, &patience);
		while (n == -1 && errno == EINTR);
		if (n == -1)
			err(EX_OSERR, "kevent");
		error = ETIMEDOUT;
		len = sizeof(error);
		if (n == 1 && getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
			error = errno;
	}
	if (error != 0)
		close(sock);		/* and its registration goes with it */
	return (error);
}

/* A name may have many addresses, IPv6 and IPv4: the first that works will do. */
static void
connect_to(const char *host, const char *port)
{
	struct addrinfo hints, *list, *ai;
	int error;

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	if ((error = getaddrinfo(host, port, &hints, &list)) != 0)
		errx(NETWORK_ERROR, "%s port %s: %s", host, port, gai_strerror(error));
	error = EADDRNOTAVAIL;
	for (ai = list; ai != NULL; ai = ai->ai_next)
		if ((error = try_address(ai)) == 0)
			break;
	freeaddrinfo(list);
	if (error != 0)
		errx(NETWORK_ERROR, "%s port %s: %s", host, port, strerror(error));
}

/*
 * Must we wait for this descriptor?  A regular file never keeps anyone
 * waiting, and EVFILT_READ would fall silent at its end, to report when it
 * grows, while we want to see the end.  Some devices cannot be watched
 * everywhere, /dev/null for one.  All these are simply read and written.
 */
static int
must_wait(int fd, int filter)
{
	struct stat st;
	struct kevent ev;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return (0);
	EV_SET(&ev, (uintptr_t)fd, (short)filter, EV_ADD | EV_DISABLE, 0, 0, NULL);
	return (kevent(kq, &ev, 1, NULL, 0, NULL) == 0);
}

static void
lost_connection(void)
{
	if (status == 0)
		warn("connection");
	status = NETWORK_ERROR;
}

/*
 * Fill the empty buffer.  Standard input may block, and we leave it so: the
 * setting would be shared with whoever gave it to us, our shell for one.  But
 * after EVFILT_READ one read() never does.
 */
static void
fill(struct way *w)
{
	ssize_t n;

	n = read(w->from, w->buf, sizeof(w->buf));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1 && w->from != sock)
		err(EX_IOERR, "standard input");
	if (n == -1)
		lost_connection();
	if (n <= 0) {
		w->eof = 1;
		return;
	}
	w->off = 0;
	w->len = (size_t)n;
}

/*
 * Write what can be written.  Standard output may block, too, and "writable"
 * means room for PIPE_BUF bytes, not for everything.
 */
static void
drain(struct way *w)
{
	ssize_t n;
	size_t len;

	len = w->len - w->off;
	if (w->to != sock && len > PIPE_BUF)
		len = PIPE_BUF;
	n = write(w->to, w->buf + w->off, len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1 && w->to != sock)
		err(EX_IOERR, "standard output");
	if (n == -1) {
		/*
		 * The host wants no more.  It may have said why, so go on with
		 * what comes from it.
		 */
		lost_connection();
		w->eof = 1;
		n = (ssize_t)len;
	}
	if ((w->off += (size_t)n) == w->len)
		w->off = w->len = 0;
}

/*
 * EV_ADD of what is there already changes nothing, and enabling what is
 * enabled neither.  So a change can simply state what we want.
 */
static void
interest(struct kevent *change, int fd, int filter, int wanted)
{
	EV_SET(change, (uintptr_t)fd, (short)filter,
	    (unsigned short)(EV_ADD | (wanted ? EV_ENABLE : EV_DISABLE)), 0, 0, NULL);
}

static void
usage(void)
{
	fprintf(stderr, "usage: tcp-client host port\n");
	exit(EX_USAGE);
}

int
main(int argc, char *argv[])
{
	static struct way up, down;
	struct kevent changes[4], events[4], *ev;
	char *end;
	long port;
	int closed = 0, i, in_waits, n, nc, out_waits;

	if (argc != 3)
		usage();
	port = strtol(argv[2], &end, 10);
	if (*end == '\0' && (port < 1 || port > 65535))
		usage();		/* but "http" or the like is fine */

	/* A write to a closed connection shall fail, not kill us. */
	signal(SIGPIPE, SIG_IGN);
	if ((kq = kqueue()) == -1)
		err(EX_OSERR, "kqueue");
	connect_to(argv[1], argv[2]);

	up.from = STDIN_FILENO;
	up.to = sock;
	down.from = sock;
	down.to = STDOUT_FILENO;
	in_waits = must_wait(up.from, EVFILT_READ);
	out_waits = must_wait(down.to, EVFILT_WRITE);

	for (;;) {
		/* Whatever needs no waiting. */
		if (!in_waits && up.len == 0 && !up.eof)
			fill(&up);
		while (!out_waits && down.len > 0)
			drain(&down);

		/* The input has ended: tell the host, but keep listening. */
		if (up.eof && up.len == 0 && !closed) {
			shutdown(sock, SHUT_WR);
			closed = 1;
		}
		/* The host has finished, and all of it is written. */
		if (down.eof && down.len == 0 && (closed || status != 0 || isatty(STDIN_FILENO)))
			exit(status);

		nc = 0;
		interest(&changes[nc++], sock, EVFILT_READ, down.len == 0 && !down.eof);
		interest(&changes[nc++], sock, EVFILT_WRITE, up.len > 0);
		if (in_waits)
			interest(&changes[nc++], up.from, EVFILT_READ, up.len == 0 && !up.eof);
		if (out_waits)
			interest(&changes[nc++], down.to, EVFILT_WRITE, down.len > 0);

		n = kevent(kq, changes, nc, events, 4, NULL);
		if (n == -1 && errno != EINTR)
			err(EX_OSERR, "kevent");
		for (i = 0; i < n; i++) {
			ev = &events[i];
			if ((ev->flags & EV_ERROR) != 0)
				errx(EX_OSERR, "kevent: %s", strerror((int)ev->data));
			else if (ev->filter == EVFILT_READ)
				fill(ev->ident == (uintptr_t)sock ? &down : &up);
			else
				drain(ev->ident == (uintptr_t)sock ? &up : &down);
		}
	}
}
