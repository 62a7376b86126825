/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reference model of kqueue: the contract in code.  It makes no system call,
 * has no epoll and no edges of its own: it holds what descriptors, processes,
 * signals and the clock are like, and tells of each registration whether its
 * event must, may or must not come, and what it says.
 *
 * MAY is for what is left open: the kernel may wake a writer that had room all
 * the time, or not; a mark in fflags may merge with the next.
 *
 * It has READ, WRITE, EXCEPT, VNODE, USER, TIMER, SIGNAL and PROC (the end), with
 * every EV_ flag and by either call; queues in queues, pipes, pairs of AF_UNIX
 * sockets, TCP with listening sockets, refused and reset connections, and files.
 * It has not: marks of WRITE, EMPTY, PROCDESC, FS, NETDEV, MEMORYSTATUS and AIO;
 * TCP that is full or was told not to receive, UDP, FIFOs, terminals and counters;
 * leeway; blocked signals; changes in one thread while others collect; what is
 * closed unseen.
 */
#ifndef KQ_TESTS_MODEL_H
#define KQ_TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/event.h>

#define MODEL_SLOTS	14	/* descriptors of a program */
#define MODEL_FILES	256	/* what they lead to, in all of a program */
#define MODEL_KNOTES	128
#define MODEL_CHILDREN	3
#define MODEL_SIGNALS	3
#define MODEL_DGRAMS	4	/* at most so many wait to be read */
#define MODEL_BACKLOG	4	/* at most so many connections wait to be accepted */
#define MODEL_NEVER	INT64_MAX

enum certainty { NO, MAY, MUST };

enum kind { NOTHING, QUEUE, PIPE_READ, PIPE_WRITE, STREAM, DGRAM, REGULAR, TCP, LISTENER };

/* What a descriptor leads to, shared by its duplicates. */
struct file {
	enum kind	f_kind;
	int		f_refs;		/* descriptors; 0: closed */
	struct file	*f_peer;	/* the other end */
	int64_t		f_bytes;	/* to be read here; of a regular file: its size */
	int64_t		f_offset;
	int		f_dgrams;
	int64_t		f_dgram[MODEL_DGRAMS];
	int		f_writes;	/* parts that f_bytes came in */
	bool		f_full;		/* what the peer wrote has filled it */
	bool		f_shut;		/* this side sends no more ... */
	bool		f_deaf;		/* ... and receives no more */
	int		f_error;	/* SO_ERROR */
	bool		f_connected;	/* TCP: or it was tried to */
	bool		f_fin;		/* TCP: the peer sends no more */
	bool		f_reset;	/* TCP: the connection is no more */
	bool		f_urgent;	/* TCP: a byte of urgent data waits ... */
	bool		f_marked;	/* ... or did, and it was not read beyond: what can be read is not told then */
	bool		f_unsettled;	/* TCP: the kernel may take a moment until it is so */
	struct file	*f_pending[MODEL_BACKLOG];	/* LISTENER: to be accepted; f_refs is 1 */
	int		f_npending;
	int		f_links;	/* names of a regular file */
	int		f_mode;
	bool		f_shared;	/* had several descriptors */
	enum certainty	f_readable;	/* of a queue, when model_tell_queues() looked */
	bool		f_moved;	/* by lseek(): nobody is told, the next kevent() looks */
};

struct mknote {
	bool		k_used, k_enabled, k_forced;
	struct file	*k_queue;
	int		k_slot;		/* of a descriptor, or -1 */
	struct kevent	k_kev;		/* flags as they are returned */
	uint64_t	k_ext[2];
	enum certainty	k_edge;		/* with EV_CLEAR: news since the last delivery */
	bool		k_late;		/* ... that may be told twice */
	bool		k_trigger;	/* USER */
	int64_t		k_count;	/* SIGNAL */
	int64_t		k_when, k_period;	/* TIMER */
	bool		k_clear;	/* TIMER: the program asked for EV_CLEAR */
	int		k_status;	/* PROC: as of wait(2) */
	bool		k_ended;	/* PROC */
	uint32_t	k_must, k_may;	/* VNODE: marks */
	int		k_news;		/* VNODE: operations since nothing was left to look at */
	int		k_passed;	/* calls that had something else in its place */
};

struct child {
	int		c_pid;		/* 0: none */
	bool		c_zombie, c_gone;
	int		c_status;
};

struct model {
	struct file	m_file[MODEL_FILES];
	int		m_files;
	struct file	*m_slot[MODEL_SLOTS];
	int		m_number[MODEL_SLOTS];	/* the descriptor, -1: closed */
	struct mknote	m_knote[MODEL_KNOTES];
	struct child	m_child[MODEL_CHILDREN];
	int64_t		m_clock, m_date;	/* nanoseconds: monotonic, wall */
};

/* An event that must or may come. */
struct expect {
	struct mknote	*e_knote;
	enum certainty	e_sure;
	unsigned	e_flags;
	bool		e_eof_open;	/* EV_EOF is left open */
	uint32_t	e_must, e_may;		/* fflags */
	int64_t		e_least, e_most;	/* data */
};

void	model_init(struct model *m, int64_t clock, int64_t date);

/* Descriptors.  The caller has made them, and says what numbers they got. */
struct file *model_file(struct model *m, enum kind kind);
void	model_open(struct model *m, int slot, int number, struct file *f);
void	model_close(struct model *m, int slot);
int	model_slot(const struct model *m, uintptr_t number);	/* -1: not open */

/* What happens to them.  n: what the system call has to return. */
int64_t	model_write(struct model *m, struct file *f, int64_t n);
int64_t	model_read(struct model *m, struct file *f, int64_t n);
void	model_fill(struct model *m, struct file *f);
void	model_drain(struct model *m, struct file *f);
void	model_shutdown(struct model *m, struct file *f, bool both);
void	model_connect(struct model *m, struct file *f, struct file *listener);
void	model_refuse(struct model *m, struct file *f);
void	model_urgent(struct model *m, struct file *f);
struct file *model_accept(struct model *m, struct file *listener);
void	model_reset(struct model *m, int slot);		/* closed in a hurry */
void	model_seek(struct model *m, struct file *f, int64_t offset);
void	model_append(struct model *m, struct file *f, int64_t n);
void	model_truncate(struct model *m, struct file *f, int64_t size);
void	model_vnode(struct model *m, struct file *f, uint32_t notes);

void	model_advance(struct model *m, int64_t ns);
void	model_set_date(struct model *m, int64_t date);
void	model_signal(struct model *m, int signo);
void	model_exit(struct model *m, struct child *c, int status);

/* Whether a queue can be reached from another, by watching; all: by what is disabled, too. */
bool	model_reaches(struct model *m, struct file *f, struct file *q, bool all);

/* One change; 0 or the errno.  ext: of kevent64(). */
int	model_change(struct model *m, struct file *q, const struct kevent *kev);
int	model_change_wide(struct model *m, struct file *q, const struct kevent *kev, const uint64_t ext[2]);

/*
 * A change that came when a waiter may have been told of the one before already: then there is news again, as if
 * each had been a call of its own.
 */
void	model_changed_late(struct model *m, struct file *q, const struct kevent *kev);

/* An operation is done: a queue that has become readable is news to those that watch it. */
void	model_tell_queues(struct model *m);

/* All that a queue must or may return; how many.  expect has room for MODEL_KNOTES. */
int	model_ready(struct model *m, struct file *q, struct expect *expect);

/* It has returned this. */
void	model_deliver(struct model *m, const struct expect *e, const struct kevent *got);

/* A call returned nothing, so nothing is left that only may come. */
void	model_settled(struct model *m, struct file *q);

/* Whether its descriptor is readable: the surest of what model_ready() says, less what nobody is told of. */
enum certainty model_readable(struct model *m, struct file *q);

#endif
