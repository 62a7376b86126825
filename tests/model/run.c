/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a program, and does what has to do with time, signals and processes. */
#include "world.h"

#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define START	INT64_C(1000000000000)		/* of the clock ... */
#define DATE	INT64_C(1700000000000000000)	/* ... and of the wall clock */

#define CHILD_MOST 40	/* a child's exit code is below that */

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

	w->w_did = true;
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

/* Time. */

static void
set_clock(struct world *w)
{
	world_say(w, "\tclock_set(%" PRId64 ", %" PRId64 ");\n", w->w_model.m_clock, w->w_model.m_date);
	clock_set(w->w_model.m_clock, w->w_model.m_date);
}

static void
op_time(struct world *w, const uint8_t *arg)
{
	static const int64_t steps[] = {
		1000000, 1000000, 5000000, 10000000, 1, 1000, 999999, 1000000000, 100000000, INT64_C(100000000000)
	};
	int64_t step = steps[arg[0] % (sizeof(steps) / sizeof(steps[0]))];

	model_advance(&w->w_model, step);
	set_clock(w);
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
	set_clock(w);
}

/* Signals. */

static void
op_raise(struct world *w, const uint8_t *arg)
{
	unsigned i = arg[0] % MODEL_SIGNALS;
	int before = handled;

	model_signal(&w->w_model, world_signal(i));
	world_say(w, "\thandled = 0;\n\tpthread_kill(pthread_self(), %d);\n\tck_assert_int_eq(handled, %d);\n",
	    world_signal(i), w->w_handles[i]);
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
	int code = arg[1] % CHILD_MOST;
	pid_t pid;

	if (c->c_pid != 0 && !c->c_gone)
		return;
	pid = child_begin(code);
	/* Without a child there is none: nothing may be sent to process -1. */
	*c = (struct child){ .c_pid = pid < 0 ? 0 : pid, .c_status = code << 8 };
	if (pid > 0)
		world_say(w, "\tpid[%d] = child_begin(%d);\n", arg[0] % MODEL_CHILDREN, code);
}

/* One that runs, or that has ended and waits to be reaped; -1: none. */
static int
child_of(const struct world *w, unsigned from, bool zombie)
{
	for (unsigned i = 0; i < MODEL_CHILDREN; i++) {
		unsigned which = (from + i) % MODEL_CHILDREN;
		const struct child *c = &w->w_model.m_child[which];

		if (c->c_pid != 0 && !c->c_gone && c->c_zombie == zombie)
			return (int)which;
	}
	return -1;
}

static void
op_exit(struct world *w, const uint8_t *arg)
{
	int which = child_of(w, arg[0], false);
	struct child *c = &w->w_model.m_child[which < 0 ? 0 : which];
	bool killed = arg[1] % 3 == 0;

	if (which < 0)
		return;
	child_end(c->c_pid, killed);
	world_say(w, "\tchild_end(pid[%d], %s);\n", which, killed ? "true" : "false");
	model_exit(&w->w_model, c, killed ? SIGKILL : c->c_status);
}

static void
op_reap(struct world *w, const uint8_t *arg)
{
	int which = child_of(w, arg[0], true);
	struct child *c = &w->w_model.m_child[which < 0 ? 0 : which];

	if (which < 0)
		return;
	child_reap(c->c_pid);
	world_say(w, "\tchild_reap(pid[%d]);\n", which);
	c->c_gone = true;
}

/* Numbers of descriptors, queues or not, of which there is one at least if the last is none; how many. */
static int
numbers(struct world *w, bool queues, int fds[MODEL_SLOTS])
{
	const struct model *m = &w->w_model;
	int n = 0;

	world_say(w, "(int[]){ ");
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->m_slot[i] != NULL && (m->m_slot[i]->f_kind == QUEUE) == queues) {
			world_say(w, "fd[%d], ", i);
			fds[n++] = m->m_number[i];
		}
	world_say(w, "-1 }, %d", n);
	return n;
}

static void
op_fork(struct world *w)
{
	int queues[MODEL_SLOTS], fds[MODEL_SLOTS], nqueues, nfds, status;

	world_say(w, "\tck_assert_int_eq(child_forked(");
	nqueues = numbers(w, true, queues);
	world_say(w, ", ");
	nfds = numbers(w, false, fds);
	world_say(w, "), 0);\n");
	status = child_forked(queues, nqueues, fds, nfds);
	if (status != 0)
		world_fail(w, "a forked child found fault %d (see child_finds())", status >> 8);
}

/* Programs. */

const char *
run_name(int code)
{
	static const char *const names[OP_CODES] = {
		[OP_CHANGE] = "change", [OP_COLLECT] = "collect", [OP_WRITE] = "write", [OP_READ] = "read",
		[OP_FILL] = "fill", [OP_DRAIN] = "drain", [OP_QUEUE] = "queue", [OP_PIPE] = "pipe",
		[OP_STREAM] = "stream", [OP_DGRAM] = "dgram", [OP_FILE] = "file", [OP_CLOSE] = "close",
		[OP_DUP] = "dup", [OP_DUP2] = "dup2", [OP_SHUTDOWN] = "shutdown", [OP_SEEK] = "seek",
		[OP_APPEND] = "append", [OP_TRUNCATE] = "truncate", [OP_CHMOD] = "chmod", [OP_LINK] = "link",
		[OP_UNLINK] = "unlink", [OP_RENAME] = "rename", [OP_TIME] = "time", [OP_DATE] = "date",
		[OP_RAISE] = "raise", [OP_ACTION] = "action", [OP_CHILD] = "child", [OP_EXIT] = "exit",
		[OP_REAP] = "reap", [OP_FORK] = "fork", [OP_WAIT] = "wait", [OP_TOGETHER] = "together",
		[OP_TRIGGERS] = "triggers", [OP_TCP] = "tcp", [OP_LISTEN] = "listen", [OP_CONNECT] = "connect",
		[OP_ACCEPT] = "accept", [OP_RESET] = "reset", [OP_URGENT] = "urgent",
	};

	return names[code];
}

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
	case OP_PIPE:		op_pair(w, PIPE_READ, PIPE_WRITE); break;
	case OP_STREAM:		op_pair(w, STREAM, STREAM); break;
	case OP_DGRAM:		op_pair(w, DGRAM, DGRAM); break;
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
	case OP_TOGETHER:	compare_together(w, arg); break;
	case OP_TRIGGERS:	compare_triggers(w, arg); break;
	case OP_TCP:		op_tcp(w); break;
	case OP_LISTEN:		op_listen(w); break;
	case OP_CONNECT:	op_connect(w, arg); break;
	case OP_ACCEPT:		op_accept(w, arg); break;
	case OP_RESET:		op_reset(w, arg); break;
	case OP_URGENT:		op_urgent(w, arg); break;
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
	world_say(w, "\tprogram_begins(%" PRId64 ", %" PRId64 ");\n", START, DATE);
	op_queue(w);
}

/* Nothing is left behind. */
static void
end(struct world *w)
{
	struct model *m = &w->w_model;
	struct sigaction now;

	if (w->w_waits > 0)
		compare_woken(w);
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->m_slot[i] != NULL) {
			/* Many programs would leave many ports to be waited for. */
			if (m->m_slot[i]->f_kind == TCP && m->m_slot[i]->f_refs == 1)
				world_reset(w, i);
			else
				world_close(w, i);
		}
	for (unsigned i = 0; i < MODEL_SIGNALS; i++)
		if (sigaction(world_signal(i), NULL, &now) != 0 ||
		    now.sa_handler != (w->w_handles[i] ? handler : SIG_IGN))
			world_fail(w, "the disposition of signal %d is not the program's", world_signal(i));
	for (int i = 0; i < MODEL_CHILDREN; i++)
		if (m->m_child[i].c_pid > 0 && !m->m_child[i].c_gone) {
			world_say(w, "\tchild_end(pid[%d], true);\n\tchild_reap(pid[%d]);\n", i, i);
			child_end(m->m_child[i].c_pid, true);
			child_reap(m->m_child[i].c_pid);
		}
	for (int i = 0; i < m->m_files; i++) {
		struct file *f = &m->m_file[i];

		if (w->w_names[i].n_name)
			unlink(world_path(w, f, false));
		if (w->w_names[i].n_link)
			unlink(world_path(w, f, true));
	}
	world_say(w, "\tclock_set(0, 0);\n");
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
		bool waited = w.w_waits > 0;
		enum code code = (enum code)(ops[i].o_code % OP_CODES);

		w.w_did = false;
		step(&w, code, ops[i].o_arg);
		o->o_done[code] += w.w_did;
		world_settle(&w);
		model_tell_queues(&w.w_model);
		if (waited && !w.w_failed)
			compare_woken(&w);
		compare_readable(&w);
		if (w.w_failed)
			o->o_at = (int)i;
	}
	end(&w);
	return !w.w_failed;
}
