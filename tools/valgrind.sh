#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# valgrind.sh [GROUP...]: the test programs of build/release, all or those named, under memcheck.  What counts is what
# that finds, in the program and in the processes that it forks, not whether the tests pass: it answers many system
# calls by itself, and does not know some.  How many tests end early for that reason is printed beside the verdict.  A
# program that does not come to its end is not judged, and that is a failure.
set -eu
cd "$(dirname "$0")/.."
. tools/check.sh

jobs=$(nproc)
log=build/log/valgrind
seconds=1800	# for a program

# What is left out is in docs/reliability.md, too.
groups() {
	for program in build/release/tests/test_*; do
		group=${program##*/test_}
		case $group in
		# The same tests of another build.
		*_static|*_unwrapped) ;;
		# Valgrind 3.19 knows no pidfd, and not that clone(2) writes one.
		proc|proc_*|procdesc|pdfork) ;;
		# These fault, or hand on what faults, on purpose.
		signal_disposition|signal_end|signal_info|signal_inherit) ;;
		# It does not see what io_uring writes.
		aio_uring) ;;
		*) echo "$group" ;;
		esac
	done
}

# Each process writes a file of its own, whole.
memcheck="valgrind -q --default-suppressions=no --num-callers=20 --xml=yes"

# under_memcheck NAME COMMAND...: leaves NAME.PID, NAME.out, and how it ended in NAME.code.
under_memcheck() {
	name=$1
	shift
	code=0
	# shellcheck disable=SC2086 # a list of words
	CK_TIMEOUT_MULTIPLIER=5 timeout "$seconds" $memcheck --xml-file=$log/"$name".%p "$@" >$log/"$name".out 2>&1 || code=$?
	echo "$code" >$log/"$name".code
}

# Prints the findings in what NAME left, for whoever reads them; fails if there are none.  What it calls leaks, which it
# looks for whenever it writes XML, are none: the library's memory is not malloc()'s, and a child's threads are gone.
findings() {
	awk '/<error>/ { error = ""; inside = 1 } inside { error = error "\n" FILENAME ": " $0 }
	    /<\/error>/ { inside = 0; if (error !~ /<kind>Leak_/) { found = 1; print error } }
	    END { exit !found }' $log/"$1".[0-9]*
}

# It came to its end, and there is no finding.
is_clean() {
	if [ "$(cat $log/"$1".code)" -eq 124 ] || ! grep -q '^[0-9]*%: Checks: ' $log/"$1".out; then
		echo "Not judged: no end within $seconds s."
		tail -n 20 $log/"$1".out
		return 1
	fi
	! findings "$1"
}

# How many of a program's tests came to an end of which memcheck could see all.
judged() {
	sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' $log/"$1".out |
	    awk '$2 + $3 > 0 { printf "    %d of %d tests end early under valgrind\n", $2 + $3, $1 }'
}

# That a fault in a forked child is a finding, or nothing here means anything.
convicts() {
	cc -g -O0 -o $log/guilty -x c - <<'C'
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	char *byte = malloc(1);
	if (fork() == 0)
		_exit(*byte == 1);
	return wait(NULL) == -1;
}
C
	under_memcheck guilty $log/guilty
	findings guilty
}

# Called by itself, for one program.
if [ "${1-}" = --one ]; then
	under_memcheck "$2" build/release/tests/test_"$2"
	exit 0
fi

rm -rf $log
mkdir -p $log
check "memcheck tells of forked children" convicts
# shellcheck disable=SC2046 # a list of words
[ $# -gt 0 ] || set -- $(groups)
printf '%s\n' "$@" | xargs -n 1 -P "$jobs" sh tools/valgrind.sh --one
for group in "$@"; do
	check "memcheck $group" is_clean "$group"
	judged "$group"
done
finish
