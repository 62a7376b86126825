/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of the library's own, kept at high numbers out of the program's way. */
#ifndef KQ_HIDDEN_H
#define KQ_HIDDEN_H

/* Moves fd to a high number, close-on-exec: the new number, or -errno (fd is closed). */
int	hidden_move(int fd);

/* A duplicate of fd at a high number, close-on-exec: its number, or -errno. */
int	hidden_dup(int fd);

/* Closes one: no wrapper looks. */
void	hidden_close(int fd);

#endif
