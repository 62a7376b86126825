/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process descriptors as FreeBSD has them, on Linux's pidfds.
 *
 * Without PD_DAEMON the kernel is to kill the process when the last descriptor
 * of it is closed, however that comes about: by exit, by exec, in another
 * process.  No library can do that, and Linux's own CLONE_PIDFD_AUTOKILL (7.1)
 * can only be had from a bare clone3(2), which leaves fork handlers and libc's
 * own state behind.  To go without it in silence would leave processes running
 * that the program means to be dead: it is refused.
 */
#include "public.h"
#include "source/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/procdesc.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * A page that parent and child share.  The child waits there until the parent
 * has its descriptor: it must not end before, since a handler of SIGCHLD,
 * another thread or SIG_IGN might reap it, and its number be another's.  No pipe
 * can do that: others who fork meanwhile would hold it open.
 */
enum gate { GATE_SHUT, GATE_OPEN, GATE_CANCELLED };

/* Where time_t is wider than a register, the call that was made for it (5.1). */
#ifdef SYS_futex_time64
#define GATE_FUTEX	(sizeof(time_t) == sizeof(long) ? SYS_futex : SYS_futex_time64)
#else
#define GATE_FUTEX	SYS_futex
#endif

static void
gate_set(_Atomic uint32_t *gate, enum gate state)
{
	atomic_store(gate, state);
	syscall(GATE_FUTEX, gate, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* If the parent is killed nobody opens: then the child goes on without. */
static void
gate_pass(_Atomic uint32_t *gate, pid_t parent)
{
	const struct timespec while_it_lives = { .tv_nsec = 100000000 };

	while (atomic_load(gate) == GATE_SHUT && getppid() == parent)
		syscall(GATE_FUTEX, gate, FUTEX_WAIT, GATE_SHUT, &while_it_lives, NULL, 0);
	if (atomic_load(gate) == GATE_CANCELLED)
		_exit(0);
}

/* A pidfd, which is close-on-exec at birth; or -errno. */
static int
procdesc_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd >= 0)
		return fd;
	return errno == ENOSYS || errno == EPERM || errno == ENODEV ? -ENOTSUP : -errno;
}

/* Of a child that could not be given a descriptor nothing shall be left. */
static void
procdesc_cancel(_Atomic uint32_t *gate, pid_t pid)
{
	gate_set(gate, GATE_CANCELLED);
	while (syscall(SYS_wait4, pid, NULL, __WALL, NULL) == -1 && errno == EINTR)
		;
}

/* The child's id, 0 in the child, or -errno. */
static int
procdesc_fork(_Atomic uint32_t *gate, int *fdp, int flags)
{
	pid_t self = getpid(), pid;
	int fd;

	pid = fork();
	if (pid == -1)
		return -errno;
	if (pid == 0) {
		gate_pass(gate, self);
		return 0;
	}
	fd = procdesc_open(pid);
	if (fd < 0) {
		procdesc_cancel(gate, pid);
		return fd;
	}
	if ((flags & PD_CLOEXEC) == 0)
		syscall(SYS_fcntl, fd, F_SETFD, 0);
	*fdp = fd;
	gate_set(gate, GATE_OPEN);
	return pid;
}

KQ_PUBLIC pid_t
pdfork(int *fdp, int flags)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	int saved = errno, result;
	void *gate;

	if ((flags & ~(PD_DAEMON | PD_CLOEXEC)) != 0)
		return public_result(-EINVAL);
	if (fdp == NULL)
		return public_result(-EFAULT);
	if ((flags & PD_DAEMON) == 0)
		return public_result(-ENOTSUP);
	/* If there can be no descriptor, it is better known before there is a child. */
	result = procdesc_open(getpid());
	if (result < 0)
		return public_result(result);
	syscall(SYS_close, result);
	gate = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gate == MAP_FAILED)
		return public_result(-errno);
	result = procdesc_fork(gate, fdp, flags);
	munmap(gate, size);
	if (result >= 0)
		errno = saved;
	return public_result(result);
}

KQ_PUBLIC int
pdgetpid(int fd, pid_t *pidp)
{
	int saved = errno, pid;

	if (pidp == NULL)
		return public_result(-EFAULT);
	pid = pidfd_process(fd);
	if (pid < 0)
		return public_result(pid);
	*pidp = pid;
	errno = saved;
	return 0;
}

/* The kernel would take a directory of /proc, too. */
KQ_PUBLIC int
pdkill(int fd, int signum)
{
	int saved = errno, error = pidfd_check(fd);

	if (error < 0)
		return public_result(error);
	errno = saved;
	return (int)syscall(SYS_pidfd_send_signal, fd, signum, NULL, 0);
}
