/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storm SECONDS [SEED]: eight threads do at random whatever can be done to one
 * queue, and every event is accounted for:
 *
 *	a channel's bytes that were written are announced, and read;
 *	EV_ONESHOT and EV_DISPATCH deliver no more often than they were armed;
 *	a one-shot timer that was armed is delivered, or deleted, and never both;
 *	a user event's last trigger is delivered;
 *	each real-time signal is counted;
 *	a forked child finds the queue EBADF and can use one of its own.
 *
 * In twenty seconds and more, neither memory nor descriptors may become more: the most that was
 * held in the last tenth of the time is compared with the most in the second.
 *
 * A watchdog ends the program if a thread makes no progress.
 */
#include <sys/event.h>

#include "../sanitizer.h"
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS		8
#define CHANNELS	4	/* of each thread, as the following */
#define TIMERS		4
#define WATCHDOG	30	/* seconds */
#define WAKE		1	/* ident of the user event that ends a wait */

/* What may be held at one moment and not at another: its threads' own queues, channels being opened. */
#define SLACK_MEMORY	(THREAD_SANITIZER || ADDRESS_SANITIZER ? 65536 : 1024)	/* kilobytes */
#define SLACK_DESCRIPTORS (6 * THREADS)

#define CHECK(what, ...) do {							\
	if (!(what)) {								\
		fprintf(stderr, "storm: %s:%d: %s: ", __FILE__, __LINE__, #what);\
		fprintf(stderr, __VA_ARGS__);					\
		fprintf(stderr, " (errno %d)\n", errno);			\
		abort();							\
	}									\
} while (0)

/* A pipe or a socket pair, of which its thread makes a new one now and then. */
struct channel {
	pthread_mutex_t lock;
	int		fds[2];
	unsigned	generation;	/* counts its reopenings */
	unsigned short	flags;		/* EV_DISPATCH, EV_ONESHOT or EV_CLEAR */
	long		written, got;
	long		armed, delivered;
};

/* A registration that is delivered once for each arming, or deleted. */
struct once {
	long		armed;		/* its thread's own */
	long		deleted;
	atomic_long	delivered;
};

static struct actor {
	pthread_t	thread;
	uint64_t	random;
	atomic_long	progress;
	struct channel	channel[CHANNELS];
	struct once	timer[TIMERS];
	struct once	shot;		/* a user event with EV_ONESHOT */
	int64_t		triggers;	/* of a user event with EV_CLEAR */
	_Atomic int64_t	seen;
} actors[THREADS];

/*
 * A thread may close, and open again, what another's kevent() is looking at: whether the event
 * was in time is what is tested here.  ThreadSanitizer takes it for a race.
 */
const char *__tsan_default_suppressions(void);

const char *
__tsan_default_suppressions(void)
{
	return "race:channel_close\nrace:channel_open\n";
}

static int kq, outer;
static atomic_int victim;		/* a queue that is closed now and then */
static atomic_bool stop, done;
static atomic_long signals_sent, signals_seen, events, forks;
static uint64_t seed;

/* Idents: the thread, and what of its own is meant. */
static uintptr_t
ident_of(size_t actor, unsigned what)
{
	return 1000 + actor * 100 + what;
}

static unsigned
dice(struct actor *a, unsigned sides)
{
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	return (unsigned)(a->random >> 33) % sides;
}

/* One change; 0 or the errno. */
static int
change(int queue, uintptr_t ident, int filter, int flags, unsigned fflags, int64_t data, void *udata)
{
	struct kevent kev;
	int result;

	EV_SET(&kev, ident, (short)filter, (unsigned short)flags, fflags, data, udata);
	result = kevent(queue, &kev, 1, NULL, 0, NULL);
	return result == -1 ? errno : 0;
}

/* Channels.  The lock is held. */

static void *
channel_mark(const struct actor *a, const struct channel *c)
{
	size_t n = (size_t)(a - actors) * CHANNELS + (size_t)(c - a->channel);

	return (void *)((uintptr_t)c->generation << 8 | n);
}

static void
channel_arm(struct actor *a, struct channel *c, int how)
{
	c->armed++;
	CHECK(change(kq, (uintptr_t)c->fds[0], EVFILT_READ, how | c->flags, 0, 0,
	    channel_mark(a, c)) == 0, "arming a channel");
}

static void
channel_open(struct actor *a, struct channel *c)
{
	static const unsigned short modes[] = { EV_DISPATCH, EV_ONESHOT, EV_CLEAR };

	CHECK((dice(a, 2) == 0 ? pipe(c->fds) :
	    socketpair(AF_UNIX, SOCK_STREAM, 0, c->fds)) == 0, "a channel");
	fcntl(c->fds[0], F_SETFL, O_NONBLOCK);
	c->generation++;
	c->flags = modes[dice(a, 3)];
	c->written = c->got = c->armed = c->delivered = 0;
	channel_arm(a, c, EV_ADD);
}

static void
channel_close(struct channel *c)
{
	close(c->fds[0]);
	close(c->fds[1]);
}

/* What its thread does to a channel. */
static void
channel_act(struct actor *a, struct channel *c)
{
	size_t n = 1 + dice(a, 100);
	char bytes[100] = { 0 };

	pthread_mutex_lock(&c->lock);
	switch (dice(a, 12)) {
	case 0:
		channel_close(c);
		channel_open(a, c);
		break;
	case 1:
		channel_arm(a, c, EV_ADD | EV_ENABLE);
		break;
	case 2:
		if (c->flags != EV_ONESHOT)
			CHECK(change(kq, (uintptr_t)c->fds[0], EVFILT_READ, EV_DISABLE, 0, 0,
			    channel_mark(a, c)) == 0, "EV_DISABLE");
		channel_arm(a, c, EV_ADD | EV_ENABLE);
		break;
	case 3:
		change(kq, (uintptr_t)c->fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
		channel_arm(a, c, EV_ADD);
		break;
	case 4:		/* a second filter on the same file */
		change(kq, (uintptr_t)c->fds[1], EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, NULL);
		break;
	default:
		if (c->written - c->got < 2000) {
			CHECK(write(c->fds[1], bytes, n) == (ssize_t)n, "write");
			c->written += (long)n;
		}
	}
	pthread_mutex_unlock(&c->lock);
}

static void
channel_event(const struct kevent *event)
{
	unsigned n = (uintptr_t)event->udata & 0xff;
	struct actor *a = &actors[n / CHANNELS];
	struct channel *c = &a->channel[n % CHANNELS];
	char bytes[4096];
	ssize_t got;

	pthread_mutex_lock(&c->lock);
	/* It may have been closed since the event was collected. */
	if (channel_mark(a, c) == event->udata) {
		c->delivered++;
		CHECK(c->flags == EV_CLEAR || c->delivered <= c->armed,
		    "delivered %ld times, armed %ld (flags %#x)", c->delivered, c->armed, c->flags);
		got = read(c->fds[0], bytes, sizeof(bytes));
		CHECK(got >= 0 || errno == EAGAIN, "read");
		if (got > 0)
			c->got += got;
		if (c->flags == EV_DISPATCH)
			channel_arm(a, c, EV_ENABLE);
		else if (c->flags == EV_ONESHOT)
			channel_arm(a, c, EV_ADD);
	}
	pthread_mutex_unlock(&c->lock);
}

/* What comes once. */

static void
once_act(struct actor *a, struct once *o, uintptr_t ident, int filter)
{
	int error;

	if (atomic_load(&o->delivered) + o->deleted == o->armed) {
		o->armed++;
		CHECK(change(kq, ident, filter, EV_ADD | EV_ONESHOT,
		    filter == EVFILT_USER ? NOTE_TRIGGER : NOTE_USECONDS,
		    filter == EVFILT_USER ? 0 : dice(a, 3000), o) == 0, "EV_ADD of one-shot");
	} else if (dice(a, 4) == 0) {
		error = change(kq, ident, filter, EV_DELETE, 0, 0, NULL);
		CHECK(error == 0 || error == ENOENT, "EV_DELETE: %d", error);
		o->deleted += error == 0;
	}
}

static void
once_event(const struct kevent *event)
{
	struct once *o = event->udata;

	atomic_fetch_add(&o->delivered, 1);
}

/* Events. */

static void
take(const struct kevent *event)
{
	struct actor *a;
	int64_t seen;

	atomic_fetch_add(&events, 1);
	CHECK((event->flags & EV_ERROR) == 0, "error %jd", (intmax_t)event->data);
	switch (event->filter) {
	case EVFILT_READ:
		channel_event(event);
		break;
	case EVFILT_TIMER:
		once_event(event);
		break;
	case EVFILT_SIGNAL:
		if (event->ident == (uintptr_t)SIGRTMIN)
			atomic_fetch_add(&signals_seen, (long)event->data);
		break;
	case EVFILT_USER:
		if (event->ident == WAKE)
			break;
		a = &actors[(event->ident - 1000) / 100];
		if (event->udata == &a->shot) {
			once_event(event);
			break;
		}
		seen = atomic_load(&a->seen);
		while (seen < event->data && !atomic_compare_exchange_weak(&a->seen, &seen, event->data))
			;
		break;
	}
}

/* Collects up to room events; ms -1: waits for one. */
static int
collect(int room, int ms)
{
	struct timespec ts = { 0, ms * 1000000L };
	struct kevent got[16];
	int n = kevent(kq, NULL, 0, got, room, ms < 0 ? NULL : &ts);

	CHECK(n >= 0 || errno == EINTR, "kevent");
	for (int i = 0; i < n; i++)
		take(&got[i]);
	return n;
}

/* Forks. */

#define CHILD(what) do { if (!(what)) child_fails(#what); } while (0)

static void
child_fails(const char *what)
{
	fprintf(stderr, "storm: child: %s (errno %d)\n", what, errno);
	_exit(1);
}

static void
child(unsigned how)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int own, fds[2];

	alarm(WATCHDOG);
	CHILD(kevent(kq, NULL, 0, &event, 1, &zero) == -1 && errno == EBADF);
	if ((how & 1) != 0)
		for (size_t i = 0; i < THREADS * CHANNELS; i++)
			channel_close(&actors[i / CHANNELS].channel[i % CHANNELS]);
	if ((how & 2) != 0)
		close(kq);
	CHILD((own = kqueue()) >= 0 && pipe(fds) == 0);
	CHILD(change(own, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL) == 0);
	CHILD(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_TIMER);
	CHILD(change(own, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL) == 0);
	CHILD(write(fds[1], "x", 1) == 1);
	CHILD(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.data == 1);
	close(fds[0]);
	CHILD(kevent(own, NULL, 0, &event, 1, &zero) == 0);
	CHILD(close(own) == 0);
	_exit(0);
}

/* No fork handler runs for the bare call, so a sanitizer's runtime would not be put right. */
static pid_t
any_fork(unsigned how)
{
	if ((how & 4) != 0 && !THREAD_SANITIZER && !ADDRESS_SANITIZER)
		return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	return fork();
}

static void
forks_a_child(struct actor *a)
{
	unsigned how = dice(a, 8);
	int status;
	pid_t pid;

	pid = any_fork(how);
	CHECK(pid >= 0, "fork");
	if (pid == 0)
		child(how);
	while (waitpid(pid, &status, 0) == -1)
		CHECK(errno == EINTR, "waitpid");
	CHECK(status == 0, "a child's status is %#x", (unsigned)status);
	atomic_fetch_add(&forks, 1);
}

/* Queues that come and go. */

static void
queue_of_ones_own(struct actor *a)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int own = kqueue(), copy = -1;

	CHECK(own >= 0, "kqueue");
	if (dice(a, 2) == 0)
		copy = dup(own);
	/* It may have the number of a victim that others still use: nothing they can take. */
	CHECK(change(own, 6, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL) == 0, "USER");
	change(own, 8, EVFILT_TIMER, EV_ADD, 0, 1, NULL);
	change(own, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
	CHECK(kevent(copy >= 0 && dice(a, 2) == 0 ? copy : own, NULL, 0, &event, 1, &zero) == 1,
	    "an event of a queue of one's own");
	close(own);
	if (copy >= 0) {
		CHECK(change(copy, 9, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL) == 0 ||
		    errno == EBADF, "a duplicate");
		close(copy);
	}
}

/* Others may be waiting on it. */
static void
victim_act(struct actor *a)
{
	struct timespec soon = { 0, 1000000 };
	struct kevent event;
	int fd;

	if (dice(a, 4) == 0) {
		CHECK((fd = kqueue()) >= 0, "kqueue");
		CHECK(close(atomic_exchange(&victim, fd)) == 0, "close");
		return;
	}
	fd = atomic_load(&victim);
	change(fd, 7, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL);
	CHECK(kevent(fd, NULL, 0, &event, 1, &soon) >= 0 || errno == EBADF || errno == EINTR,
	    "a queue that is closed");
}

static void
outer_act(void)
{
	struct timespec soon = { 0, 1000000 };
	struct kevent event;
	int n = kevent(outer, NULL, 0, &event, 1, &soon);

	CHECK(n >= 0 || errno == EINTR, "the outer queue");
	if (n == 1)
		collect(16, 0);
}

static void
trigger(struct actor *a, size_t n)
{
	a->triggers++;
	CHECK(change(kq, ident_of(n, 99), EVFILT_USER, 0, NOTE_TRIGGER, a->triggers, NULL) == 0,
	    "NOTE_TRIGGER");
}

static void
act(struct actor *a, size_t n)
{
	unsigned i;

	switch (dice(a, 16)) {
	case 0: case 1: case 2: case 3:
		channel_act(a, &a->channel[dice(a, CHANNELS)]);
		break;
	case 4: case 5:
		i = dice(a, TIMERS);
		once_act(a, &a->timer[i], ident_of(n, i), EVFILT_TIMER);
		break;
	case 6:
		once_act(a, &a->shot, ident_of(n, 98), EVFILT_USER);
		break;
	case 7:
		trigger(a, n);
		break;
	case 8:
		if (sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 0 }) == 0)
			atomic_fetch_add(&signals_sent, 1);
		if (dice(a, 4) == 0)
			change(kq, (uintptr_t)SIGRTMIN, EVFILT_SIGNAL, EV_DISABLE, 0, 0, NULL);
		change(kq, (uintptr_t)SIGRTMIN, EVFILT_SIGNAL, EV_ENABLE, 0, 0, NULL);
		break;
	case 9:
		if (dice(a, 2) == 0)
			queue_of_ones_own(a);
		else
			victim_act(a);
		break;
	case 10:
		outer_act();
		break;
	case 11:
		if (dice(a, 20) == 0)
			forks_a_child(a);
		break;
	case 12:
		collect(1, -1);
		break;
	default:
		collect(1 + (int)dice(a, 16), (int)dice(a, 3));
	}
}

static void *
run(void *arg)
{
	struct actor *a = arg;

	while (!atomic_load(&stop)) {
		act(a, (size_t)(a - actors));
		atomic_fetch_add(&a->progress, 1);
	}
	return NULL;
}

/* Ends the program if some thread stands still; ends waits that nobody else would. */
static void *
watch(void *arg)
{
	long last[THREADS] = { 0 };
	int still[THREADS] = { 0 };

	while (!atomic_load(&done)) {
		change(kq, WAKE, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
		/* Time is what this thread is about: how long another stands still. */
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
		for (int i = 0; i < THREADS; i++) {
			long now = atomic_load(&actors[i].progress);

			still[i] = now == last[i] ? still[i] + 1 : 0;
			last[i] = now;
			CHECK(atomic_load(&stop) || still[i] < WATCHDOG * 100,
			    "thread %d hangs, seed %" PRIu64, i, seed);
		}
	}
	return arg;
}

static void
begin(void)
{
	signal(SIGRTMIN, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	CHECK((kq = kqueue()) >= 0 && (outer = kqueue()) >= 0, "kqueue");
	atomic_store(&victim, kqueue());
	CHECK(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL) == 0, "nesting");
	CHECK(change(kq, (uintptr_t)SIGRTMIN, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL) == 0, "SIGNAL");
	CHECK(change(kq, WAKE, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL) == 0, "USER");
	for (size_t i = 0; i < THREADS; i++) {
		struct actor *a = &actors[i];

		a->random = seed * 0x9e3779b97f4a7c15u + i + 1;
		CHECK(change(kq, ident_of(i, 99), EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL) == 0,
		    "USER");
		for (int j = 0; j < CHANNELS; j++) {
			pthread_mutex_init(&a->channel[j].lock, NULL);
			channel_open(a, &a->channel[j]);
		}
	}
}

static bool
once_settled(struct once *o)
{
	long delivered = atomic_load(&o->delivered);

	CHECK(delivered + o->deleted <= o->armed, "armed %ld, delivered %ld, deleted %ld",
	    o->armed, delivered, o->deleted);
	return delivered + o->deleted == o->armed;
}

/* What of a thread's is still to come; NULL: nothing. */
static const char *
missing_of(struct actor *a)
{
	for (int i = 0; i < CHANNELS; i++)
		if (a->channel[i].written != a->channel[i].got)
			return "bytes";
	for (int i = 0; i < TIMERS; i++)
		if (!once_settled(&a->timer[i]))
			return "a timer";
	if (!once_settled(&a->shot))
		return "a one-shot user event";
	return atomic_load(&a->seen) == a->triggers ? NULL : "a trigger";
}

static const char *
missing(void)
{
	const char *what;

	for (int i = 0; i < THREADS; i++)
		if ((what = missing_of(&actors[i])) != NULL)
			return what;
	return atomic_load(&signals_seen) == atomic_load(&signals_sent) ? NULL : "a signal";
}

/* All is quiet: what was sent must come. */
static void
settle(void)
{
	const char *what;

	for (int tries = 0; (what = missing()) != NULL && tries < WATCHDOG * 100; tries++)
		collect(16, 10);
	CHECK(what == NULL, "%s was lost, seed %" PRIu64 " (signals %ld of %ld)", what, seed,
	    atomic_load(&signals_seen), atomic_load(&signals_sent));
}

/* Lets them go on for as long as was asked for, and looks each second at what is held. */
static void
let_it_blow(long seconds)
{
	struct held early = { 0 }, late = { 0 };
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long second = 0; second < seconds; second++) {
		next.tv_sec++;
		/* A watched signal, though ignored, interrupts. */
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
		if (seconds >= 20 && second / (seconds / 10) == 1)
			held_most(&early);
		else if (seconds >= 20 && second >= seconds - seconds / 10)
			held_most(&late);
	}
	if (seconds < 20)
		return;
	printf("storm: %ld KB and %d descriptors at most in the second tenth of the time, "
	    "%ld KB and %d in the last\n", early.memory, early.descriptors, late.memory, late.descriptors);
	CHECK(late.memory <= early.memory + SLACK_MEMORY, "memory grows, seed %" PRIu64, seed);
	CHECK(late.descriptors <= early.descriptors + SLACK_DESCRIPTORS,
	    "descriptors grow, seed %" PRIu64, seed);
}

int
main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 3;
	pthread_t watcher;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	begin();
	CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0, "a thread");
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&actors[i].thread, NULL, run, &actors[i]) == 0, "a thread");
	let_it_blow(seconds);
	atomic_store(&stop, true);
	alarm(2 * WATCHDOG);
	for (int i = 0; i < THREADS; i++)
		pthread_join(actors[i].thread, NULL);
	atomic_store(&done, true);
	pthread_join(watcher, NULL);
	settle();
	for (size_t i = 0; i < THREADS * CHANNELS; i++)
		channel_close(&actors[i / CHANNELS].channel[i % CHANNELS]);
	close(kq);
	close(outer);
	close(atomic_load(&victim));
	printf("storm: seed %" PRIu64 ": %ld events, %ld signals, %ld forks\n", seed,
	    atomic_load(&events), atomic_load(&signals_seen), atomic_load(&forks));
	return 0;
}
