/* SPDX-License-Identifier: BSD-2-Clause */
/* The model's state: descriptors, processes, signals and the clock, and what happens to them. */
#include "parts.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

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

static void
post_one(struct model *m, const struct file *f, short filter, enum certainty sure)
{
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_slot >= 0 && m->m_slot[kn->k_slot] == f && kn->k_kev.filter == filter) {
			kn->k_edge = surer(kn->k_edge, sure);
			kn->k_late = f->f_kind == REGULAR;
		}
}

void
model_post_queues(struct model *m)
{
	for (int i = 0; i < m->m_files; i++)
		if (m->m_file[i].f_kind == QUEUE)
			post_one(m, &m->m_file[i], EVFILT_READ, MAY);
}

void
model_tell_queues(struct model *m)
{
	enum certainty now;

	for (int i = 0; i < m->m_files; i++) {
		struct file *f = &m->m_file[i];

		if (f->f_kind != QUEUE || f->f_refs == 0)
			continue;
		now = model_readable(m, f);
		if (now == MUST && f->f_readable == NO)
			post_one(m, f, EVFILT_READ, MUST);
		f->f_readable = now;
	}
}

void
model_post(struct model *m, struct file *f, short filter, enum certainty sure)
{
	f->f_unsettled = true;
	post_one(m, f, filter, sure);
	/* Ordinary data may tell of urgent ones again. */
	if (filter == EVFILT_READ)
		post_one(m, f, EVFILT_EXCEPT, model_in_ended(f) ? sure : MAY);
	model_post_queues(m);
}

static void
close_one(struct model *m, int slot, bool hard)
{
	struct file *f = m->m_slot[slot], *peer = f->f_peer;

	FOR_EACH_KNOTE(kn, m)
		if (kn->k_slot == slot || (f->f_kind == QUEUE && f->f_refs == 1 && kn->k_queue == f))
			kn->k_used = false;
	m->m_slot[slot] = NULL;
	m->m_number[slot] = -1;
	if (--f->f_refs > 0)
		return;
	if (f->f_kind == TCP || f->f_kind == LISTENER) {
		model_tcp_closed(m, f, hard);
		return;
	}
	if (peer == NULL || peer->f_refs == 0)
		return;
	/* What it had not read is lost, which its sender is to know. */
	if (f->f_kind == STREAM && (f->f_bytes > 0 || f->f_full))
		peer->f_error = ECONNRESET;
	model_post(m, peer, EVFILT_READ, f->f_kind == DGRAM ? MAY : MUST);
	model_post(m, peer, EVFILT_WRITE, f->f_kind == DGRAM ? MAY : MUST);
}

void
model_close(struct model *m, int slot)
{
	close_one(m, slot, false);
}

void
model_reset(struct model *m, int slot)
{
	close_one(m, slot, true);
}

bool
model_in_ended(const struct file *f)
{
	switch (f->f_kind) {
	case PIPE_READ:
	case PIPE_WRITE:
		return gone(f->f_peer);
	case STREAM:
		return gone(f->f_peer) || f->f_peer->f_shut || f->f_deaf;
	case TCP:
		return f->f_fin || f->f_reset;
	default:
		return false;
	}
}

bool
model_out_ended(const struct file *f)
{
	switch (f->f_kind) {
	case PIPE_WRITE:
		return gone(f->f_peer);
	case STREAM:
		return gone(f->f_peer) || f->f_shut || f->f_peer->f_deaf;
	case TCP:
		return f->f_shut || f->f_reset;
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
		model_post(m, f, EVFILT_READ, MAY);
		return n;
	}
	if (f->f_kind == TCP)
		return model_tcp_write(m, f, n);
	if (model_out_ended(f))
		return -EPIPE;
	to->f_bytes += n;
	to->f_writes++;
	if (f->f_kind == DGRAM)
		to->f_dgram[to->f_dgrams++] = n;
	model_post(m, to, EVFILT_READ, MUST);
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
	} else if (f->f_bytes == 0 && f->f_fin) {
		return 0;	/* whatever came then: the error is not looked at */
	} else if (f->f_bytes == 0) {
		error = f->f_error;
		f->f_error = 0;
		return error != 0 ? -error : model_in_ended(f) ? 0 : -EAGAIN;
	} else {
		if (f->f_bytes < n)
			n = f->f_bytes;
		f->f_bytes -= n;
	}
	if (f->f_bytes == 0)
		f->f_writes = 0;
	if (!gone(f->f_peer))
		model_post(m, f->f_peer, EVFILT_WRITE, MAY);
	return n;
}

void
model_fill(struct model *m, struct file *f)
{
	f->f_peer->f_full = true;
	model_post(m, f->f_peer, EVFILT_READ, MUST);
}

void
model_drain(struct model *m, struct file *f)
{
	enum certainty sure = f->f_full ? MUST : MAY;

	f->f_full = f->f_urgent = f->f_marked = false;
	f->f_bytes = 0;
	f->f_writes = 0;
	if (!gone(f->f_peer))
		model_post(m, f->f_peer, EVFILT_WRITE, sure);
}

void
model_shutdown(struct model *m, struct file *f, bool both)
{
	f->f_shut = true;
	f->f_deaf |= both;
	if (!gone(f->f_peer))
		f->f_peer->f_fin = f->f_kind == TCP;
	model_post(m, f, EVFILT_WRITE, MUST);
	model_post(m, f, EVFILT_READ, both ? MUST : MAY);
	if (gone(f->f_peer))
		return;
	model_post(m, f->f_peer, EVFILT_READ, MUST);
	model_post(m, f->f_peer, EVFILT_WRITE, both ? MUST : MAY);
}

void
model_seek(struct model *m, struct file *f, int64_t offset)
{
	/* Reading on may bring it back to where it was before anybody looks. */
	model_post(m, f, EVFILT_READ, MAY);
	f->f_offset = offset;
	f->f_moved = true;
}

void
model_append(struct model *m, struct file *f, int64_t n)
{
	f->f_bytes += n;
	f->f_moved = false;
	model_vnode(m, f, NOTE_WRITE | NOTE_EXTEND);
	model_post(m, f, EVFILT_READ, MUST);
}

void
model_truncate(struct model *m, struct file *f, int64_t size)
{
	uint32_t notes = NOTE_WRITE;

	if (size > f->f_bytes)
		notes |= NOTE_EXTEND;
	else if (size < f->f_bytes)
		notes |= NOTE_TRUNCATE | NOTE_ATTRIB;
	model_post(m, f, EVFILT_READ, size > f->f_bytes ? MUST : MAY);
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
	model_post_queues(m);
}

/* Time, signals, processes. */

void
model_advance(struct model *m, int64_t ns)
{
	m->m_clock += ns;
	m->m_date += ns;
	model_post_queues(m);
}

/* A date once reached is past, whatever the clock is set to. */
void
model_set_date(struct model *m, int64_t date)
{
	m->m_date = date;
	model_post_queues(m);
}

void
model_signal(struct model *m, int signo)
{
	FOR_EACH_KNOTE(kn, m)
		if (kn->k_kev.filter == EVFILT_SIGNAL && kn->k_kev.ident == (uintptr_t)signo)
			kn->k_count++;
	model_post_queues(m);
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
	model_post_queues(m);
}
