/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_READ on terminals, and on their masters. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "read.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int master, terminal;

static void
open_terminal(bool raw)
{
	struct termios modes;

	ck_assert_int_ge(master = posix_openpt(O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_ge(terminal = open(ptsname(master), O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(tcgetattr(terminal, &modes), 0);
	modes.c_lflag &= ~(tcflag_t)ECHO;
	if (raw) {
		modes.c_lflag &= ~(tcflag_t)(ICANON | ISIG);
		modes.c_iflag &= ~(tcflag_t)ICRNL;
		modes.c_oflag &= ~(tcflag_t)OPOST;
	}
	ck_assert_int_eq(tcsetattr(terminal, TCSANOW, &modes), 0);
}

static void
type(const char *text)
{
	ck_assert_int_eq(write(master, text, strlen(text)), (ssize_t)strlen(text));
}

/* What is typed takes a moment to arrive: the event once data says n. */
static void
check_typed(int fd, int n)
{
	struct kevent event = { .data = -1 };

	for (int tries = 0; tries < 5000 && event.data != n; tries++) {
		event = read_event(fd);
		if (event.data != n)
			nap(1);
	}
	ck_assert_int_eq(event.data, n);
	ck_assert_uint_eq(event.flags, 0);
}

START_TEST(read_terminal__counts_complete_lines)
{
	char buffer[16];

	open_terminal(false);
	kq = queue();
	add(terminal, 0);
	no_event(kq);
	type("abc");
	ck_assert(!readable(kq, 50));
	no_event(kq);
	type("\n");
	check_typed(terminal, 4);
	type("de\nfg");
	check_typed(terminal, 7);
	ck_assert_int_eq(read(terminal, buffer, sizeof(buffer)), 4);
	check_typed(terminal, 3);
	ck_assert_int_eq(read(terminal, buffer, sizeof(buffer)), 3);
	no_event(kq);
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(read_terminal__end_of_file_key)
{
	char c;

	open_terminal(false);
	kq = queue();
	add(terminal, 0);
	type("\004");
	check_typed(terminal, 0);
	ck_assert_int_eq(read(terminal, &c, 1), 0);
	no_event(kq);
	type("a\n");
	check_typed(terminal, 2);
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(read_terminal__raw_counts_bytes)
{
	open_terminal(true);
	kq = queue();
	add(terminal, 0);
	no_event(kq);
	type("abc");
	check_typed(terminal, 3);
	type("de");
	check_typed(terminal, 5);
	get(terminal, 5);
	no_event(kq);
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(read_terminal__with_clear_fires_for_every_line)
{
	open_terminal(false);
	kq = queue();
	add(terminal, EV_CLEAR);
	for (int i = 0; i < 4; i++) {
		type("line\n");
		read_event(terminal);
		no_event(kq);
	}
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(read_terminal__whose_master_left_is_at_its_end)
{
	open_terminal(true);
	kq = queue();
	add(terminal, 0);
	no_event(kq);
	close(master);
	ck_assert_uint_eq(read_event(terminal).flags, EV_EOF);
	close(terminal);
	close(kq);
}
END_TEST

START_TEST(read_terminal__master_counts_what_the_program_wrote)
{
	open_terminal(true);
	kq = queue();
	add(master, 0);
	no_event(kq);
	put(terminal, 6);
	check_typed(master, 6);
	get(master, 6);
	no_event(kq);
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(read_terminal__master_whose_terminal_was_closed_is_at_its_end)
{
	open_terminal(true);
	kq = queue();
	add(master, 0);
	no_event(kq);
	close(terminal);
	ck_assert_uint_eq(read_event(master).flags, EV_EOF);
	ck_assert_int_ge(terminal = open(ptsname(master), O_RDWR | O_NOCTTY), 0);
	no_event(kq);
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(read_terminal__master_is_silent_until_its_terminal_is_opened)
{
	ck_assert_int_ge(master = posix_openpt(O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	kq = queue();
	add(master, 0);
	check_asleep();
	close(master);
	close(kq);
}
END_TEST

HARNESS_MAIN("read_terminal",
    read_terminal__counts_complete_lines,
    read_terminal__end_of_file_key,
    read_terminal__raw_counts_bytes,
    read_terminal__with_clear_fires_for_every_line,
    read_terminal__whose_master_left_is_at_its_end,
    read_terminal__master_counts_what_the_program_wrote,
    read_terminal__master_whose_terminal_was_closed_is_at_its_end,
    read_terminal__master_is_silent_until_its_terminal_is_opened)
