#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tests.sh: all tests of the release build on the kernels of several Debian releases, by run.sh; and what takes more
# descriptors than a container may have.
set -eu
cd "$(dirname "$0")/../.."

cmake --preset release -DKQ_TESTS=ON -DKQ_EXAMPLES=OFF
cmake --build --preset release --parallel "$(nproc)"
passed=0 failed=0 skipped=0
for suite in ${KQ_MACHINES:-bullseye bookworm trixie}; do
	echo "==> $suite"
	if ! sh tests/machines/run.sh "$suite" tests/machines/job; then
		echo "not ok - $suite"
		failed=$((failed + 1))
	fi
	out=build/machines/$suite/out
	grep -h '^machine: Linux' "build/machines/$suite/console" || true
	[ -e "$out/junit.xml" ] || continue
	awk -f tools/ctest-count.awk "$out/junit.xml" | tee "build/machines/$suite/counts"
	# shellcheck disable=SC2046 # split into words: N "passed" N "failed" N "skipped"
	set -- $(tail -n 1 "build/machines/$suite/counts" | tr -d ,)
	passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + ${5:-0}))
	cat "$out/load" 2>/dev/null || true
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
