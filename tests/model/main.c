/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * model SECONDS [SEED [PROGRAMS]]: random programs, which the library and the
 * model run side by side.  Each program has a seed of its own, counted up from
 * the first.  One on which they disagree, or that crashes or hangs, is made
 * smaller as long as it still does, and printed as C.
 *
 * model FILE: runs the program in a file, such as the fuzzer leaves behind.
 *
 * model print SEED: prints one program, whether they agree or not.
 *
 * It tells how often each operation did something.
 */
#include "clock.h"
#include "run.h"

#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG	100	/* how often in a row a second passes in which no program begins ... */
#define STUCK	10	/* ... while one that fails is made smaller */
#define ROUNDS	8	/* of making a program smaller */

/* What a process that runs programs leaves, should it end early. */
static struct shared {
	uint64_t	s_seed;
	long		s_programs, s_events, s_changes;
	bool		s_failed;
	struct outcome	s_outcome;
	_Atomic unsigned long s_begun;	/* programs, counted for who looks whether it goes on */
} *shared;

static uint64_t
next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* How often each operation comes. */
static const uint8_t weights[OP_CODES] = {
	[OP_CHANGE] = 70, [OP_COLLECT] = 40, [OP_WRITE] = 20, [OP_READ] = 14, [OP_FILL] = 3, [OP_DRAIN] = 6,
	[OP_QUEUE] = 2, [OP_PIPE] = 5, [OP_STREAM] = 5, [OP_DGRAM] = 3, [OP_FILE] = 4, [OP_CLOSE] = 9, [OP_DUP] = 3,
	[OP_DUP2] = 2, [OP_SHUTDOWN] = 3, [OP_SEEK] = 4, [OP_APPEND] = 4, [OP_TRUNCATE] = 3, [OP_CHMOD] = 2,
	[OP_LINK] = 2, [OP_UNLINK] = 2, [OP_RENAME] = 1, [OP_TIME] = 14, [OP_DATE] = 2, [OP_RAISE] = 8,
	[OP_ACTION] = 2, [OP_CHILD] = 1, [OP_EXIT] = 2, [OP_REAP] = 2, [OP_FORK] = 1, [OP_WAIT] = 5,
	[OP_TOGETHER] = 3, [OP_TRIGGERS] = 4, [OP_TCP] = 4, [OP_LISTEN] = 2,
	[OP_CONNECT] = 5, [OP_ACCEPT] = 5, [OP_RESET] = 2, [OP_URGENT] = 4,
};

static uint8_t
code_of(unsigned random)
{
	unsigned sum = 0;
	uint8_t code = 0;

	for (int i = 0; i < OP_CODES; i++)
		sum += weights[i];
	for (random %= sum; random >= weights[code]; code++)
		random -= weights[code];
	return code;
}

static size_t
generate(struct op *ops, uint64_t seed)
{
	uint64_t state = seed, bits;
	size_t n = 5 + next(&state) % (next(&state) % 4 == 0 ? RUN_OPS - 5 : 40);

	for (size_t i = 0; i < n; i++) {
		ops[i].o_code = code_of((unsigned)(next(&state) >> 32));
		for (size_t j = 0; j < sizeof(ops[i].o_arg); j += sizeof(bits)) {
			bits = next(&state);
			memcpy(ops[i].o_arg + j, &bits,
			    sizeof(ops[i].o_arg) - j < sizeof(bits) ? sizeof(ops[i].o_arg) - j : sizeof(bits));
		}
	}
	return n;
}

static void
run_many(double seconds, uint64_t seed, long programs)
{
	int64_t until = clock_real() + (int64_t)(seconds * 1e9);
	struct op ops[RUN_OPS];

	while (clock_real() < until && programs-- != 0) {
		shared->s_seed = seed;
		shared->s_begun++;
		shared->s_outcome.o_events = shared->s_outcome.o_changes = 0;
		if (!run(ops, generate(ops, seed++), &shared->s_outcome, NULL)) {
			shared->s_failed = true;
			return;
		}
		shared->s_programs++;
		shared->s_events += shared->s_outcome.o_events;
		shared->s_changes += shared->s_outcome.o_changes;
	}
}

/*
 * Starts a child, with SIGCHLD blocked here.  No timer of its own watches over
 * it: that would be a signal to the library, and would go on while it is stopped.
 */
static pid_t
start(void)
{
	sigset_t set, before;
	pid_t pid;

	fflush(NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	pid = fork();
	if (pid == 0)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Waits for its end, and ends it if it hangs: seconds are counted one by one, so that a pause is no more than one. */
static int
await(pid_t pid, int most)
{
	const struct timespec second = { .tv_sec = 1 };
	unsigned long begun = shared->s_begun;
	int status = 0, idle = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (sigtimedwait(&set, NULL, &second) != -1 || errno != EAGAIN)
			continue;
		idle = shared->s_begun == begun ? idle + 1 : 0;
		begun = shared->s_begun;
		if (idle == most)
			kill(pid, SIGABRT);
	}
	return status;
}

/* Whether a child that runs this program finds fault, crashes or hangs. */
static bool
fails(const struct op *ops, size_t n, FILE *c)
{
	pid_t pid = start();

	if (pid == 0) {
		if (c == NULL && freopen("/dev/null", "w", stderr) == NULL)
			_exit(2);
		_exit(run(ops, n, &shared->s_outcome, c) ? 0 : 1);
	}
	return await(pid, c == NULL ? STUCK : HANG) != 0;
}

/* Drops operations, and makes their arguments 0. */
static size_t
shrink(struct op *ops, size_t n)
{
	struct op trial[RUN_OPS];
	bool smaller = true;

	for (int round = 0; smaller && round < ROUNDS; round++) {
		smaller = false;
		for (size_t chunk = n / 2 > 0 ? n / 2 : 1; chunk > 0; chunk /= 2)
			for (size_t at = 0; at + chunk <= n;) {
				memcpy(trial, ops, at * sizeof(*ops));
				memcpy(trial + at, ops + at + chunk, (n - at - chunk) * sizeof(*ops));
				if (!fails(trial, n - chunk, NULL)) {
					at += chunk;
					continue;
				}
				n -= chunk;
				memcpy(ops, trial, n * sizeof(*ops));
				smaller = true;
			}
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < sizeof(ops[i].o_arg); j++) {
				memcpy(trial, ops, n * sizeof(*ops));
				trial[i].o_arg[j] = 0;
				if (ops[i].o_arg[j] != 0 && fails(trial, n, NULL)) {
					ops[i].o_arg[j] = 0;
					smaller = true;
				}
			}
	}
	return n;
}

static void
print(const struct op *ops, size_t n, uint64_t seed)
{
	printf("#include \"harness.h\"\n#include \"model/paste.h\"\n\nSTART_TEST(model__seed_%" PRIu64 ")\n{\n", seed);
	fails(ops, n, stdout);
	printf("}\nEND_TEST\n\nHARNESS_MAIN(\"model\", model__seed_%" PRIu64 ")\n/* As bytes:", seed);
	for (size_t i = 0; i < n; i++) {
		printf("%s", i % 4 == 0 ? "\n" : " ");
		for (size_t j = 0; j < sizeof(*ops); j++)
			printf("%02x", ((const uint8_t *)&ops[i])[j]);
	}
	printf("\n*/\n");
	fflush(stdout);
}

static int
find_fault(double seconds, uint64_t seed, long programs)
{
	struct op ops[RUN_OPS];
	int status;
	size_t n;
	pid_t pid;

	printf("model: seed %" PRIu64 "\n", seed);
	pid = start();
	if (pid == 0) {
		run_many(seconds, seed, programs);
		_exit(0);
	}
	status = await(pid, HANG);
	printf("model: %ld programs, %ld events, %ld changes\n", shared->s_programs, shared->s_events,
	    shared->s_changes);
	printf("model:");
	for (int i = 0; i < OP_CODES; i++)
		printf(" %s %ld", run_name(i), shared->s_outcome.o_done[i]);
	printf("\n");
	if (!shared->s_failed && status == 0)
		return 0;
	if (shared->s_failed)
		printf("model: seed %" PRIu64 ", operation %d: %s\n", shared->s_seed, shared->s_outcome.o_at,
		    shared->s_outcome.o_why);
	else
		printf("model: seed %" PRIu64 " ends with status %#x\n", shared->s_seed, status);
	fflush(stdout);
	n = generate(ops, shared->s_seed);
	if (!fails(ops, n, NULL))
		printf("model: by itself it does not fail\n");
	else
		n = shrink(ops, n);
	print(ops, n, shared->s_seed);
	return 1;
}

static int
print_one(uint64_t seed)
{
	struct op ops[RUN_OPS];

	print(ops, generate(ops, seed), seed);
	return 0;
}

static int
run_file(const char *name)
{
	struct op ops[RUN_OPS];
	FILE *f = fopen(name, "r");
	size_t n;

	if (f == NULL) {
		perror(name);
		return 2;
	}
	n = fread(ops, sizeof(*ops), RUN_OPS, f);
	fclose(f);
	if (!fails(ops, n, NULL))
		return 0;
	print(ops, shrink(ops, n), 0);
	return 1;
}

static int
remove_entry(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

int
main(int argc, char **argv)
{
	char dir[] = "/tmp/kq-model.XXXXXX";
	int result;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: model SECONDS [SEED [PROGRAMS]]\n       model FILE\n       model print SEED\n");
		return 2;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || mkdtemp(dir) == NULL) {
		perror("model");
		return 2;
	}
	run_init(dir);
	if (isdigit((unsigned char)argv[1][0]))
		result = find_fault(atof(argv[1]), argc > 2 ? strtoull(argv[2], NULL, 10) :
		    (uint64_t)clock_real(), argc > 3 ? atol(argv[3]) : -1);
	else if (argc == 3 && strcmp(argv[1], "print") == 0)
		result = print_one(strtoull(argv[2], NULL, 10));
	else
		result = run_file(argv[1]);
	nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return result;
}
