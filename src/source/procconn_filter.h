/* SPDX-License-Identifier: BSD-2-Clause */
/* The process connector's messages, and which of them a socket for it lets pass. */
#ifndef KQ_PROCCONN_FILTER_H
#define KQ_PROCCONN_FILTER_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What comes, and what goes as far as pm_what and, since Linux 6.6, pm_mask. */
struct message {
	struct nlmsghdr	pm_nl;
	uint32_t	pm_index, pm_value, pm_seq, pm_ack;
	uint16_t	pm_len, pm_flags;
	uint32_t	pm_what;
	uint32_t	pm_mask;	/* or the processor */
	uint32_t	pm_time[2];
	union {
		uint32_t pm_body[6];
		struct { uint32_t parent_thread, parent, child_thread, child; } fork;
		struct { uint32_t thread, pid; } exec;
		struct { uint32_t thread, pid, status, signal, parent_thread, parent; } exit;
	};
};

/* A process that is asked for by number. */
struct watched {
	pid_t		w_pid;
	uint32_t	w_forks;	/* how many ask for its forks and execs */
	uint32_t	w_ends;		/* and how many for its end */
};

/* The acknowledgement with token + 1 passes, nothing else: 0 or -errno. */
int	procconn_filter_ack(int fd, uint32_t token);

/*
 * What is asked for of these processes passes; or, if there are too many to tell
 * apart, that of every process; or if it is for all, everything of processes.
 * What threads do never does, but that one ends with another status than 0, of a
 * process whose end is asked for.  0 or -errno.
 */
int	procconn_filter(int fd, const struct watched *watched, uint32_t count, bool all);

#endif
