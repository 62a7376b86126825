/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes. */
#include "parts.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define ACTIONS	(EV_ADD | EV_DELETE | EV_ENABLE | EV_DISABLE | EV_FORCEONESHOT | EV_KEEPUDATA | EV_SYSFLAGS)
#define UNITS	(NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS)

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
	return filter == EVFILT_READ || filter == EVFILT_WRITE || filter == EVFILT_EXCEPT || filter == EVFILT_VNODE;
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
	if (kn->k_kev.filter == EVFILT_EXCEPT && f->f_kind == REGULAR)
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
	case EVFILT_EXCEPT:
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
	model_look(m, kn);
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
		model_look(m, kn);
	return 0;
}

int
model_change(struct model *m, struct file *q, const struct kevent *kev)
{
	return model_change_wide(m, q, kev, NULL);
}

/* It is the registration's, as udata is, and kevent() leaves it alone. */
static void
set_ext(struct mknote *kn, const struct kevent *kev, const uint64_t ext[2])
{
	if (ext != NULL && (kev->flags & EV_KEEPUDATA) == 0)
		memcpy(kn->k_ext, ext, sizeof(kn->k_ext));
}

int
model_change_wide(struct model *m, struct file *q, const struct kevent *kev, const uint64_t ext[2])
{
	const unsigned vanishes = EV_ADD | EV_DISPATCH2;
	struct mknote *kn;
	int slot = -1, error;

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
	model_post_queues(m);
	kn = find(m, q, kev);
	if (kn != NULL && (kev->flags & EV_DELETE) != 0) {
		kn->k_used = false;
		return 0;
	}
	if (kn == NULL && (kev->flags & EV_ADD) == 0)
		return ENOENT;
	error = kn == NULL ? add(m, q, kev, slot) : update(m, kn, kev);
	if (error == 0)
		set_ext(find(m, q, kev), kev, ext);
	return error;
}

void
model_changed_late(struct model *m, struct file *q, const struct kevent *kev)
{
	struct mknote *kn = find(m, q, kev);

	if (kn != NULL)
		kn->k_late = true;
}
