#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What looks at the library's source without running it.
set -eu
cd "$(dirname "$0")/.."
. tools/check.sh

defines="-D_GNU_SOURCE -DKQ_INTERPOSE=1 -DKQ_INTERPOSE_STREAMS=1"

# Style is a matter of taste, and "portability" objects to what every kernel does: numbers kept as pointers.
with_cppcheck() {
	# shellcheck disable=SC2086 # a list of words
	cppcheck -q --std=c11 --enable=warning,performance --inline-suppr --error-exitcode=1 \
	    -j "$(nproc)" $defines -D__GLIBC__=2 -Iinclude -Isrc src
}

if command -v cppcheck >/dev/null; then
	check "cppcheck" with_cppcheck
	finish
else
	echo "skip - cppcheck is not installed"
	echo "0 passed, 0 failed, 1 skipped"
fi
