/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_EXCEPT: urgent data, told with NOTE_OOB, and the end of what is received.
 * Beside READ and WRITE of the same descriptor it is in except_beside.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "except.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

START_TEST(except__urgent_byte_is_an_event_until_it_is_read)
{
	begin(PAIR_TCP, 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	urge();
	for (int i = 0; i < 3; i++) {
		ck_assert(readable(kq, 0));
		oob_event(0);
	}
	take_urgent();
	no_event(kq);
	check_asleep();
	urge();
	oob_event(0);
	end();
}
END_TEST

START_TEST(except__urgent_byte_passed_over_is_gone)
{
	begin(PAIR_TCP, 0);
	put(fds[1], 2);
	urge();
	put(fds[1], 3);
	oob_event(0);
	get(fds[0], 2);
	get(fds[0], 3);
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

START_TEST(except__urgent_byte_inline)
{
	int on = 1;

	begin(PAIR_TCP, 0);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
	urge();
	oob_event(0);
	get(fds[0], 1);
	/* The kernel looks at the mark again when more is read. */
	pass(fds[1], fds[0], 1);
	get(fds[0], 1);
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

START_TEST(except__unix_urgent_byte_where_the_kernel_has_it)
{
	begin(PAIR_UNIX, 0);
	if (send(fds[1], "!", 1, MSG_OOB) == 1) {
		oob_event(0);
		take_urgent();
		no_event(kq);
		check_asleep();
	}
	end();
}
END_TEST

START_TEST(except__ordinary_data_is_no_event)
{
	for (int i = 0; i < MODES; i++) {
		begin(PAIR_TCP, modes[i]);
		put(fds[1], 100);
		check_asleep();
		end();
	}
}
END_TEST

START_TEST(except__wakes_a_waiting_thread)
{
	for (int i = 0; i < MODES; i++) {
		struct waiter w;

		begin(PAIR_TCP, modes[i]);
		waiter_start(&w, kq, -1);
		put(fds[1], 1);
		nap(5);
		urge();
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_int_eq(w.event.filter, EVFILT_EXCEPT);
		ck_assert_uint_eq(w.event.fflags, NOTE_OOB);
		end();
	}
}
END_TEST

START_TEST(except__clear_fires_for_every_urgent_byte)
{
	begin(PAIR_TCP, EV_CLEAR);
	for (int i = 0; i < 3; i++) {
		urge();
		oob_event(EV_CLEAR);
		no_event(kq);
		check_asleep();
	}
	/* A change looks again. */
	add(fds[0], EVFILT_EXCEPT, EV_CLEAR);
	oob_event(EV_CLEAR);
	end();
}
END_TEST

START_TEST(except__oneshot_and_dispatch)
{
	begin(PAIR_TCP, EV_ONESHOT);
	urge();
	oob_event(EV_ONESHOT);
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_DELETE, 0, 0, NULL), ENOENT);
	add(fds[0], EVFILT_EXCEPT, EV_DISPATCH);
	oob_event(EV_DISPATCH);
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ENABLE, 0, 0, NULL), 0);
	oob_event(EV_DISPATCH);
	take_urgent();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ENABLE, 0, 0, NULL), 0);
	check_asleep();
	urge();
	oob_event(EV_DISPATCH);
	end();
}
END_TEST

START_TEST(except__disabled_sleeps_and_remembers)
{
	begin(PAIR_TCP, EV_DISABLE);
	urge();
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ENABLE, 0, 0, NULL), 0);
	oob_event(0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_DISABLE, 0, 0, NULL), 0);
	check_asleep();
	end();
}
END_TEST

START_TEST(except__without_the_note_urgent_data_is_no_event)
{
	kq = queue();
	pair(PAIR_TCP, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ADD, 0, 0, NULL), 0);
	urge();
	no_event(kq);
	check_asleep();
	/* Asked for later, it is there. */
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, 0, NOTE_OOB, 0, NULL), 0);
	oob_event(0);
	oob_event(0);
	end();
}
END_TEST

START_TEST(except__peers_half_close_is_the_end)
{
	static const enum pair sockets[] = { PAIR_TCP, PAIR_UNIX };

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < MODES; j++) {
			struct kevent event;

			begin(sockets[i], modes[j]);
			ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
			event = except_event();
			ck_assert_uint_eq(event.flags, EV_EOF | modes[j]);
			ck_assert_uint_eq(event.fflags, 0);
			ck_assert_int_eq(event.data, 0);
			if (modes[j] == 0)
				except_event();
			else
				check_asleep();
			end();
		}
}
END_TEST

START_TEST(except__own_shutdown_of_reading_is_the_end)
{
	begin(PAIR_TCP, 0);
	ck_assert_int_eq(shutdown(fds[0], SHUT_RD), 0);
	ck_assert_uint_eq(except_event().flags, EV_EOF);
	end();
}
END_TEST

START_TEST(except__urgent_byte_before_the_end)
{
	struct kevent event;

	begin(PAIR_TCP, EV_DISABLE);
	urge();
	ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ENABLE, 0, 0, NULL), 0);
	do
		event = except_event();
	while ((event.flags & EV_EOF) == 0);
	ck_assert_uint_eq(event.fflags, NOTE_OOB);
	ck_assert_int_eq(event.data, 1);
	take_urgent();
	event = except_event();
	ck_assert_uint_eq(event.flags, EV_EOF);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, 0);
	end();
}
END_TEST

START_TEST(except__reset_is_told_and_left_to_the_program)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct kevent event;
	socklen_t size = sizeof(int);
	int error;

	begin(PAIR_TCP, 0);
	ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fds[1]);
	event = except_event();
	ck_assert_uint_eq(event.flags, EV_EOF);
	ck_assert_uint_eq(event.fflags, ECONNRESET);
	ck_assert_int_eq(getsockopt(fds[0], SOL_SOCKET, SO_ERROR, &error, &size), 0);
	ck_assert_int_eq(error, ECONNRESET);
	close(fds[0]);
	close(kq);
}
END_TEST

/* poll() says POLLHUP of it, for ever, but nothing ended. */
START_TEST(except__unconnected_socket_sleeps)
{
	for (int i = 0; i < MODES; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		kq = queue();
		add(fd, EVFILT_EXCEPT, modes[i]);
		no_event(kq);
		check_asleep();
		close(fd);
		close(kq);
	}
}
END_TEST

START_TEST(except__registered_before_the_connection)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t size = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	kq = queue();
	ck_assert_int_eq(bind(listener, (struct sockaddr *)(void *)&sin, size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)(void *)&sin, &size), 0);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	add(fds[0], EVFILT_EXCEPT, 0);
	no_event(kq);
	ck_assert_int_eq(connect(fds[0], (struct sockaddr *)(void *)&sin, size), 0);
	ck_assert_int_ge(fds[1] = accept(listener, NULL, NULL), 0);
	no_event(kq);
	urge();
	oob_event(0);
	oob_event(0);
	close(listener);
	end();
}
END_TEST

START_TEST(except__closing_removes_it)
{
	int copy;

	begin(PAIR_TCP, 0);
	urge();
	copy = dup(fds[0]);
	close(fds[0]);
	no_event(kq);
	check_asleep();
	ck_assert_int_eq(dup2(copy, fds[0]), fds[0]);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_DELETE, 0, 0, NULL), ENOENT);
	add(fds[0], EVFILT_EXCEPT, 0);
	oob_event(0);
	close(copy);
	end();
}
END_TEST

START_TEST(except__queue_in_a_queue_counts_it)
{
	for (int i = 0; i < 2; i++) {
		int outer = queue();

		begin(PAIR_TCP, modes[i]);
		ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		no_event(outer);
		urge();
		ck_assert_int_eq(event_of(outer, (uintptr_t)kq, EVFILT_READ).data, 1);
		oob_event(modes[i]);
		take_urgent();
		no_event(outer);
		close(outer);
		end();
	}
}
END_TEST

START_TEST(except__terminal_in_packet_mode)
{
#ifdef TIOCPKT
	char buffer[16];
	int terminal, on = 1;

	kq = queue();
	ck_assert_int_ge(fds[0] = posix_openpt(O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(grantpt(fds[0]), 0);
	ck_assert_int_eq(unlockpt(fds[0]), 0);
	ck_assert_int_ge(terminal = open(ptsname(fds[0]), O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(ioctl(fds[0], TIOCPKT, &on), 0);
	add(fds[0], EVFILT_EXCEPT, 0);
	no_event(kq);
	ck_assert_int_eq(tcflush(terminal, TCIOFLUSH), 0);
	oob_event(0);
	ck_assert_int_eq(read(fds[0], buffer, sizeof(buffer)), 1);
	no_event(kq);
	check_asleep();
	close(terminal);
	ck_assert_uint_eq(except_event().flags, EV_EOF);
	close(fds[0]);
	close(kq);
#endif
}
END_TEST

START_TEST(except__what_epoll_does_not_take_is_refused)
{
	char path[128];
	int fd;

	kq = queue();
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL), EINVAL);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_EXCEPT, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)kq, EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL), EINVAL);
	close(fd);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL), EBADF);
	close(kq);
}
END_TEST

HARNESS_MAIN("except",
    except__urgent_byte_is_an_event_until_it_is_read,
    except__urgent_byte_passed_over_is_gone,
    except__urgent_byte_inline,
    except__unix_urgent_byte_where_the_kernel_has_it,
    except__ordinary_data_is_no_event,
    except__wakes_a_waiting_thread,
    except__clear_fires_for_every_urgent_byte,
    except__oneshot_and_dispatch,
    except__disabled_sleeps_and_remembers,
    except__without_the_note_urgent_data_is_no_event,
    except__peers_half_close_is_the_end,
    except__own_shutdown_of_reading_is_the_end,
    except__urgent_byte_before_the_end,
    except__reset_is_told_and_left_to_the_program,
    except__unconnected_socket_sleeps,
    except__registered_before_the_connection,
    except__closing_removes_it,
    except__queue_in_a_queue_counts_it,
    except__terminal_in_packet_mode,
    except__what_epoll_does_not_take_is_refused)
