/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_MEMORYSTATUS. */
#include "harness.h"
#include "pressure.h"
#include "sandbox.h"

#include <stdlib.h>

#define NORMAL	NOTE_MEMORYSTATUS_PRESSURE_NORMAL
#define WARN	NOTE_MEMORYSTATUS_PRESSURE_WARN
#define CRITICAL NOTE_MEMORYSTATUS_PRESSURE_CRITICAL
#define ALL	(NORMAL | WARN | CRITICAL)

static int
memorystatus(int kq, uintptr_t ident, unsigned int flags, unsigned int fflags)
{
	return change(kq, ident, EVFILT_MEMORYSTATUS, (unsigned short)flags, fflags, 0, NULL);
}

/* Whether this process may have a trigger on the system's pressure. */
static bool
have_triggers(void)
{
	static const char trigger[] = "some 200000 2000000";
	int fd = open("/proc/pressure/memory", O_RDWR);
	bool have = fd >= 0 && write(fd, trigger, sizeof(trigger)) == (ssize_t)sizeof(trigger);

	close(fd);
	if (!have)
		fprintf(stderr, "skipped: no pressure-stall triggers\n");
	return have;
}

START_TEST(memorystatus__calm_is_no_event)
{
	int kq = queue();

	if (have_triggers()) {
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL), 0);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL), 0);
		no_event(kq);
		ck_assert_int_eq(memorystatus(kq, 0, EV_DELETE, 0), 0);
		ck_assert_int_eq(memorystatus(kq, 0, EV_DELETE, 0), ENOENT);
	}
	close(kq);
}
END_TEST

START_TEST(memorystatus__ordinary_user)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int kq;

		if (getuid() == 0 && !become_nobody())
			_exit(1);
		kq = queue();
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL), have_triggers() ? 0 : ENOTSUP);
		no_event(kq);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* As macOS numbers LOW_SWAP, PROC_LIMIT_WARN and PROC_LIMIT_CRITICAL. */
START_TEST(memorystatus__what_cannot_be_told_is_refused)
{
	int kq = queue();

	for (unsigned note = 0x8; note <= 0x20; note <<= 1) {
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL | note), ENOTSUP);
		ck_assert_int_eq(memorystatus(kq, 0, EV_DELETE, 0), ENOENT);
	}
	if (have_triggers()) {
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL), 0);
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, 0x8), ENOTSUP);
		ck_assert_int_eq(memorystatus(kq, 0, 0, 0x8), ENOTSUP);
		ck_assert_int_eq(memorystatus(kq, 0, EV_DELETE, 0), 0);
	}
	close(kq);
}
END_TEST

/* Two for a queue, however many registrations; they go with the last. */
START_TEST(memorystatus__descriptors)
{
	int kq = queue(), before;

	if (have_triggers()) {
		ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, 0, 100000, NULL), 0);
		before = open_descriptors();
		for (uintptr_t i = 0; i < 10; i++)
			ck_assert_int_eq(memorystatus(kq, i, EV_ADD | (i == 3 ? EV_DISABLE : 0), ALL), 0);
		ck_assert_int_eq(open_descriptors(), before + 2);
		/* In any order. */
		for (uintptr_t i = 0; i < 10; i++) {
			ck_assert_int_eq(open_descriptors(), before + 2);
			ck_assert_int_eq(memorystatus(kq, i * 3 % 10, EV_DELETE, 0), 0);
		}
		ck_assert_int_eq(open_descriptors(), before);
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL), 0);
	}
	close(kq);
}
END_TEST

/* What the service manager names must be the kernel's. */
START_TEST(memorystatus__no_pressure_file)
{
	char file[96], fifo[96], text[16];
	const char *const names[] = { "/dev/null", "/no/such/file", file, fifo, "/proc/self/stat", "/proc/self" };
	int kq = queue(), fd, before;

	snprintf(file, sizeof(file), "%s/file", scratch_dir());
	snprintf(fifo, sizeof(fifo), "%s/fifo", scratch_dir());
	ck_assert_int_ge(fd = open(file, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(write(fd, "precious", 8), 8);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	before = open_descriptors();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_int_eq(setenv("MEMORY_PRESSURE_WATCH", names[i], 1), 0);
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, ALL), ENOTSUP);
		ck_assert_int_eq(memorystatus(kq, 0, EV_DELETE, 0), ENOENT);
	}
	ck_assert_int_le(open_descriptors(), before + 1);	/* the queue's timer, at most */
	ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 8);
	ck_assert_int_eq(memcmp(text, "precious", 8), 0);
	close(fd);
	unsetenv("MEMORY_PRESSURE_WATCH");
	close(kq);
}
END_TEST

/* Microseconds that some have stalled in the group so far. */
static long long
stalled(const struct pressure *p)
{
	long long total = -1;
	FILE *f = fopen(p->file, "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "some avg10=%*f avg60=%*f avg300=%*f total=%lld", &total), 1);
	fclose(f);
	return total;
}

/* A control group of our own; after this, its pressure is what queues watch. */
static bool
squeezable(struct pressure *p)
{
	if (!have_triggers())
		return false;
	if (!pressure_make(p, scratch_dir())) {
		fprintf(stderr, "skipped: no control group can be made\n");
		return false;
	}
	ck_assert_int_eq(setenv("MEMORY_PRESSURE_WATCH", p->file, 1), 0);
	return true;
}

/* The next event, which has no data; false if this machine does not make such pressure. */
static bool
told(const struct pressure *p, int kq, uintptr_t ident, unsigned note)
{
	struct kevent event;

	if (collect(kq, &event, 1, 15000) == 0) {
		/* Three times what WARN takes, and more than CRITICAL may. */
		ck_assert_int_lt(stalled(p), 4500000);
		fprintf(stderr, "skipped: no pressure could be made\n");
		return false;
	}
	ck_assert_uint_eq(event.ident, ident);
	ck_assert_int_eq(event.filter, EVFILT_MEMORYSTATUS);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_uint_eq(event.fflags, note);
	ck_assert_int_eq(event.data, 0);
	return true;
}

/* The level of the next event, which is not the last one's; 0: there is none in this time. */
static unsigned
told_change(int kq, unsigned last, int ms)
{
	struct kevent event;

	if (collect(kq, &event, 1, ms) == 0) {
		ck_assert_int_le(ms, 3000);
		return 0;
	}
	ck_assert_uint_ne(event.fflags, last);
	ck_assert(event.fflags == NORMAL || event.fflags == WARN || event.fflags == CRITICAL);
	return event.fflags;
}

/* From calm to critical and back. */
START_TEST(memorystatus__follows_real_pressure)
{
	int kq = queue(), critical = queue(), polled = queue(), off = queue();
	unsigned last = NORMAL;
	struct pressure p;
	struct kevent event;

	if (!squeezable(&p)) {
		close(kq);
		close(critical);
		close(polled);
		close(off);
		return;
	}
	ck_assert_int_eq(memorystatus(kq, 7, EV_ADD, ALL), 0);
	ck_assert_int_eq(memorystatus(critical, 8, EV_ADD, CRITICAL), 0);
	ck_assert_int_eq(memorystatus(polled, 1, EV_ADD, WARN | CRITICAL), 0);
	ck_assert_int_eq(memorystatus(off, 9, EV_ADD | EV_DISABLE, ALL), 0);
	ck_assert_int_eq(memorystatus(off, 10, EV_ADD | EV_DISABLE, CRITICAL), 0);
	no_event(kq);
	no_event(critical);
	no_event(polled);
	ck_assert(pressure_on(&p));
	if (!told(&p, critical, 8, CRITICAL))
		goto out;
	/* Who polls the queue takes nothing away, as from a trigger itself. */
	for (int i = 0; i < 5; i++)
		ck_assert(readable(polled, i == 0 ? 5000 : 0));
	ck_assert_int_eq(collect(polled, &event, 1, 0), 1);
	/* Only changes are told; WARN may come before, and again if the pressure is not steady. */
	while (last != CRITICAL)
		last = told_change(kq, last, 5000);
	while ((last = told_change(kq, last, 3000)) != 0)
		;
	/* Nothing reaches what is disabled; enabled, it finds out. */
	no_event(off);
	ck_assert(!readable(off, 0));
	ck_assert_int_eq(memorystatus(off, 10, EV_ENABLE, 0), 0);
	ck_assert(told(&p, off, 10, CRITICAL));
	ck_assert_int_eq(memorystatus(off, 10, EV_DELETE, 0), 0);
	pressure_off(&p);
	while (told_change(kq, 0, 20000) != NORMAL)
		;
	no_event(kq);
	no_event(off);
	ck_assert_int_eq(memorystatus(off, 9, EV_ENABLE, 0), 0);
	no_event(off);
out:
	pressure_off(&p);
	close(kq);
	close(critical);
	close(polled);
	close(off);
	pressure_remove(&p);
	unsetenv("MEMORY_PRESSURE_WATCH");
}
END_TEST

/* A waiter sleeps until then; one-shot ends it. */
START_TEST(memorystatus__wakes_a_waiter)
{
	struct pressure p;
	struct waiter w;
	int kq = queue(), outer = queue();

	if (squeezable(&p)) {
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD | EV_ONESHOT, WARN | CRITICAL), 0);
		ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		no_event(kq);
		ck_assert(pressure_on(&p));
		waiter_start(&w, kq, 20000);
		waiter_join(&w);
		if (w.count == 0)
			ck_assert_int_lt(stalled(&p), 4500000);
		else
			ck_assert(w.event.fflags == WARN || w.event.fflags == CRITICAL);
		if (w.count == 1)
			ck_assert_int_eq(memorystatus(kq, 0, EV_DELETE, 0), ENOENT);
		/* Through a queue that watches the queue. */
		ck_assert_int_eq(memorystatus(kq, 0, EV_ADD, WARN | CRITICAL), 0);
		no_event(kq);
		no_event(outer);
		if (w.count == 1) {
			event_of(outer, (uintptr_t)kq, EVFILT_READ);
			event_of(kq, 0, EVFILT_MEMORYSTATUS);
		}
		pressure_off(&p);
		pressure_remove(&p);
		unsetenv("MEMORY_PRESSURE_WATCH");
	}
	close(outer);
	close(kq);
}
END_TEST

HARNESS_MAIN("memorystatus",
    memorystatus__calm_is_no_event,
    memorystatus__ordinary_user,
    memorystatus__what_cannot_be_told_is_refused,
    memorystatus__descriptors,
    memorystatus__no_pressure_file,
    memorystatus__follows_real_pressure,
    memorystatus__wakes_a_waiter)
