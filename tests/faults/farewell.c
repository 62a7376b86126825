/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux before 6.6 counts who listens to the process connector, for the whole machine: at nothing it
 * tells nobody.  So who leaves takes back what it has said, and no more, whichever call failed.
 */
#include "../harness.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails;	/* which hello is refused: counted down to 0 */
static int listeners;	/* by what was sent */

long	__real_syscall(long number, ...);
long	__wrap_syscall(long number, ...);

static void
count(const char *message, long size)
{
	const size_t at = sizeof(struct nlmsghdr) + sizeof(struct cn_msg);
	uint32_t what;

	/* One with a mask of events is not understood, before 6.6. */
	ck_assert_int_ge(size, (long)(at + sizeof(what)));
	if ((size_t)size != at + sizeof(what))
		return;
	memcpy(&what, message + at, sizeof(what));
	listeners += what == PROC_CN_MCAST_LISTEN ? 1 : -1;
}

long
__wrap_syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_sendto) {
		if (fails > 0 && --fails == 0) {
			errno = ENOBUFS;
			return -1;
		}
		count((const char *)a[1], a[2]);
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int
add(int kq)
{
	return change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_FORK, 0, NULL);
}

START_TEST(farewell__takes_back_what_was_said)
{
	int kq = queue();

	if (add(kq) != 0) {
		fprintf(stderr, "skipped: no process connector\n");
		return;
	}
	ck_assert_int_gt(listeners, 0);
	close(kq);
	ck_assert_int_eq(listeners, 0);
	for (int i = 1; i <= 2; i++) {
		kq = queue();
		fails = i;
		ck_assert_int_eq(add(kq), ENOMEM);
		ck_assert_int_eq(listeners, 0);
		ck_assert_int_eq(add(kq), 0);
		close(kq);
		ck_assert_int_eq(listeners, 0);
	}
}
END_TEST

HARNESS_MAIN("farewell",
    farewell__takes_back_what_was_said)
