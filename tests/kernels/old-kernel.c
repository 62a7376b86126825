/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * old-kernel profile program [argument ...]: runs a program as if on an older
 * kernel, or in a sandbox.  What these lack is answered by a filter (seccomp)
 * with the error that they answer with.
 *
 *	linux-5.4	no call that came later; no PIDFD_GET_INFO; an io_uring that does not
 *			say what it can do
 *	container	what a container's filter does not know it forbids (EPERM): all of
 *			these, pidfds, io_uring, userfaultfd and the process connector
 *	no-connector	no process connector, but all else
 *	no-pidfd	no pidfds at all, as on emulated kernels
 *	no-wipe		no MADV_WIPEONFORK, likewise
 *	no-proc		nothing is mounted on /proc (takes root, or a user name space)
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers that every architecture has in common. */
#define NR_PIDFD_SEND_SIGNAL	424
#define NR_IO_URING_SETUP	425
#define NR_IO_URING_REGISTER	427
#define REGISTER_PROBE		8	/* IORING_REGISTER_PROBE, of Linux 5.6 */
#define NR_PIDFD_OPEN		434
#define NR_CLONE3		435
#define NR_CLOSE_RANGE		436	/* of Linux 5.9: with it begins what 5.4 has not */

#define SKIP	77		/* this machine lets nobody do that */
#define MOST	64

static struct sock_filter filter[MOST];
static unsigned short steps;

static void
step(unsigned short code, unsigned k, unsigned char yes, unsigned char no)
{
	if (steps == MOST)
		abort();
	filter[steps++] = (struct sock_filter){ .code = code, .jt = yes, .jf = no, .k = k };
}

static void
load(size_t offset)
{
	step(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void
answer(int error)
{
	step(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error, 0, 0);
}

/* The lower half of an argument. */
static size_t
argument(int n)
{
	const unsigned one = 1;
	size_t low = *(const unsigned char *)&one == 1 ? 0 : 4;

	return offsetof(struct seccomp_data, args) + (size_t)n * 8 + low;
}

/* Calls from first to last. */
static void
refuse(unsigned first, unsigned last, int error)
{
	load(offsetof(struct seccomp_data, nr));
	step(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2);
	step(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0);
	answer(error);
}

/* A call with this value as its n-th argument. */
static void
refuse_with(unsigned call, int n, unsigned value, int error)
{
	load(offsetof(struct seccomp_data, nr));
	step(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3);
	load(argument(n));
	step(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	answer(error);
}

static void
install(void)
{
	struct sock_fprog program = { .len = steps, .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == -1) {
		perror("seccomp");
		exit(SKIP);
	}
}

/* PIDFD_GET_INFO has its size in its number; these are those that were in use. */
static void
refuse_info(void)
{
	for (unsigned size = 64; size <= 96; size += 8)
		refuse_with(SYS_ioctl, 1, 0xc000ff0bu | size << 16, ENOTTY);
}

static void
hide_proc(void)
{
	if (unshare(CLONE_NEWNS) == -1 && unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1) {
		perror("unshare");
		exit(SKIP);
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == -1) {
		perror("/proc");
		exit(SKIP);
	}
}

static int
set_up(const char *profile)
{
	if (strcmp(profile, "linux-5.4") == 0) {
		refuse(NR_CLOSE_RANGE, 0x3fffffff, ENOSYS);
		refuse_info();
		refuse_with(NR_IO_URING_REGISTER, 1, REGISTER_PROBE, EINVAL);
	} else if (strcmp(profile, "container") == 0) {
		refuse(NR_CLOSE_RANGE, 0x3fffffff, EPERM);
		refuse(NR_CLONE3, NR_CLONE3, ENOSYS);	/* or no thread could be made */
		refuse(NR_PIDFD_OPEN, NR_PIDFD_OPEN, EPERM);
		refuse(NR_PIDFD_SEND_SIGNAL, NR_PIDFD_SEND_SIGNAL, EPERM);
		refuse(NR_IO_URING_SETUP, NR_IO_URING_REGISTER, EPERM);
		refuse(SYS_userfaultfd, SYS_userfaultfd, EPERM);
		refuse_with(SYS_socket, 2, NETLINK_CONNECTOR, EPERM);
	} else if (strcmp(profile, "no-connector") == 0) {
		refuse_with(SYS_socket, 2, NETLINK_CONNECTOR, EPROTONOSUPPORT);
	} else if (strcmp(profile, "no-pidfd") == 0) {
		refuse(NR_PIDFD_OPEN, NR_PIDFD_OPEN, ENOSYS);
		refuse(NR_PIDFD_SEND_SIGNAL, NR_PIDFD_SEND_SIGNAL, ENOSYS);
	} else if (strcmp(profile, "no-wipe") == 0) {
		refuse_with(SYS_madvise, 2, MADV_WIPEONFORK, EINVAL);
	} else if (strcmp(profile, "no-proc") == 0) {
		hide_proc();
	} else {
		return -1;
	}
	step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	return 0;
}

int
main(int argc, char *argv[])
{
	if (argc < 3 || set_up(argv[1]) == -1) {
		fprintf(stderr, "usage: old-kernel linux-5.4|container|no-connector|no-pidfd|no-wipe|no-proc "
		    "program [argument ...]\n");
		return 2;
	}
	install();
	setenv("KQ_TEST_KERNEL", argv[1], 1);
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 2;
}
