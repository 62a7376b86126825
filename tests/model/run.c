/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START	INT64_C(1000000000000)		/* of the clock ... */
#define DATE	INT64_C(1700000000000000000)	/* ... and of the wall clock */

#define MOST	2000	/* bytes that wait, in as many writes as are sure to fit */
#define WRITES	16
#define CHILD_MOST 40	/* a child's exit code is below that */

static char directory[200];
static volatile sig_atomic_t handled;

void
run_init(const char *dir)
{
	snprintf(directory, sizeof(directory), "%s", dir);
}

void
world_fail(struct world *w, const char *format, ...)
{
	va_list ap;

	if (w->w_failed)
		return;
	w->w_failed = true;
	va_start(ap, format);
	vsnprintf(w->w_outcome->o_why, sizeof(w->w_outcome->o_why), format, ap);
	va_end(ap);
	world_say(w, "\t/* Here they disagree: %s */\n", w->w_outcome->o_why);
}

void
world_say(struct world *w, const char *format, ...)
{
	va_list ap;

	if (w->w_c == NULL)
		return;
	va_start(ap, format);
	vfprintf(w->w_c, format, ap);
	va_end(ap);
	fflush(w->w_c);
}

int
world_signal(unsigned i)
{
	const int signals[MODEL_SIGNALS] = { SIGUSR1, SIGUSR2, SIGRTMIN + 3 };

	return signals[i % MODEL_SIGNALS];
}

int
world_slot(const struct world *w, unsigned kinds, unsigned from)
{
	for (unsigned i = 0; i < MODEL_SLOTS; i++) {
		unsigned slot = (from + i) % MODEL_SLOTS;

		if (w->w_model.m_slot[slot] != NULL && (KIND(w->w_model.m_slot[slot]->f_kind) & kinds) != 0)
			return (int)slot;
	}
	return -1;
}

static int
free_slot(const struct world *w)
{
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (w->w_model.m_slot[i] == NULL)
			return i;
	return -1;
}

/* The system call, and what the model says of it. */
static void
agree(struct world *w, const char *what, int64_t result, int64_t model)
{
	if (result < 0)
		result = -errno;
	if (result != model)
		world_fail(w, "%s() returned %lld, the model says %lld", what, (long long)result, (long long)model);
}

static int
index_of(const struct world *w, const struct file *f)
{
	return (int)(f - w->w_model.m_file);
}

static const char *
path(const struct world *w, const struct file *f, bool link)
{
	static char paths[2][300];
	const struct names *names = &w->w_names[index_of(w, f)];

	snprintf(paths[link], sizeof(paths[link]), "%s/%s%d.%d", directory, link ? "link" : "file", index_of(w, f),
	    link ? 0 : names->n_renamed);
	return paths[link];
}

/* Descriptors. */

static void
op_queue(struct world *w)
{
	int slot = free_slot(w), fd;
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

static void
open_pair(struct world *w, enum kind first, enum kind second)
{
	struct model *m = &w->w_model;
	int slot = free_slot(w), other, fds[2], result;
	struct file *f, *g;

	if (slot < 0 || (f = model_file(m, first)) == NULL)
		return;
	m->m_slot[slot] = f;
	other = free_slot(w);
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

static void
op_file(struct world *w, const uint8_t *arg)
{
	int slot = free_slot(w), fd;
	struct file *f;

	if (slot < 0 || (f = model_file(&w->w_model, REGULAR)) == NULL)
		return;
	w->w_names[index_of(w, f)] = (struct names){ .n_name = true };
	fd = open(path(w, f, false), O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, arg[0] % 64) != 0) {
		world_fail(w, "no file: errno %d", errno);
		return;
	}
	f->f_bytes = arg[0] % 64;
	model_open(&w->w_model, slot, fd, f);
	world_say(w, "\tfd[%d] = open(\"%s\", O_RDWR | O_CREAT, 0600); n = ftruncate(fd[%d], %d);\n", slot,
	    path(w, f, false), slot, arg[0] % 64);
}

/* A queue that is waited for through several numbers keeps them. */
static bool
kept(const struct world *w, int slot)
{
	const struct file *f = w->w_model.m_slot[slot];

	return w->w_waits && f == w->w_awaited && f->f_refs > 1;
}

static void
close_slot(struct world *w, int slot)
{
	int fd = w->w_model.m_number[slot];

	model_close(&w->w_model, slot);
	world_say(w, "\tclose(fd[%d]);\n", slot);
	agree(w, "close", close(fd), 0);
}

static void
op_close(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, ~0u, arg[0]);

	if (slot < 0 || kept(w, slot))
		return;
	/* Queues stay a little longer. */
	if (w->w_model.m_slot[slot]->f_kind == QUEUE && arg[1] % 4 != 0)
		return;
	close_slot(w, slot);
}

static void
op_dup(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, ~0u, arg[0]), to = free_slot(w), fd;

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

static void
op_dup2(struct world *w, const uint8_t *arg)
{
	struct model *m = &w->w_model;
	int from = world_slot(w, ~0u, arg[0]), to = world_slot(w, ~KIND(QUEUE), arg[1]), fd;
	struct file *f;

	if (from < 0 || to < 0 || from == to)
		return;
	f = m->m_slot[from];
	fd = m->m_number[to];
	f->f_refs++;	/* in case both are the same file */
	model_close(m, to);
	f->f_refs--;
	model_open(m, to, fd, f);
	world_say(w, "\tn = dup2(fd[%d], fd[%d]);\n", from, to);
	agree(w, "dup2", dup2(m->m_number[from], fd), fd);
}

/* What is done with them. */

static void
op_write(struct world *w, const uint8_t *arg)
{
	static const char bytes[256];
	int slot = world_slot(w, KIND(PIPE_WRITE) | KIND(STREAM) | KIND(DGRAM) | KIND(REGULAR), arg[0]);
	struct file *f, *to;
	int64_t n = arg[1] % 32;
	bool quiet;

	if (slot < 0)
		return;
	f = w->w_model.m_slot[slot];
	to = f->f_peer;
	if (n == 0 && f->f_kind != DGRAM)
		n = 1;
	quiet = f->f_kind == PIPE_WRITE || f->f_kind == STREAM;
	if (quiet && to->f_refs > 0 && (to->f_full || to->f_bytes + n > MOST || to->f_writes == WRITES))
		return;
	if (f->f_kind == DGRAM && (to->f_refs == 0 || to->f_dgrams == MODEL_DGRAMS))
		return;
	world_say(w, "\tn = (int)write(fd[%d], bytes, %lld);\n", slot, (long long)n);
	agree(w, "write", write(w->w_model.m_number[slot], bytes, (size_t)n), model_write(&w->w_model, f, n));
}

static void
op_read(struct world *w, const uint8_t *arg)
{
	char bytes[64];
	int slot = world_slot(w, KIND(PIPE_READ) | KIND(STREAM) | KIND(DGRAM) | KIND(REGULAR), arg[0]);
	int64_t n = 1 + arg[1] % 64;
	struct file *f;

	if (slot < 0)
		return;
	f = w->w_model.m_slot[slot];
	if (f->f_full)
		return;
	world_say(w, "\tn = (int)read(fd[%d], bytes, %lld);\n", slot, (long long)n);
	agree(w, "read", read(w->w_model.m_number[slot], bytes, (size_t)n), model_read(&w->w_model, f, n));
}

static void
op_fill(struct world *w, const uint8_t *arg)
{
	static const char bytes[65536];
	int slot = world_slot(w, KIND(PIPE_WRITE) | KIND(STREAM), arg[0]);
	struct file *f;

	if (slot < 0 || w->w_waits)
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

static void
op_drain(struct world *w, const uint8_t *arg)
{
	static char bytes[65536];
	int slot = world_slot(w, KIND(PIPE_READ) | KIND(STREAM), arg[0]);
	struct file *f;

	if (slot < 0 || w->w_waits)
		return;
	f = w->w_model.m_slot[slot];
	if (f->f_error != 0)
		return;
	world_say(w, "\twhile (read(fd[%d], bytes, sizeof(bytes)) > 0);\n", slot);
	while (read(w->w_model.m_number[slot], bytes, sizeof(bytes)) > 0)
		;
	model_drain(&w->w_model, f);
}

static void
op_shutdown(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(STREAM), arg[0]);
	bool both = arg[1] % 3 == 0;

	if (slot < 0 || w->w_model.m_slot[slot]->f_peer->f_refs == 0)
		return;
	world_say(w, "\tshutdown(fd[%d], %s);\n", slot, both ? "SHUT_RDWR" : "SHUT_WR");
	agree(w, "shutdown", shutdown(w->w_model.m_number[slot], both ? SHUT_RDWR : SHUT_WR), 0);
	model_shutdown(&w->w_model, w->w_model.m_slot[slot], both);
}

/* Files. */

static void
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
		world_say(w, "\tlseek(fd[%d], %lld, SEEK_SET);\n", slot, (long long)n);
		agree(w, "lseek", lseek(fd, n, SEEK_SET), n);
		model_seek(m, f, n);
		break;
	case OP_APPEND:
		n = 1 + n % 8;
		world_say(w, "\tn = (int)pwrite(fd[%d], bytes, %lld, %lld);\n", slot, (long long)n, (long long)f->f_bytes);
		agree(w, "pwrite", pwrite(fd, "\0\0\0\0\0\0\0\0", (size_t)n, f->f_bytes), n);
		model_append(m, f, n);
		break;
	case OP_TRUNCATE:
		world_say(w, "\tn = ftruncate(fd[%d], %lld);\n", slot, (long long)n);
		agree(w, "ftruncate", ftruncate(fd, n), 0);
		model_truncate(m, f, n);
		break;
	default:
		f->f_mode ^= 040;
		world_say(w, "\tfchmod(fd[%d], %#o);\n", slot, 0600 | f->f_mode);
		agree(w, "fchmod", fchmod(fd, (mode_t)(0600 | f->f_mode)), 0);
		model_vnode(m, f, NOTE_ATTRIB);
	}
}

static void
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
		world_say(w, "\tunlink(\"%s\");\n", path(w, f, true));
		agree(w, "unlink", unlink(path(w, f, true)), 0);
		names->n_link = false;
		model_vnode(&w->w_model, f, NOTE_DELETE | NOTE_LINK);
	} else if (!names->n_name) {
		return;
	} else if (code == OP_UNLINK) {
		world_say(w, "\tunlink(\"%s\");\n", path(w, f, false));
		agree(w, "unlink", unlink(path(w, f, false)), 0);
		names->n_name = false;
		model_vnode(&w->w_model, f, NOTE_DELETE | NOTE_LINK);
	} else if (code == OP_RENAME) {
		strcpy(before, path(w, f, false));
		names->n_renamed++;
		world_say(w, "\trename(\"%s\", \"%s\");\n", before, path(w, f, false));
		agree(w, "rename", rename(before, path(w, f, false)), 0);
		model_vnode(&w->w_model, f, NOTE_RENAME);
	} else if (!names->n_link) {
		world_say(w, "\tn = link(\"%s\", \"%s\");\n", path(w, f, false), path(w, f, true));
		agree(w, "link", link(path(w, f, false), path(w, f, true)), 0);
		names->n_link = true;
		model_vnode(&w->w_model, f, NOTE_LINK);
	}
}

/* Time. */

static void
op_time(struct world *w, const uint8_t *arg)
{
	static const int64_t steps[] = {
		1000000, 1000000, 5000000, 10000000, 1, 1000, 999999, 1000000000, 100000000, INT64_C(100000000000)
	};
	int64_t step = steps[arg[0] % (sizeof(steps) / sizeof(steps[0]))];

	model_advance(&w->w_model, step);
	world_say(w, "\tnap(%lld);\t/* %lld nanoseconds */\n", (long long)(step / 1000000), (long long)step);
	clock_set(w->w_model.m_clock, w->w_model.m_date);
}

/* Set back only while no date is past that might, or might not, have been noticed. */
static void
op_date(struct world *w, const uint8_t *arg)
{
	struct model *m = &w->w_model;
	int64_t date = m->m_date + (int8_t)arg[0] * INT64_C(1000000);

	if (w->w_waits)
		return;
	for (int i = 0; i < MODEL_KNOTES; i++)
		if (m->m_knote[i].k_used && m->m_knote[i].k_kev.filter == EVFILT_TIMER &&
		    (m->m_knote[i].k_kev.fflags & NOTE_ABSTIME) != 0 && m->m_knote[i].k_when <= m->m_date &&
		    date < m->m_date)
			return;
	model_set_date(m, date);
	world_say(w, "\t/* The date is set by %d ms. */\n", (int8_t)arg[0]);
	clock_set(m->m_clock, m->m_date);
}

/* Signals. */

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

static void
op_raise(struct world *w, const uint8_t *arg)
{
	unsigned i = arg[0] % MODEL_SIGNALS;
	int before = handled;

	model_signal(&w->w_model, world_signal(i));
	world_say(w, "\tpthread_kill(pthread_self(), %d);\n", world_signal(i));
	pthread_kill(pthread_self(), world_signal(i));
	if (handled - before != w->w_handles[i])
		world_fail(w, "signal %d was handled %d times", world_signal(i), handled - before);
}

static void
op_action(struct world *w, const uint8_t *arg)
{
	unsigned i = arg[0] % MODEL_SIGNALS;

	w->w_handles[i] = arg[1] % 2 == 0;
	signal(world_signal(i), w->w_handles[i] ? handler : SIG_IGN);
	world_say(w, "\tsignal(%d, %s);\n", world_signal(i), w->w_handles[i] ? "handler" : "SIG_IGN");
}

/* Children. */

static void
op_child(struct world *w, const uint8_t *arg)
{
	struct child *c = &w->w_model.m_child[arg[0] % MODEL_CHILDREN];
	int code = arg[1] % CHILD_MOST, status;

	if ((c->c_pid != 0 && !c->c_gone) || w->w_waits)
		return;
	*c = (struct child){ .c_pid = fork() };
	if (c->c_pid == 0) {
		/* It must not hold the other ends of anything. */
		syscall(SYS_close_range, 3, ~0u, 0);
		raise(SIGSTOP);
		_exit(code);
	}
	while (c->c_pid > 0 && waitpid(c->c_pid, &status, WUNTRACED) == -1 && errno == EINTR)
		;
	c->c_status = code << 8;
	world_say(w, "\tpid[%d] = fork();\t/* which will exit with %d */\n", arg[0] % MODEL_CHILDREN, code);
}

static void
op_exit(struct world *w, const uint8_t *arg)
{
	struct child *c = &w->w_model.m_child[arg[0] % MODEL_CHILDREN];
	bool killed = arg[1] % 3 == 0;
	siginfo_t info;

	if (c->c_pid == 0 || c->c_zombie)
		return;
	kill(c->c_pid, killed ? SIGKILL : SIGCONT);
	while (waitid(P_PID, (id_t)c->c_pid, &info, WEXITED | WNOWAIT) == -1 && errno == EINTR)
		;
	world_say(w, "\tpid[%d] ends;\n", arg[0] % MODEL_CHILDREN);
	model_exit(&w->w_model, c, killed ? SIGKILL : c->c_status);
}

static void
op_reap(struct world *w, const uint8_t *arg)
{
	struct child *c = &w->w_model.m_child[arg[0] % MODEL_CHILDREN];

	if (c->c_pid == 0 || !c->c_zombie || c->c_gone)
		return;
	while (waitpid(c->c_pid, NULL, 0) == -1 && errno == EINTR)
		;
	world_say(w, "\twaitpid(pid[%d], NULL, 0);\n", arg[0] % MODEL_CHILDREN);
	c->c_gone = true;
}

/* A forked child has none of these queues, and can make its own; what it does harms none of ours. */
static int
child_checks(const struct world *w)
{
	struct kevent kev;
	int kq;

	for (int i = 0; i < MODEL_SLOTS; i++) {
		if (w->w_model.m_slot[i] == NULL || w->w_model.m_slot[i]->f_kind != QUEUE)
			continue;
		EV_SET(&kev, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL);
		if (kevent(w->w_model.m_number[i], &kev, 1, NULL, 0, NULL) != -1 || errno != EBADF)
			return 1;
	}
	kq = kqueue();
	EV_SET(&kev, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 7, NULL);
	if (kq < 0 || kevent(kq, &kev, 1, NULL, 0, NULL) != 0)
		return 2;
	memset(&kev, 0, sizeof(kev));
	if (kevent(kq, NULL, 0, &kev, 1, NULL) != 1 || kev.data != 7)
		return 3;
	return close(kq) == 0 ? 0 : 4;
}

static void
op_fork(struct world *w)
{
	int status = -1;
	pid_t pid;

	if (w->w_waits)
		return;
	pid = fork();
	if (pid == 0)
		_exit(child_checks(w));
	while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	world_say(w, "\t/* A child is forked, finds our queues EBADF, and uses one of its own. */\n");
	if (pid > 0 && status != 0)
		world_fail(w, "a forked child found fault %d (see child_checks())", status >> 8);
}

/* Programs. */

static void
step(struct world *w, enum code code, const uint8_t *arg)
{
	switch (code) {
	case OP_CHANGE:		compare_change(w, arg); break;
	case OP_COLLECT:	compare_collect(w, arg); break;
	case OP_WRITE:		op_write(w, arg); break;
	case OP_READ:		op_read(w, arg); break;
	case OP_FILL:		op_fill(w, arg); break;
	case OP_DRAIN:		op_drain(w, arg); break;
	case OP_QUEUE:		op_queue(w); break;
	case OP_PIPE:		open_pair(w, PIPE_READ, PIPE_WRITE); break;
	case OP_STREAM:		open_pair(w, STREAM, STREAM); break;
	case OP_DGRAM:		open_pair(w, DGRAM, DGRAM); break;
	case OP_FILE:		op_file(w, arg); break;
	case OP_CLOSE:		op_close(w, arg); break;
	case OP_DUP:		op_dup(w, arg); break;
	case OP_DUP2:		op_dup2(w, arg); break;
	case OP_SHUTDOWN:	op_shutdown(w, arg); break;
	case OP_SEEK:
	case OP_APPEND:
	case OP_TRUNCATE:
	case OP_CHMOD:		op_of_file(w, code, arg); break;
	case OP_LINK:
	case OP_UNLINK:
	case OP_RENAME:		op_of_name(w, code, arg); break;
	case OP_TIME:		op_time(w, arg); break;
	case OP_DATE:		op_date(w, arg); break;
	case OP_RAISE:		op_raise(w, arg); break;
	case OP_ACTION:		op_action(w, arg); break;
	case OP_CHILD:		op_child(w, arg); break;
	case OP_EXIT:		op_exit(w, arg); break;
	case OP_REAP:		op_reap(w, arg); break;
	case OP_FORK:		op_fork(w); break;
	case OP_WAIT:		compare_wait(w, arg); break;
	case OP_CODES:		break;
	}
}

static void
begin(struct world *w)
{
	model_init(&w->w_model, START, DATE);
	clock_set(START, DATE);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < MODEL_SIGNALS; i++)
		signal(world_signal(i), SIG_IGN);
	if (w->w_c != NULL)
		world_say(w, "\tstruct kevent kl[%d], ev[%d];\n\tint fd[%d], p[2], pid[%d], n;\n\tchar bytes[65536];\n\n",
		    CHANGES, EVENTS, MODEL_SLOTS, MODEL_CHILDREN);
	op_queue(w);
}

/* Nothing is left behind. */
static void
end(struct world *w)
{
	struct model *m = &w->w_model;
	struct sigaction now;

	if (w->w_waits)
		compare_woken(w);
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->m_slot[i] != NULL)
			close_slot(w, i);
	for (unsigned i = 0; i < MODEL_SIGNALS; i++)
		if (sigaction(world_signal(i), NULL, &now) != 0 ||
		    now.sa_handler != (w->w_handles[i] ? handler : SIG_IGN))
			world_fail(w, "the disposition of signal %d is not the program's", world_signal(i));
	for (int i = 0; i < MODEL_CHILDREN; i++)
		if (m->m_child[i].c_pid > 0 && !m->m_child[i].c_gone) {
			kill(m->m_child[i].c_pid, SIGKILL);
			waitpid(m->m_child[i].c_pid, NULL, 0);
		}
	for (int i = 0; i < m->m_files; i++) {
		struct file *f = &m->m_file[i];

		if (w->w_names[i].n_name)
			unlink(path(w, f, false));
		if (w->w_names[i].n_link)
			unlink(path(w, f, true));
	}
	clock_set(0, 0);
}

bool
run(const struct op *ops, size_t n, struct outcome *o, FILE *c)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	w.w_outcome = o;
	w.w_c = c;
	o->o_at = -1;
	begin(&w);
	for (size_t i = 0; i < n && i < RUN_OPS && !w.w_failed; i++) {
		bool waited = w.w_waits;

		step(&w, (enum code)(ops[i].o_code % OP_CODES), ops[i].o_arg);
		if (waited && !w.w_failed)
			compare_woken(&w);
		compare_readable(&w);
		if (w.w_failed)
			o->o_at = (int)i;
	}
	end(&w);
	return !w.w_failed;
}
