/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EV_SET and EV_SET64 evaluate each argument once, whatever the caller's variables are called.  C and C++.
 */
#include <sys/event.h>

#include <assert.h>

static void
filled(const struct kevent *kev, void *udata)
{
	assert(kev->ident == 1);
	assert(kev->filter == EVFILT_USER);
	assert(kev->flags == EV_ADD);
	assert(kev->fflags == 4);
	assert(kev->data == 5);
	assert(kev->udata == udata);
}

static void
each_argument_once(void)
{
	struct kevent kevs[2], *next = kevs;
	uintptr_t numbers[2] = { 1, 0 }, *number = numbers;
	short filters[2] = { EVFILT_USER, 0 }, *filter = filters;
	unsigned short adds[2] = { EV_ADD, 0 }, *add = adds;
	unsigned int notes[2] = { 4, 0 }, *note = notes;
	int64_t values[2] = { 5, 0 }, *value = values;
	void *pointers[2] = { kevs, 0 }, **pointer = pointers;

	EV_SET(next++, *number++, *filter++, *add++, *note++, *value++, *pointer++);
	filled(&kevs[0], kevs);
	assert(next == kevs + 1 && number == numbers + 1 && filter == filters + 1);
	assert(add == adds + 1 && note == notes + 1 && value == values + 1);
	assert(pointer == pointers + 1);
}

/* The caller's names are ours, the members' and those that other systems' macros use. */
#define WITH_NAMES(name, kevp, ident, filter, flags, fflags, data, udata)		\
static void										\
name(void)										\
{											\
	struct kevent kevs[1], *kevp = kevs;						\
	uintptr_t ident = 1;								\
	short filter = EVFILT_USER;							\
	unsigned short flags = EV_ADD;							\
	unsigned int fflags = 4;							\
	int64_t data = 5;								\
	void *udata = kevs;								\
											\
	EV_SET(kevp, ident, filter, flags, fflags, data, udata);			\
	filled(&kevs[0], kevs);								\
}

WITH_NAMES(members, kevp, ident, filter, flags, fflags, data, udata)
WITH_NAMES(parameters, kevp_, ident_, filter_, flags_, fflags_, data_, udata_)
WITH_NAMES(internals, kq_kevp, kq_ident, kq_filter, kq_flags, kq_fflags, kq_data, kq_udata)
WITH_NAMES(letters, a, b, c, d, e, f, g)
WITH_NAMES(reversed, g, f, e, d, c, b, a)
WITH_NAMES(shuffled, udata, data, fflags, flags, filter, ident, kevp)
WITH_NAMES(others, kev, _ident, __filter, kevp__, __kevp, _a, _kevp)

/* Expressions of lower precedence than the casts and members that a macro might put around them. */
static void
expressions(void)
{
	struct kevent kevs[2];
	int one = 1, yes = one;

	EV_SET(kevs + one, yes ? 1 : 2, yes ? EVFILT_USER : 0, 0 | EV_ADD, 0 | 4, one + 4,
	    yes ? kevs : 0);
	filled(&kevs[1], kevs);
	if (yes)
		EV_SET(&kevs[0], 1, EVFILT_USER, EV_ADD, 4, 5, kevs);
	else
		EV_SET(&kevs[0], 0, 0, 0, 0, 0, 0);
	filled(&kevs[0], kevs);
}

static void
filled64(const struct kevent64_s *kev)
{
	assert(kev->ident == 1);
	assert(kev->filter == EVFILT_USER);
	assert(kev->flags == EV_ADD);
	assert(kev->fflags == 4);
	assert(kev->data == 5);
	assert(kev->udata == 6);
	assert(kev->ext[0] == 7);
	assert(kev->ext[1] == 8);
}

static void
each_argument_once64(void)
{
	struct kevent64_s kevs[2], *next = kevs;
	uint64_t numbers[5] = { 1, 6, 7, 8, 0 }, *number = numbers, *later = numbers + 1;
	int16_t filters[2] = { EVFILT_USER, 0 }, *filter = filters;
	uint16_t adds[2] = { EV_ADD, 0 }, *add = adds;
	uint32_t notes[2] = { 4, 0 }, *note = notes;
	int64_t values[2] = { 5, 0 }, *value = values;
	uint64_t exts[3] = { 7, 8, 0 }, *ext0 = exts, *ext1 = exts + 1;

	EV_SET64(next++, *number++, *filter++, *add++, *note++, *value++, *later++, *ext0++,
	    *ext1++);
	filled64(&kevs[0]);
	assert(next == kevs + 1 && number == numbers + 1 && filter == filters + 1);
	assert(add == adds + 1 && note == notes + 1 && value == values + 1);
	assert(later == numbers + 2 && ext0 == exts + 1 && ext1 == exts + 2);
}

#define WITH_NAMES64(name, kevp, ident, filter, flags, fflags, data, udata, ext0, ext1)	\
static void										\
name(void)										\
{											\
	struct kevent64_s kevs[1], *kevp = kevs;					\
	uint64_t ident = 1, udata = 6, ext0 = 7, ext1 = 8;				\
	int16_t filter = EVFILT_USER;							\
	uint16_t flags = EV_ADD;							\
	uint32_t fflags = 4;								\
	int64_t data = 5;								\
											\
	EV_SET64(kevp, ident, filter, flags, fflags, data, udata, ext0, ext1);		\
	filled64(&kevs[0]);								\
}

WITH_NAMES64(members64, kevp, ident, filter, flags, fflags, data, udata, ext0, ext1)
WITH_NAMES64(parameters64, kevp_, ident_, filter_, flags_, fflags_, data_, udata_, ext0_, ext1_)
WITH_NAMES64(internals64, kq_kevp, kq_ident, kq_filter, kq_flags, kq_fflags, kq_data, kq_udata,
    kq_ext0, kq_ext1)
WITH_NAMES64(others64, __kevp__, __ident, a, b, c, ext, e, f, g)

int
main(void)
{
	each_argument_once();
	members();
	parameters();
	internals();
	letters();
	reversed();
	shuffled();
	others();
	expressions();
	each_argument_once64();
	members64();
	parameters64();
	internals64();
	others64();
	return 0;
}
