/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process holds just now. */
#ifndef HELD_H
#define HELD_H

/* Kilobytes resident; -1: it cannot be told. */
long	held_memory(void);

/* Descriptors that are open up to 1,100,000, without opening one. */
int	held_descriptors(void);

struct held {
	long	memory;		/* kilobytes */
	int	descriptors;
};

/* Raises each of most to what is held now, if that is more. */
void	held_most(struct held *most);

#endif
