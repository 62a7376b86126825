/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions: what an event would say, and whether there is one; and its delivery. */
#include "parts.h"

#include <errno.h>

/* To whom a connection was closed before it was reset, Linux says EPIPE and the BSDs ECONNRESET. */
static void
socket_error(const struct file *f, struct expect *e)
{
	e->e_must = e->e_may = (uint32_t)f->f_error;
	if (f->f_kind == TCP && f->f_error == EPIPE) {
		e->e_must = EPIPE & ECONNRESET;
		e->e_may = EPIPE | ECONNRESET;
	}
}

static enum certainty
condition_bytes(const struct mknote *kn, const struct file *f, struct expect *e)
{
	int64_t mark = (kn->k_kev.fflags & NOTE_LOWAT) != 0 ? kn->k_kev.data : 1;

	/* What is in a pipe can be counted at either end. */
	e->e_least = e->e_most = f->f_kind == PIPE_WRITE ? 0 : f->f_bytes;
	if (f->f_full || f->f_kind == PIPE_WRITE)
		e->e_most = INT64_MAX;
	if (f->f_kind == DGRAM) {
		e->e_least = f->f_dgrams > 0 ? f->f_dgram[0] : 0;
		return f->f_dgrams > 0 ? MUST : NO;
	}
	if (model_in_ended(f)) {
		e->e_flags |= EV_EOF;
		if (f->f_marked) {
			e->e_least = 0;
			e->e_most = INT64_MAX;
		}
		socket_error(f, e);
		return MUST;
	}
	if (f->f_kind == PIPE_WRITE)
		return NO;
	if (f->f_marked) {
		e->e_least = 0;
		e->e_most = INT64_MAX;
		return MAY;
	}
	return f->f_full || (f->f_bytes > 0 && f->f_bytes >= mark) ? MUST : NO;
}

static enum certainty
condition_read(struct model *m, const struct mknote *kn, struct expect *e)
{
	struct file *f = m->m_slot[kn->k_slot];
	struct expect inner[MODEL_KNOTES];
	int n;

	switch (f->f_kind) {
	case REGULAR:
		e->e_least = e->e_most = f->f_bytes - f->f_offset;
		return e->e_least != 0 || (kn->k_kev.fflags & NOTE_FILE_POLL) != 0 ? MUST : NO;
	case QUEUE:
		n = model_ready(m, f, inner);
		e->e_most = n;
		e->e_least = 0;
		for (int i = 0; i < n; i++)
			e->e_least += inner[i].e_sure == MUST;
		return model_readable(m, f);
	case LISTENER:
		e->e_least = e->e_most = f->f_npending;
		return f->f_npending > 0 ? MUST : NO;
	case TCP:
		return f->f_connected ? condition_bytes(kn, f, e) : NO;
	default:
		return condition_bytes(kn, f, e);
	}
}

static enum certainty
condition_write(struct model *m, const struct mknote *kn, struct expect *e)
{
	const struct file *f = m->m_slot[kn->k_slot];

	if (f->f_kind == REGULAR)
		return MUST;
	e->e_least = 1;
	e->e_most = INT64_MAX;
	/* The contract does not speak of the wrong end. */
	if (f->f_kind == PIPE_READ) {
		e->e_flags |= EV_EOF;
		return gone(f->f_peer) ? MAY : NO;
	}
	if (f->f_kind == TCP && !f->f_connected)
		return NO;
	if (model_out_ended(f)) {
		e->e_flags |= EV_EOF;
		socket_error(f, e);
		if (f->f_kind == TCP && f->f_shared && !model_in_ended(f))
			e->e_eof_open = true;
		if (f->f_kind == TCP)
			return e->e_eof_open ? MAY : MUST;
		if (!f->f_shut || gone(f->f_peer))
			return MUST;
		/* Shut by this number or a duplicate: the library knows the one only. */
		e->e_eof_open = f->f_shared;
		/* Nobody is told of the end of what is full. */
		return f->f_shared || f->f_peer->f_full ? MAY : MUST;
	}
	if (f->f_kind == DGRAM && gone(f->f_peer))
		return MAY;
	return !gone(f->f_peer) && f->f_peer->f_full ? NO : MUST;
}

static enum certainty
condition_except(struct model *m, const struct mknote *kn, struct expect *e)
{
	const struct file *f = m->m_slot[kn->k_slot];

	if (f->f_urgent && (kn->k_kev.fflags & NOTE_OOB) != 0) {
		e->e_must = e->e_may = NOTE_OOB;
		e->e_least = e->e_most = 1;
	}
	if (f->f_kind == TCP && !f->f_connected)
		return NO;
	if (!model_in_ended(f))
		return e->e_most > 0 ? MUST : NO;
	e->e_flags |= EV_EOF;
	if (f->f_error != 0)
		socket_error(f, e);
	return MUST;
}

static int64_t
timer_clock(const struct model *m, const struct mknote *kn)
{
	return (kn->k_kev.fflags & NOTE_ABSTIME) != 0 ? m->m_date : m->m_clock;
}

static enum certainty
condition_timer(struct model *m, const struct mknote *kn, struct expect *e)
{
	int64_t now = timer_clock(m, kn);

	e->e_must = e->e_may = 0;
	if (kn->k_when == MODEL_NEVER || now < kn->k_when)
		return NO;
	e->e_least = e->e_most = kn->k_period == 0 ? 1 : 1 + (now - kn->k_when) / kn->k_period;
	return MUST;
}

static enum certainty
condition(struct model *m, const struct mknote *kn, struct expect *e)
{
	e->e_flags = kn->k_kev.flags;
	e->e_eof_open = kn->k_forced;
	e->e_must = e->e_may = 0;
	e->e_least = e->e_most = 0;
	switch (kn->k_kev.filter) {
	case EVFILT_READ:
		return condition_read(m, kn, e);
	case EVFILT_WRITE:
		return condition_write(m, kn, e);
	case EVFILT_EXCEPT:
		return condition_except(m, kn, e);
	case EVFILT_TIMER:
		return condition_timer(m, kn, e);
	case EVFILT_USER:
		e->e_must = e->e_may = kn->k_kev.fflags;
		e->e_least = e->e_most = kn->k_kev.data;
		return kn->k_trigger ? MUST : NO;
	case EVFILT_SIGNAL:
		e->e_least = e->e_most = kn->k_count;
		return kn->k_count > 0 ? MUST : NO;
	case EVFILT_PROC:
		if (!kn->k_ended)
			return NO;
		e->e_flags |= EV_EOF | EV_ONESHOT;
		e->e_must = e->e_may = NOTE_EXIT;
		e->e_least = e->e_most = kn->k_status;
		return MUST;
	case EVFILT_VNODE:
		e->e_must = kn->k_must;
		e->e_may = kn->k_may;
		return kn->k_must != 0 ? MUST : kn->k_may != 0 ? MAY : NO;
	default:
		return NO;
	}
}

/* Those whose EV_CLEAR is about news; the others forget their condition when it is delivered. */
static bool
by_edge(const struct mknote *kn)
{
	return (kn->k_kev.filter == EVFILT_READ || kn->k_kev.filter == EVFILT_WRITE ||
	    kn->k_kev.filter == EVFILT_EXCEPT) && (kn->k_kev.flags & EV_CLEAR) != 0;
}

void
model_look(struct model *m, struct mknote *kn)
{
	struct expect e;

	kn->k_edge = surer(kn->k_edge, condition(m, kn, &e));
}

int
model_ready(struct model *m, struct file *q, struct expect *expect)
{
	struct expect *e = expect;

	FOR_EACH_KNOTE(kn, m) {
		if (kn->k_queue != q || !kn->k_enabled)
			continue;
		e->e_knote = kn;
		e->e_sure = condition(m, kn, e);
		if (by_edge(kn) && kn->k_edge < e->e_sure)
			e->e_sure = kn->k_edge;
		if (kn->k_forced)
			e->e_sure = MUST;
		if (e->e_sure != NO)
			e++;
	}
	return (int)(e - expect);
}

enum certainty
model_readable(struct model *m, struct file *q)
{
	struct expect expect[MODEL_KNOTES];
	enum certainty sure = NO;
	int n = model_ready(m, q, expect);

	for (int i = 0; i < n; i++) {
		const struct mknote *kn = expect[i].e_knote;

		if (kn->k_kev.filter == EVFILT_READ && m->m_slot[kn->k_slot]->f_moved)
			expect[i].e_sure = MAY;
		sure = surer(sure, expect[i].e_sure);
	}
	return sure;
}

static void
deliver_timer(struct mknote *kn, const struct kevent *got)
{
	if (kn->k_period != 0)
		kn->k_when += got->data * kn->k_period;
	else if ((kn->k_kev.flags & EV_CLEAR) != 0)
		kn->k_when = MODEL_NEVER;
}

void
model_deliver(struct model *m, const struct expect *e, const struct kevent *got)
{
	struct mknote *kn = e->e_knote;

	kn->k_forced = false;
	kn->k_passed = 0;
	model_post_queues(m);
	if ((e->e_flags & EV_ONESHOT) != 0) {
		kn->k_used = false;
		return;
	}
	if ((kn->k_kev.flags & EV_DISPATCH) != 0)
		kn->k_enabled = false;
	/* What inotify has to tell of a file may come after a look at the file. */
	kn->k_edge = kn->k_late || (kn->k_slot >= 0 && m->m_slot[kn->k_slot]->f_kind == QUEUE) ? MAY : NO;
	if (kn->k_kev.filter == EVFILT_TIMER)
		deliver_timer(kn, got);
	if ((kn->k_kev.flags & EV_CLEAR) == 0) {
		kn->k_must = got->fflags;
		return;
	}
	kn->k_must = 0;
	if (kn->k_news <= 1)
		kn->k_may = 0;
	kn->k_count = 0;
	kn->k_trigger = false;
}

void
model_settled(struct model *m, struct file *q)
{
	struct expect expect[MODEL_KNOTES];
	int n = model_ready(m, q, expect);

	for (int i = 0; i < n; i++) {
		if (expect[i].e_sure != MAY)
			continue;
		expect[i].e_knote->k_edge = NO;
		expect[i].e_knote->k_may = expect[i].e_knote->k_must;
	}
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_queue == q && kn->k_enabled) {
			kn->k_news = 0;
			kn->k_late = false;
		}
}
