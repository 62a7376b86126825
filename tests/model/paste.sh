#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# paste.sh MODEL WRONG LIBRARY: what the model prints is a test.  It passes with the library; where the model has found
# fault (WRONG is the model with a library that has one), it fails with that fault and passes without.
set -eu
cd "$(dirname "$0")/../.."
. tools/check.sh

model=$1 wrong=$2 library=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile NAME ARGUMENT...: of NAME.c
compile() {
	name=$1
	shift
	${CC:-cc} -std=gnu11 -Wall -Wextra -Wshadow -Wmissing-prototypes -Werror -D_GNU_SOURCE= -Iinclude -Itests/standin \
	    -Itests -o "$work/$name" "$@" "$work/harness.o" "$library" -Wl,-rpath,"$(dirname "$library")" -pthread
}

# Which of several threads got an event is printed as it was, and may be otherwise the next time.
passes() {
	"$model" print "$1" >"$work/printed.c" && compile printed "$work/printed.c" || return 1
	for try in $(seq 20); do
		"$work/printed" && return 0
	done
	return 1
}

finds() {
	! "$wrong" 20 1 1000 >"$work/out" && grep -q 'not expected' "$work/out" &&
	    sed -n '/^#include/,/^HARNESS_MAIN/p' "$work/out" >"$work/found.c" && grep -q '^START_TEST' "$work/found.c" &&
	    compile found "$work/found.c"
}

is_short() {
	[ "$(wc -l <"$work/found.c")" -lt 30 ] || { cat "$work/found.c"; false; }
}

passes_without_the_fault() {
	"$work/found"
}

fails_with_the_fault() {
	compile again -Wl,--wrap=kevent "$work/found.c" tests/model/wrong.c && ! "$work/again"
}

check "the harness" ${CC:-cc} -std=gnu11 -D_GNU_SOURCE= -Iinclude -Itests/standin -c -o "$work/harness.o" tests/harness.c
# The first two have every operation between them.
for seed in 969 1120 $(seq 101 106); do
	check "program $seed, printed" passes "$seed"
done
check "a fault is found" finds
check "and the program made small" is_short
check "which passes without the fault" passes_without_the_fault
check "and fails with it" fails_with_the_fault
finish
