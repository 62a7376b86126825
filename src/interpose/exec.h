/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KQ_EXEC_H
#define KQ_EXEC_H

/* execve() as it comes after our wrapper. */
int	exec_next(const char *path, char *const argv[], char *const envp[]);

/* Looks up what exec.c and system.c need. */
void	exec_resolve(void);
void	system_resolve(void);

#endif
