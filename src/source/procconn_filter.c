/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Classic BPF, which every Linux has.  It loads numbers as if they were in network
 * order, so what they are compared with is turned round as well.
 */
#include "procconn_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/filter.h>
#include <stddef.h>
#include <sys/socket.h>

/* What is asked for by number: beyond these, every process's pass. */
#define PROCCONN_PIDS	256

#define AT(member)	((uint32_t)offsetof(struct message, member))

_Static_assert(offsetof(struct message, pm_what) == 36, "as the kernel lays it out");
_Static_assert(offsetof(struct message, fork) == 52, "as the kernel lays it out");

struct program {
	unsigned short	p_count;
	struct sock_filter p_step[2 * PROCCONN_PIDS + 24];
};

static void
program_add(struct program *p, unsigned code, uint32_t k, unsigned char jt, unsigned char jf)
{
	p->p_step[p->p_count++] = (struct sock_filter){ (unsigned short)code, jt, jf, k };
}

static void
program_load(struct program *p, uint32_t at)
{
	program_add(p, BPF_LD | BPF_W | BPF_ABS, at, 0, 0);
}

/* Skips so many steps unless the number loaded is n. */
static void
program_unless(struct program *p, uint32_t n, unsigned char skip)
{
	program_add(p, BPF_JMP | BPF_JEQ | BPF_K, htonl(n), 0, skip);
}

static void
program_end(struct program *p, bool pass)
{
	program_add(p, BPF_RET | BPF_K, pass ? UINT32_MAX : 0, 0, 0);
}

/* Drops the message unless the two numbers are equal: a thread is no process. */
static void
program_same(struct program *p, uint32_t thread, uint32_t pid)
{
	program_load(p, thread);
	program_add(p, BPF_MISC | BPF_TAX, 0, 0, 0);
	program_load(p, pid);
	program_add(p, BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0);
	program_end(p, false);
}

static int
program_set(int fd, struct program *p)
{
	struct sock_fprog fprog = { .len = p->p_count, .filter = p->p_step };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &fprog, sizeof(fprog)) == 0 ?
	    0 : -errno;
}

int
procconn_filter_ack(int fd, uint32_t token)
{
	struct program p = { .p_count = 0 };

	program_load(&p, AT(pm_what));
	program_unless(&p, PROC_EVENT_NONE, 3);
	program_load(&p, AT(pm_ack));
	program_unless(&p, token + 1, 1);
	program_end(&p, true);
	program_end(&p, false);
	return program_set(fd, &p);
}

int
procconn_filter(int fd, const struct watched *watched, uint32_t count, bool all)
{
	bool any = all || count > PROCCONN_PIDS;
	struct program p = { .p_count = 0 };

	program_load(&p, AT(pm_what));
	program_unless(&p, PROC_EVENT_FORK, 7);
	program_same(&p, AT(fork.child_thread), AT(fork.child));
	program_load(&p, AT(fork.parent));
	program_add(&p, BPF_JMP | BPF_JA, all ? 11 : 4, 0, 0);	/* to the numbers */
	program_unless(&p, PROC_EVENT_EXEC, 2);
	program_load(&p, AT(exec.pid));
	program_add(&p, BPF_JMP | BPF_JA, all ? 8 : 1, 0, 0);	/* likewise */
	if (all) {
		program_unless(&p, PROC_EVENT_EXIT, 6);
		program_same(&p, AT(exit.thread), AT(exit.pid));
		program_end(&p, true);
	}
	program_end(&p, false);
	for (uint32_t i = 0; i < count && !any; i++) {
		program_unless(&p, (uint32_t)watched[i].w_pid, 1);
		program_end(&p, true);
	}
	program_end(&p, any);
	return program_set(fd, &p);
}
