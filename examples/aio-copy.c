/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aio-copy from to: copies a file, several blocks at a time.
 *
 * aio_read(2) and aio_write(2) start an operation and return.  With SIGEV_KEVENT
 * its end is an event: EVFILT_AIO, whose ident is the operation's aiocb.  Nothing
 * is registered with kevent(2); aio_return(2) ends the registration.
 *
 * Each lane reads a block, writes it and goes on to the next that nobody has.
 *
 * Exit codes: 64 for wrong usage, 1 for other errors.
 */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/stat.h>

#include <aio.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define LANES	4
#define BLOCK	65536

struct lane {
	struct aiocb	cb;
	int		writing;
	size_t		done;		/* of the block in hand: how much is written */
	size_t		size;		/* how much was read */
	char		block[BLOCK];
};

static struct lane lanes[LANES];
static int kq, from, to;
static off_t next;	/* the next block that nobody has */

/* Start reading or writing what is left of the lane's block. */
static void
start(struct lane *lane, off_t offset)
{
	lane->cb.aio_offset = offset;
	lane->cb.aio_sigevent.sigev_notify = SIGEV_KEVENT;
	lane->cb.aio_sigevent.sigev_notify_kqueue = kq;
	lane->cb.aio_sigevent.sigev_value.sival_ptr = lane;	/* comes back as udata */
	if (lane->writing) {
		lane->cb.aio_fildes = to;
		lane->cb.aio_buf = lane->block + lane->done;
		lane->cb.aio_nbytes = lane->size - lane->done;
		if (aio_write(&lane->cb) == -1)
			err(1, "aio_write");
	} else {
		lane->cb.aio_fildes = from;
		lane->cb.aio_buf = lane->block;
		lane->cb.aio_nbytes = BLOCK;
		if (aio_read(&lane->cb) == -1)
			err(1, "aio_read");
	}
}

static void
start_next(struct lane *lane)
{
	lane->writing = 0;
	lane->done = 0;
	start(lane, next);
	next += BLOCK;
}

/* An operation has ended; whether the lane goes on. */
static int
ended(struct lane *lane)
{
	off_t offset = lane->cb.aio_offset;
	ssize_t n = aio_return(&lane->cb);

	if (n == -1)
		err(1, lane->writing ? "write" : "read");
	if (!lane->writing) {
		if (n == 0)
			return (0);		/* the end of the file */
		lane->writing = 1;
		lane->size = (size_t)n;
		start(lane, offset);
		return (1);
	}
	lane->done += (size_t)n;
	if (lane->done < lane->size)
		start(lane, offset + n);
	else
		start_next(lane);
	return (1);
}

int
main(int argc, char *argv[])
{
	struct kevent ev[LANES];
	struct lane *lane;
	int busy = LANES, n;

	if (argc != 3) {
		fprintf(stderr, "usage: aio-copy from to\n");
		return (EX_USAGE);
	}
	if ((from = open(argv[1], O_RDONLY)) == -1)
		err(1, "%s", argv[1]);
	if ((to = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666)) == -1)
		err(1, "%s", argv[2]);
	if ((kq = kqueue()) == -1)
		err(1, "kqueue");
	for (int i = 0; i < LANES; i++)
		start_next(&lanes[i]);
	while (busy > 0) {
		if ((n = kevent(kq, NULL, 0, ev, LANES, NULL)) == -1)
			err(1, "kevent");
		for (int i = 0; i < n; i++) {
			lane = ev[i].udata;
			if (!ended(lane))
				busy--;
		}
	}
	if (close(to) == -1)
		err(1, "%s", argv[2]);
	return (0);
}
