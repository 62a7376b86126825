#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh [PROGRAM...]: installs what is in build/release, builds each program against it, and tries the program with its
# kqueue back end.  A program is a script in this directory; one takes at most half an hour.
set -u
cd "$(dirname "$0")" || exit 1

WORK=$(realpath ../..)/build/programs
PREFIX=$WORK/prefix
JOBS=$(nproc)
export WORK PREFIX JOBS
mkdir -p "$WORK"
cmake --install ../../build/release --prefix "$PREFIX" >"$WORK/install.log" || exit

# add N "passed" N "failed" N "skipped"
add() {
	passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + ${5:-0}))
}

[ $# -gt 0 ] || set -- libevent libev trio twisted nginx haproxy lighttpd
passed=0 failed=0 skipped=0
for program in "$@"; do
	log=$WORK/$program.log
	timeout --kill-after=10 1800 sh "./$program.sh" >"$log" 2>&1
	status=$?
	counts=$(tail -n 1 "$log" | tr -d ,)
	case $counts in
	[0-9]*" passed "[0-9]*" failed"*) ;;
	*)	counts="0 passed 1 failed" ;;
	esac
	[ "$status" -eq 0 ] || [ "${counts#* passed 0 failed}" = "$counts" ] || counts="${counts%% *} passed 1 failed"
	grep -E '^(ok|not ok|note|skip) - ' "$log" | sed "s/^\(not ok\|ok\|note\) - /\1 - $program: /"
	if [ "$status" -ne 0 ]; then
		echo "$program ended with $status: $log"
		tail -n 100 "$log"
	fi
	echo "$program: $counts"
	# shellcheck disable=SC2086 # words
	add $counts
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
