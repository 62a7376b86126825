/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS	1000
#define MESSAGE	64

void (*ready)(int fd, long bytes);

static long seen;
static int here[PAIRS], there[PAIRS];
static int next_in_chain[65536];

static void
count(int fd, long bytes)
{
	(void)fd;
	(void)bytes;
	seen++;
}

/* Takes the time that n events need, and does not count those before. */
static void
measure(long n, int room)
{
	seen = 0;
	clock_start();
	while (seen < n)
		loop_turn(room, true);
	clock_stop();
}

/* 512 of 1,000 have a byte that nobody reads. */
static void
wait_for_events(long n, int room)
{
	make_pairs(here, there, PAIRS);
	loop_open(4096);
	ready = count;
	for (int i = 0; i < PAIRS; i++)
		loop_add(here[i]);
	for (int i = 0; i < 512; i++)
		must(write(there[i * PAIRS / 512], "x", 1), "write");
	loop_turn(room, true);
	measure(n, room);
	result(seen, -1);
}

void
load_wait64(long n)
{
	wait_for_events(n, 64);
}

void
load_wait1(long n)
{
	wait_for_events(n, 1);
}

/* As the libraries do, which make their room larger until all that is ready fits. */
void
load_wait_all(long n)
{
	wait_for_events(n, LOOP_ROOM);
}

/*
 * What comes in at one pair goes out at the next.  Here and for echo there is room for all that is
 * ready: by hand and for a kqueue that is the program's choice, and the libraries choose so.
 */
static void
pass_on(int fd, long bytes)
{
	char byte;

	(void)bytes;
	must(read(fd, &byte, 1), "read");
	must(write(next_in_chain[fd], &byte, 1), "write");
	seen++;
}

void
load_chain(long n)
{
	make_pairs(here, there, PAIRS);
	loop_open(4096);
	ready = pass_on;
	for (int i = 0; i < PAIRS; i++) {
		loop_add(here[i]);
		next_in_chain[here[i]] = there[(i + 1) % PAIRS];
	}
	for (int i = 0; i < 100; i++)
		must(write(there[i * PAIRS / 100], "x", 1), "write");
	clock_start();
	while (seen < n)
		loop_turn(LOOP_ROOM, true);
	clock_stop();
	result(seen, -1);
}

/* Echo over TCP: the clients are another process, whose time does not count. */

static void
client(int port, int connections, long requests)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event item = { .events = EPOLLIN }, items[64];
	char message[MESSAGE] = { 0 };
	int ep = (int)must(epoll_create1(0), "epoll_create1"), one = 1, n;

	for (int i = 0; i < connections; i++) {
		item.data.fd = (int)must(socket(AF_INET, SOCK_STREAM, 0), "socket");
		must(connect(item.data.fd, (struct sockaddr *)&address, sizeof(address)), "connect");
		setsockopt(item.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		must(epoll_ctl(ep, EPOLL_CTL_ADD, item.data.fd, &item), "epoll_ctl");
		must(write(item.data.fd, message, MESSAGE), "write");
	}
	for (long done = 0; done < requests;) {
		n = (int)must(epoll_wait(ep, items, 64, -1), "epoll_wait");
		for (int i = 0; i < n; i++, done++)
			if (read(items[i].data.fd, message, MESSAGE) != MESSAGE ||
			    write(items[i].data.fd, message, MESSAGE) != MESSAGE)
				_exit(1);
	}
	_exit(0);
}

static void
echo(int fd, long bytes)
{
	char message[MESSAGE];

	(void)bytes;
	if (read(fd, message, MESSAGE) == MESSAGE)
		(void)!write(fd, message, MESSAGE);
	seen++;
}

static void
serve(long n, int connections)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = (int)must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	int one = 1, fd;
	pid_t pid;

	must(bind(listener, (struct sockaddr *)&address, length), "bind");
	must(listen(listener, 1024), "listen");
	must(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
	pid = (pid_t)must(fork(), "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* More than we shall ask for: it is ended when we have had enough. */
		client(ntohs(address.sin_port), connections, 1000000000);
	}
	loop_open(4096);
	ready = echo;
	for (int i = 0; i < connections; i++) {
		fd = (int)must(accept(listener, NULL, NULL), "accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		loop_add(fd);
	}
	while (seen < n / 10)
		loop_turn(LOOP_ROOM, true);
	measure(n, LOOP_ROOM);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	result(seen, -1);
}

void
load_echo1(long n)
{
	serve(n, 1);
}

void
load_echo64(long n)
{
	serve(n, 64);
}

void
load_echo512(long n)
{
	serve(n, 512);
}

/* Descriptors that never have anything, and 100 that always do. */
static void
wait_among_idle(long n, long idle)
{
	static int event_of[1000];
	int fd;

	make_pairs(here, there, 100);
	for (int i = 0; i < 1000; i++)
		event_of[i] = (int)must(eventfd(0, EFD_CLOEXEC), "eventfd");
	loop_open((int)idle + 2000);
	ready = count;
	for (long i = 0; i < idle; i++) {
		fd = (int)must(dup(event_of[i % 1000]), "dup");
		loop_add(fd);
	}
	for (int i = 0; i < 100; i++) {
		loop_add(here[i]);
		must(write(there[i], "x", 1), "write");
	}
	loop_turn(64, true);
	measure(n, 64);
	result(seen, (double)idle);
}

void
load_idle1000(long n)
{
	wait_among_idle(n, 1000);
}

void
load_idle_most(long n)
{
	long most = descriptors() - 3000;

	if (n <= 1000)
		most = 2000;	/* only to see that it runs */
	wait_among_idle(n, most > 1000000 ? 1000000 : most);
}
