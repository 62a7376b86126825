/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A knote is one registration: what was asked for and what has been seen.
 *
 * Knotes live in the queue's pool and are known by slot, a small number that
 * links them into chains and that epoll may hand back; a pointer to one is
 * good while the queue's lock is held and until the knote is removed.
 * Everything here is protected by the queue's lock.
 */
#ifndef KQ_KNOTE_H
#define KQ_KNOTE_H

#include "ext.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/event.h>

struct eventlist;
struct kqueue;
struct filterops;

/* A cache line (mem.c). */
struct knote {
	uintptr_t	kn_ident;
	void		*kn_udata;
	union {
		int64_t	kn_sdata;	/* data as asked: mark, period, ... */
		void	*kn_hook;	/* or the source's own record */
	};
	uint32_t	kn_sfflags;	/* fflags as asked */
	uint32_t	kn_fflags;	/* fflags as seen */
	union {
		struct {
			uint16_t kn_flags;	/* EV_ bits that come back with each event */
			uint8_t	kn_filter;	/* -EVFILT_... */
			uint8_t	kn_status;	/* KN_... */
		};
		uint32_t kn_kind;	/* all three */
	};
	uint32_t	kn_slot;
	uint32_t	kn_next;	/* slot of the next in its hash chain or watch */
	uint32_t	kn_before;	/* slots of its neighbours in kq_ready or kq_look */
	uint32_t	kn_after;
	union {
		uint32_t kn_aux;	/* the source's own: place in a heap, next slot */
		_Atomic int kn_fd;	/* or a descriptor */
	};
	int64_t		kn_data;	/* data as seen, or the filter's own */
};

/* First in, first out: slots, 0 if it is empty. */
struct knote_list {
	uint32_t	kl_first;
	uint32_t	kl_last;
};

/* kn_status */
#define KN_ACTIVE	0x01u	/* something happened that has not been delivered */
#define KN_QUEUED	0x02u	/* is in kq_ready; only if active and enabled */
#define KN_DISABLED	0x04u	/* EV_DISABLE, or EV_DISPATCH after delivery */
#define KN_FORCED	0x08u	/* EV_FORCEONESHOT: deliver whatever the filter says */
#define KN_PARKED	0x10u	/* the kernel says ready, the filter not: wait for an edge */
#define KN_FILE		0x20u	/* its descriptor is one that epoll refuses */
#define KN_LOOK		0x40u	/* to be looked at in every call while it is not ready */
#define KN_LOOKED	0x80u	/* is in kq_look */

/* What kn_kind is of a knote with these. */
#define KNOTE_KIND(flags, filter, status) (((struct knote) {			\
		.kn_flags = (flags), .kn_filter = (filter), .kn_status = (status) \
	}).kn_kind)

/* The pool: slots are never 0. */
struct knote_pool {
	struct knote	**kp_chunk;
	uint32_t	kp_chunks;
	uint32_t	kp_free;	/* first free slot, chained by kn_next; 0: none */
	uint32_t	kp_used;	/* slots handed out so far, free or not */
	struct ext_table kp_ext;	/* what kevent64() gave besides, by slot */
};

#define KNOTE_CHUNK_SHIFT 6
#define KNOTE_CHUNK	(1u << KNOTE_CHUNK_SHIFT)

/* Knotes whose ident is no descriptor, by (ident, filter). */
struct knote_hash {
	uint32_t	*kh_bucket;	/* first slot of each chain */
	uint32_t	kh_size;	/* a power of two, or 0 */
	uint32_t	kh_count;
};

static inline struct knote *
knote_at(const struct knote_pool *pool, uint32_t slot)
{
	return &pool->kp_chunk[slot >> KNOTE_CHUNK_SHIFT][slot & (KNOTE_CHUNK - 1)];
}

static inline void
knote_list_add(const struct knote_pool *pool, struct knote_list *list, struct knote *kn)
{
	kn->kn_after = 0;
	kn->kn_before = list->kl_last;
	if (list->kl_last != 0)
		knote_at(pool, list->kl_last)->kn_after = kn->kn_slot;
	else
		list->kl_first = kn->kn_slot;
	list->kl_last = kn->kn_slot;
}

static inline void
knote_list_remove(const struct knote_pool *pool, struct knote_list *list, struct knote *kn)
{
	if (kn->kn_before != 0)
		knote_at(pool, kn->kn_before)->kn_after = kn->kn_after;
	else
		list->kl_first = kn->kn_after;
	if (kn->kn_after != 0)
		knote_at(pool, kn->kn_after)->kn_before = kn->kn_before;
	else
		list->kl_last = kn->kn_before;
}

/*
 * One change of a changelist: 0 or -errno.  ext: of kevent64(), else NULL.
 * KNOTE_ANSWERED: *kev is now an entry that answers it.
 */
#define KNOTE_ANSWERED	1
int	knote_change(struct kqueue *kq, struct kevent *kev, const struct ext *ext);

/* Its source says that something happened: it becomes ready if it is enabled. */
void	knote_activate(struct kqueue *kq, struct knote *kn);

/* The same, with the source's word for what it was: the filter judges (fo_note). */
void	knote_note(struct kqueue *kq, struct knote *kn, uint32_t hint);

/* What had happened is void: it is ready no longer. */
void	knote_deactivate(struct kqueue *kq, struct knote *kn);

/* It was ready and is found not to be: epoll, which may have told of it once only, is to tell again. */
void	knote_relapse(struct kqueue *kq, struct knote *kn);

/*
 * If kn's condition holds, appends its event to out, does what its flags say
 * (EV_ONESHOT removes it) and returns true.  revents: what epoll said of its
 * descriptor, 0 if it was not epoll that spoke.
 */
bool	knote_deliver(struct kqueue *kq, struct knote *kn, uint32_t revents,
	    struct eventlist *out);

/*
 * Takes up to n events from the ready list, as many as out has room for.  What
 * stays ready is moved to its end, so that no knote comes twice in a call.
 */
void	knote_collect(struct kqueue *kq, struct eventlist *out, int n);

/* The same for what has come into it since; last: the last of it then.  What is in out already waits. */
void	knote_collect_late(struct kqueue *kq, struct eventlist *out, int n, uint32_t last);

/* Looks at the files whose state no source tells. */
void	knote_look_all(struct kqueue *kq);

/* Looks at the condition of every knote, or has epoll look. */
void	knote_rescan(struct kqueue *kq);

/*
 * What a change is made of (knote_change.c), besides.
 *
 * Onto the list that its status says, or off.
 */
void	knote_relist(struct kqueue *kq, struct knote *kn);

/* Has epoll look at the condition of a knote again. */
int	knote_poll(struct kqueue *kq, const struct filterops *fo, struct knote *kn);

/* Looks at the condition of a knote that epoll does not watch. */
void	knote_look(struct kqueue *kq, const struct filterops *fo, struct knote *kn);

void	knote_enable(struct kqueue *kq, const struct filterops *fo, struct knote *kn, bool enabled);

/*
 * A registration with EV_DISPATCH2 has ended, which its owner is still to be
 * told, by an event with how (EV_DELETE or EV_VANISHED), once it is enabled.
 */
void	knote_end(struct kqueue *kq, struct knote *kn, bool fd, unsigned how);

/* The descriptor of a knote is closed. */
void	knote_shut(struct kqueue *kq, struct knote *kn);

/* What kevent64() gave besides: ext_none if nothing. */
const struct ext *knote_ext(const struct kqueue *kq, const struct knote *kn);

/*
 * A knote like this one on another ident, enabled and linked, whose filter is
 * still to attach it; NULL: no memory.
 */
struct knote *knote_copy(struct kqueue *kq, const struct knote *kn, uintptr_t ident);

/* The registration on ident that has the key of this one otherwise. */
struct knote *knote_find(struct kqueue *kq, uintptr_t ident, const struct knote *kn);

/* Removes a knote: its source forgets it, its slot is free. */
void	knote_remove(struct kqueue *kq, struct knote *kn);

/* Removes all knotes on a descriptor that is closed. */
void	knote_remove_all(struct kqueue *kq, int fd);

/* Removes every knote and frees the memory of pool and hash. */
void	knote_free_all(struct kqueue *kq);

#endif
