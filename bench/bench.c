/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool no_counts, by_wall;

static int64_t started, measured;
static bool paused;
static int children_pipe[2];

long
must(long value, const char *call)
{
	if (value != -1)
		return value;
	fprintf(stderr, "%s: %s\n", call, strerror(errno));
	exit(1);
}

static int64_t
clock_read(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
clock_now(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

void
clock_start(void)
{
	started = clock_read(by_wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID);
}

void
clock_stop(void)
{
	int64_t now = clock_read(by_wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID);

	if (!paused)
		measured += now - started;
}

void
clock_pause(bool on)
{
	paused = on;
}

void
result(long operations, double second)
{
	printf("%ld %.3f", operations, (double)measured / (double)operations);
	if (second >= 0)
		printf(" %.3f", second);
	printf("\n");
}

void
result_of_children(long n, void (*function)(void))
{
	int64_t took;
	int fds[2];

	must(pipe(fds), "pipe");
	for (long i = 0; i < n; i++) {
		if (must(fork(), "fork") == 0) {
			measured = 0;
			clock_start();
			function();
			clock_stop();
			must(write(fds[1], &measured, sizeof(measured)), "write");
			_exit(0);
		}
		must(read(fds[0], &took, sizeof(took)), "read");
		must(wait(NULL), "wait");
		measured += took;
	}
	result(n, -1);
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

double
late_hundredth(int64_t late[], long n)
{
	qsort(late, (size_t)n, sizeof(*late), compare);
	return (double)late[n * 99 / 100] / 1000;
}

void
work_a_little(void)
{
	volatile uint32_t result_of_work;
	uint32_t work = 1;

	/* Not in memory: how fast that is depends on where the stack happens to be. */
	for (int i = 0; i < 1000; i++)
		work = work * 1103515245 + 12345 + (work >> 16);
	result_of_work = work;
	(void)result_of_work;
}

uint32_t
bench_random(void)
{
	static uint32_t state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

void
make_pairs(int here[], int there[], int n)
{
	int fds[2];

	for (int i = 0; i < n; i++) {
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
		here[i] = fds[0];
		there[i] = fds[1];
	}
}

long
descriptors(void)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	return (long)limit.rlim_cur;
}

/* As far as we may; the superuser may more. */
static void
raise_descriptors(void)
{
	struct rlimit limit = { 1048576, 1048576 };

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return;
	must(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void
stuff(int fd)
{
	char block[4096] = { 0 };

	while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	while (send(fd, block, 1, MSG_DONTWAIT) > 0)
		;
}

long
memory(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[128];
	long size = -1;

	while (file != NULL && size < 0 && fgets(line, sizeof(line), file) != NULL)
		(void)sscanf(line, "Anonymous: %ld", &size);
	must(size, "/proc/self/smaps_rollup");
	fclose(file);
	return size * 1024;
}

static char directory[] = "/tmp/kq-bench-XXXXXX";
static int files_made;

static void
remove_files(void)
{
	char path[64];

	for (int i = 0; i < files_made; i++) {
		snprintf(path, sizeof(path), "%s/%d", directory, i);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

void
make_files(int fds[], int n)
{
	char path[64];

	if (mkdtemp(directory) == NULL)
		must(-1, "mkdtemp");
	atexit(remove_files);
	for (; files_made < n; files_made++) {
		snprintf(path, sizeof(path), "%s/%d", directory, files_made);
		fds[files_made] = (int)must(open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600),
		    path);
	}
}

void
make_children(int pids[], int n)
{
	char byte;

	must(pipe2(children_pipe, O_CLOEXEC), "pipe2");
	for (int i = 0; i < n; i++) {
		pids[i] = (int)must(fork(), "fork");
		if (pids[i] != 0)
			continue;
		close(children_pipe[1]);
		(void)!read(children_pipe[0], &byte, 1);
		_exit(i & 0xff);
	}
	close(children_pipe[0]);
}

void
release_children(const int pids[], int n)
{
	siginfo_t info;

	close(children_pipe[1]);
	for (int i = 0; i < n; i++)
		must(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT), "waitid");
}

void
reap_children(const int pids[], int n)
{
	for (int i = 0; i < n; i++)
		must(waitpid(pids[i], NULL, 0), "waitpid");
}

int
make_sender(long count, _Atomic long **seen)
{
	pid_t parent = getpid(), pid;

	*seen = mmap(NULL, sizeof(**seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (*seen == MAP_FAILED)
		must(-1, "mmap");
	atomic_store(*seen, -1);
	pid = (pid_t)must(fork(), "fork");
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (atomic_load(*seen) < 0)
		usleep(1000);
	for (long i = 0; i < count && kill(parent, SIGUSR1) == 0; i++)
		while (atomic_load(*seen) <= i)
			sched_yield();
	_exit(0);
}

int
main(int argc, char *argv[])
{
	const char *name = argc > 1 ? argv[1] : "";
	long n = 0;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "-n") == 0)
			no_counts = true;
		else if (strcmp(argv[i], "smoke") == 0)
			n = -1;
		else
			n = atol(argv[i]);
	}
	raise_descriptors();
	for (const struct workload *wl = workloads; wl->wl_name != NULL; wl++) {
		if (strcmp(name, "list") == 0)
			puts(wl->wl_name);
		if (strcmp(name, wl->wl_name) != 0)
			continue;
		wl->wl_run(n > 0 ? n : n < 0 ? wl->wl_smoke : wl->wl_n);
		return 0;
	}
	if (strcmp(name, "list") == 0)
		return 0;
	fprintf(stderr, "usage: %s list | WORKLOAD [-n] [smoke | OPERATIONS]\n", argv[0]);
	return 2;
}
