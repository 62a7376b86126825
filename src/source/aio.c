/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io_uring tells by its descriptor, which is an item of the queue's (aio_uring.c).
 *
 * The C library tells that an operation has ended by calling aio_called() in a
 * thread that it makes for that.  It may be that this comes late, or never for
 * want of a thread: who asks for the status, or calls kevent(), finds out, too.
 *
 * A job is found by the program's aiocb, without a lock, since aio_error() and
 * its like may be called in signal handlers.  So the table's chains only grow,
 * at their heads, and a job that is done with serves the next of its chain.
 *
 * This file is compiled without the thread sanitizer, which knows nothing of
 * threads that the C library makes for itself.
 */
#include "aio_uring.h"

#include "../bell.h"
#include "../filter.h"
#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AIO_CHAINS	1024

/* What a queue may be asked for with an operation. */
#define AIO_FLAGS	(EV_ONESHOT | EV_CLEAR | EV_DISPATCH)

static _Atomic(struct aio_job *) aio_chains[AIO_CHAINS];
static _Atomic bool aio_began;		/* they are not all empty */
static struct lock aio_lock;		/* taking a free job */
const struct aio_libc *_Atomic aio_libc;

static _Atomic(struct aio_job *) *
aio_chain(uintptr_t key)
{
	return &aio_chains[(key >> 4 ^ key >> 14) % AIO_CHAINS];
}

struct aio_job *
aio_lookup(uintptr_t key, uint32_t list)
{
	struct aio_job *job;

	for (job = atomic_load(aio_chain(key)); job != NULL; job = job->j_next)
		if (atomic_load(&job->j_key) == key &&
		    (atomic_load(&job->j_state) & AIO_LIST) == list)
			return job;
	return NULL;
}

struct aio_job *
aio_find(const struct aiocb *cb)
{
	if (cb == NULL || aio_lookup((uintptr_t)cb, 0) == NULL)
		return NULL;
	/* A forked child may have the table of its parent still: this takes over. */
	kqueue_enter(-1);
	return aio_lookup((uintptr_t)cb, 0);
}

struct aiocb *
aio_copy(struct aio_job *job)
{
	return job->j_ring ? NULL : &job->j_cb;
}

void
aio_release(struct aio_job *job, uint32_t bits)
{
	atomic_fetch_and(&job->j_state, ~bits);
}

/* A free job that nobody can find yet; NULL: no memory. */
struct aio_job *
aio_new(uintptr_t key, uint32_t state)
{
	_Atomic(struct aio_job *) *chain = aio_chain(key);
	struct aio_job *job;

	lock_take(&aio_lock);
	for (job = atomic_load(chain); job != NULL; job = job->j_next)
		if ((atomic_load(&job->j_state) & AIO_BUSY) == 0)
			break;
	if (job != NULL) {
		atomic_store(&job->j_state, state);
	} else if ((job = mem_alloc(sizeof(*job))) != NULL) {
		atomic_init(&job->j_state, state);
		job->j_next = atomic_load(chain);
		atomic_store(&aio_began, true);
		atomic_store(chain, job);
	}
	lock_drop(&aio_lock);
	if (job != NULL) {
		job->j_list = NULL;
		job->j_ring = false;
		job->j_error = 0;
		atomic_store(&job->j_left, 1);
		atomic_store(&job->j_members, 1);
	}
	return job;
}

/*
 * Rings the queue's bell, as a closing does (bell.h): kqueue_lock() then finds
 * what is in kq_aio.  The queue may end under our hands, and another begin in its
 * struct: that rings for nothing.
 */
static void
aio_ring(struct kqueue *kq)
{
	struct epoll_event item = {
		.events = EPOLLIN,
		.data.u64 = SOURCE_TAG(SOURCE_BELL, 0) | (uint64_t)kq->kq_id << 32
	};
	int saved = errno, bell;

	do {
		bell = kqueue_eventfd();
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_MOD, bell, &item);
	} while (bell != kqueue_eventfd());
	errno = saved;
}

void
aio_post(struct aio_job *job)
{
	struct kqueue *kq = job->j_kq;
	struct aio_job *head;

	if ((atomic_load(&job->j_state) & AIO_KNOTE) == 0 ||
	    (atomic_fetch_or(&job->j_state, AIO_POSTED) & AIO_POSTED) != 0)
		return;
	head = atomic_load(&kq->kq_aio);
	do
		job->j_posted = head;
	while (!atomic_compare_exchange_weak(&kq->kq_aio, &head, job));
	kqueue_fall_behind(kq);
	aio_ring(kq);
}

/* A notification that is not ours, as the C library would have made it. */
void
aio_notify(const struct sigevent *event)
{
	siginfo_t info;

	if (event->sigev_notify == SIGEV_THREAD) {
		event->sigev_notify_function(event->sigev_value);
	} else if (event->sigev_notify == SIGEV_SIGNAL) {
		memset(&info, 0, sizeof(info));
		info.si_signo = event->sigev_signo;
		info.si_code = SI_ASYNCIO;
		info.si_pid = getpid();
		info.si_uid = getuid();
		info.si_value = event->sigev_value;
		syscall(SYS_rt_sigqueueinfo, info.si_pid, info.si_signo, &info);
	}
}

/* It has ended: the first to notice tells. */
void
aio_end(struct aio_job *job)
{
	struct aio_job *list = job->j_list;

	if ((atomic_fetch_or(&job->j_state, AIO_DONE) & AIO_DONE) != 0)
		return;
	aio_post(job);
	if (list != NULL)
		lio_counts(list, true);
}

static void
aio_called(union sigval value)
{
	struct aio_job *job = value.sival_ptr;
	struct sigevent event = job->j_event;

	aio_end(job);
	aio_release(job, AIO_CALLING);
	aio_notify(&event);
}

/* EINPROGRESS, or how it ended. */
static int
aio_error_of(const struct aio_job *job)
{
	if ((atomic_load(&job->j_state) & (AIO_STARTING | AIO_DONE)) == AIO_STARTING)
		return EINPROGRESS;
	if (job->j_error != 0)
		return job->j_error;
	return job->j_ring ? aio_uring_status(job) : aio_libc->error(&job->j_cb);
}

int
aio_status(struct aio_job *job)
{
	int error = aio_error_of(job);

	if (error == EINPROGRESS && job->j_ring) {
		aio_uring_reap();
		error = aio_error_of(job);
	}
	if (error != EINPROGRESS)
		aio_end(job);
	return error;
}

/*
 * Its knote goes, if it has one.  Where a handler has interrupted the library,
 * the next kevent() does it (aio_taken).
 */
void
aio_unregister(struct aio_job *job)
{
	struct kqueue *kq = job->j_kq;

	if ((atomic_load(&job->j_state) & AIO_KNOTE) == 0 || kqueue_thread.locks > 0)
		return;
	atomic_fetch_add(&kq->kq_refs, 1);
	kqueue_thread.calls++;
	lock_take(&kq->kq_lock);
	if ((atomic_load(&job->j_state) & AIO_KNOTE) != 0)
		knote_remove(kq, knote_at(&kq->kq_pool, job->j_slot));
	kqueue_unlock(kq);
	kqueue_leave(kq);
}

ssize_t
aio_take_result(struct aio_job *job)
{
	struct aio_job *list = job->j_list;
	uintptr_t key = atomic_load(&job->j_key);
	int error = aio_status(job);
	ssize_t result;

	if (error == EINPROGRESS || key == 0 ||
	    !atomic_compare_exchange_strong(&job->j_key, &key, 0))
		return -EINVAL;
	if (job->j_error != 0)
		result = -1;
	else
		result = job->j_ring ? aio_uring_result(job) : aio_libc->result(&job->j_cb);
	aio_unregister(job);
	aio_release(job, AIO_HELD);
	if (list != NULL)
		lio_member_goes(list);
	return error != 0 ? -error : result;
}

/* Starting. */

/* Registers what *event asks for; the caller may not be cancelled.  0 or -errno. */
int
aio_register(struct aio_job *job, const struct sigevent *event, uintptr_t ident, short filter)
{
	struct kevent kev = {
		.ident = ident,
		.filter = filter,
		/* As on FreeBSD: nobody else can set that. */
		.flags = (unsigned short)(EV_ADD | EV_FLAG1 | event->sigev_notify_kevent_flags),
		.data = (int64_t)(uintptr_t)job,
		.udata = event->sigev_value.sival_ptr,
	};
	struct kqueue *kq;
	int error;

	if ((event->sigev_notify_kevent_flags & ~AIO_FLAGS) != 0)
		return -EINVAL;
	kq = kqueue_enter(event->sigev_notify_kqueue);
	if (kq == NULL)
		return -EBADF;
	kqueue_lock(kq);
	error = kqueue_is_open(kq) ? knote_change(kq, &kev, NULL) : -EBADF;
	/* One of an earlier operation, which a handler has left: it is not ours. */
	if (error == 0 && (atomic_load(&job->j_state) & AIO_KNOTE) == 0)
		error = -EINVAL;
	kqueue_unlock(kq);
	kqueue_leave(kq);
	return error;
}

/* As on FreeBSD, which looks before it accepts. */
static int
aio_check(enum aio_op op, const struct aiocb *cb)
{
	int mode = fcntl(cb->aio_fildes, F_GETFL);

	if (mode == -1 || (mode & O_PATH) != 0 ||
	    (op == AIO_READ && (mode & O_ACCMODE) == O_WRONLY) ||
	    (op == AIO_WRITE && (mode & O_ACCMODE) == O_RDONLY))
		return -EBADF;
	if ((op == AIO_READ || op == AIO_WRITE) && aio_libc->offset(cb) < 0 &&
	    lseek(cb->aio_fildes, 0, SEEK_CUR) != -1)
		return -EINVAL;
	return 0;
}

/* An operation that ended, whose result nobody took, makes room for the next with its aiocb. */
static int
aio_supersede(const struct aiocb *cb)
{
	struct aio_job *job = aio_find(cb);

	if (job == NULL)
		return 0;
	if (aio_status(job) == EINPROGRESS)
		return -EINVAL;
	aio_take_result(job);
	return 0;
}

static int
aio_submit(struct aio_job *job, enum aio_op op)
{
	const struct aio_libc *libc = aio_libc;
	int result = -1;

	aio_uring_passes(op, job->j_cb.aio_fildes);
	switch (op) {
	case AIO_READ:
		result = libc->read(&job->j_cb);
		break;
	case AIO_WRITE:
		result = libc->write(&job->j_cb);
		break;
	case AIO_SYNC:
	case AIO_DSYNC:
		result = libc->fsync(op == AIO_SYNC ? O_SYNC : O_DSYNC, &job->j_cb);
		break;
	}
	return result == -1 ? -errno : 0;
}

static void
aio_fill(struct aio_job *job, const struct aiocb *cb)
{
	struct sigevent *event = &job->j_cb.aio_sigevent;

	job->j_event = cb->aio_sigevent;
	job->j_cb = *cb;
	memset(event, 0, sizeof(*event));
	event->sigev_notify = SIGEV_THREAD;
	event->sigev_notify_function = aio_called;
	event->sigev_value.sival_ptr = job;
	if (job->j_event.sigev_notify == SIGEV_THREAD)
		event->sigev_notify_attributes = job->j_event.sigev_notify_attributes;
}

/*
 * Whether io_uring does it.  Not if somebody is to get a signal or a thread when it
 * ends: nobody would be there to see to that.
 */
static bool
aio_uses_ring(struct aio_job *job, enum aio_op op, const struct aiocb *cb, const struct aio_job *list)
{
	int notify = job->j_event.sigev_notify;

	return (notify == SIGEV_KEVENT || notify == SIGEV_NONE) && (list == NULL || list->j_ring) &&
	    aio_uring_suits(job, op, cb);
}

/*
 * Starts it, as part of list unless that is NULL.  keep: if it cannot be started,
 * the error is kept for who asks.
 */
int
aio_begin(enum aio_op op, struct aiocb *cb, struct aio_job *list, bool keep)
{
	struct aio_job *job;
	int error;

	error = aio_supersede(cb);
	if (error < 0)
		return error;
	job = aio_new((uintptr_t)cb, AIO_HELD | AIO_STARTING);
	if (job == NULL)
		return -EAGAIN;
	aio_fill(job, cb);
	error = aio_check(op, cb);
	if (error == 0)
		job->j_ring = aio_uses_ring(job, op, cb, list);
	if (error == 0 && job->j_event.sigev_notify == SIGEV_KEVENT)
		error = aio_register(job, &job->j_event, (uintptr_t)cb, EVFILT_AIO);
	if (error < 0)
		goto fail;
	if (list != NULL) {
		job->j_list = list;
		atomic_fetch_add(&list->j_left, 1);
		atomic_fetch_add(&list->j_members, 1);
	}
	atomic_fetch_or(&job->j_state, AIO_CALLING);
	atomic_store(&job->j_key, (uintptr_t)cb);
	error = job->j_ring ? aio_uring_start(job) : -ENOSYS;
	if (error == -ENOSYS) {
		job->j_ring = false;
		error = aio_submit(job, op);
	}
	if (error == 0) {
		aio_release(job, AIO_STARTING);
		return 0;
	}
	aio_unregister(job);
	aio_release(job, AIO_CALLING);
	job->j_list = NULL;
	if (list != NULL) {
		atomic_fetch_sub(&list->j_left, 1);
		atomic_fetch_sub(&list->j_members, 1);
	}
fail:
	job->j_error = -error;
	if (keep) {
		atomic_fetch_or(&job->j_state, AIO_DONE);
		atomic_store(&job->j_key, (uintptr_t)cb);
	} else {
		atomic_store(&job->j_key, 0);
		aio_release(job, AIO_HELD);
	}
	aio_release(job, AIO_STARTING);
	aio_uring_rest();
	return error;
}

/* A child that has no queue of its own has no memory of its own either. */
bool
aio_no_queue(const struct aio_libc *libc)
{
	kqueue_enter(-1);
	aio_libc = libc;
	return kqueue_first() == NULL;
}

int
aio_start(const struct aio_libc *libc, enum aio_op op, struct aiocb *cb)
{
	return aio_no_queue(libc) ? -EBADF : aio_begin(op, cb, NULL, false);
}

/* Knotes. */

void
aio_attach(struct kqueue *kq, struct knote *kn)
{
	struct aio_job *job = kn->kn_hook;

	job->j_kq = kq;
	job->j_slot = kn->kn_slot;
	if (job->j_ring && aio_uring_join(kq) < 0)
		job->j_ring = false;
	atomic_fetch_or(&job->j_state, AIO_KNOTE);
}

void
aio_detach(struct knote *kn)
{
	aio_release(kn->kn_hook, AIO_KNOTE);
}

bool
aio_ended(const struct knote *kn, int *error)
{
	const struct aio_job *job = kn->kn_hook;
	uint32_t state = atomic_load(&job->j_state);

	*error = 0;
	if ((state & AIO_HELD) == 0)
		return false;
	if ((state & AIO_LIST) != 0)
		return (state & AIO_DONE) != 0;
	*error = aio_error_of(job);
	return *error != EINPROGRESS;
}

bool
aio_taken(const struct knote *kn)
{
	const struct aio_job *job = kn->kn_hook;

	return (atomic_load(&job->j_state) & AIO_HELD) == 0;
}

int
aio_cancel_ours(int fd, struct aio_job *job)
{
	return job == NULL ? aio_uring_cancel_all(fd) : aio_uring_cancel(job);
}

int
aio_wait_ours(const struct timespec *timeout)
{
	return aio_uring_wait(timeout);
}

void
aio_passes(enum aio_op op, int fd)
{
	aio_uring_passes(op, fd);
}

unsigned
aio_count_results(void)
{
	return aio_uring_results();
}

void
aio_free(struct kqueue *kq)
{
	aio_report(kq);
	aio_uring_leave(kq);
}

void
aio_report_ring(struct kqueue *kq)
{
	aio_uring_reap();
	aio_report(kq);
}

void
aio_report(struct kqueue *kq)
{
	struct aio_job *job = atomic_exchange(&kq->kq_aio, NULL), *next;

	for (; job != NULL; job = next) {
		next = job->j_posted;
		if ((atomic_load(&job->j_state) & AIO_KNOTE) != 0)
			knote_note(kq, knote_at(&kq->kq_pool, job->j_slot), 0);
		aio_release(job, AIO_POSTED);
	}
}

void
aio_fork_child(void)
{
	if (atomic_load(&aio_began))
		for (int i = 0; i < AIO_CHAINS; i++)
			atomic_store(&aio_chains[i], NULL);
	lock_fork_child(&aio_lock);
	aio_uring_fork_child();
}
