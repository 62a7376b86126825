/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a queue's knotes are: in its pool by slot, in a watch or a hash by key. */
#include "registry.h"

#include "fdtable.h"
#include "filter.h"
#include "kqueue.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Slots that fit into an epoll item's tag. */
#define REGISTRY_SLOTS	(UINT32_C(1) << 27)

/* The pool. */

static int
registry_grow(struct knote_pool *pool)
{
	struct knote **chunks, *chunk;

	if (pool->kp_used >= REGISTRY_SLOTS - KNOTE_CHUNK)
		return -ENOMEM;
	if ((pool->kp_chunks & (pool->kp_chunks - 1)) == 0) {
		chunks = mem_grow(pool->kp_chunk,
		    pool->kp_chunks == 0 ? 1 : (size_t)pool->kp_chunks * 2, sizeof(*chunks));
		if (chunks == NULL)
			return -ENOMEM;
		pool->kp_chunk = chunks;
	}
	chunk = mem_alloc(KNOTE_CHUNK * sizeof(*chunk));
	if (chunk == NULL)
		return -ENOMEM;
	pool->kp_chunk[pool->kp_chunks++] = chunk;
	if (pool->kp_used == 0)
		pool->kp_used = 1;	/* slot 0 means none */
	return 0;
}

struct knote *
registry_take(struct kqueue *kq)
{
	struct knote_pool *pool = &kq->kq_pool;
	struct knote *kn;
	uint32_t slot = pool->kp_free;

	if (slot != 0) {
		kn = knote_at(pool, slot);
		pool->kp_free = kn->kn_next;
	} else {
		if (pool->kp_used >> KNOTE_CHUNK_SHIFT >= pool->kp_chunks &&
		    registry_grow(pool) < 0)
			return NULL;
		slot = pool->kp_used++;
		kn = knote_at(pool, slot);
	}
	*kn = (struct knote){ .kn_slot = slot };
	return kn;
}

void
registry_give(struct kqueue *kq, struct knote *kn)
{
	struct knote_pool *pool = &kq->kq_pool;

	if (ext_get(&pool->kp_ext, kn->kn_slot) != &ext_none)
		ext_set(&pool->kp_ext, kn->kn_slot, &ext_none);
	kn->kn_filter = 0;
	kn->kn_next = pool->kp_free;
	pool->kp_free = kn->kn_slot;
}

/* The hash of knotes that are on no descriptor. */

/* Doubles the table when there are as many knotes as chains. */
static int
registry_reserve(struct kqueue *kq)
{
	struct knote_hash *hash = &kq->kq_hash, larger;
	uint32_t slot, next, *bucket;
	struct knote *kn;

	if (hash->kh_count < hash->kh_size)
		return 0;
	larger.kh_size = hash->kh_size == 0 ? 16 : hash->kh_size * 2;
	larger.kh_count = hash->kh_count;
	larger.kh_bucket = mem_alloc(larger.kh_size * sizeof(uint32_t));
	if (larger.kh_bucket == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < hash->kh_size; i++)
		for (slot = hash->kh_bucket[i]; slot != 0; slot = next) {
			kn = knote_at(&kq->kq_pool, slot);
			next = kn->kn_next;
			bucket = registry_bucket(&larger, kn->kn_ident, kn->kn_filter);
			kn->kn_next = *bucket;
			*bucket = slot;
		}
	mem_free(hash->kh_bucket);
	*hash = larger;
	return 0;
}

/* The chain that a knote with this key is in, or would be: its watch's or its bucket's.  There is one. */
static inline uint32_t *
registry_chain_of(struct kqueue *kq, const struct filterops *fo, uintptr_t ident, unsigned filter)
{
	return fo->fo_fd ? &watch_at(&kq->kq_watches, (uint32_t)ident)->w_knotes :
	    registry_bucket(&kq->kq_hash, ident, filter);
}

/* The same; NULL if there is none. */
static inline uint32_t *
registry_chain(struct kqueue *kq, const struct filterops *fo, uintptr_t ident, unsigned filter)
{
	if (fo->fo_fd ? watch_find(&kq->kq_watches, (uint32_t)ident) == NULL : kq->kq_hash.kh_size == 0)
		return NULL;
	return registry_chain_of(kq, fo, ident, filter);
}

/*
 * (ident, filter) is the key of a registration, and udata if it was made with
 * EV_UDATA_SPECIFIC; a change with and one without the flag never meet.
 */
struct knote *
registry_find(struct kqueue *kq, const struct filterops *fo, uintptr_t ident, unsigned filter,
    unsigned flags, const void *udata)
{
	uint32_t *chain = registry_chain(kq, fo, ident, filter);
	struct knote *kn;

	for (uint32_t slot = chain == NULL ? 0 : *chain; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_ident == ident && kn->kn_filter == filter &&
		    ((kn->kn_flags ^ flags) & EV_UDATA_SPECIFIC) == 0 &&
		    ((flags & EV_UDATA_SPECIFIC) == 0 || kn->kn_udata == udata))
			return kn;
	}
	return NULL;
}

struct knote *
registry_next(struct kqueue *kq, const struct filterops *fo, uintptr_t ident, unsigned filter,
    uint32_t after)
{
	uint32_t *chain = registry_chain(kq, fo, ident, filter);
	struct knote *kn, *next = NULL;

	for (uint32_t slot = chain == NULL ? 0 : *chain; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_ident == ident && kn->kn_filter == filter && slot > after &&
		    (next == NULL || slot < next->kn_slot))
			next = kn;
	}
	return next;
}

/* What is left of such a registration that has ended (filter/gone.c), behind after or at all. */
struct knote *
registry_next_gone(struct kqueue *kq, unsigned filter, const struct kevent *kev,
    const struct knote *after)
{
	uint32_t *chain = registry_chain(kq, filter_table[filter], kev->ident, filter);
	uint32_t slot = after != NULL ? after->kn_next : chain != NULL ? *chain : 0;
	struct knote *kn;

	for (; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_ident == kev->ident && kn->kn_filter == filter &&
		    kn->kn_aux == (unsigned)-kev->filter && kn->kn_udata == kev->udata)
			return kn;
	}
	return NULL;
}

struct knote *
registry_find_gone(struct kqueue *kq, const struct kevent *kev)
{
	struct knote *kn = registry_next_gone(kq, FILTER_GONE_FD, kev, NULL);

	return kn != NULL ? kn : registry_next_gone(kq, FILTER_GONE, kev, NULL);
}

static void
registry_chain_up(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	uint32_t *chain = registry_chain_of(kq, fo, kn->kn_ident, kn->kn_filter);
	struct knote *first = *chain == 0 ? NULL : knote_at(&kq->kq_pool, *chain);

	/* What comes at once, as an error does, comes to READ first, as on FreeBSD. */
	if (fo->fo_fd && first != NULL && first->kn_filter == -EVFILT_READ && kn->kn_filter != -EVFILT_READ)
		chain = &first->kn_next;
	kn->kn_next = *chain;
	*chain = kn->kn_slot;
	kq->kq_hash.kh_count += !fo->fo_fd;
}

int
registry_link(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	int error;

	if (fo->fo_fd) {
		/* A table must not be made larger for a number that is not open. */
		if (watch_find(&kq->kq_watches, (uint32_t)kn->kn_ident) == NULL &&
		    fcntl((int)kn->kn_ident, F_GETFD) == -1)
			return -EBADF;
		if (watch_get(kq, (int)kn->kn_ident) == NULL)
			return -ENOMEM;
		error = fdtable_watch(kq, (int)kn->kn_ident);
		/* Room for it when it vanishes, and who closes is to wake who waits. */
		if (error == 0 && (kn->kn_flags & EV_VANISHED) != 0) {
			error = registry_reserve(kq);
			atomic_fetch_or(&fdtable_find((int)kn->kn_ident)->fe_state, FDTABLE_VANISH);
		}
	} else {
		error = registry_reserve(kq);
	}
	if (error < 0)
		return error;
	registry_chain_up(kq, fo, kn);
	return 0;
}

void
registry_relink(struct kqueue *kq, struct knote *kn)
{
	const struct filterops *fo = filter_of(kn);

	if (!fo->fo_fd)
		(void)registry_reserve(kq);	/* else its chains grow long */
	registry_chain_up(kq, fo, kn);
}

void
registry_unlink(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	uint32_t *link = registry_chain_of(kq, fo, kn->kn_ident, kn->kn_filter);

	while (*link != kn->kn_slot)
		link = &knote_at(&kq->kq_pool, *link)->kn_next;
	*link = kn->kn_next;
	kq->kq_hash.kh_count -= !fo->fo_fd;
}

void
registry_free(struct kqueue *kq)
{
	struct knote_pool *pool = &kq->kq_pool;

	for (uint32_t i = 0; i < pool->kp_chunks; i++)
		mem_free(pool->kp_chunk[i]);
	mem_free(pool->kp_chunk);
	mem_free(kq->kq_hash.kh_bucket);
	ext_free(&pool->kp_ext);
	memset(pool, 0, sizeof(*pool));
	memset(&kq->kq_hash, 0, sizeof(kq->kq_hash));
}
