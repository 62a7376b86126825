/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations on connections. */
#include "world.h"

#include "parts.h"
#include "sockets.h"

#include <errno.h>

/* A slot that leads to it; -1: none. */
static int
slot_of(const struct world *w, const struct file *f)
{
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (w->w_model.m_slot[i] == f)
			return i;
	return -1;
}

/* A new file in a free slot; NULL if there is no room, or no descriptor. */
static struct file *
place(struct world *w, enum kind kind, int fd, int *slot)
{
	struct file *f;

	*slot = world_free_slot(w);
	if (fd < 0)
		world_fail(w, "no socket: errno %d", errno);
	if (fd < 0 || *slot < 0 || (f = model_file(&w->w_model, kind)) == NULL)
		return NULL;
	model_open(&w->w_model, *slot, fd, f);
	return f;
}

/* Whether there is room for n descriptors, and for what they lead to. */
static bool
has_room(const struct world *w, int n)
{
	int slots = 0;

	for (int i = 0; i < MODEL_SLOTS; i++)
		slots += w->w_model.m_slot[i] == NULL;
	return slots >= n && w->w_model.m_files + 2 <= MODEL_FILES;
}

void
op_tcp(struct world *w)
{
	int fds[2], first, second;
	struct file *f, *g;

	if (!has_room(w, 2))
		return;
	if (!tcp_pair(fds)) {
		world_fail(w, "no connection: errno %d", errno);
		return;
	}
	f = place(w, TCP, fds[0], &first);
	g = place(w, TCP, fds[1], &second);
	f->f_peer = g;
	g->f_peer = f;
	f->f_connected = g->f_connected = true;
	world_say(w, "\tck_assert(tcp_pair(p)); fd[%d] = p[0]; fd[%d] = p[1];\n", first, second);
}

void
op_listen(struct world *w)
{
	int slot;

	if (!has_room(w, 1))
		return;
	place(w, LISTENER, tcp_listener(), &slot);
	world_say(w, "\tfd[%d] = tcp_listener();\n", slot);
}

/* A socket, which may or may not be connected now. */
static int
unconnected(struct world *w)
{
	const struct model *m = &w->w_model;
	int slot;

	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->m_slot[i] != NULL && m->m_slot[i]->f_kind == TCP && !m->m_slot[i]->f_connected)
			return i;
	if (!has_room(w, 1) || place(w, TCP, tcp_socket(), &slot) == NULL)
		return -1;
	world_say(w, "\tfd[%d] = tcp_socket();\n", slot);
	return slot;
}

void
op_connect(struct world *w, const uint8_t *arg)
{
	struct model *m = &w->w_model;
	int slot = unconnected(w), to;

	if (slot < 0 || arg[1] % 4 == 1)
		return;
	if (arg[1] % 8 != 0 && world_slot(w, KIND(LISTENER), 0) < 0)
		op_listen(w);
	to = world_slot(w, KIND(LISTENER), arg[0]);
	if (to < 0 || arg[1] % 8 == 0) {
		world_say(w, "\tck_assert(tcp_refused(fd[%d]));\n", slot);
		if (!tcp_refused(m->m_number[slot]))
			world_fail(w, "no attempt to connect: errno %d", errno);
		model_refuse(m, m->m_slot[slot]);
	} else if (m->m_slot[to]->f_npending < MODEL_BACKLOG && has_room(w, 0)) {
		world_say(w, "\tck_assert(tcp_connect(fd[%d], fd[%d]));\n", slot, to);
		if (!tcp_connect(m->m_number[slot], m->m_number[to]))
			world_fail(w, "no connection: errno %d", errno);
		model_connect(m, m->m_slot[slot], m->m_slot[to]);
	}
}

void
op_accept(struct world *w, const uint8_t *arg)
{
	struct model *m = &w->w_model;
	int from = -1, to = world_free_slot(w), fd;

	for (unsigned i = 0; i < MODEL_SLOTS && from < 0; i++) {
		unsigned at = (arg[0] + i) % MODEL_SLOTS;

		if (m->m_slot[at] != NULL && m->m_slot[at]->f_npending > 0)
			from = (int)at;
	}
	if (from < 0 || to < 0)
		return;
	world_say(w, "\tfd[%d] = accept4(fd[%d], NULL, NULL, SOCK_NONBLOCK);\n", to, from);
	fd = accept4(m->m_number[from], NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0) {
		world_fail(w, "accept4(): errno %d", errno);
		return;
	}
	model_open(m, to, fd, model_accept(m, m->m_slot[from]));
}

void
world_reset(struct world *w, int slot)
{
	int fd = w->w_model.m_number[slot];

	model_reset(&w->w_model, slot);
	world_say(w, "\tn = tcp_reset(fd[%d]);\n", slot);
	world_agree(w, "close", tcp_reset(fd), 0);
}

void
op_reset(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(TCP), arg[0]);

	if (slot >= 0 && w->w_model.m_slot[slot]->f_refs == 1)
		world_reset(w, slot);
}

/* One byte, where the peer has read what came before. */
void
op_urgent(struct world *w, const uint8_t *arg)
{
	struct file *f, *to;
	int slot = -1;

	for (unsigned i = 0; i < MODEL_SLOTS && slot < 0; i++) {
		unsigned at = (arg[0] + i) % MODEL_SLOTS;

		f = w->w_model.m_slot[at];
		if (f == NULL || f->f_kind != TCP || !f->f_connected || model_out_ended(f) || gone(f->f_peer))
			continue;
		to = f->f_peer;
		/* One that is not accepted yet nobody can look at. */
		if (!to->f_marked && to->f_bytes == 0 && slot_of(w, to) >= 0)
			slot = (int)at;
	}
	if (slot < 0)
		return;
	world_say(w, "\tn = (int)send(fd[%d], bytes, 1, MSG_OOB);\n", slot);
	world_agree(w, "send", send(w->w_model.m_number[slot], "!", 1, MSG_OOB), 1);
	model_urgent(&w->w_model, w->w_model.m_slot[slot]);
}

static void
settle_one(struct world *w, int slot, const struct file *f)
{
	int revents = (model_in_ended(f) ? POLLRDHUP : 0) | (model_in_ended(f) && model_out_ended(f) ? POLLHUP : 0) |
	    (f->f_error != 0 ? POLLERR : 0);
	int fd = w->w_model.m_number[slot], bytes;

	if (f->f_kind == LISTENER) {
		world_say(w, "\tck_assert(tcp_waiting(fd[%d], %d));\n", slot, f->f_npending);
		if (!tcp_waiting(fd, f->f_npending))
			world_fail(w, "fd[%d] never had %d connections waiting", slot, f->f_npending);
		return;
	}
	revents |= f->f_urgent ? POLLPRI : 0;
	bytes = f->f_marked ? -1 : (int)f->f_bytes;
	world_say(w, "\tck_assert(tcp_settled(fd[%d], %d, %#x));\n", slot, bytes, (unsigned)revents);
	if (!tcp_settled(fd, bytes, revents))
		world_fail(w, "fd[%d] never came to have %d bytes and events %#x", slot, bytes, (unsigned)revents);
}

void
world_settle(struct world *w)
{
	const struct model *m = &w->w_model;
	unsigned sent = 0;

	for (int i = 0; i < MODEL_SLOTS && !w->w_failed; i++) {
		struct file *f = m->m_slot[i];

		if (f == NULL || !f->f_unsettled)
			continue;
		f->f_unsettled = false;
		if (f->f_kind == LISTENER || (f->f_kind == TCP && f->f_connected))
			settle_one(w, i, f);
		sent |= f->f_kind == TCP && f->f_connected && !f->f_reset ? 1u << i : 0;
	}
	for (int i = 0; i < MODEL_SLOTS && !w->w_failed; i++) {
		if ((sent & 1u << i) == 0)
			continue;
		world_say(w, "\tck_assert(tcp_acked(fd[%d]));\n", i);
		if (!tcp_acked(m->m_number[i]))
			world_fail(w, "fd[%d] has never heard that all it sent has arrived", i);
	}
}
