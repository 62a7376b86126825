/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_TIMER.  kn_sdata is the period in nanoseconds, 0 if it expires once;
 * kn_data the time of the first expiry that was not delivered, on the clock of
 * the timer.
 *
 * A timer that has expired leaves the heap and is put back when that was
 * delivered; expiries in between are counted by arithmetic then.  So a timer
 * that nobody collects, or that is disabled, costs no wake-ups.
 */
#include "../filter.h"

#include "../source/timerfd.h"

#include <errno.h>
#include <stddef.h>

#define TIMER_UNITS	(NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS)
#define TIMER_DATES	(NOTE_ABSTIME | NOTE_ABSOLUTE)
#define TIMER_URGENCY	(NOTE_LEEWAY | NOTE_CRITICAL | NOTE_BACKGROUND)

/* What NOTE_BACKGROUND allows: a tenth of the time, but not more than this. */
#define TIMER_BACKGROUND_PART	10
#define TIMER_BACKGROUND_MOST	INT64_C(60000000000)

/* Of kn_sfflags, besides the NOTE_ bits: the program itself asked for EV_CLEAR. */
#define TIMER_CLEAR	0x80000000u

/* What a change asks for. */
struct schedule {
	bool	s_date;		/* which clock */
	int64_t	s_now;		/* what it says */
	int64_t	s_when;
	int64_t	s_period;
};

static bool
timer_date(const struct knote *kn)
{
	return (kn->kn_sfflags & NOTE_ABSTIME) != 0;
}

/* a + b, for b >= 0; what is too late never comes. */
static int64_t
timer_later(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? TIMERFD_NEVER : sum;
}

/* The unit in nanoseconds, 0 if there are two. */
static int64_t
timer_unit(uint32_t fflags)
{
	switch (fflags & TIMER_UNITS) {
	case NOTE_SECONDS:
		return 1000000000;
	case 0:
	case NOTE_MSECONDS:
		return 1000000;
	case NOTE_USECONDS:
		return 1000;
	case NOTE_NSECONDS:
		return 1;
	default:
		return 0;
	}
}

static int
timer_plan(uint32_t fflags, int64_t data, bool oneshot, struct schedule *s)
{
	bool date = (fflags & TIMER_DATES) != 0;
	int64_t span, unit = timer_unit(fflags), today;

	if ((fflags & ~(TIMER_UNITS | TIMER_DATES | TIMER_URGENCY)) != 0 || unit == 0 ||
	    (fflags & TIMER_DATES) == TIMER_DATES || (data < 0 && !date))
		return -EINVAL;
	if (data == 0 && !date && !oneshot)
		data = 1;
	if (__builtin_mul_overflow(data, unit, &span))
		span = data < 0 ? INT64_MIN : INT64_MAX;

	s->s_date = (fflags & NOTE_ABSTIME) != 0;
	s->s_period = date || oneshot ? 0 : span;
	if ((fflags & NOTE_ABSOLUTE) != 0) {
		/* This clock first: a delay in between makes it late, never early. */
		today = timerfd_now(true);
		span = span <= today ? 0 : span - today;
	}
	s->s_now = timerfd_now(s->s_date);
	s->s_when = s->s_date ? span : timer_later(s->s_now, span);
	return 0;
}

/* How late it may be, of the time that it waits for, or 0. */
static int64_t
timer_leeway(struct kqueue *kq, const struct knote *kn, int64_t wait)
{
	int64_t late = 0, background = wait / TIMER_BACKGROUND_PART;

	if ((kn->kn_sfflags & NOTE_CRITICAL) != 0)
		return 0;
	if ((kn->kn_sfflags & NOTE_LEEWAY) != 0 &&
	    __builtin_mul_overflow(knote_ext(kq, kn)->x_value[1], timer_unit(kn->kn_sfflags), &late))
		late = INT64_MAX;
	if (background > TIMER_BACKGROUND_MOST)
		background = TIMER_BACKGROUND_MOST;
	return (kn->kn_sfflags & NOTE_BACKGROUND) != 0 && late < background ? background : late;
}

/*
 * When to wake up for kn_data: with leeway, the moment of those it allows that is
 * roundest in binary.  Neighbours find the same one, without knowing each other.
 * It is still to come, so it is above 0 on either clock.
 */
static int64_t
timer_wake(struct kqueue *kq, const struct knote *kn, int64_t now)
{
	int64_t when = kn->kn_data, late, last;
	int bit;

	if ((kn->kn_sfflags & TIMER_URGENCY) == 0)
		return when;
	late = timer_leeway(kq, kn, kn->kn_sdata != 0 ? kn->kn_sdata : when - now);
	if (late <= 0)
		return when;
	last = timer_later(when, late);
	/* Above the highest bit in which they differ, all moments between are alike. */
	bit = 63 - __builtin_clzll((unsigned long long)((when - 1) ^ last));
	return last >> bit << bit;
}

/* Waits for kn_data, unless that is past.  0 or -errno, the latter only if the heap did not know it. */
static int
timer_wait(struct kqueue *kq, struct knote *kn, int64_t now)
{
	bool enabled = (kn->kn_status & KN_DISABLED) == 0;
	bool due = kn->kn_data <= now;
	int error = timerfd_add(kq, kn, timer_date(kn),
	    enabled && !due ? timer_wake(kq, kn, now) : TIMERFD_NEVER);

	if (due && error == 0)
		knote_note(kq, kn, 0);
	return error;
}

static int
timer_start(struct kqueue *kq, struct knote *kn, uint32_t fflags, const struct schedule *s)
{
	kn->kn_sfflags = (kn->kn_sfflags & TIMER_CLEAR) | fflags;
	kn->kn_sdata = s->s_period;
	kn->kn_data = s->s_when;
	if ((fflags & NOTE_ABSOLUTE) != 0)
		kn->kn_flags |= EV_ONESHOT;
	if (!s->s_date || (kn->kn_sfflags & TIMER_CLEAR) != 0)
		kn->kn_flags |= EV_CLEAR;
	else
		kn->kn_flags &= (uint16_t)~EV_CLEAR;
	return timer_wait(kq, kn, s->s_now);
}

static int
timer_attach(struct kqueue *kq, struct knote *kn)
{
	uint32_t fflags = kn->kn_sfflags;
	struct schedule s;
	int error = timer_plan(fflags, kn->kn_sdata, (kn->kn_flags & EV_ONESHOT) != 0, &s);

	if (error < 0)
		return error;
	kn->kn_sfflags = (kn->kn_flags & EV_CLEAR) != 0 ? TIMER_CLEAR : 0;
	return timer_start(kq, kn, fflags, &s);
}

static void
timer_detach(struct kqueue *kq, struct knote *kn)
{
	timerfd_remove(kq, kn, timer_date(kn));
}

static void
timer_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	(void)hint;
	/* A date once reached is past, whatever the clock is set to. */
	if (timer_date(kn))
		kn->kn_data = INT64_MIN;
	knote_activate(kq, kn);
}

/* Goes to the other clock's heap, or stays as it was. */
static int
timer_change_clock(struct kqueue *kq, struct knote *kn)
{
	bool date = timer_date(kn);
	int64_t when = timerfd_waits(kn) ? kn->kn_data : TIMERFD_NEVER;
	int error;

	timerfd_remove(kq, kn, date);
	error = timerfd_add(kq, kn, !date, TIMERFD_NEVER);
	if (error < 0)
		timerfd_add(kq, kn, date, when);	/* there was room a moment ago */
	return error;
}

static int
timer_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	struct schedule s;
	int error;

	if ((kev->flags & EV_ADD) == 0 &&
	    (kev->flags & (EV_ENABLE | EV_DISABLE | EV_FORCEONESHOT)) != 0)
		return 0;
	error = timer_plan(kev->fflags, kev->data, (kn->kn_flags & EV_ONESHOT) != 0, &s);
	if (error == 0 && s.s_date != timer_date(kn))
		error = timer_change_clock(kq, kn);
	if (error < 0)
		return error;
	knote_deactivate(kq, kn);
	return timer_start(kq, kn, kev->fflags, &s);
}

static bool
timer_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	int64_t now;

	(void)kq;
	(void)revents;
	out->data = 0;
	if (timerfd_waits(kn))
		return false;
	now = timerfd_now(timer_date(kn));
	if (now < kn->kn_data)
		return false;
	out->data = kn->kn_sdata == 0 ? 1 : 1 + (now - kn->kn_data) / kn->kn_sdata;
	return true;
}

static void
timer_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	if (kn->kn_sdata != 0)
		kn->kn_data = timer_later(kn->kn_data, out->data * kn->kn_sdata);
	else if ((kn->kn_flags & EV_CLEAR) != 0)
		kn->kn_data = TIMERFD_NEVER;
	else
		return;		/* a date stays past */
	/* With EV_DISPATCH it is disabled next. */
	if ((kn->kn_flags & EV_DISPATCH) == 0)
		timerfd_add(kq, kn, timer_date(kn), timer_wake(kq, kn, 0));
}

static void
timer_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	if (enabled)
		(void)timer_wait(kq, kn, timerfd_now(timer_date(kn)));
	else
		timerfd_add(kq, kn, timer_date(kn), TIMERFD_NEVER);
}

/* EV_CLEAR is set by timer_start(): not with NOTE_ABSTIME. */
const struct filterops filter_timer = {
	.fo_attach = timer_attach,
	.fo_tells = true,
	.fo_detach = timer_detach,
	.fo_note = timer_note,
	.fo_touch = timer_touch,
	.fo_event = timer_event,
	.fo_delivered = timer_delivered,
	.fo_enable = timer_enable,
};
