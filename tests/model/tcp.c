/* SPDX-License-Identifier: BSD-2-Clause */
/* The model of connections: their beginning, and their end, which may be a reset. */
#include "parts.h"

#include <errno.h>
#include <string.h>

/* f is told that there is no such connection, unless both sides had said that they send no more. */
static void
break_off(struct model *m, struct file *f)
{
	if (gone(f) || f->f_reset || (f->f_shut && f->f_fin))
		return;
	f->f_reset = true;
	f->f_error = f->f_fin ? EPIPE : ECONNRESET;
	model_post(m, f, EVFILT_READ, MUST);
	model_post(m, f, EVFILT_WRITE, MUST);
}

void
model_connect(struct model *m, struct file *f, struct file *listener)
{
	struct file *g = model_file(m, TCP);

	g->f_refs = 1;
	f->f_connected = g->f_connected = true;
	f->f_peer = g;
	g->f_peer = f;
	listener->f_pending[listener->f_npending++] = g;
	model_post(m, listener, EVFILT_READ, MUST);
	model_post(m, f, EVFILT_WRITE, MUST);
	model_post(m, f, EVFILT_READ, MAY);
}

void
model_refuse(struct model *m, struct file *f)
{
	f->f_connected = f->f_reset = true;
	f->f_error = ECONNREFUSED;
	model_post(m, f, EVFILT_READ, MUST);
	model_post(m, f, EVFILT_WRITE, MUST);
}

struct file *
model_accept(struct model *m, struct file *listener)
{
	struct file *g = listener->f_pending[0];

	memmove(listener->f_pending, listener->f_pending + 1, (size_t)--listener->f_npending * sizeof(g));
	listener->f_unsettled = g->f_unsettled = true;
	g->f_refs--;
	model_post_queues(m);
	return g;
}

/* hard: with a reset.  It comes, too, where something was not read. */
void
model_tcp_closed(struct model *m, struct file *f, bool hard)
{
	struct file *peer = f->f_peer;

	for (int i = 0; i < f->f_npending; i++) {
		f->f_pending[i]->f_refs = 0;
		break_off(m, f->f_pending[i]->f_peer);
	}
	if (gone(peer) || f->f_reset)
		return;
	if (hard || f->f_bytes > 0 || f->f_marked) {
		if (!f->f_shut || !f->f_fin)
			break_off(m, peer);
		return;
	}
	peer->f_fin = true;
	model_post(m, peer, EVFILT_READ, f->f_shut ? MAY : MUST);
	model_post(m, peer, EVFILT_WRITE, MAY);
}

/* The peer gets a byte of urgent data. */
void
model_urgent(struct model *m, struct file *f)
{
	f->f_peer->f_urgent = f->f_peer->f_marked = true;
	model_post(m, f->f_peer, EVFILT_READ, MAY);
	model_post(m, f->f_peer, EVFILT_EXCEPT, MUST);
	model_post(m, f->f_peer, EVFILT_WRITE, MAY);
	model_post(m, f, EVFILT_WRITE, MAY);
}

int64_t
model_tcp_write(struct model *m, struct file *f, int64_t n)
{
	int64_t error = f->f_error != 0 ? f->f_error : EPIPE;

	if (model_out_ended(f)) {
		f->f_error = 0;
		f->f_unsettled = true;
		return -error;
	}
	if (gone(f->f_peer)) {
		break_off(m, f);
		return n;
	}
	f->f_peer->f_bytes += n;
	f->f_peer->f_writes++;
	/* Either learns that something of what it sent has arrived. */
	model_post(m, f->f_peer, EVFILT_READ, MUST);
	model_post(m, f->f_peer, EVFILT_WRITE, MAY);
	model_post(m, f, EVFILT_WRITE, MAY);
	return n;
}
