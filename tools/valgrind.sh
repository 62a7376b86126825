#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# valgrind.sh [TOOL [GROUP...]]: test programs, all that TOOL (memcheck, helgrind; both) is for or those named, under
# valgrind.  What counts is what that finds, in the program and in the processes that it forks, not whether the tests
# pass: it answers many system calls by itself, and does not know some.  How many tests end early for that reason is
# printed beside the verdict.  A program that does not come to its end is not judged, and that is a failure.
set -eu
cd "$(dirname "$0")/.."
. tools/check.sh

jobs=$(nproc)
log=build/log/valgrind
seconds=1800	# for a program

# Memcheck takes the library as it is, helgrind the one that tells of its locks.
build_for() {
	[ "$1" = helgrind ] && echo build/helgrind || echo build/release
}

# What is left out is in docs/reliability.md, too.
memcheck_groups() {
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
		# It executes a program without arguments, not even a name, which memcheck takes for an address.
		exec_search) ;;
		*) echo "$group" ;;
		esac
	done
}

# Those that have threads, and what handlers do.
helgrind_groups() {
	echo disturbed empty except flags flags_threads fs kevent_eintr kevent_nocount kevent_pwait2 kevent_usual kqueue \
	    kqueue_close kqueue_close_ways kqueue_dup kqueue_hidden kqueue_nest kqueue_poll lowat memorystatus netdev read read_file read_socket \
	    signal_blocked signal_disposition signal_end signal_info signal_take signal_wait socket_error system timer timer_clock \
	    udata udata_end user user_threads vnode_life vnode_unmount write
}

# Each process writes a file of its own, whole.  Nothing is suppressed, but what comes with helgrind for the C library.
options_of() {
	[ "$1" = helgrind ] || echo --default-suppressions=no
	echo -q --tool="$1" --num-callers=20 --xml=yes
}

# under_valgrind TOOL NAME COMMAND...: leaves TOOL.NAME.PID, TOOL.NAME.out, and how it ended in TOOL.NAME.code.
under_valgrind() {
	tool=$1 name=$1.$2 code=0
	shift 2
	# shellcheck disable=SC2046 # a list of words
	CK_TIMEOUT_MULTIPLIER=5 timeout "$seconds" valgrind $(options_of "$tool") --xml-file=$log/"$name".%p "$@" \
	    >$log/"$name".out 2>&1 || code=$?
	echo "$code" >$log/"$name".code
}

# Prints the findings in what TOOL.NAME left, for whoever reads them; fails if there are none.  What memcheck calls
# leaks, which it looks for whenever it writes XML, are none: the library's memory is not malloc()'s, and a child's
# threads are gone.
findings() {
	awk '/<error>/ { error = ""; inside = 1 } inside { error = error "\n" FILENAME ": " $0 }
	    /<\/error>/ { inside = 0; if (error !~ /<kind>Leak_/) { found = 1; print error } }
	    END { exit !found }' $log/"$1".[0-9]*
}

# It came to its end, and there is no finding.
is_clean() {
	if [ "$(cat $log/"$1".code)" -eq 124 ] || ! grep -q '^[0-9]*%: Checks: ' $log/"$1".out; then
		echo "Not judged: it did not come to its end."
		tail -n 20 $log/"$1".out
		return 1
	fi
	! findings "$1"
}

# How many of a program's tests ended before valgrind could see all of them.
ended_early() {
	sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' $log/"$1".out |
	    awk '$2 + $3 > 0 { printf "    %d of %d tests end early under valgrind\n", $2 + $3, $1 }'
}

# convicts TOOL: that a fault, in a forked child where the tests run, is a finding; or nothing here means anything.
convicts() {
	cc -g -O0 -pthread -o $log/guilty -x c - <<'C'
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static int shared;
static void *count(void *arg)
{
	shared++;
	return arg;
}
int main(void)
{
	char *byte = malloc(1);
	pthread_t thread;
	if (fork() != 0)
		return wait(NULL) == -1;
	pthread_create(&thread, NULL, count, NULL);
	shared++;
	pthread_join(thread, NULL);
	_exit(*byte == 1);
}
C
	under_valgrind "$1" guilty $log/guilty
	findings "$1".guilty
}

# try TOOL GROUP...
try() {
	tool=$1
	shift
	check "$tool tells of forked children" convicts "$tool"
	printf '%s\n' "$@" | xargs -n 1 -P "$jobs" sh tools/valgrind.sh --one "$tool"
	for group in "$@"; do
		check "$tool $group" is_clean "$tool.$group"
		ended_early "$tool.$group"
	done
}

# Called by itself, for one program.
if [ "${1-}" = --one ]; then
	under_valgrind "$2" "$3" "$(build_for "$2")/tests/test_$3"
	exit 0
fi

rm -rf $log
mkdir -p $log
if [ $# -gt 1 ]; then
	try "$@"
else
	# shellcheck disable=SC2046 # a list of words
	for each in ${1:-memcheck helgrind}; do
		try "$each" $("$each"_groups)
	done
fi
finish
