/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of mounts of a mount name space, and what has changed in it. */
#ifndef KQ_MOUNTINFO_H
#define KQ_MOUNTINFO_H

#include <stdbool.h>
#include <stdint.h>

/* Before mountinfo_begin() all of it is 0, but mi_file, which is -1 until it is opened. */
struct mountinfo {
	_Atomic int	mi_file;	/* is asked for news, and read */
	uint32_t	mi_size;	/* a power of two */
	uint64_t	*mi_sums;	/* what was mounted, by number */
	uint64_t	*mi_next;	/* the same, while it is read */
	uint64_t	mi_options;	/* sum of all mounts' options */
};

/* Opens this thread's, for *owner, as mi_file and what wakes; 0 or -errno: ENOTSUP there is no /proc. */
int	mountinfo_open(_Atomic int *owner);

/* Takes what is mounted now for known; mi_file is open.  0 or -errno. */
int	mountinfo_begin(struct mountinfo *mi);

/* Whether the table has changed since this was asked last. */
bool	mountinfo_news(const struct mountinfo *mi);

/* It has: MOUNTS_CAME and MOUNTS_WENT, as it was.  What there is now is known from then on. */
uint32_t mountinfo_look(struct mountinfo *mi);

/* Whether a mount has this number, as far as is known. */
bool	mountinfo_has(const struct mountinfo *mi, uint32_t id);

void	mountinfo_free(struct mountinfo *mi);

#endif
