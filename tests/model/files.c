/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations on descriptors, and on the names of files. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST	2000	/* bytes that wait, in as many writes as are sure to fit */
#define WRITES	16

static char directory[200];

void
run_init(const char *dir)
{
	snprintf(directory, sizeof(directory), "%s", dir);
}

int
world_free_slot(const struct world *w)
{
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (w->w_model.m_slot[i] == NULL)
			return i;
	return -1;
}

/* The system call, and what the model says of it. */
void
world_agree(struct world *w, const char *what, int64_t result, int64_t model)
{
	if (result < 0)
		result = -errno;
	/* Numbers of descriptors are others elsewhere. */
	if (strcmp(what, "dup2") != 0)
		world_say(w, "\tck_assert_int_eq(n < 0 ? -errno : n, %lld);\n", (long long)model);
	if (result != model)
		world_fail(w, "%s() returned %lld, the model says %lld", what, (long long)result, (long long)model);
}

static int
index_of(const struct world *w, const struct file *f)
{
	return (int)(f - w->w_model.m_file);
}

const char *
world_path(const struct world *w, const struct file *f, bool link)
{
	static char paths[2][300];
	const struct names *names = &w->w_names[index_of(w, f)];

	snprintf(paths[link], sizeof(paths[link]), "%s/%s%d.%d", directory, link ? "link" : "file", index_of(w, f),
	    link ? 0 : names->n_renamed);
	return paths[link];
}

/* The same in C, whose directory is another. */
static const char *
leaf(const char *path)
{
	return strrchr(path, '/') + 1;
}

void
op_queue(struct world *w)
{
	int slot = world_free_slot(w), fd;
	struct file *f;

	if (slot < 0 || (f = model_file(&w->w_model, QUEUE)) == NULL)
		return;
	fd = kqueue();
	if (fd < 0) {
		world_fail(w, "kqueue(): errno %d", errno);
		return;
	}
	model_open(&w->w_model, slot, fd, f);
	world_say(w, "\tfd[%d] = kqueue();\n", slot);
}

void
op_pair(struct world *w, enum kind first, enum kind second)
{
	struct model *m = &w->w_model;
	int slot = world_free_slot(w), other, fds[2], result;
	struct file *f, *g;

	if (slot < 0 || (f = model_file(m, first)) == NULL)
		return;
	m->m_slot[slot] = f;
	other = world_free_slot(w);
	m->m_slot[slot] = NULL;
	if (other < 0 || (g = model_file(m, second)) == NULL)
		return;
	if (first == PIPE_READ)
		result = pipe2(fds, O_NONBLOCK);
	else
		result = socketpair(AF_UNIX, (first == STREAM ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0, fds);
	if (result != 0) {
		world_fail(w, "no pair: errno %d", errno);
		return;
	}
	f->f_peer = g;
	g->f_peer = f;
	model_open(m, slot, fds[0], f);
	model_open(m, other, fds[1], g);
	if (first == PIPE_READ)
		world_say(w, "\tn = pipe2(p, O_NONBLOCK); ");
	else
		world_say(w, "\tn = socketpair(AF_UNIX, %s | SOCK_NONBLOCK, 0, p); ",
		    first == STREAM ? "SOCK_STREAM" : "SOCK_DGRAM");
	world_say(w, "fd[%d] = p[0]; fd[%d] = p[1];\n", slot, other);
}

void
op_file(struct world *w, const uint8_t *arg)
{
	int slot = world_free_slot(w), fd;
	struct file *f;

	if (slot < 0 || (f = model_file(&w->w_model, REGULAR)) == NULL)
		return;
	w->w_names[index_of(w, f)] = (struct names){ .n_name = true };
	fd = open(world_path(w, f, false), O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, arg[0] % 64) != 0) {
		world_fail(w, "no file: errno %d", errno);
		return;
	}
	f->f_bytes = arg[0] % 64;
	model_open(&w->w_model, slot, fd, f);
	world_say(w, "\tfd[%d] = open(name(\"%s\"), O_RDWR | O_CREAT, 0600); n = ftruncate(fd[%d], %d);\n", slot,
	    leaf(world_path(w, f, false)), slot, arg[0] % 64);
}

/* A queue that is waited for through several numbers keeps them. */
static bool
kept(const struct world *w, int slot)
{
	const struct file *f = w->w_model.m_slot[slot];

	return w->w_waits > 0 && f == w->w_awaited && f->f_refs > 1;
}

void
world_close(struct world *w, int slot)
{
	int fd = w->w_model.m_number[slot];

	model_close(&w->w_model, slot);
	world_say(w, "\tn = close(fd[%d]);\n", slot);
	world_agree(w, "close", close(fd), 0);
}

void
op_close(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, ~0u, arg[0]);

	if (slot < 0 || kept(w, slot))
		return;
	/* Queues stay a little longer. */
	if (w->w_model.m_slot[slot]->f_kind == QUEUE && arg[1] % 4 != 0)
		return;
	world_close(w, slot);
}

void
op_dup(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, ~0u, arg[0]), to = world_free_slot(w), fd;

	if (slot < 0 || to < 0)
		return;
	fd = dup(w->w_model.m_number[slot]);
	if (fd < 0) {
		world_fail(w, "dup(): errno %d", errno);
		return;
	}
	model_open(&w->w_model, to, fd, w->w_model.m_slot[slot]);
	world_say(w, "\tfd[%d] = dup(fd[%d]);\n", to, slot);
}

void
op_dup2(struct world *w, const uint8_t *arg)
{
	struct model *m = &w->w_model;
	/* Queues are replaced a little less often. */
	int from = world_slot(w, ~0u, arg[0]), to = world_slot(w, arg[2] % 4 == 0 ? ~0u : ~KIND(QUEUE), arg[1]), fd;
	struct file *f;

	if (from < 0 || to < 0 || from == to || kept(w, to))
		return;
	f = m->m_slot[from];
	fd = m->m_number[to];
	f->f_refs++;	/* in case both are the same file */
	model_close(m, to);
	f->f_refs--;
	model_open(m, to, fd, f);
	world_say(w, "\tn = dup2(fd[%d], fd[%d]);\n", from, to);
	world_agree(w, "dup2", dup2(m->m_number[from], fd), fd);
}

/* What is done with them. */

void
op_write(struct world *w, const uint8_t *arg)
{
	static const char bytes[256];
	int slot = world_slot(w, KIND(PIPE_WRITE) | KIND(STREAM) | KIND(DGRAM) | KIND(REGULAR) | KIND(TCP), arg[0]);
	struct file *f, *to;
	int64_t n = arg[1] % 32;
	bool quiet;

	if (slot < 0)
		return;
	f = w->w_model.m_slot[slot];
	to = f->f_peer;
	if (n == 0 && f->f_kind != DGRAM)
		n = 1;
	quiet = f->f_kind == PIPE_WRITE || f->f_kind == STREAM || f->f_kind == TCP;
	if (f->f_kind == TCP && !f->f_connected)
		return;
	if (quiet && to != NULL && to->f_refs > 0 && (to->f_full || to->f_bytes + n > MOST || to->f_writes == WRITES))
		return;
	if (f->f_kind == DGRAM && (to->f_refs == 0 || to->f_dgrams == MODEL_DGRAMS))
		return;
	world_say(w, "\tn = (int)write(fd[%d], bytes, %lld);\n", slot, (long long)n);
	world_agree(w, "write", write(w->w_model.m_number[slot], bytes, (size_t)n), model_write(&w->w_model, f, n));
}

void
op_read(struct world *w, const uint8_t *arg)
{
	char bytes[64];
	int slot = world_slot(w, KIND(PIPE_READ) | KIND(STREAM) | KIND(DGRAM) | KIND(REGULAR) | KIND(TCP), arg[0]);
	int64_t n = 1 + arg[1] % 64;
	struct file *f;

	if (slot < 0)
		return;
	f = w->w_model.m_slot[slot];
	if (f->f_full || f->f_marked || (f->f_kind == TCP && !f->f_connected))
		return;
	world_say(w, "\tn = (int)read(fd[%d], bytes, %lld);\n", slot, (long long)n);
	world_agree(w, "read", read(w->w_model.m_number[slot], bytes, (size_t)n), model_read(&w->w_model, f, n));
}

void
op_fill(struct world *w, const uint8_t *arg)
{
	static const char bytes[65536];
	int slot = world_slot(w, KIND(PIPE_WRITE) | KIND(STREAM), arg[0]);
	struct file *f;

	if (slot < 0 || w->w_waits > 0)
		return;
	f = w->w_model.m_slot[slot];
	if (f->f_peer->f_refs == 0 || f->f_shut || f->f_peer->f_deaf || f->f_peer->f_full)
		return;
	world_say(w, "\twhile (write(fd[%d], bytes, sizeof(bytes)) > 0);\n", slot);
	while (write(w->w_model.m_number[slot], bytes, sizeof(bytes)) > 0)
		;
	while (write(w->w_model.m_number[slot], bytes, 1) > 0)
		;
	model_fill(&w->w_model, f);
}

void
op_drain(struct world *w, const uint8_t *arg)
{
	static char bytes[65536];
	int slot = world_slot(w, KIND(PIPE_READ) | KIND(STREAM) | KIND(TCP), arg[0]);
	struct file *f;

	if (slot < 0 || w->w_waits > 0)
		return;
	f = w->w_model.m_slot[slot];
	if (f->f_error != 0 || (f->f_kind == TCP && (!f->f_connected || f->f_reset)))
		return;
	/* The urgent byte is taken first, or would be passed over. */
	if (f->f_urgent && f->f_shut && f->f_fin)
		return;
	if (f->f_urgent) {
		world_say(w, "\tn = (int)recv(fd[%d], bytes, 1, MSG_OOB);\n", slot);
		world_agree(w, "recv", recv(w->w_model.m_number[slot], bytes, 1, MSG_OOB), 1);
	}
	world_say(w, "\twhile (read(fd[%d], bytes, sizeof(bytes)) > 0);\n", slot);
	while (read(w->w_model.m_number[slot], bytes, sizeof(bytes)) > 0)
		;
	model_drain(&w->w_model, f);
}

void
op_shutdown(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(STREAM) | KIND(TCP), arg[0]);
	bool both = arg[1] % 3 == 0;
	struct file *f;

	if (slot < 0)
		return;
	f = w->w_model.m_slot[slot];
	if (f->f_kind == STREAM ? f->f_peer->f_refs == 0 : !f->f_connected || f->f_reset || f->f_shut)
		return;
	/* What TCP does with what comes after it was told not to receive is its own affair. */
	both &= f->f_kind == STREAM;
	world_say(w, "\tn = shutdown(fd[%d], %s);\n", slot, both ? "SHUT_RDWR" : "SHUT_WR");
	world_agree(w, "shutdown", shutdown(w->w_model.m_number[slot], both ? SHUT_RDWR : SHUT_WR), 0);
	model_shutdown(&w->w_model, w->w_model.m_slot[slot], both);
}

/* Files. */

void
op_of_file(struct world *w, enum code code, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(REGULAR), arg[0]), fd;
	struct model *m = &w->w_model;
	struct file *f;
	int64_t n = arg[1] % 64;

	if (slot < 0)
		return;
	f = m->m_slot[slot];
	fd = m->m_number[slot];
	switch (code) {
	case OP_SEEK:
		world_say(w, "\tn = (int)lseek(fd[%d], %lld, SEEK_SET);\n", slot, (long long)n);
		world_agree(w, "lseek", lseek(fd, n, SEEK_SET), n);
		model_seek(m, f, n);
		break;
	case OP_APPEND:
		n = 1 + n % 8;
		world_say(w, "\tn = (int)pwrite(fd[%d], bytes, %lld, %lld);\n", slot, (long long)n, (long long)f->f_bytes);
		world_agree(w, "pwrite", pwrite(fd, "\0\0\0\0\0\0\0\0", (size_t)n, f->f_bytes), n);
		model_append(m, f, n);
		break;
	case OP_TRUNCATE:
		world_say(w, "\tn = ftruncate(fd[%d], %lld);\n", slot, (long long)n);
		world_agree(w, "ftruncate", ftruncate(fd, n), 0);
		model_truncate(m, f, n);
		break;
	default:
		f->f_mode ^= 040;
		world_say(w, "\tn = fchmod(fd[%d], %#o);\n", slot, 0600 | f->f_mode);
		world_agree(w, "fchmod", fchmod(fd, (mode_t)(0600 | f->f_mode)), 0);
		model_vnode(m, f, NOTE_ATTRIB);
	}
}

void
op_of_name(struct world *w, enum code code, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(REGULAR), arg[0]);
	struct names *names;
	struct file *f;
	char before[300];

	if (slot < 0)
		return;
	f = w->w_model.m_slot[slot];
	names = &w->w_names[index_of(w, f)];
	if (code == OP_UNLINK && names->n_link) {
		world_say(w, "\tn = unlink(name(\"%s\"));\n", leaf(world_path(w, f, true)));
		world_agree(w, "unlink", unlink(world_path(w, f, true)), 0);
		names->n_link = false;
		model_vnode(&w->w_model, f, NOTE_DELETE | NOTE_LINK);
	} else if (!names->n_name) {
		return;
	} else if (code == OP_UNLINK) {
		world_say(w, "\tn = unlink(name(\"%s\"));\n", leaf(world_path(w, f, false)));
		world_agree(w, "unlink", unlink(world_path(w, f, false)), 0);
		names->n_name = false;
		model_vnode(&w->w_model, f, NOTE_DELETE | NOTE_LINK);
	} else if (code == OP_RENAME) {
		strcpy(before, world_path(w, f, false));
		names->n_renamed++;
		world_say(w, "\tn = rename(name(\"%s\"), name(\"%s\"));\n", leaf(before), leaf(world_path(w, f, false)));
		world_agree(w, "rename", rename(before, world_path(w, f, false)), 0);
		model_vnode(&w->w_model, f, NOTE_RENAME);
	} else if (!names->n_link) {
		world_say(w, "\tn = link(name(\"%s\"), name(\"%s\"));\n", leaf(world_path(w, f, false)),
		    leaf(world_path(w, f, true)));
		world_agree(w, "link", link(world_path(w, f, false), world_path(w, f, true)), 0);
		names->n_link = true;
		model_vnode(&w->w_model, f, NOTE_LINK);
	}
}
