/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_USER.  kn_sfflags and kn_sdata are what events carry; NOTE_TRIGGER in
 * kn_fflags is set while the event happens; with EV_CLEAR, delivery makes it 0.
 *
 * Inline, for the shortest way of a trigger: knote_trigger(), knote_collect_trigger().
 */
#ifndef KQ_FILTER_USER_H
#define KQ_FILTER_USER_H

#include "../knote.h"

/* Whether a change with these fflags leaves those that are stored as they are. */
static inline bool
user_only_triggers(uint32_t fflags)
{
	return (fflags & (NOTE_TRIGGER | NOTE_FFCTRLMASK)) == (NOTE_TRIGGER | NOTE_FFNOP);
}

static inline void
user_trigger(struct knote *kn, int64_t data)
{
	kn->kn_sdata = data;
	kn->kn_fflags = NOTE_TRIGGER;
}

static inline bool
user_is_triggered(const struct knote *kn)
{
	return kn->kn_fflags != 0;
}

#endif
