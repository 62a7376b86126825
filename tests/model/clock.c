/* SPDX-License-Identifier: BSD-2-Clause */
#include "clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NSEC	INT64_C(1000000000)
#define TIMERS	64

/* Settings of timer descriptors that have not gone off; a number may have been closed since. */
static struct timer {
	int	t_fd;
	bool	t_set, t_date;
	int64_t	t_when;
} timers[TIMERS];
static pthread_mutex_t timers_lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic int64_t now[2];

int64_t
clock_real(void)
{
	struct timespec ts;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NSEC + ts.tv_nsec;
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int64_t t = now[clock == CLOCK_REALTIME];

	if ((clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) || t == 0)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	ts->tv_sec = (time_t)(t / NSEC);
	ts->tv_nsec = (long)(t % NSEC);
	return 0;
}

/* Which clock a timer descriptor is of; -1: it is none. */
static int
clock_of(int fd)
{
	char path[40], line[64];
	int clock = -1;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (info == NULL)
		return -1;
	while (fgets(line, sizeof(line), info) != NULL && clock == -1)
		if (strncmp(line, "clockid:", 8) == 0)
			clock = atoi(line + 8);
	fclose(info);
	return clock;
}

static int
set(int fd, int64_t ns)
{
	struct itimerspec spec = { .it_value = { .tv_nsec = (long)ns } };

	return (int)syscall(SYS_timerfd_settime, fd, 0, &spec, NULL);
}

/* It goes off now: until it is readable. */
static void
fire(struct timer *t)
{
	struct pollfd pfd = { .fd = t->t_fd, .events = POLLIN };

	t->t_set = false;
	if (set(t->t_fd, 1) == 0)
		while (poll(&pfd, 1, 1000) == 0)
			;
}

int
timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	int64_t when = (int64_t)new->it_value.tv_sec * NSEC + new->it_value.tv_nsec;
	struct timer *t = timers;

	if (now[0] == 0)
		return (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
	pthread_mutex_lock(&timers_lock);
	while (t < timers + TIMERS - 1 && t->t_fd != fd && t->t_fd != 0)
		t++;
	t->t_fd = fd;
	t->t_date = clock_of(fd) == CLOCK_REALTIME;
	t->t_set = when != 0;
	t->t_when = when;
	set(fd, 0);
	if (t->t_set && when <= now[t->t_date])
		fire(t);
	pthread_mutex_unlock(&timers_lock);
	return 0;
}

void
clock_set(int64_t monotonic, int64_t date)
{
	pthread_mutex_lock(&timers_lock);
	now[0] = monotonic;
	now[1] = date;
	for (struct timer *t = timers; t < timers + TIMERS; t++)
		if (t->t_set && t->t_when <= now[t->t_date] && clock_of(t->t_fd) == (t->t_date ? 0 : 1))
			fire(t);
	pthread_mutex_unlock(&timers_lock);
}
