/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readiness of descriptors: a watch is what one queue knows of one descriptor
 * number.  Its knotes share as few epoll items as their flags allow.
 *
 * A lane is an epoll instance: lane 0 is the queue's own, the others are nested
 * in it, made when first needed.  What is read and what is written share lane 0
 * if both are level-triggered; else each needs a lane, since one item has one
 * mode and an edge in one direction repeats what stands in the other.  What is
 * exceptional is rare and has lane 2 to itself.
 *
 * A direction with several knotes (EV_UDATA_SPECIFIC) is shared: its item is
 * edge-triggered whatever they ask for, and a report makes them all active.
 * From then on they are in kq_ready, where each behaves by its own flags: one
 * that is level-triggered stays until its condition is found to have ended, and
 * what comes later is a new edge.  A knote that alone is to look again looks
 * for itself, since MOD would tell the others, too.
 *
 * Protected by the queue's lock.
 */
#ifndef KQ_WATCH_H
#define KQ_WATCH_H

#include "source/fdkind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct knote;
struct kqueue;

#define WATCH_LANES	3

struct watch {
	uint32_t	w_epoch;		/* fdtable_epoch() when it was made */
	uint16_t	w_call;			/* the call that last had a report of it ... */
	uint8_t		w_called;		/* ... bit l: from lane l; 4 + l: some were put off */
	uint8_t		w_armed[WATCH_LANES];	/* WATCH_... bits of each item */
	union {
		struct {
			uint8_t	w_lane;	/* bit d: direction d (0 or 1) is in lane 1; 2 + d: is shared */
			uint8_t	w_kind;	/* enum fdkind, once it is known */
		};
		uint16_t w_form;		/* both */
	};
	uint32_t	w_knotes;		/* slot of the first knote; 0: none */
	uint32_t	w_gen[WATCH_LANES];	/* generation of each item */
};

#define WATCH_CHUNK_SHIFT 7
#define WATCH_CHUNK	(1u << WATCH_CHUNK_SHIFT)

/*
 * What is to be told of an item of lane 0 as long as nothing has changed, where counts are not
 * wanted: then the cache lines of watch and knote are most of what an event costs.  Found out at an
 * event; forgotten when the watch is updated or void, as it is in the course of every change.
 */
struct watch_told {
	uint64_t	to_tag[WATCH_CHUNK];	/* what the item carries; WATCH_UNTOLD: nothing is known */
	void		*to_udata[WATCH_CHUNK];
};

#define WATCH_UNTOLD	UINT64_MAX	/* the data of no item */

struct watch_table {
	struct watch	**wt_chunk;
	uint32_t	wt_chunks;
	uint32_t	wt_tolds;	/* how many of the next there are: none until counts are not wanted */
	struct watch_told **wt_told;
};

/* The watch of a descriptor that is known to have one, as one with a knote is. */
static inline struct watch *
watch_at(const struct watch_table *table, uint32_t fd)
{
	return &table->wt_chunk[fd >> WATCH_CHUNK_SHIFT][fd & (WATCH_CHUNK - 1)];
}

/* NULL if there is none. */
static inline struct watch *
watch_find(const struct watch_table *table, uint32_t fd)
{
	if (fd >> WATCH_CHUNK_SHIFT >= table->wt_chunks ||
	    table->wt_chunk[fd >> WATCH_CHUNK_SHIFT] == NULL)
		return NULL;
	return watch_at(table, fd);
}

/* Where that is to be kept; NULL: it is not. */
static inline struct watch_told *
watch_told_of(const struct watch_table *table, uint32_t fd)
{
	return fd >> WATCH_CHUNK_SHIFT < table->wt_tolds ? table->wt_told[fd >> WATCH_CHUNK_SHIFT] : NULL;
}

/* An item's report is plain, and its event has no flags (report_plain()). */
static inline void
watch_tell(const struct watch_table *table, uint64_t tag, void *udata)
{
	uint32_t i = (uint32_t)tag & (WATCH_CHUNK - 1);
	struct watch_told *told = watch_told_of(table, (uint32_t)tag);

	if (told == NULL)
		return;
	told->to_tag[i] = tag;
	told->to_udata[i] = udata;
}

/* What an item carries that is added to see whether it is there: no descriptor has this number. */
#define WATCH_NOBODY	UINT64_C(0x7fffffff)

/* The watch of a descriptor, made if need be; NULL: no memory. */
struct watch *watch_get(struct kqueue *kq, int fd);

/* Counts are not wanted of this descriptor.  Without memory it is told the longer way. */
void	watch_uncounted(struct kqueue *kq, uint32_t fd);

/* Whether other knotes are or were on kn's descriptor for the same direction. */
bool	watch_shared(struct kqueue *kq, const struct knote *kn);

/*
 * Makes epoll's items what the watch's enabled knotes need now.  again: also
 * have the kernel look at the condition again for the direction of kn.  0 or
 * -errno: EPERM the descriptor cannot be polled, ENOENT or EBADF it is another
 * one by now, or none.  If kn shares its item, a word on what comes of it: epoll
 * is about to tell all of them, or kn alone is to look for itself.
 */
#define WATCH_TOLD	1
#define WATCH_ASK	2
int	watch_update(struct kqueue *kq, int fd, struct knote *again);

/* What the descriptor is, to be kept in w_kind; FD_UNKNOWN: it was closed unseen; FD_FAILED: not to be kept. */
enum fdkind watch_find_kind(struct kqueue *kq, int fd, struct watch *w);

/*
 * Whether the number still is the descriptor that kn was registered on: -ENOENT
 * or -EBADF if not, and it was closed unseen; 0 also if that is not known.
 */
int	watch_confirm(struct kqueue *kq, struct knote *kn);

/* The items of a closed descriptor are no more. */
void	watch_void(struct kqueue *kq, int fd, struct watch *w);

/* A knote leaves the watch (it is out of the chain): events under way become void. */
void	watch_forget(struct kqueue *kq, int fd, struct knote *kn);

/*
 * The watch of a descriptor that is to be changed or may have been closed:
 * what was registered on an earlier owner of the number is removed first.
 * NULL: nothing is registered on it.
 */
struct watch *watch_check(struct kqueue *kq, int fd);

/* The same for all descriptors. */
void	watch_scan(struct kqueue *kq);

/* Frees the table. */
void	watch_free_all(struct kqueue *kq);

#endif
