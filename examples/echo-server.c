/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo-server [-p port]: sends back whatever its clients send.
 *
 * A program that waits on one kqueue for everything that can happen to it:
 *
 *	EVFILT_READ	a connection waits, or a client sent something
 *	EVFILT_WRITE	a client that was slow to read has room again
 *	EVFILT_SIGNAL	SIGTERM: say goodbye and exit with 130
 *	EVFILT_VNODE	./change_prompt.txt was touched: next prompt, please
 *	EVFILT_TIMER	time to give up waiting
 *
 * No descriptor blocks, so nobody can stop the others: what a client will not
 * take now is kept until EVFILT_WRITE reports room, and nothing more is read
 * from that client meanwhile.
 *
 * Exit codes: 130 after SIGTERM, 64 for wrong usage, 1 if it cannot start,
 * as when the port is taken.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <netinet/in.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#ifndef O_EVTONLY			/* open for watching only, where that exists */
#define O_EVTONLY	O_RDONLY
#endif

#define PROMPT_FILE	"./change_prompt.txt"
#define GOODBYE		"Server shutting down\n"
#define CHUNK		16384		/* the most that is read from a client at once */
#define GRACE		2000		/* ms for a slow client to take its goodbye */
#define NEVENTS		64

struct client {
	struct client	*next, **prevp;	/* the list of all of them */
	int		 fd;
	int		 held;		/* held back until it reads */
	size_t		 off, len;	/* buf[off] to buf[len - 1] is still to be sent */
	char		 buf[CHUNK + sizeof(GOODBYE)];
};

static const char	 prompts[] = { '%', '$', '>' };
static size_t		 prompt;

static int		 kq;
static int		 listeners[2], nlisteners;	/* IPv6 and IPv4 */
static int		 paused;	/* accepting no clients for a moment */
static struct client	*clients;
static int		 promptfd = -1;
static int		 missing;	/* promptfd is not the file but its directory */
static int		 stopping;

/* One change, applied at once.  Returns -1 and errno if it is refused. */
static int
change(int ident, int filter, int flags, unsigned int fflags, int data)
{
	struct kevent ev;

	EV_SET(&ev, (uintptr_t)ident, (short)filter, (unsigned short)flags, fflags, data, NULL);
	return (kevent(kq, &ev, 1, NULL, 0, NULL));
}

/* What a client sends may be anything; show what is text, spell out the rest. */
static void
show(const char *s, size_t len)
{
	mbstate_t state;
	wchar_t wc;
	size_t i, n;

	memset(&state, 0, sizeof(state));
	for (i = 0; i < len; i += n) {
		n = mbrtowc(&wc, s + i, len - i, &state);
		if (n > 0 && n <= len - i && iswprint((wint_t)wc))
			fwrite(s + i, 1, n, stdout);
		else {
			printf("\\x%02x", (unsigned int)(unsigned char)s[i]);
			memset(&state, 0, sizeof(state));
			n = 1;
		}
	}
	putchar('\n');
}

/*
 * Out of descriptors, or memory?  The next client goes on waiting, and its
 * event would come again at once, for ever.  So look away for a moment, that
 * is, until one client closes or a second has passed.
 */
static void
pause_accepting(int pause)
{
	int i;

	for (i = 0; i < nlisteners && pause != paused; i++)
		change(listeners[i], EVFILT_READ, pause ? EV_DISABLE : EV_ENABLE, 0, 0);
	paused = pause;
}

/*
 * The program never deletes a registration: closing a descriptor takes all of
 * its registrations along.
 */
static void
close_client(struct client *c)
{
	int i;

	/* Take what is unread: it would make this a reset, see stop(). */
	for (i = 0; stopping && i < 1000; i++)
		if (read(c->fd, c->buf, CHUNK) <= 0)
			break;

	printf("The socket (%d) has been closed.\n", c->fd);
	close(c->fd);
	if ((*c->prevp = c->next) != NULL)
		c->next->prevp = c->prevp;
	free(c);
	pause_accepting(0);
}

/*
 * Listen to a client (hold = 0) or wait until it reads (hold = 1).  Only one
 * of its two registrations is enabled at any time.  So one call of kevent()
 * returns one event of it at the most, and close_client() leaves no second
 * event behind whose udata points to freed memory.
 */
static void
hold_back(struct client *c, int hold)
{
	struct kevent ev[2];

	if (c->held == hold)
		return;
	c->held = hold;
	EV_SET(&ev[0], (uintptr_t)c->fd, EVFILT_READ, hold ? EV_DISABLE : EV_ENABLE, 0, 0, c);
	EV_SET(&ev[1], (uintptr_t)c->fd, EVFILT_WRITE, hold ? EV_ENABLE : EV_DISABLE, 0, 0, c);
	if (kevent(kq, ev, 2, NULL, 0, NULL) == -1) {
		printf("Error watching client(%d) - %s\n", c->fd, strerror(errno));
		close_client(c);
	}
}

/* Send what can be sent.  May free the client. */
static void
flush(struct client *c)
{
	ssize_t n;

	while (c->off < c->len) {
		n = write(c->fd, c->buf + c->off, c->len - c->off);
		if (n >= 0)
			c->off += (size_t)n;
		else if (errno == EAGAIN) {
			hold_back(c, 1);
			return;
		} else if (errno != EINTR) {
			close_client(c);	/* it went away */
			return;
		}
	}
	c->off = c->len = 0;
	if (stopping && !c->held) {
		close_client(c);
		return;
	}
	if (stopping)
		shutdown(c->fd, SHUT_WR);	/* no more from us, see stop() */
	hold_back(c, 0);
}

/*
 * EVFILT_READ of a client.  ev->data is the number of bytes that wait.  They
 * may be more than we take now: the event comes again until none is left.  It
 * comes with EV_EOF when the client has finished sending, and what it sent
 * before is still there to be read and echoed.
 */
static void
client_event(struct client *c, const struct kevent *ev)
{
	ssize_t n;
	size_t len;

	if (ev->data > 0 && !stopping)
		printf("File descriptor: %d - has %lld characters for reading\n",
		    c->fd, (long long)ev->data);

	n = read(c->fd, c->buf, CHUNK);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1)
		printf("Error reading from client(%d) - %s\n", c->fd, strerror(errno));
	if (n <= 0) {
		close_client(c);
		return;
	}
	if (stopping)
		return;

	c->len = len = (size_t)n;
	if (c->buf[len - 1] == '\n' && --len > 0 && c->buf[len - 1] == '\r')
		len--;
	printf("Received from client(%d) %c ", c->fd, prompts[prompt]);
	show(c->buf, len);
	flush(c);
}

/* EVFILT_READ of a listening socket: so many connections wait for accept(). */
static void
listener_event(int fd, int64_t waiting)
{
	struct kevent ev[2];
	struct client *c;
	int cfd;

	for (; waiting > 0; waiting--) {
		cfd = accept(fd, NULL, NULL);
		if (cfd == -1 && (errno == ECONNABORTED || errno == EINTR))
			continue;	/* this one changed its mind */
		if (cfd == -1 && errno == EAGAIN)
			return;
		c = cfd == -1 ? NULL : malloc(sizeof(*c));
		if (c == NULL) {
			printf("Error accepting connection: %s\n", strerror(errno));
			if (cfd != -1)
				close(cfd);
			pause_accepting(1);
			return;
		}
		printf("Accepted new client with file descriptor: %d\n", cfd);

		c->fd = cfd;
		c->held = 0;
		c->off = c->len = 0;
		c->prevp = &clients;
		if ((c->next = clients) != NULL)
			c->next->prevp = &c->next;
		clients = c;

		/* udata comes back as it is given: no need to look c up. */
		EV_SET(&ev[0], (uintptr_t)cfd, EVFILT_READ, EV_ADD, 0, 0, c);
		EV_SET(&ev[1], (uintptr_t)cfd, EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, c);
		if (fcntl(cfd, F_SETFL, O_NONBLOCK) == -1 ||
		    kevent(kq, ev, 2, NULL, 0, NULL) == -1) {
			printf("Error watching client(%d) - %s\n", cfd, strerror(errno));
			close_client(c);
		}
		printf("About to accept\n");
	}
}

/*
 * Watch the prompt file: touch(1) sets its times, which is NOTE_ATTRIB.  If
 * there is no such file, watch the directory instead: NOTE_WRITE there means
 * that some entry came or went.
 */
static void
watch_prompt(int report)
{
	unsigned int notes;

	if (promptfd != -1)
		close(promptfd);
	promptfd = open(PROMPT_FILE, O_EVTONLY);
	missing = promptfd == -1;
	if (missing) {
		if (report)
			printf("Error: there was an error reading %s\n", PROMPT_FILE);
		promptfd = open(".", O_EVTONLY);
	}
	notes = missing ? NOTE_WRITE : NOTE_ATTRIB | NOTE_DELETE | NOTE_RENAME;
	if (promptfd != -1 &&
	    change(promptfd, EVFILT_VNODE, EV_ADD | EV_CLEAR, notes, 0) == -1)
		printf("Error watching %s - %s\n", PROMPT_FILE, strerror(errno));
}

/*
 * EVFILT_VNODE.  A watch stays with the file, not with its name.  So when the
 * file is deleted, or moved away as many editors do, look for a new one under
 * the old name, now or when the directory changes; finding it counts as a
 * touch.
 */
static void
prompt_event(unsigned int fflags)
{
	if (missing || (fflags & (NOTE_DELETE | NOTE_RENAME)) != 0)
		watch_prompt(!missing);
	if (!missing)
		prompt = (prompt + 1) % sizeof(prompts);
}

/*
 * SIGTERM.  Clients that read get their goodbye and are gone at once.  One
 * that is held back gets it after all that it has still to read, if that does
 * not take too long.
 *
 * Input that nobody reads, or that comes after close(), makes TCP reset the
 * connection, and what was on its way to the client is lost.  One that is held
 * back has such input on its way; so it is we who wait for its end.
 */
static void
stop(void)
{
	struct client *c, *next;

	printf("We got a terminate signal!\n");
	stopping = 1;
	while (nlisteners > 0)
		close(listeners[--nlisteners]);
	for (c = clients; c != NULL; c = next) {
		next = c->next;
		memcpy(c->buf + c->len, GOODBYE, strlen(GOODBYE));
		c->len += strlen(GOODBYE);
		flush(c);
	}
	if (change(0, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, GRACE) == -1)
		exit(130);
}

/*
 * One socket for IPv6 and one for IPv4.  A single one for both would do on
 * some systems only.  A machine without one of the two is fine.
 */
static void
start(const char *port)
{
	struct addrinfo hints, *list, *ai;
	const int on = 1;
	int error, fd;

	printf("Server starting...\n");
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE;
	if ((error = getaddrinfo(NULL, port, &hints, &list)) != 0)
		errx(EXIT_FAILURE, "port %s: %s", port, gai_strerror(error));

	for (ai = list; ai != NULL && nlisteners < 2; ai = ai->ai_next) {
		fd = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol);
		if (fd == -1)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (ai->ai_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (bind(fd, ai->ai_addr, ai->ai_addrlen) == -1) {
			if (errno != EADDRNOTAVAIL)
				break;
			close(fd);
			continue;
		}
		if (listen(fd, SOMAXCONN) == -1 || fcntl(fd, F_SETFL, O_NONBLOCK) == -1 ||
		    change(fd, EVFILT_READ, EV_ADD, 0, 0) == -1)
			break;
		listeners[nlisteners++] = fd;
	}
	if (nlisteners == 0 || ai != NULL)
		err(EXIT_FAILURE, "cannot listen on port %s", port);
	freeaddrinfo(list);
}

static void
setup_signals(void)
{
	printf("Setting up Signal Handler\n");

	/*
	 * The queue sees a signal in addition to what else it does.  What
	 * SIGTERM does is to kill us, so have it ignored; it is still counted.
	 */
	signal(SIGTERM, SIG_IGN);
	if (change(SIGTERM, EVFILT_SIGNAL, EV_ADD, 0, 0) == -1)
		err(EXIT_FAILURE, "SIGTERM");

	/* A client that hangs up while we write is no reason to die. */
	signal(SIGPIPE, SIG_IGN);
}

/* A client is a descriptor: have as many as we may.  (macOS: not infinity.) */
static void
raise_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return;
	rl.rlim_cur = rl.rlim_max == RLIM_INFINITY ? 10240 : rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static void
usage(void)
{
	fprintf(stderr, "usage: echo-server [-p port]\n");
	exit(EX_USAGE);
}

int
main(int argc, char *argv[])
{
	const struct timespec second = { 1, 0 };
	struct kevent events[NEVENTS], *ev;
	const char *port = "1234";
	char *end;
	long number;
	int ch, i, n, terminated = 0;

	while ((ch = getopt(argc, argv, "p:")) != -1) {
		if (ch != 'p')
			usage();
		port = optarg;
	}
	number = strtol(port, &end, 10);
	if (argc != optind || *end != '\0' || number < 1 || number > 65535)
		usage();

	setlocale(LC_CTYPE, "");	/* what is text? see show() */
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("Welcome to our simple echo server!\n");
	raise_limit();
	if ((kq = kqueue()) == -1)
		err(EXIT_FAILURE, "kqueue");
	setup_signals();
	start(port);
	watch_prompt(1);
	printf("About to accept\n");

	while (!stopping || clients != NULL) {
		n = kevent(kq, NULL, 0, events, NEVENTS, paused ? &second : NULL);
		if (n == -1 && errno != EINTR)
			err(EXIT_FAILURE, "kevent");
		if (n == 0)
			pause_accepting(0);

		for (i = 0; i < n; i++) {
			ev = &events[i];
			switch (ev->filter) {
			case EVFILT_READ:
				if (ev->udata != NULL)
					client_event((struct client *)ev->udata, ev);
				else
					listener_event((int)ev->ident, ev->data);
				break;
			case EVFILT_WRITE:
				flush((struct client *)ev->udata);
				break;
			case EVFILT_VNODE:
				prompt_event(ev->fflags);
				break;
			case EVFILT_SIGNAL:
				terminated = 1;
				break;
			case EVFILT_TIMER:
				exit(130);	/* enough, see stop() */
			}
		}

		/*
		 * Only now, for stop() frees clients, and an event of one of
		 * them could have been among the last ones.
		 */
		if (terminated && !stopping)
			stop();
	}
	return (130);
}
