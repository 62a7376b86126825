/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_LIBKQUEUE: what programs written for libkqueue ask for and set. */
#include "harness.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct timespec zero = { 0, 0 };

/* One note as libkqueue's own manual writes it; the entry that answers. */
static struct kevent
ask(int kq, unsigned int flags, unsigned int note, int64_t data)
{
	struct kevent kev, entry;

	EV_SET(&kev, 0, EVFILT_LIBKQUEUE, (unsigned short)flags, note, data, NULL);
	memset(&entry, 0, sizeof(entry));
	ck_assert_int_eq(kevent(kq, &kev, 1, &entry, 1, &zero), 1);
	ck_assert_int_eq(entry.filter, EVFILT_LIBKQUEUE);
	ck_assert_uint_eq(entry.ident, 0);
	ck_assert_uint_eq(entry.fflags, note);
	return entry;
}

/* One that succeeds. */
static struct kevent
answer(int kq, unsigned int note, int64_t data)
{
	struct kevent entry = ask(kq, EV_ADD, note, data);

	ck_assert_uint_eq(entry.flags, EV_ADD | EV_RECEIPT);
	return entry;
}

/* What the trace prints goes here. */
static char lines[4096];
static size_t used;

__attribute__((format(printf, 1, 2))) static void
keep(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(lines + used, sizeof(lines) - used, format, args);
	va_end(args);
	used += (size_t)n;
}

START_TEST(libkqueue__version_is_a_number)
{
	int kq = queue();
	struct kevent entry = answer(kq, NOTE_VERSION, 0);

	ck_assert_int_gt(entry.data, 0);
	ck_assert_int_le(entry.data, UINT32_MAX);
	close(kq);
}
END_TEST

START_TEST(libkqueue__version_string_begins_with_the_number)
{
	int kq = queue();
	struct kevent number = answer(kq, NOTE_VERSION, 0);
	struct kevent entry = answer(kq, NOTE_VERSION_STR, 0);
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "%d.%d.%d", (int)(number.data >> 24),
	    (int)(number.data >> 16 & 0xff), (int)(number.data >> 8 & 0xff));
	ck_assert_ptr_nonnull(entry.udata);
	ck_assert_int_eq(strncmp(entry.udata, wanted, strlen(wanted)), 0);
	close(kq);
}
END_TEST

START_TEST(libkqueue__a_setting_tells_its_previous_value)
{
	static const unsigned int notes[] = { NOTE_THREAD_SAFE, NOTE_FORK_CLEANUP };
	int kq = queue();

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(answer(kq, notes[i], 0).data, 1);
		ck_assert_int_eq(answer(kq, notes[i], 1).data, 0);
		ck_assert_int_eq(ask(kq, EV_ADD | EV_RECEIPT, notes[i], 1).data, 1);
	}
	close(kq);
}
END_TEST

START_TEST(libkqueue__a_setting_needs_no_room)
{
	struct kevent kev;
	int kq = queue();

	EV_SET(&kev, 0, EVFILT_LIBKQUEUE, EV_ADD, NOTE_THREAD_SAFE, 0, NULL);
	ck_assert_int_eq(kevent(kq, &kev, 1, NULL, 0, NULL), 0);
	ck_assert_int_eq(answer(kq, NOTE_THREAD_SAFE, 1).data, 0);
	close(kq);
}
END_TEST

START_TEST(libkqueue__kevent64_is_answered_too)
{
	struct kevent64_s kev;
	int kq = queue();

	EV_SET64(&kev, 0, EVFILT_LIBKQUEUE, EV_ADD, NOTE_VERSION, 0, 3, 1, 2);
	ck_assert_int_eq(kevent64(kq, &kev, 1, &kev, 1, 0, NULL), 1);
	ck_assert_int_eq(kev.data, answer(kq, NOTE_VERSION, 0).data);
	ck_assert_uint_eq(kev.udata, 3);
	ck_assert_uint_eq(kev.ext[1], 2);
	close(kq);
}
END_TEST

START_TEST(libkqueue__registers_nothing)
{
	struct kevent entry;
	int kq = queue();

	answer(kq, NOTE_VERSION, 0);
	entry = ask(kq, EV_DELETE, NOTE_VERSION, 0);
	ck_assert_uint_eq(entry.flags, EV_DELETE | EV_ERROR);
	ck_assert_int_eq(entry.data, ENOENT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(libkqueue__unknown_notes_are_invalid)
{
	static const unsigned int notes[] = { 0, 9, 0x10, 0x80000000u, 0xffffffffu };
	int kq = queue();

	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(change(kq, 0, EVFILT_LIBKQUEUE, EV_ADD, notes[i], 1, NULL), EINVAL);
		struct kevent entry = ask(kq, EV_ADD, notes[i], 1);

		ck_assert_uint_eq(entry.flags, EV_ADD | EV_ERROR);
		ck_assert_int_eq(entry.data, EINVAL);
	}
	close(kq);
}
END_TEST

START_TEST(libkqueue__file_poll_interval_is_not_needed_on_linux)
{
	int kq = queue();

	ck_assert_int_eq(change(kq, 0, EVFILT_LIBKQUEUE, EV_ADD, NOTE_FILE_POLL_INTERVAL,
	    50000000, NULL), ENOSYS);
	close(kq);
}
END_TEST

/* As FreeRADIUS does. */
START_TEST(libkqueue__debug_goes_to_a_function)
{
	struct kevent event;
	int kq = queue();

	answer(kq, NOTE_DEBUG_FUNC, (int64_t)(intptr_t)keep);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_uint_eq(used, 0);
	ck_assert_int_eq(answer(kq, NOTE_DEBUG, 1).data, 0);
	used = 0;
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_uint_gt(used, 0);
	ck_assert_int_eq(lines[used - 1], '\n');
	ck_assert_ptr_nonnull(strstr(lines, "KQ"));
	ck_assert_ptr_nonnull(strstr(lines, "kevent"));
	ck_assert_ptr_nonnull(strstr(lines, strerror(ENOENT)));

	answer(kq, NOTE_DEBUG_PREFIX, (int64_t)(intptr_t)"server");
	used = 0;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(strncmp(lines, "server", 6), 0);
	ck_assert_ptr_nonnull(strstr(lines, " = 0"));

	/* Of a long one there is the beginning, without one the first is back. */
	answer(kq, NOTE_DEBUG_PREFIX, (int64_t)(intptr_t)"a-name-that-is-longer-than-any-line-has-room-for");
	used = 0;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(strncmp(lines, "a-name-that-is-longer", 21), 0);
	ck_assert_ptr_nonnull(strstr(lines, ": kevent("));
	answer(kq, NOTE_DEBUG_PREFIX, 0);
	used = 0;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(strncmp(lines, "KQ: ", 4), 0);

	ck_assert_int_eq(answer(kq, NOTE_DEBUG, 0).data, 1);
	used = 0;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_uint_eq(used, 0);
	answer(kq, NOTE_DEBUG_FUNC, 0);
	close(kq);
}
END_TEST

START_TEST(libkqueue__debug_goes_to_stderr)
{
	int kq = queue(), fds[2], saved;
	struct kevent event;
	char line[512];
	ssize_t n;

	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	saved = dup(2);
	ck_assert_int_eq(dup2(fds[1], 2), 2);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	n = read(fds[0], line, sizeof(line));
	if (n == -1 && errno == EAGAIN) {
		answer(kq, NOTE_DEBUG, 1);
		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
		answer(kq, NOTE_DEBUG, 0);
		n = read(fds[0], line, sizeof(line) - 1);
	} else {
		n = 0;
	}
	ck_assert_int_eq(dup2(saved, 2), 2);
	close(saved);
	ck_assert_int_gt(n, 2);
	line[n] = '\0';
	ck_assert_int_eq(strncmp(line, "KQ", 2), 0);
	ck_assert_int_eq(line[n - 1], '\n');
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(libkqueue__debug_leaves_errno_alone)
{
	struct kevent event;
	int kq = queue(), saved;

	answer(kq, NOTE_DEBUG_FUNC, (int64_t)(intptr_t)keep);
	answer(kq, NOTE_DEBUG, 1);
	errno = E2BIG;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(errno, E2BIG);
	/* Nor if there is nowhere to write to. */
	saved = dup(2);
	close(2);
	answer(kq, NOTE_DEBUG_FUNC, 0);
	errno = E2BIG;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(errno, E2BIG);
	answer(kq, NOTE_DEBUG, 0);
	ck_assert_int_eq(dup2(saved, 2), 2);
	close(saved);
	close(kq);
}
END_TEST

static int reentered;

static void
reenter(const char *format, ...)
{
	struct kevent event;

	(void)format;
	ck_assert_int_eq(kevent(reentered, NULL, 0, &event, 1, &zero), 0);
	used++;
}

START_TEST(libkqueue__a_debug_function_may_call_kevent)
{
	struct kevent event;

	reentered = queue();
	answer(reentered, NOTE_DEBUG_FUNC, (int64_t)(intptr_t)reenter);
	answer(reentered, NOTE_DEBUG, 1);
	used = 0;
	ck_assert_int_eq(kevent(reentered, NULL, 0, &event, 1, &zero), 0);
	ck_assert_uint_eq(used, 1);
	answer(reentered, NOTE_DEBUG, 0);
	answer(reentered, NOTE_DEBUG_FUNC, 0);
	close(reentered);
}
END_TEST

START_TEST(libkqueue__bad_pointers_fault)
{
	int kq = queue();

	ck_assert_int_eq(change(kq, 0, EVFILT_LIBKQUEUE, EV_ADD, NOTE_DEBUG_PREFIX, 8, NULL), EFAULT);
	ck_assert_int_eq(change(kq, 0, EVFILT_LIBKQUEUE, EV_ADD, NOTE_DEBUG_FUNC, 8, NULL), EFAULT);
	close(kq);
}
END_TEST

/* In a forked child: the parent's queue is none of its own, and it can make one. */
static int
child(int kq, int fd)
{
	struct kevent event;
	int own;

	if (kevent(kq, NULL, 0, &event, 1, &zero) != -1 || errno != EBADF)
		return 1;
	close(fd);
	own = kqueue();
	if (own == -1 || change(own, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL) != 0)
		return 2;
	if (kevent(own, NULL, 0, &event, 1, &zero) != 1)
		return 3;
	close(own);
	return 0;
}

static void
forks(int kq, int fd)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		status = child(kq, fd);
		if (status == 0 && (pid = fork()) == 0)
			_exit(child(kq, -1));
		if (status == 0)
			ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		_exit(status != 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(libkqueue__without_fork_cleanup_the_child_has_no_queues_either)
{
	int kq = queue(), fds[2];

	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, 0, 60000, NULL), 0);
	answer(kq, NOTE_FORK_CLEANUP, 0);
	forks(kq, fds[0]);
	answer(kq, NOTE_FORK_CLEANUP, 1);
	forks(kq, fds[0]);
	/* The parent's registrations are untouched. */
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(kq);
}
END_TEST

/* How many descriptors a forked child has. */
static int
descriptors_of_child(void)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		_exit(open_descriptors());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(libkqueue__without_fork_cleanup_the_child_keeps_descriptors)
{
	int kq = queue(), cleaned = descriptors_of_child();

	answer(kq, NOTE_FORK_CLEANUP, 0);
	ck_assert_int_gt(descriptors_of_child(), cleaned);
	answer(kq, NOTE_FORK_CLEANUP, 1);
	ck_assert_int_eq(descriptors_of_child(), cleaned);
	close(kq);
}
END_TEST

HARNESS_MAIN("libkqueue",
    libkqueue__version_is_a_number,
    libkqueue__version_string_begins_with_the_number,
    libkqueue__a_setting_tells_its_previous_value,
    libkqueue__a_setting_needs_no_room,
    libkqueue__kevent64_is_answered_too,
    libkqueue__registers_nothing,
    libkqueue__unknown_notes_are_invalid,
    libkqueue__file_poll_interval_is_not_needed_on_linux,
    libkqueue__debug_goes_to_a_function,
    libkqueue__debug_goes_to_stderr,
    libkqueue__debug_leaves_errno_alone,
    libkqueue__a_debug_function_may_call_kevent,
    libkqueue__bad_pointers_fault,
    libkqueue__without_fork_cleanup_the_child_has_no_queues_either,
    libkqueue__without_fork_cleanup_the_child_keeps_descriptors)
