#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What looks at the library's source without running it: cppcheck, gcc's analyzer, and clang-tidy (.clang-tidy).
set -eu
cd "$(dirname "$0")/.."
. tools/check.sh

# shellcheck disable=SC2089,SC2090 # the quotes are C's
defines='-D_GNU_SOURCE -DKQ_INTERPOSE=1 -DKQ_INTERPOSE_STREAMS=1 -DKQ_VERSION="" -DKQ_LIBKQUEUE_VERSION=""'
flags="-std=c11 -Iinclude -Isrc $defines"
jobs=$(nproc)
checks_skipped=0

# Style is a matter of taste, and "portability" objects to what every kernel does: numbers kept as pointers.
with_cppcheck() {
	# shellcheck disable=SC2086 # a list of words
	cppcheck -q --std=c11 --enable=warning,performance --inline-suppr --error-exitcode=1 \
	    -j "$jobs" $defines -D__GLIBC__=2 -Iinclude -Isrc src
}

# every_file COMMAND...: runs it on each file of the library, a file a time: what they remember of one misleads both.
every_file() {
	find src -name '*.c' -print0 | xargs -0 -n 1 -P "$jobs" "$@"
}

with_gcc() {
	# shellcheck disable=SC2086 # a list of words
	every_file gcc $flags -O2 -fanalyzer -Werror -c -o /dev/null
}

with_clang_tidy() {
	# shellcheck disable=SC2016 # for the shell within
	KQ_LINT_FLAGS=$flags every_file sh -c 'exec clang-tidy --quiet "$0" -- $KQ_LINT_FLAGS'
}

# check_with TOOL FUNCTION
check_with() {
	if command -v "$1" >/dev/null; then
		check "$1" "$2"
	else
		echo "skip - $1 is not installed"
		checks_skipped=$((checks_skipped + 1))
	fi
}

check_with cppcheck with_cppcheck
check_with gcc with_gcc
check_with clang-tidy with_clang_tidy

status=0
sum=$(finish) || status=$?
echo "$sum, $checks_skipped skipped"
exit "$status"
