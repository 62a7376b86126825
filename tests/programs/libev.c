/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries libev's watchers on its kqueue back end.  Alone it prints the names of what it tries; with a name it tries that, and
 * fails if it finds another answer than libev's manual gives.
 */
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

static struct ev_loop *loop;
static int events, calls;
static char received[65536];
static size_t received_count;

static void
stop_at(EV_P_ int wanted, int revents)
{
	events |= revents;
	if (++calls == wanted)
		ev_break(EV_A_ EVBREAK_ONE);
}

static void
on_io(EV_P_ ev_io *io, int revents)
{
	ssize_t count = 0;

	if (revents & EV_READ) {
		count = read(io->fd, received, sizeof(received));
		MUST(count >= 0);
		received_count += (size_t)count;
	}
	stop_at(EV_A_ revents & EV_READ && count > 0 ? -1 : 1, revents);
	if (count == 0)
		ev_break(EV_A_ EVBREAK_ONE);
}

/* All that was written comes, then the end. */
static void
try_stream(void)
{
	int pair[2];
	size_t sent = 0;
	ev_io io;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	ev_io_init(&io, on_io, pair[0], EV_READ);
	ev_io_start(EV_A_ &io);
	for (int i = 0; i < 1000; i++) {
		MUST(write(pair[1], received, 100) == 100);
		sent += 100;
		ev_run(EV_A_ EVRUN_NOWAIT);
	}
	MUST(shutdown(pair[1], SHUT_WR) == 0);
	ev_run(EV_A_ 0);
	MUST(received_count == sent && events == EV_READ);
	ev_io_stop(EV_A_ &io);
}

/* Writable, then readable as well, by one watcher that is changed. */
static void
try_both_ways(void)
{
	int pair[2];
	ev_io io;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	ev_io_init(&io, on_io, pair[0], EV_WRITE);
	ev_io_start(EV_A_ &io);
	ev_run(EV_A_ EVRUN_ONCE);
	MUST(events == EV_WRITE);
	ev_io_stop(EV_A_ &io);
	ev_io_set(&io, pair[0], EV_READ);
	ev_io_start(EV_A_ &io);
	events = 0;
	ev_run(EV_A_ EVRUN_NOWAIT);
	MUST(events == 0);
	MUST(write(pair[1], "x", 1) == 1);
	ev_run(EV_A_ EVRUN_ONCE);
	MUST(events == EV_READ && received_count == 1);
	ev_io_stop(EV_A_ &io);
}

/* A number is used again: ev_io_stop() comes before close(), as libev asks. */
static void
try_number_again(void)
{
	int ends[2];
	ev_io io;

	for (int i = 0; i < 2000; i++) {
		calls = 0;
		MUST(pipe(ends) == 0);
		ev_io_init(&io, on_io, ends[0], EV_READ);
		ev_io_start(EV_A_ &io);
		ev_run(EV_A_ EVRUN_NOWAIT);
		MUST(calls == 0);
		MUST(write(ends[1], "x", 1) == 1);
		ev_run(EV_A_ EVRUN_ONCE);
		MUST(calls == 1);
		ev_io_stop(EV_A_ &io);
		close(ends[0]);
		close(ends[1]);
	}
	MUST(received_count == 2000);
}

static void
on_timer(EV_P_ ev_timer *timer, int revents)
{
	stop_at(EV_A_ 20, revents);
	(void)timer;
}

static void
try_timer(void)
{
	ev_timer timer;
	ev_tstamp started = ev_time();

	ev_timer_init(&timer, on_timer, 0.01, 0.01);
	ev_timer_start(EV_A_ &timer);
	ev_run(EV_A_ 0);
	MUST(calls == 20 && events == EV_TIMER && ev_time() - started >= 0.19);
}

static void
on_signal(EV_P_ ev_signal *sig, int revents)
{
	stop_at(EV_A_ 1, revents);
	(void)sig;
}

static void
try_signal(void)
{
	ev_signal sig;

	ev_signal_init(&sig, on_signal, SIGUSR1);
	ev_signal_start(EV_A_ &sig);
	MUST(kill(getpid(), SIGUSR1) == 0);
	ev_run(EV_A_ 0);
	MUST(calls == 1 && events == EV_SIGNAL);
	ev_signal_stop(EV_A_ &sig);
}

static void
on_child(EV_P_ ev_child *child, int revents)
{
	MUST(WIFEXITED(child->rstatus) && WEXITSTATUS(child->rstatus) == 7);
	stop_at(EV_A_ 1, revents);
}

static void
try_child(void)
{
	ev_child child;
	pid_t pid = fork();

	MUST(pid != -1);
	if (pid == 0)
		_exit(7);
	ev_child_init(&child, on_child, pid, 0);
	ev_child_start(EV_A_ &child);
	ev_run(EV_A_ 0);
	MUST(events == EV_CHILD);
}

/* ev_loop_fork() makes the queue anew in a child, with all that was registered. */
static void
try_fork(void)
{
	int pair[2], status;
	pid_t pid;
	ev_io io;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	ev_io_init(&io, on_io, pair[0], EV_READ);
	ev_io_start(EV_A_ &io);
	ev_run(EV_A_ EVRUN_NOWAIT);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		ev_loop_fork(EV_A);
		MUST(write(pair[1], "child", 5) == 5);
		ev_run(EV_A_ EVRUN_ONCE);
		MUST(received_count == 5);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	MUST(write(pair[1], "parent", 6) == 6);
	ev_run(EV_A_ EVRUN_ONCE);
	MUST(received_count == 6);
	ev_io_stop(EV_A_ &io);
}

/* A loop in a loop: the queue's own descriptor is what is waited for. */
static ev_embed embed;

static void
on_embed(EV_P_ ev_embed *w, int revents)
{
	ev_embed_sweep(EV_A_ w);
	stop_at(EV_A_ 1, revents);
}

static void
try_embed(void)
{
	struct ev_loop *outer = ev_loop_new(EVBACKEND_POLL);
	int ends[2];
	ev_io io;

	MUST(outer != NULL && (ev_embeddable_backends() & EVBACKEND_KQUEUE) != 0);
	MUST(pipe(ends) == 0);
	ev_io_init(&io, on_io, ends[0], EV_READ);
	ev_io_start(EV_A_ &io);
	ev_embed_init(&embed, on_embed, loop);
	ev_embed_start(outer, &embed);
	ev_run(outer, EVRUN_NOWAIT);
	MUST(calls == 0 || received_count == 0);
	calls = 0;
	MUST(write(ends[1], "x", 1) == 1);
	ev_run(outer, EVRUN_ONCE);
	MUST(calls > 0 && received_count == 1);
	ev_embed_stop(outer, &embed);
	ev_io_stop(EV_A_ &io);
	ev_loop_destroy(outer);
}

static const struct {
	const char *name;
	void (*try)(void);
} tries[] = {
	{ "stream", try_stream }, { "both-ways", try_both_ways }, { "number-again", try_number_again }, { "timer", try_timer },
	{ "signal", try_signal }, { "child", try_child }, { "fork", try_fork }, { "embed", try_embed },
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		if (argc == 1) {
			puts(tries[i].name);
		} else if (strcmp(argv[1], tries[i].name) == 0) {
			loop = ev_default_loop(EVBACKEND_KQUEUE);
			MUST(loop != NULL && ev_backend(EV_A) == EVBACKEND_KQUEUE);
			tries[i].try();
		}
	}
	return 0;
}
