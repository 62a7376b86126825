/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations that take several threads: waiting while the next one is done, and calls at the same time. */
#include "world.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Waiting in threads, while the next operation is done. */

/* What a waiter may wait for; most do for ever. */
static const int64_t limits[] = { -1, -1, -1, -1, INT64_C(1000000000000), 1000000, 100000, 1 };

static bool
may_time_out(const struct call *c)
{
	return c->c_timeout != NULL && c->c_timeout->tv_sec == 0;
}

void
compare_wait(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(QUEUE), arg[0]), n = arg[1] % 4 == 1 ? 2 + arg[1] / 4 % (WAITERS - 1) : 1;
	struct file *q = slot < 0 ? NULL : w->w_model.m_slot[slot];
	int room = arg[2] % 2 == 0 ? EVENTS : 1 + arg[2] / 2 % EVENTS;
	int64_t ns;

	if (q == NULL || w->w_waits > 0 || model_readable(&w->w_model, q) != NO)
		return;
	w->w_waits_since = w->w_model.m_clock;
	for (int i = 0; i < n; i++) {
		ns = limits[arg[3 + i] % (sizeof(limits) / sizeof(limits[0]))];
		world_say(w, "\tck_assert(call_waits(&waiter[%d], fd[%d], %d, %" PRId64 "));\n", i, slot, room, ns);
		if (!call_waits(&w->w_waiter[i], w->w_model.m_number[slot], room, ns))
			return;
		w->w_waits++;
		w->w_awaited = q;
	}
}

/* A user event that all see; or that goes. */
static void
alarm_all(struct world *w, struct file *q, int kq, bool on)
{
	struct kevent kev;

	EV_SET(&kev, 99, EVFILT_USER, on ? EV_ADD : EV_DELETE, on ? NOTE_TRIGGER : 0, 0, NULL);
	world_say(w, "\tEV_SET(&kl[0], 99, EVFILT_USER, %s, 0, NULL);\n"
	    "\tck_assert_int_eq(kevent(waiter[0].c_kq, kl, 1, NULL, 0, NULL), 0);\n",
	    on ? "EV_ADD, NOTE_TRIGGER" : "EV_DELETE, 0");
	if (model_change(&w->w_model, q, &kev) != 0 || kevent(kq, &kev, 1, NULL, 0, NULL) != 0)
		world_fail(w, "waiters could not be woken");
}

static void
compare_waiter(struct world *w, struct file *q, int i)
{
	struct call *c = &w->w_waiter[i];
	bool in_vain = may_time_out(c) && c->c_result == 0;

	world_say(w, "\tn = waited(%d);\n\t/* the library: %d, errno %d */\n", i, c->c_result, c->c_error);
	/* Where it was woken in vain, this clock told it how much is left. */
	if (in_vain && c->c_took + w->w_model.m_clock - w->w_waits_since < c->c_timeout->tv_nsec)
		world_fail(w, "a waiter for %ld ns returned after %ld", c->c_timeout->tv_nsec, (long)c->c_took);
	if (q->f_refs > 0) {
		compare_events(w, q, c, may_time_out(c) ? ANY : SOME);
		return;
	}
	/* Its time may have been over before. */
	if (!may_time_out(c))
		world_say(w, "\tck_assert_int_eq(n, -1);\n\tck_assert_int_eq(errno, EBADF);\n");
	if (!in_vain && (c->c_result != -1 || c->c_error != EBADF))
		world_fail(w, "a waiter of a closed queue got %d, errno %d", c->c_result, c->c_error);
}

/* All that is ready, by any number that leads to the queue. */
static void
collect_all(struct world *w, struct file *q)
{
	w->w_call.c_nchanges = 0;
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (w->w_model.m_slot[i] == q) {
			compare_submit(w, q, i, EVENTS, NULL);
			break;
		}
}

/*
 * The operation is done: a waiter has to wake, or is made to.  Of several one has to; what it leaves, the next one
 * or the last call gets, but nothing comes twice that is for one only.
 */
void
compare_woken(struct world *w)
{
	struct file *q = w->w_awaited;
	int n = w->w_waits, kq = w->w_waiter[0].c_kq;
	bool sure = q->f_refs > 0 && model_readable(&w->w_model, q) == MUST, alarm = q->f_refs > 0 && (!sure || n > 1);

	if (sure && n > 1) {
		world_say(w, "\tcalls_await_one(waiter, %d);\n", n);
		calls_await_one(w->w_waiter, n);
	}
	if (alarm)
		alarm_all(w, q, kq, true);
	for (int i = 0; i < n; i++)
		pthread_join(w->w_waiter[i].c_thread, NULL);
	w->w_waits = 0;
	w->w_awaited = NULL;
	world_say(w, "\twaiters_end(%d);\n", n);
	for (int i = 0; i < n && !w->w_failed; i++)
		compare_waiter(w, q, i);
	if (alarm && !w->w_failed)
		alarm_all(w, q, kq, false);
	/* They may have been woken for the first of several. */
	if (!w->w_failed && q->f_refs > 0 && model_readable(&w->w_model, q) != NO)
		collect_all(w, q);
}

/* Calls at the same time. */

/* Each gets what is ready, but nothing comes twice that is for one only; what is left the last call gets. */
void
compare_together(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(QUEUE), arg[0]), n = 2 + arg[1] % 3;
	struct call calls[EVENTS];
	struct file *q;

	if (slot < 0 || w->w_waits > 0)
		return;
	q = w->w_model.m_slot[slot];
	memset(calls, 0, sizeof(calls));
	for (int i = 0; i < n; i++) {
		calls[i].c_kq = w->w_model.m_number[slot];
		calls[i].c_nevents = 1 + arg[2 + i] % EVENTS;
		calls[i].c_timeout = &at_once;
		world_say(w, "\tcalls[%d] = (struct call){ .c_kq = fd[%d], .c_nevents = %d, .c_timeout = &at_once };\n",
		    i, slot, calls[i].c_nevents);
	}
	world_say(w, "\tcalls_together(calls, %d);\n", n);
	calls_together(calls, n);
	for (int i = 0; i < n && !w->w_failed; i++) {
		world_say(w, "\tn = called(%d);\n\t/* the library: %d, errno %d */\n", i, calls[i].c_result,
		    calls[i].c_error);
		compare_events(w, q, &calls[i], ANY);
	}
	if (!w->w_failed)
		collect_all(w, q);
}

/* User events that are triggered together: the order does not matter.  One may be for several, but not for waiters. */
void
compare_triggers(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(QUEUE), arg[0]), n = 2 + arg[1] % 3, error;
	bool apart = w->w_waits > 0 || arg[2] % 2 == 0;
	struct call calls[EVENTS];
	struct file *q;

	if (slot < 0)
		return;
	q = w->w_model.m_slot[slot];
	/* Who waits for a queue around this one may be told how many there are before the last has come. */
	if (w->w_waits > 0 && q != w->w_awaited && model_reaches(&w->w_model, w->w_awaited, q, true))
		return;
	memset(calls, 0, sizeof(calls));
	for (int i = 0; i < n; i++) {
		struct kevent *k = &calls[i].c_change[0];

		calls[i].c_kq = w->w_model.m_number[slot];
		calls[i].c_nchanges = 1;
		EV_SET(k, (arg[4] + (apart ? (unsigned)i : 0)) % 4, EVFILT_USER, arg[3] % 3 == 0 ? EV_ADD : 0,
		    NOTE_TRIGGER | (arg[6] % 2 == 0 ? NOTE_FFNOP : NOTE_FFOR | 1u << i), arg[5] % 16, (void *)(uintptr_t)(arg[8] % 3));
		world_say(w, "\tcalls[%d] = (struct call){ .c_kq = fd[%d], .c_nchanges = 1 };\n"
		    "\tEV_SET(&calls[%d].c_change[0], %d, EVFILT_USER, %d, %#x, %d, (void *)%d);\n", i, slot, i,
		    (int)k->ident, k->flags, k->fflags, (int)k->data, arg[8] % 3);
	}
	world_say(w, "\tcalls_together(calls, %d);\n", n);
	calls_together(calls, n);
	for (int i = 0; i < n && !w->w_failed; i++) {
		error = model_change(&w->w_model, q, &calls[i].c_change[0]);
		world_say(w, "\tck_assert_int_eq(calls[%d].c_result, %d);\n", i, error == 0 ? 0 : -1);
		if (calls[i].c_result != (error == 0 ? 0 : -1) || (error != 0 && calls[i].c_error != error))
			world_fail(w, "trigger %d: %d, errno %d, but the model says errno %d", i, calls[i].c_result,
			    calls[i].c_error, error);
	}
}
