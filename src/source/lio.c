/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of operations, as lio_listio() has them; see aio.c. */
#include "aio_uring.h"

#include "../filter.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

/* Another thread may take the result that this one waits for: it looks again after these nanoseconds. */
#define LIO_WHILE	16000000

/* One of a list has ended; or all are started, for which one more was counted. */
void
lio_counts(struct aio_job *list, bool notify)
{
	if (atomic_fetch_sub(&list->j_left, 1) != 1)
		return;
	atomic_fetch_or(&list->j_state, AIO_DONE);
	aio_post(list);
	if (notify)
		aio_notify(&list->j_event);
}

/* A result less to take from a list: with the last one it goes. */
void
lio_member_goes(struct aio_job *list)
{
	if (atomic_fetch_sub(&list->j_members, 1) != 1)
		return;
	atomic_store(&list->j_key, 0);
	aio_unregister(list);
	aio_release(list, AIO_HELD);
}

/* What stands for the list, or NULL: there is nobody to tell.  0 or -errno. */
static int
lio_new(struct aiocb *const list[], const struct sigevent *event, struct aio_job **made)
{
	struct aio_job *job;
	int error = 0;

	*made = NULL;
	if (event == NULL || event->sigev_notify == SIGEV_NONE)
		return 0;
	/* That thread would have to be made by us, should all have ended by now. */
	if (event->sigev_notify == SIGEV_THREAD)
		return -EINVAL;
	if (event->sigev_notify == SIGEV_KEVENT && aio_lookup((uintptr_t)list, AIO_LIST) != NULL)
		return -EINVAL;
	job = aio_new((uintptr_t)list, AIO_HELD | AIO_LIST);
	if (job == NULL)
		return -EAGAIN;
	job->j_event = *event;
	if (event->sigev_notify == SIGEV_KEVENT) {
		job->j_ring = aio_uring_works();
		error = aio_register(job, event, (uintptr_t)list, EVFILT_LIO);
	}
	if (error < 0) {
		aio_release(job, AIO_HELD);
		aio_uring_rest();
		return error;
	}
	atomic_store(&job->j_key, (uintptr_t)list);
	*made = job;
	return 0;
}

/* Whether all have ended that were started. */
static bool
lio_ended(struct aiocb *const list[], int n)
{
	struct aio_job *job;

	for (int i = 0; i < n; i++)
		if ((job = aio_find(list[i])) != NULL && aio_status(job) == EINPROGRESS)
			return false;
	return true;
}

static int
lio_wait_libc(const struct aio_job *job)
{
	const struct aiocb *one = &job->j_cb;

	return aio_libc->suspend(&one, 1, NULL) == -1 ? -errno : 0;
}

/* 0 or -errno; EIO: one has failed. */
static int
lio_wait(struct aiocb *const list[], int n)
{
	const struct timespec a_while = { 0, LIO_WHILE };
	struct aio_job *job;
	int error = 0;

	while (!lio_ended(list, n))
		for (int i = 0; i < n; i++) {
			job = aio_find(list[i]);
			if (job == NULL || aio_status(job) != EINPROGRESS)
				continue;
			error = job->j_ring ? aio_uring_wait(&a_while) : lio_wait_libc(job);
			if (error < 0)
				return error;
		}
	for (int i = 0; i < n; i++)
		if (list[i] != NULL && list[i]->aio_lio_opcode != LIO_NOP &&
		    (job = aio_find(list[i])) != NULL && aio_status(job) != 0)
			error = -EIO;
	return error;
}

static int
lio_begin(struct aiocb *const list[], int n, struct aio_job *job)
{
	int failed = 0, error;

	for (int i = 0; i < n; i++) {
		if (list[i] == NULL || list[i]->aio_lio_opcode == LIO_NOP)
			continue;
		if (list[i]->aio_lio_opcode == LIO_READ)
			error = aio_begin(AIO_READ, list[i], job, true);
		else if (list[i]->aio_lio_opcode == LIO_WRITE)
			error = aio_begin(AIO_WRITE, list[i], job, true);
		else
			error = -EINVAL;
		if (error == -EAGAIN)
			failed = -EAGAIN;
		else if (error < 0 && failed == 0)
			failed = -EIO;
	}
	return failed;
}

int
lio_start(const struct aio_libc *libc, int mode, struct aiocb *const list[], int n,
    const struct sigevent *event)
{
	struct aio_job *job;
	int error, waited;

	if (aio_no_queue(libc))
		return -EBADF;
	error = lio_new(list, mode == LIO_WAIT ? NULL : event, &job);
	if (error < 0)
		return error;
	error = lio_begin(list, n, job);
	if (mode == LIO_WAIT) {
		waited = lio_wait(list, n);
		return error == 0 ? waited : error;
	}
	if (job != NULL) {
		/* What was never to be done is no news, as on FreeBSD. */
		lio_counts(job, atomic_load(&job->j_members) > 1);
		lio_member_goes(job);
	}
	return error;
}
