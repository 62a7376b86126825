/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations that call kevent(), and what the model says to their results. */
#include "world.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* How many calls may pass over one of n that are ready: of four with room for one, one may be the descriptors'. */
#define PASSED(n)	(4 * ((n) + 2))

/* Making changes from bytes. */

static const short filters[] = {
	EVFILT_READ, EVFILT_READ, EVFILT_READ, EVFILT_WRITE, EVFILT_WRITE, EVFILT_USER, EVFILT_USER,
	EVFILT_TIMER, EVFILT_TIMER, EVFILT_SIGNAL, EVFILT_EXCEPT, EVFILT_VNODE, EVFILT_VNODE, EVFILT_PROC,
};

static const unsigned short actions[] = {
	EV_ADD, EV_ADD, EV_ADD, EV_ADD, EV_ADD | EV_ENABLE, EV_ADD | EV_DISABLE, EV_ENABLE, EV_ENABLE, EV_DISABLE,
	EV_DELETE, EV_DELETE, 0, EV_ENABLE | EV_KEEPUDATA, EV_FORCEONESHOT, EV_ADD | EV_DELETE, EV_KEEPUDATA,
};

static const unsigned short manners[] = {
	0, 0, 0, EV_CLEAR, EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_CLEAR | EV_ONESHOT, EV_CLEAR | EV_DISPATCH,
	EV_RECEIPT, EV_CLEAR | EV_RECEIPT, EV_UDATA_SPECIFIC, EV_UDATA_SPECIFIC | EV_CLEAR,
	EV_UDATA_SPECIFIC | EV_ONESHOT, 0, EV_VANISHED,
};

static const uint32_t timer_flags[] = {
	0, 0, NOTE_MSECONDS, NOTE_USECONDS, NOTE_NSECONDS, NOTE_SECONDS, NOTE_ABSTIME, NOTE_ABSTIME | NOTE_NSECONDS,
	NOTE_ABSOLUTE, NOTE_SECONDS | NOTE_USECONDS, NOTE_ABSTIME | NOTE_ABSOLUTE, 0x1000,
};

static const int64_t numbers[] = { 0, 1, 2, 5, 10, 100, 1000, 3, -1, INT64_MAX, INT64_MIN, 20 };

#define CHOOSE(array, byte) ((array)[(byte) % (sizeof(array) / sizeof((array)[0]))])

static void
shape_timer(const struct model *m, struct kevent *kev, const uint8_t *arg)
{
	kev->ident = arg[1] % 4;
	kev->fflags = CHOOSE(timer_flags, arg[4]);
	if ((kev->fflags & (NOTE_ABSTIME | NOTE_ABSOLUTE)) != 0 && arg[5] % 8 != 0)
		kev->data = m->m_date / ((kev->fflags & NOTE_NSECONDS) != 0 ? 1 : 1000000) + (int8_t)arg[6];
}

static void
shape_descriptor(struct world *w, struct kevent *kev, const uint8_t *arg)
{
	unsigned kinds = KIND(PIPE_READ) | KIND(PIPE_WRITE) | KIND(STREAM) | KIND(DGRAM) | KIND(REGULAR) | KIND(QUEUE) |
	    KIND(TCP) | KIND(LISTENER);
	int slot;

	kev->fflags = arg[4] % 4 == 0 ? NOTE_LOWAT : arg[4] % 16 == 1 ? NOTE_FILE_POLL : 0;
	if (kev->filter == EVFILT_WRITE) {
		kev->fflags = 0;
		kinds &= ~KIND(LISTENER);
	}
	if (kev->filter == EVFILT_VNODE) {
		kinds = KIND(REGULAR);
		kev->fflags = arg[4] & (NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK |
		    NOTE_RENAME | NOTE_TRUNCATE);
	}
	if (kev->filter == EVFILT_EXCEPT) {
		kinds = KIND(PIPE_READ) | KIND(STREAM) | KIND(TCP);
		kev->fflags = arg[4] % 4 == 0 ? 0 : NOTE_OOB;
		/* TCP before others: of these there is the end alone to tell. */
		if (arg[5] % 4 != 0 && world_slot(w, KIND(TCP), arg[1]) >= 0)
			kinds = KIND(TCP);
	}
	if (kev->filter == EVFILT_READ && (kev->fflags & NOTE_LOWAT) != 0)
		kev->data = 1 + arg[5] % 20;
	slot = arg[1] >= 250 ? -1 : world_slot(w, kinds, arg[1]);
	kev->ident = slot < 0 ? 1000000 : (uintptr_t)w->w_model.m_number[slot];
	/* A closed number, one that cannot be, one of a file that VNODE does not know. */
	if (slot < 0 && arg[1] % 2 == 0)
		kev->ident = UINTPTR_MAX;
}

static void
shape(struct world *w, struct kevent *kev, const uint8_t *arg)
{
	const struct model *m = &w->w_model;

	kev->filter = CHOOSE(filters, arg[2]);
	kev->flags = CHOOSE(actions, arg[3]) | CHOOSE(manners, arg[7]);
	kev->fflags = 0;
	kev->data = CHOOSE(numbers, arg[5]);
	kev->udata = (void *)(uintptr_t)(arg[8] % 3);
	switch (kev->filter) {
	case EVFILT_USER:
		kev->ident = arg[1] % 4;
		kev->fflags = (uint32_t)(arg[4] & 3) << 30 | (arg[4] & 4 ? NOTE_TRIGGER : 0) | (arg[6] & 0xf);
		break;
	case EVFILT_TIMER:
		shape_timer(m, kev, arg);
		break;
	case EVFILT_SIGNAL:
		kev->ident = arg[1] >= 240 ? arg[1] - 240u : (uintptr_t)world_signal(arg[1]);
		if (arg[1] >= 240 && kev->ident != SIGKILL && kev->ident != SIGSTOP)
			kev->ident = kev->ident % 2 == 0 ? 0 : 1000;
		break;
	case EVFILT_PROC:
		kev->ident = (uintptr_t)m->m_child[arg[1] % MODEL_CHILDREN].c_pid;
		if (kev->ident == 0)
			kev->ident = INT32_MAX;
		kev->fflags = NOTE_EXIT;
		break;
	default:
		shape_descriptor(w, kev, arg);
	}
	if (arg[9] >= 250)
		kev->filter = (short)(arg[9] % 2 == 0 ? 0 : -EVFILT_SYSCOUNT - 1);
	if (arg[9] == 249)
		kev->flags |= EV_ENABLE | EV_DISABLE;
	if (arg[9] == 248)
		kev->flags |= EV_ADD | EV_KEEPUDATA;
}

/* Printing. */

static const char *
ident_text(const struct world *w, const struct kevent *k)
{
	int slot = model_slot(&w->w_model, k->ident);
	static char text[40];

	snprintf(text, sizeof(text), "%" PRIuPTR "u", k->ident);
	if (k->filter == EVFILT_PROC)
		for (int i = 0; i < MODEL_CHILDREN; i++)
			if (w->w_model.m_child[i].c_pid != 0 && (uintptr_t)w->w_model.m_child[i].c_pid == k->ident)
				snprintf(text, sizeof(text), "(uintptr_t)pid[%d]", i);
	if (slot >= 0 && (k->filter == EVFILT_READ || k->filter == EVFILT_WRITE ||
	    k->filter == EVFILT_EXCEPT || k->filter == EVFILT_VNODE))
		snprintf(text, sizeof(text), "(uintptr_t)fd[%d]", slot);
	return text;
}

/* C has no constant that is the least. */
static const char *
number_text(int64_t number, char text[24])
{
	snprintf(text, 24, "%" PRId64, number);
	return number == INT64_MIN ? "INT64_MIN" : text;
}

/* Comparing. */

static bool
fits(const struct expect *e, const struct call *c, int i)
{
	const struct kevent *k = &e->e_knote->k_kev, *got = &c->c_event[i];

	if (got->ident != k->ident || got->filter != k->filter || got->udata != k->udata ||
	    ((got->flags ^ e->e_flags) & ~(e->e_eof_open ? EV_EOF : 0u)) != 0)
		return false;
	if (c->c_wide && memcmp(c->c_ext[i], e->e_knote->k_ext, sizeof(e->e_knote->k_ext)) != 0)
		return false;
	return e->e_knote->k_forced || (got->data >= e->e_least && got->data <= e->e_most &&
	    (got->fflags & e->e_must) == e->e_must && (got->fflags & ~e->e_may) == 0);
}

static void
tell(struct world *w, const struct expect *e, bool wide)
{
	const struct kevent *k = &e->e_knote->k_kev;
	bool forced = e->e_knote->k_forced;
	char least[24], most[24];

	world_say(w, "\texpect(%d, %s, %d, %#x, %#x, %#x, %#x, %s, %s, %" PRIuPTR ");\n", e->e_sure == MUST,
	    ident_text(w, k), k->filter, e->e_flags, e->e_eof_open ? EV_EOF : 0, forced ? 0 : e->e_must,
	    forced ? ~0u : e->e_may, number_text(forced ? INT64_MIN : e->e_least, least),
	    number_text(forced ? INT64_MAX : e->e_most, most), (uintptr_t)k->udata);
	if (wide)
		world_say(w, "\texpect_ext(%" PRIu64 "u, %" PRIu64 "u);\n", e->e_knote->k_ext[0], e->e_knote->k_ext[1]);
}

static void
show(struct world *w, const struct kevent *k)
{
	world_say(w, "\t/* the library: ident %ld filter %d flags %#x fflags %#x data %lld udata %" PRIuPTR " */\n",
	    (long)k->ident, k->filter, k->flags, k->fflags, (long long)k->data, (uintptr_t)k->udata);
}

void
compare_events(struct world *w, struct file *q, const struct call *c, enum share share)
{
	static const char *const names[] = { "ALL", "SOME", "ANY" };
	struct expect expect[MODEL_KNOTES];
	int n = model_ready(&w->w_model, q, expect), must = 0, e;

	for (int i = 0; i < n; i++) {
		must += expect[i].e_sure == MUST;
		tell(w, &expect[i], c->c_wide);
	}
	world_say(w, "\ttold(%s, n, %d, %s);\n", c->c_same && !c->c_wide ? "kl" : "ev", c->c_nevents, names[share]);
	for (int i = 0; i < c->c_result; i++)
		show(w, &c->c_event[i]);
	if (c->c_result < 0) {
		world_fail(w, "kevent() failed: errno %d", c->c_error);
		return;
	}
	for (int i = 0; i < c->c_result; i++) {
		w->w_outcome->o_events++;
		for (e = 0; e < n && (expect[e].e_sure == NO || !fits(&expect[e], c, i)); e++)
			;
		if (e == n) {
			world_fail(w, "event %d of %d: ident %ld filter %d flags %#x fflags %#x data %lld: not expected",
			    i, c->c_result, (long)c->c_event[i].ident, c->c_event[i].filter, c->c_event[i].flags,
			    c->c_event[i].fflags, (long long)c->c_event[i].data);
			return;
		}
		must -= expect[e].e_sure == MUST;
		expect[e].e_sure = NO;
		model_deliver(&w->w_model, &expect[e], &c->c_event[i]);
	}
	if (must > 0 && c->c_result == 0 && share == SOME)
		world_fail(w, "the waiter got nothing");
	for (e = 0; e < n && must > 0 && share == ALL; e++) {
		if (expect[e].e_sure != MUST)
			continue;
		if (c->c_result < c->c_nevents || ++expect[e].e_knote->k_passed > PASSED(n))
			world_fail(w, "%d returned, but ident %ld filter %d is ready%s", c->c_result,
			    (long)expect[e].e_knote->k_kev.ident, expect[e].e_knote->k_kev.filter,
			    c->c_result < c->c_nevents ? "" : " and starves");
	}
	if (c->c_result == 0 && share == ALL)
		model_settled(&w->w_model, q);
}

/* Whether an entry answers a change so. */
static bool
answers(const struct call *c, int i, const struct kevent *kev, int which, int error)
{
	const struct kevent *got = &c->c_event[i];

	return got->ident == kev->ident && got->filter == kev->filter && got->udata == kev->udata &&
	    got->data == error && got->flags == (kev->flags | EV_ERROR) &&
	    (!c->c_wide || memcmp(c->c_ext[i], c->c_given[which], sizeof(c->c_ext[i])) == 0);
}

/* Whether one before it is of the same registration. */
static bool
changes_again(const struct kevent *changes, int i)
{
	for (int j = 0; j < i; j++)
		if (changes[j].ident == changes[i].ident && changes[j].filter == changes[i].filter)
			return true;
	return false;
}

/* What the changes say.  True: they are all that the call was for. */
static bool
compare_answers(struct world *w, struct file *q, const struct call *c, const struct kevent *changes)
{
	int error, filled = 0, told[CHANGES], whose[CHANGES];

	for (int i = 0; i < c->c_nchanges; i++) {
		w->w_outcome->o_changes++;
		error = model_change_wide(&w->w_model, q, &changes[i], c->c_wide ? c->c_given[i] : NULL);
		if (w->w_waits > 0 && changes_again(changes, i))
			model_changed_late(&w->w_model, q, &changes[i]);
		if (error == 0 && ((changes[i].flags & EV_RECEIPT) == 0 || filled == c->c_nevents))
			continue;
		if (filled == c->c_nevents) {
			world_say(w, "\tck_assert_int_eq(n, -1);\n\tck_assert_int_eq(errno, %d);\n", error);
			if (c->c_result != -1 || c->c_error != error)
				world_fail(w, "change %d: %d, errno %d, but the model says errno %d", i, c->c_result,
				    c->c_error, error);
			return true;
		}
		told[filled] = error;
		whose[filled++] = i;
	}
	if (filled > 0)
		world_say(w, "\tck_assert_int_eq(n, %d);\n", filled);
	for (int i = 0; i < filled; i++) {
		world_say(w, "\tanswer(&%s[%d], %s, %d, %#x, %d);\n", c->c_same && !c->c_wide ? "kl" : "ev", i,
		    ident_text(w, &changes[whose[i]]), changes[whose[i]].filter,
		    changes[whose[i]].flags | (unsigned)EV_ERROR, told[i]);
		if (c->c_wide)
			world_say(w, "\tanswer_ext(%d, %" PRIu64 "u, %" PRIu64 "u);\n", i, c->c_given[whose[i]][0],
			    c->c_given[whose[i]][1]);
	}
	if (filled > 0 && c->c_result != filled)
		world_fail(w, "%d entries with errno %d, but the model says %d", c->c_result, c->c_error, filled);
	for (int i = 0; i < filled && !w->w_failed; i++)
		if (!answers(c, i, &changes[whose[i]], whose[i], told[i]))
			world_fail(w, "change %d: the model says errno %d, got data %lld flags %#x", whose[i], told[i],
			    (long long)c->c_event[i].data, c->c_event[i].flags);
	return filled > 0;
}

static void
print_call(struct world *w, int slot, const struct call *c, bool apart)
{
	const char *timeout = c->c_timeout == NULL ? "NULL" : "&at_once";
	char data[24];

	for (int i = 0; i < c->c_nchanges; i++) {
		const struct kevent *k = &c->c_change[i];

		world_say(w, c->c_wide ? "\tEV_SET64(&wide[%d], %s, %d, %#x, %#x, %s, %" PRIuPTR "" :
		    "\tEV_SET(&kl[%d], %s, %d, %#x, %#x, %s, (void *)%" PRIuPTR "", i, ident_text(w, k),
		    k->filter, k->flags, k->fflags, number_text(k->data, data), (uintptr_t)k->udata);
		if (c->c_wide)
			world_say(w, ", %" PRIu64 "u, %" PRIu64 "u", c->c_given[i][0], c->c_given[i][1]);
		world_say(w, ");\n");
	}
	if (c->c_wide)
		world_say(w, "\tn = narrow(%s, kevent64(fd[%d], wide, %d, %s, %d, %u, %s));\n", c->c_same ? "wide" :
		    "wide_ev", slot, c->c_nchanges, c->c_same ? "wide" : "wide_ev", c->c_nevents, c->c_flags, timeout);
	else
		world_say(w, "\tn = %s(fd[%d], kl, %d, %s, %d, %s);\n", apart ? "kevent_apart" : "kevent", slot,
		    c->c_nchanges, c->c_same ? "kl" : "ev", c->c_nevents, timeout);
}

/* Whether what is disabled makes a cycle is left open; so is a cycle that one call makes. */
static void
avoid_cycles(struct world *w, struct file *q, struct call *c)
{
	struct model *m = &w->w_model;
	int queues = 0;

	for (int i = 0; i < c->c_nchanges; i++) {
		int slot = model_slot(m, c->c_change[i].ident);
		struct file *f = slot < 0 ? NULL : m->m_slot[slot];

		if (c->c_change[i].filter == EVFILT_READ && f != NULL && f->f_kind == QUEUE && (++queues > 1 ||
		    model_reaches(m, f, q, true) != model_reaches(m, f, q, false)))
			c->c_change[i].ident = 1000000;
	}
}

/* Makes the call that was gathered. */
void
compare_submit(struct world *w, struct file *q, int slot, int nevents, const struct manner *manner)
{
	static const struct manner plain;
	struct call *c = &w->w_call;
	struct kevent changes[CHANGES];
	bool errors_only;

	if (manner == NULL)
		manner = &plain;
	avoid_cycles(w, q, c);
	memcpy(changes, c->c_change, sizeof(changes));
	c->c_kq = w->w_model.m_number[slot];
	c->c_same = manner->same && nevents <= CHANGES;
	c->c_nevents = nevents;
	c->c_wide = manner->wide;
	c->c_flags = c->c_wide ? manner->flags : 0;
	errors_only = (c->c_flags & KEVENT_FLAG_ERROR_EVENTS) != 0;
	/* These do not wait. */
	c->c_timeout = manner->for_ever && c->c_flags != 0 ? NULL : &at_once;
	print_call(w, slot, c, manner->apart);
	if (manner->apart)
		calls_together(c, 1);
	else
		call_make(c);
	world_say(w, "\t/* the library: %d, errno %d */\n", c->c_result, c->c_error);
	if (!compare_answers(w, q, c, changes)) {
		if (nevents > 0 && !errors_only && !w->w_failed) {
			compare_events(w, q, c, ALL);
		} else {
			world_say(w, "\tck_assert_int_eq(n, 0);\n");
			if (c->c_result != 0)
				world_fail(w, "%d with errno %d, but no room for events", c->c_result, c->c_error);
		}
	}
	if (nevents > 0 && !errors_only && c->c_result == 0 &&
	    poll(&(struct pollfd){ .fd = c->c_kq, .events = POLLIN }, 1, 0) != 0) {
		world_say(w, "\tck_assert(!readable(fd[%d], 0));\n", slot);
		world_fail(w, "kevent() returned nothing, but the queue is readable");
	}
	c->c_nchanges = 0;
}

void
compare_change(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(QUEUE), arg[0]);
	struct call *c = &w->w_call;
	int nevents = arg[10] % 8;
	struct manner manner = { .same = arg[9] % 4 == 1, .apart = arg[9] % 16 == 2, .wide = arg[9] % 8 == 3,
	    .flags = arg[10] / 8 % 4, .for_ever = arg[10] / 32 % 2 == 1 };

	if (slot < 0)
		return;
	c->c_given[c->c_nchanges][0] = arg[6] % 3;
	c->c_given[c->c_nchanges][1] = arg[7] / 16 % 3;
	shape(w, &c->c_change[c->c_nchanges++], arg);
	/* Some are gathered for the next call. */
	if (arg[9] % 8 == 0 && c->c_nchanges < CHANGES)
		return;
	if (nevents > EVENTS || w->w_waits)
		nevents = 0;
	compare_submit(w, w->w_model.m_slot[slot], slot, nevents, &manner);
}

/* What is no queue is none, whatever it was. */
static void
compare_none(struct world *w, unsigned which)
{
	int slot = world_slot(w, ~KIND(QUEUE), which), fd = slot < 0 ? -1 : w->w_model.m_number[slot];
	struct kevent kev;
	int n;

	errno = 0;
	n = kevent(fd, NULL, 0, &kev, 1, &at_once);
	if (slot >= 0)
		world_say(w, "\tck_assert_int_eq(kevent(fd[%d], NULL, 0, ev, 1, &(struct timespec){ 0, 0 }), -1);\n"
		    "\tck_assert_int_eq(errno, EBADF);\n", slot);
	if (n != -1 || errno != EBADF)
		world_fail(w, "fd[%d] is no queue, but kevent() returned %d, errno %d", slot, n, errno);
}

/* Now and then as often as it takes for each that is ready to have its turn, with little room. */
void
compare_collect(struct world *w, const uint8_t *arg)
{
	int slot = world_slot(w, KIND(QUEUE), arg[0]), room = 1 + arg[1] % EVENTS, times = 1;
	struct manner manner = { .apart = arg[2] % 8 == 0, .wide = arg[2] % 8 == 1,
	    .flags = arg[4] % 8 == 1 ? KEVENT_FLAG_ERROR_EVENTS : arg[4] % 8 == 2 ? KEVENT_FLAG_IMMEDIATE : 0,
	    .for_ever = arg[5] % 2 == 1 };

	if (w->w_waits)
		return;
	if (slot < 0 || arg[3] >= 250) {
		compare_none(w, arg[0]);
		return;
	}
	if (arg[3] % 8 == 0) {
		room = 1 + arg[1] % 2;
		times = 1 + arg[3] / 4;
	}
	for (; times > 0 && !w->w_failed; times--) {
		w->w_call.c_nchanges = 0;
		compare_submit(w, w->w_model.m_slot[slot], slot, room, &manner);
		if (w->w_call.c_result == 0)
			break;
	}
}

/* Any queue's descriptor is readable when it must be; and is not, once a call returned nothing. */
void
compare_readable(struct world *w)
{
	struct pollfd pfd = { .events = POLLIN };
	struct model *m = &w->w_model;

	for (int i = 0; i < MODEL_SLOTS && !w->w_failed; i++) {
		if (m->m_slot[i] == NULL || m->m_slot[i]->f_kind != QUEUE || m->m_slot[i] == w->w_awaited)
			continue;
		pfd.fd = m->m_number[i];
		if (poll(&pfd, 1, 0) == 0 && model_readable(m, m->m_slot[i]) == MUST) {
			world_say(w, "\tck_assert(readable(fd[%d], 0));\n", i);
			world_fail(w, "the queue fd[%d] is not readable", i);
		}
	}
}
