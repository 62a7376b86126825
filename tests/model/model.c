/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#define ACTIONS	(EV_ADD | EV_DELETE | EV_ENABLE | EV_DISABLE | EV_FORCEONESHOT | EV_KEEPUDATA | EV_SYSFLAGS)
#define UNITS	(NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS)

#define FOR_EACH_KNOTE(kn, m)							\
	for (struct mknote *kn = (m)->m_knote; kn < (m)->m_knote + MODEL_KNOTES; kn++) \
		if (kn->k_used)

static enum certainty
surer(enum certainty a, enum certainty b)
{
	return a > b ? a : b;
}

void
model_init(struct model *m, int64_t clock, int64_t date)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < MODEL_SLOTS; i++)
		m->m_number[i] = -1;
	m->m_clock = clock;
	m->m_date = date;
}

/* Descriptors. */

struct file *
model_file(struct model *m, enum kind kind)
{
	struct file *f;

	if (m->m_files == MODEL_FILES)
		return NULL;
	f = &m->m_file[m->m_files++];
	memset(f, 0, sizeof(*f));
	f->f_kind = kind;
	f->f_links = 1;
	return f;
}

void
model_open(struct model *m, int slot, int number, struct file *f)
{
	m->m_slot[slot] = f;
	m->m_number[slot] = number;
	f->f_shared |= ++f->f_refs > 1;
}

int
model_slot(const struct model *m, uintptr_t number)
{
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->m_slot[i] != NULL && (uintptr_t)m->m_number[i] == number)
			return i;
	return -1;
}

/* News for those who watch any descriptor of a file. */
static void
post(struct model *m, const struct file *f, short filter, enum certainty sure)
{
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_slot >= 0 && m->m_slot[kn->k_slot] == f && kn->k_kev.filter == filter) {
			kn->k_edge = surer(kn->k_edge, sure);
			kn->k_late = f->f_kind == REGULAR;
		}
}

/* A queue's state changes with that of all it watches: whether that is news is left open. */
static void
post_queues(struct model *m)
{
	for (int i = 0; i < m->m_files; i++)
		if (m->m_file[i].f_kind == QUEUE)
			post(m, &m->m_file[i], EVFILT_READ, MAY);
}

void
model_close(struct model *m, int slot)
{
	struct file *f = m->m_slot[slot], *peer = f->f_peer;

	FOR_EACH_KNOTE(kn, m)
		if (kn->k_slot == slot || (f->f_kind == QUEUE && f->f_refs == 1 && kn->k_queue == f))
			kn->k_used = false;
	m->m_slot[slot] = NULL;
	m->m_number[slot] = -1;
	if (--f->f_refs > 0 || peer == NULL || peer->f_refs == 0)
		return;
	/* What it had not read is lost, which its sender is to know. */
	if (f->f_kind == STREAM && (f->f_bytes > 0 || f->f_full))
		peer->f_error = ECONNRESET;
	post(m, peer, EVFILT_READ, f->f_kind == DGRAM ? MAY : MUST);
	post(m, peer, EVFILT_WRITE, f->f_kind == DGRAM ? MAY : MUST);
}

static bool
gone(const struct file *f)
{
	return f == NULL || f->f_refs == 0;
}

/* Whether nothing more will come in, and whether nothing can go out. */
static bool
in_ended(const struct file *f)
{
	switch (f->f_kind) {
	case PIPE_READ:
	case PIPE_WRITE:
		return gone(f->f_peer);
	case STREAM:
		return gone(f->f_peer) || f->f_peer->f_shut || f->f_deaf;
	default:
		return false;
	}
}

static bool
out_ended(const struct file *f)
{
	switch (f->f_kind) {
	case PIPE_WRITE:
		return gone(f->f_peer);
	case STREAM:
		return gone(f->f_peer) || f->f_shut || f->f_peer->f_deaf;
	default:
		return false;
	}
}

int64_t
model_write(struct model *m, struct file *f, int64_t n)
{
	struct file *to = f->f_peer;
	int64_t size = f->f_bytes;

	if (f->f_kind == REGULAR) {
		if (f->f_offset + n > f->f_bytes)
			f->f_bytes = f->f_offset + n;
		f->f_offset += n;
		model_vnode(m, f, NOTE_WRITE | (f->f_bytes > size ? NOTE_EXTEND : 0));
		post(m, f, EVFILT_READ, MAY);
		return n;
	}
	if (out_ended(f))
		return -EPIPE;
	to->f_bytes += n;
	to->f_writes++;
	if (f->f_kind == DGRAM)
		to->f_dgram[to->f_dgrams++] = n;
	post(m, to, EVFILT_READ, MUST);
	return n;
}

int64_t
model_read(struct model *m, struct file *f, int64_t n)
{
	int64_t error;

	if (f->f_kind == REGULAR) {
		if (f->f_bytes - f->f_offset < n)
			n = f->f_bytes > f->f_offset ? f->f_bytes - f->f_offset : 0;
		f->f_offset += n;
		return n;
	}
	if (f->f_kind == DGRAM) {
		if (f->f_dgrams == 0)
			return -EAGAIN;
		if (f->f_dgram[0] < n)
			n = f->f_dgram[0];
		f->f_bytes -= f->f_dgram[0];
		memmove(f->f_dgram, f->f_dgram + 1, (size_t)--f->f_dgrams * sizeof(f->f_dgram[0]));
	} else if (f->f_bytes == 0) {
		error = f->f_error;
		f->f_error = 0;
		return error != 0 ? -error : in_ended(f) ? 0 : -EAGAIN;
	} else {
		if (f->f_bytes < n)
			n = f->f_bytes;
		f->f_bytes -= n;
	}
	if (f->f_bytes == 0)
		f->f_writes = 0;
	if (!gone(f->f_peer))
		post(m, f->f_peer, EVFILT_WRITE, MAY);
	return n;
}

void
model_fill(struct model *m, struct file *f)
{
	f->f_peer->f_full = true;
	post(m, f->f_peer, EVFILT_READ, MUST);
}

void
model_drain(struct model *m, struct file *f)
{
	enum certainty sure = f->f_full ? MUST : MAY;

	f->f_full = false;
	f->f_bytes = 0;
	f->f_writes = 0;
	if (!gone(f->f_peer))
		post(m, f->f_peer, EVFILT_WRITE, sure);
}

void
model_shutdown(struct model *m, struct file *f, bool both)
{
	f->f_shut = true;
	f->f_deaf |= both;
	post(m, f, EVFILT_WRITE, MUST);
	post(m, f, EVFILT_READ, both ? MUST : MAY);
	if (gone(f->f_peer))
		return;
	post(m, f->f_peer, EVFILT_READ, MUST);
	post(m, f->f_peer, EVFILT_WRITE, both ? MUST : MAY);
}

void
model_seek(struct model *m, struct file *f, int64_t offset)
{
	/* Reading on may bring it back to where it was before anybody looks. */
	post(m, f, EVFILT_READ, MAY);
	f->f_offset = offset;
	f->f_moved = true;
}

void
model_append(struct model *m, struct file *f, int64_t n)
{
	f->f_bytes += n;
	f->f_moved = false;
	model_vnode(m, f, NOTE_WRITE | NOTE_EXTEND);
	post(m, f, EVFILT_READ, MUST);
}

void
model_truncate(struct model *m, struct file *f, int64_t size)
{
	uint32_t notes = NOTE_WRITE;

	if (size > f->f_bytes)
		notes |= NOTE_EXTEND;
	else if (size < f->f_bytes)
		notes |= NOTE_TRUNCATE | NOTE_ATTRIB;
	post(m, f, EVFILT_READ, size > f->f_bytes ? MUST : MAY);
	f->f_bytes = size;
	model_vnode(m, f, notes);
}

/* Operations between two looks may merge, but WRITE and DELETE are never lost. */
void
model_vnode(struct model *m, struct file *f, uint32_t notes)
{
	uint32_t asked, told;

	FOR_EACH_KNOTE(kn, m) {
		if (kn->k_kev.filter != EVFILT_VNODE || m->m_slot[kn->k_slot] != f)
			continue;
		asked = kn->k_kev.fflags;
		told = notes & asked;
		if ((notes & NOTE_EXTEND) != 0 && (asked & (NOTE_WRITE | NOTE_EXTEND)) != 0)
			told |= NOTE_WRITE | NOTE_EXTEND;
		kn->k_may |= told;
		/* A link more and a link less look like none, and what is ready is returned without a look. */
		if (kn->k_news++ == 0) {
			if (kn->k_must == 0)
				kn->k_must = told;
		} else {
			kn->k_must &= asked & (NOTE_WRITE | ((notes & NOTE_LINK) != 0 ? 0 : NOTE_DELETE));
			kn->k_may |= asked & NOTE_ATTRIB;
		}
	}
}

/* Time, signals, processes. */

void
model_advance(struct model *m, int64_t ns)
{
	m->m_clock += ns;
	m->m_date += ns;
}

/* A date once reached is past, whatever the clock is set to. */
void
model_set_date(struct model *m, int64_t date)
{
	m->m_date = date;
}

void
model_signal(struct model *m, int signo)
{
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_kev.filter == EVFILT_SIGNAL && kn->k_kev.ident == (uintptr_t)signo)
			kn->k_count++;
}

void
model_exit(struct model *m, struct child *c, int status)
{
	c->c_zombie = true;
	c->c_status = status;
	FOR_EACH_KNOTE(kn, m) {
		if (kn->k_kev.filter != EVFILT_PROC || kn->k_kev.ident != (uintptr_t)c->c_pid)
			continue;
		kn->k_ended = true;
		kn->k_status = status;
	}
}

/* Conditions: what an event would say, and whether there is one. */

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
	if (in_ended(f)) {
		e->e_flags |= EV_EOF;
		e->e_must = e->e_may = (uint32_t)f->f_error;
		return MUST;
	}
	if (f->f_kind == PIPE_WRITE)
		return NO;
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
	if (out_ended(f)) {
		e->e_flags |= EV_EOF;
		e->e_must = e->e_may = (uint32_t)f->f_error;
		if (!f->f_shut || gone(f->f_peer))
			return MUST;
		/* Shut by this number or a duplicate: the library knows the one only. */
		e->e_eof_open = f->f_shared;
		/* Nobody is told of the end of what is full. */
		return f->f_shared || f->f_peer->f_full ? MAY : MUST;
	}
	if (f->f_kind == DGRAM && gone(f->f_peer))
		return MAY;
	return f->f_peer->f_full ? NO : MUST;
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
	return (kn->k_kev.filter == EVFILT_READ || kn->k_kev.filter == EVFILT_WRITE) &&
	    (kn->k_kev.flags & EV_CLEAR) != 0;
}

/* A change looks at the condition again. */
static void
look(struct model *m, struct mknote *kn)
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
	post_queues(m);
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

/* Changes. */

/* Whether q can be reached from f, by watching; all: by what is disabled, too. */
bool
model_reaches(struct model *m, struct file *f, struct file *q, bool all)
{
	if (f == q)
		return true;
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_queue == f && (all || kn->k_enabled) && kn->k_slot >= 0 && m->m_slot[kn->k_slot]->f_kind == QUEUE &&
		    model_reaches(m, m->m_slot[kn->k_slot], q, all))
			return true;
	return false;
}

static bool
needs_descriptor(short filter)
{
	return filter == EVFILT_READ || filter == EVFILT_WRITE || filter == EVFILT_VNODE;
}

static struct mknote *
find(struct model *m, struct file *q, const struct kevent *kev)
{
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_queue == q && kn->k_kev.filter == kev->filter && kn->k_kev.ident == kev->ident &&
		    ((kn->k_kev.flags ^ kev->flags) & EV_UDATA_SPECIFIC) == 0 &&
		    ((kev->flags & EV_UDATA_SPECIFIC) == 0 || kn->k_kev.udata == kev->udata))
			return kn;
	return NULL;
}

static int64_t
saturated(int64_t a, int64_t b, bool multiply)
{
	int64_t r;

	if (multiply ? !__builtin_mul_overflow(a, b, &r) : !__builtin_add_overflow(a, b, &r))
		return r;
	return (a < 0) == (b < 0) || !multiply ? INT64_MAX : INT64_MIN;
}

static int
start_timer(struct model *m, struct mknote *kn, uint32_t fflags, int64_t data)
{
	uint32_t date = fflags & (NOTE_ABSTIME | NOTE_ABSOLUTE);
	bool oneshot = (kn->k_kev.flags & EV_ONESHOT) != 0;
	int64_t unit, span;

	switch (fflags & UNITS) {
	case NOTE_SECONDS:	unit = 1000000000; break;
	case 0:
	case NOTE_MSECONDS:	unit = 1000000; break;
	case NOTE_USECONDS:	unit = 1000; break;
	case NOTE_NSECONDS:	unit = 1; break;
	default:		return EINVAL;
	}
	if ((fflags & ~(UNITS | NOTE_ABSTIME | NOTE_ABSOLUTE | NOTE_LEEWAY)) != 0 ||
	    date == (NOTE_ABSTIME | NOTE_ABSOLUTE) || (data < 0 && date == 0))
		return EINVAL;
	if (data == 0 && date == 0 && !oneshot)
		data = 1;
	span = saturated(data, unit, true);
	kn->k_kev.fflags = fflags;
	kn->k_kev.data = data;
	kn->k_period = date != 0 || oneshot ? 0 : span;
	switch (date) {
	case NOTE_ABSTIME:
		kn->k_when = span;
		break;
	case NOTE_ABSOLUTE:
		kn->k_when = span <= m->m_date ? m->m_clock : saturated(m->m_clock, span - m->m_date, false);
		kn->k_kev.flags |= EV_ONESHOT;
		break;
	default:
		kn->k_when = saturated(m->m_clock, span, false);
	}
	if (date != NOTE_ABSTIME || kn->k_clear)
		kn->k_kev.flags |= EV_CLEAR;
	else
		kn->k_kev.flags &= (unsigned short)~EV_CLEAR;
	return 0;
}

static int
attach_descriptor(struct model *m, struct mknote *kn)
{
	struct file *f = m->m_slot[kn->k_slot];

	if (f->f_kind == QUEUE && (kn->k_kev.filter != EVFILT_READ || f == kn->k_queue ||
	    model_reaches(m, f, kn->k_queue, false)))
		return EINVAL;
	return kn->k_kev.filter == EVFILT_VNODE && f->f_kind != REGULAR ? EINVAL : 0;
}

static int
attach_proc(struct model *m, struct mknote *kn)
{
	for (int i = 0; i < MODEL_CHILDREN; i++) {
		struct child *c = &m->m_child[i];

		if (c->c_pid == 0 || c->c_gone || (uintptr_t)c->c_pid != kn->k_kev.ident)
			continue;
		kn->k_ended = c->c_zombie;
		kn->k_status = c->c_status;
		return 0;
	}
	return ESRCH;
}

static int
attach(struct model *m, struct mknote *kn)
{
	switch (kn->k_kev.filter) {
	case EVFILT_READ:
	case EVFILT_WRITE:
	case EVFILT_VNODE:
		return attach_descriptor(m, kn);
	case EVFILT_TIMER:
		kn->k_clear = (kn->k_kev.flags & EV_CLEAR) != 0;
		return start_timer(m, kn, kn->k_kev.fflags, kn->k_kev.data);
	case EVFILT_USER:
		kn->k_trigger = (kn->k_kev.fflags & NOTE_TRIGGER) != 0;
		kn->k_kev.fflags &= NOTE_FFLAGSMASK;
		return 0;
	case EVFILT_SIGNAL:
		kn->k_kev.flags |= EV_CLEAR;
		return kn->k_kev.ident == 0 || kn->k_kev.ident == SIGKILL ||
		    kn->k_kev.ident == SIGSTOP || kn->k_kev.ident > 64 ? EINVAL : 0;
	case EVFILT_PROC:
		kn->k_kev.flags |= EV_CLEAR;
		return attach_proc(m, kn);
	default:
		return EINVAL;
	}
}

static int
add(struct model *m, struct file *q, const struct kevent *kev, int slot)
{
	struct mknote *kn = m->m_knote;
	int error;

	while (kn->k_used)
		if (++kn == m->m_knote + MODEL_KNOTES)
			return ENOMEM;
	memset(kn, 0, sizeof(*kn));
	kn->k_kev = *kev;
	kn->k_kev.flags &= (unsigned short)~ACTIONS;
	kn->k_enabled = (kev->flags & EV_DISABLE) == 0;
	kn->k_queue = q;
	kn->k_slot = slot;
	error = attach(m, kn);
	if (error != 0)
		return error;
	kn->k_used = true;
	look(m, kn);
	return 0;
}

static void
touch_user(struct mknote *kn, const struct kevent *kev)
{
	uint32_t given = kev->fflags & NOTE_FFLAGSMASK, *stored = &kn->k_kev.fflags;

	switch (kev->fflags & NOTE_FFCTRLMASK) {
	case NOTE_FFAND:	*stored &= given; break;
	case NOTE_FFOR:		*stored |= given; break;
	case NOTE_FFCOPY:	*stored = given; break;
	}
	kn->k_kev.data = kev->data;
	if ((kev->flags & EV_CLEAR) != 0)
		kn->k_trigger = false;
	kn->k_trigger |= (kev->fflags & NOTE_TRIGGER) != 0;
}

static int
touch(struct model *m, struct mknote *kn, const struct kevent *kev)
{
	bool adds = (kev->flags & EV_ADD) != 0;

	switch (kn->k_kev.filter) {
	case EVFILT_TIMER:
		if (!adds && (kev->flags & (EV_ENABLE | EV_DISABLE | EV_FORCEONESHOT)) != 0)
			return 0;
		return start_timer(m, kn, kev->fflags, kev->data);
	case EVFILT_USER:
		touch_user(kn, kev);
		return 0;
	case EVFILT_SIGNAL:
		return 0;
	default:
		/* Of what was recorded, and is asked for no longer, nothing is said. */
		if (kn->k_kev.filter == EVFILT_VNODE && (adds || kev->fflags != 0))
			kn->k_must &= kev->fflags;
		if (adds || kev->fflags != 0) {
			kn->k_kev.fflags = kev->fflags;
			kn->k_kev.data = kev->data;
		}
		return 0;
	}
}

static int
update(struct model *m, struct mknote *kn, const struct kevent *kev)
{
	int error;

	/* A cycle that was not one while this was disabled. */
	if (!kn->k_enabled && (kev->flags & EV_ENABLE) != 0 && kn->k_slot >= 0 &&
	    m->m_slot[kn->k_slot]->f_kind == QUEUE && model_reaches(m, m->m_slot[kn->k_slot], kn->k_queue, false))
		return EINVAL;
	error = touch(m, kn, kev);
	if (error != 0)
		return error;
	if ((kev->flags & EV_KEEPUDATA) == 0)
		kn->k_kev.udata = kev->udata;
	if ((kev->flags & EV_FORCEONESHOT) != 0) {
		kn->k_kev.flags |= EV_ONESHOT;
		kn->k_forced = true;
	}
	if ((kev->flags & EV_ENABLE) != 0)
		kn->k_enabled = true;
	if ((kev->flags & EV_DISABLE) != 0)
		kn->k_enabled = false;
	else
		look(m, kn);
	return 0;
}

int
model_change(struct model *m, struct file *q, const struct kevent *kev)
{
	const unsigned vanishes = EV_ADD | EV_DISPATCH2;
	struct mknote *kn;
	int slot = -1;

	if (kev->filter >= 0 || kev->filter < -EVFILT_SYSCOUNT ||
	    (kev->flags & (EV_ENABLE | EV_DISABLE)) == (EV_ENABLE | EV_DISABLE) ||
	    (kev->flags & (EV_ADD | EV_KEEPUDATA)) == (EV_ADD | EV_KEEPUDATA) ||
	    ((kev->flags & EV_VANISHED) != 0 && (kev->flags & vanishes) != vanishes))
		return EINVAL;
	if (needs_descriptor(kev->filter)) {
		slot = model_slot(m, kev->ident);
		if (slot < 0)
			return EBADF;
	}
	post_queues(m);
	kn = find(m, q, kev);
	if (kn == NULL)
		return (kev->flags & EV_ADD) == 0 ? ENOENT : add(m, q, kev, slot);
	if ((kev->flags & EV_DELETE) == 0)
		return update(m, kn, kev);
	kn->k_used = false;
	return 0;
}
