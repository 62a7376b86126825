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
	struct sock_filter p_step[2 * PROCCONN_PIDS + 40];
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

/* A jump to where program_land() is called next. */
static unsigned short
program_jump(struct program *p)
{
	program_add(p, BPF_JMP | BPF_JA, 0, 0, 0);
	return (unsigned short)(p->p_count - 1);
}

static void
program_land(struct program *p, unsigned short jump)
{
	p->p_step[jump].k = (uint32_t)(p->p_count - jump - 1);
}

static void
program_end(struct program *p, bool pass)
{
	program_add(p, BPF_RET | BPF_K, pass ? UINT32_MAX : 0, 0, 0);
}

/* Compares two numbers and has the second one loaded: the next step is skipped if they differ. */
static void
program_same(struct program *p, uint32_t thread, uint32_t pid)
{
	program_load(p, thread);
	program_add(p, BPF_MISC | BPF_TAX, 0, 0, 0);
	program_load(p, pid);
	program_add(p, BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1);
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

/* Forks, but of threads, and execs: go on with the process's number at jump[0] or [1]. */
static void
program_forks(struct program *p, unsigned short jump[2])
{
	program_unless(p, PROC_EVENT_FORK, 8);
	program_same(p, AT(fork.child_thread), AT(fork.child));
	program_add(p, BPF_JMP | BPF_JA, 1, 0, 0);
	program_end(p, false);
	program_load(p, AT(fork.parent));
	jump[0] = program_jump(p);
	program_unless(p, PROC_EVENT_EXEC, 2);
	program_load(p, AT(exec.pid));
	jump[1] = program_jump(p);
}

/* Ends: of a first thread at jump[0], of any other with a status at jump[1]. */
static void
program_exits(struct program *p, unsigned short jump[2])
{
	program_unless(p, PROC_EVENT_EXIT, 10);
	program_same(p, AT(exit.thread), AT(exit.pid));
	jump[0] = program_jump(p);
	program_load(p, AT(exit.status));
	program_unless(p, 0, 1);
	program_end(p, false);
	program_load(p, AT(exit.pid));
	jump[1] = program_jump(p);
	program_end(p, false);
}

static void
program_number(struct program *p, pid_t pid)
{
	program_unless(p, (uint32_t)pid, 1);
	program_end(p, true);
}

int
procconn_filter(int fd, const struct watched *watched, uint32_t count, bool all)
{
	unsigned short fork[2], end[2];
	struct program p = { .p_count = 0 };
	uint32_t forks = 0, ends = 0;
	bool any_fork, any_end;

	for (uint32_t i = 0; i < count; i++) {
		forks += watched[i].w_forks > 0;
		ends += watched[i].w_ends > 0;
	}
	any_fork = all || forks > PROCCONN_PIDS;
	any_end = ends + (any_fork ? 0 : forks) > PROCCONN_PIDS;
	program_load(&p, AT(pm_what));
	program_forks(&p, fork);
	program_exits(&p, end);
	program_land(&p, fork[0]);
	program_land(&p, fork[1]);
	for (uint32_t i = 0; i < count && !any_fork; i++)
		if (watched[i].w_forks > 0)
			program_number(&p, watched[i].w_pid);
	program_end(&p, any_fork);
	program_land(&p, end[0]);
	if (all)
		program_end(&p, true);
	program_land(&p, end[1]);
	for (uint32_t i = 0; i < count && !any_end; i++)
		if (watched[i].w_ends > 0)
			program_number(&p, watched[i].w_pid);
	program_end(&p, any_end);
	return program_set(fd, &p);
}
