/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a queue's knotes are: taken from and given back to its pool by slot,
 * linked by key into the watch of their descriptor or into a hash.  With the
 * queue's lock held.
 */
#ifndef KQ_REGISTRY_H
#define KQ_REGISTRY_H

#include "knote.h"

struct kqueue;
struct filterops;

/* A knote of the pool, all zero but its slot; NULL: no memory. */
struct knote *registry_take(struct kqueue *kq);
void	registry_give(struct kqueue *kq, struct knote *kn);

/* Idents that are counted up are neighbours, sixteen to a cache line; pointers and all else are spread. */
static inline uint32_t *
registry_bucket(const struct knote_hash *hash, uintptr_t ident, unsigned filter)
{
	uint64_t block = (uint64_t)ident / 16;
	uint64_t h = ((block ^ block >> 32) + filter) * UINT64_C(0x9e3779b97f4a7c15);

	return &hash->kh_bucket[(h >> 32 ^ ident % 16) & (hash->kh_size - 1)];
}

/* The registration with this key. */
struct knote *registry_find(struct kqueue *kq, const struct filterops *fo, uintptr_t ident,
	    unsigned filter, unsigned flags, const void *udata);

/*
 * Those on one ident, whatever their udata, by ascending slot: the first behind
 * slot after (0: of all).  Others may come and go in between.
 */
struct knote *registry_next(struct kqueue *kq, const struct filterops *fo, uintptr_t ident,
	    unsigned filter, uint32_t after);

/* What is left of one that has ended (filter/gone.c), the next behind after or the first. */
struct knote *registry_next_gone(struct kqueue *kq, unsigned filter, const struct kevent *kev,
	    const struct knote *after);
struct knote *registry_find_gone(struct kqueue *kq, const struct kevent *kev);

/* Makes a filled-in knote known: 0 or -errno. */
int	registry_link(struct kqueue *kq, const struct filterops *fo, struct knote *kn);
void	registry_unlink(struct kqueue *kq, const struct filterops *fo, struct knote *kn);

/* Links one anew that was unlinked and has become FILTER_GONE or FILTER_GONE_FD: cannot fail. */
void	registry_relink(struct kqueue *kq, struct knote *kn);

/* Frees all memory; the knotes are removed. */
void	registry_free(struct kqueue *kq);

#endif
