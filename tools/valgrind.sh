#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# valgrind.sh [GROUP...]: the test programs of build/release, all or those named, under memcheck.  What counts is what
# that finds, not whether the tests pass: it answers many system calls by itself, and does not know some.
set -eu
cd "$(dirname "$0")/.."
. tools/check.sh

jobs=$(nproc)
log=build/log/valgrind
mkdir -p $log

groups() {
	for program in build/release/tests/test_*; do
		group=${program##*/test_}
		case $group in
		*_static|*_unwrapped) ;;
		# Valgrind 3.19 knows no pidfd, and not that clone(2) writes one.
		proc|proc_*|procdesc|pdfork) ;;
		# These fault, or hand on what faults, on purpose.
		signal_disposition|signal_info|signal_inherit) ;;
		*) echo "$group" ;;
		esac
	done
}

# No summary of leaks: the library's memory is not malloc()'s, and Check leaves some of its own in each child.
run() {
	# shellcheck disable=SC2016 # for the shell within
	printf '%s\n' "$@" | CK_TIMEOUT_MULTIPLIER=5 xargs -n 1 -P "$jobs" sh -c \
	    'timeout 300 valgrind -q --num-callers=20 build/release/tests/test_"$1" >'$log'/"$1".log 2>&1 || :' run
}

# Valgrind's remarks on itself are warnings; it can also run into the time limit after it has looked at most.
is_clean() {
	grep -q '^Running suite' $log/"$1".log && ! grep -A 12 -E '^==[0-9]+== ([A-Z][a-z ]+ (uninit|unaddr|size|overlap|depends)|Syscall param|Invalid|Process terminating|Jump to)' \
	    $log/"$1".log
}

# shellcheck disable=SC2046 # a list of words
[ $# -gt 0 ] || set -- $(groups)
run "$@"
for group in "$@"; do
	check "memcheck $group" is_clean "$group"
done
finish
