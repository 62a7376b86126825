# SPDX-License-Identifier: BSD-2-Clause
# libevent: its own tests, with its kqueue back end alone, and what fails again with epoll.
# shellcheck shell=sh disable=SC2086 # some variables are lists of words
. ./common.sh
unpack libevent
cd "$WORK/libevent" || exit 1

build() {
	./configure --disable-openssl --disable-samples --disable-shared CPPFLAGS="$KQ_CFLAGS" LIBS="$KQ_LIBS" &&
	    grep -x '#define HAVE_WORKING_KQUEUE 1' config.h && make -j "$JOBS" $NO_AUTOTOOLS
}

# with BACKEND COMMAND...: that back end, and no other.
with() {
	backend=$1
	shift
	(for other in EVPORT KQUEUE EPOLL DEVPOLL POLL SELECT; do
		[ "$other" = "$backend" ] || export "EVENT_NO$other=1"
	done
	timeout 600 "$@")
}

# The names of the tests that failed, as regress takes them.
failures() {
	awk '{ gsub(/\r/, "\n") } 1' "$1" | awk 'match($0, /[a-z0-9_]+\/[a-z0-9_+]+: /) { name = substr($0, RSTART, RLENGTH - 2) }
		/FAILED\]$/ { print name }'
}

# regress LOG: all tests; one that fails is tried again by itself, thrice, and then with epoll.
regress() {
	with KQUEUE test/regress >"$1" 2>&1
	checks_passed=$((checks_passed + $(grep -c ': \(\[forking\] \)\{0,1\}OK' "$1")))
	grep 'tests ok' "$1" && return
	for name in $(failures "$1"); do
		for try in 1 2 3; do
			with KQUEUE test/regress "$name" >"$1.again" 2>&1 && break
		done
		if tail -n 1 "$1.again" | grep -q '^1 tests ok'; then
			echo "note - $name: passed when it was run again ($try)"
		elif ! with EPOLL test/regress "$name" >"$1.epoll" 2>&1; then
			echo "note - $name: so it is with epoll"
		else
			echo "not ok - $name"
			cat "$1.again"
			checks_failed=$((checks_failed + 1))
		fi
	done
	if ! grep 'TESTS FAILED' "$1"; then
		echo "not ok - test/regress did not come to its end"
		checks_failed=$((checks_failed + 1))
	fi
}

check "builds with its kqueue back end" build
for program in test-init test-eof test-closed test-weof test-time test-changelist test-fdleak test-dumpevents; do
	check "$program" with KQUEUE "test/$program"
done
rm -f regress*.log*
regress regress.log
EVENT_DEBUG_MODE=1
export EVENT_DEBUG_MODE
regress regress-debug.log
finish
