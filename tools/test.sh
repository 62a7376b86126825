#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test.sh [STAGE...]: runs the stages named, or all_stages, and sums them up.  What a stage prints is in
# build/log/STAGE.log, and is shown if the stage fails.
set -u
cd "$(dirname "$0")/.." || exit 1

all_stages="gcc clang asan tsan header package musl python man lint fuzz"
# Slow, or in need of many packages, and only run if named: builds valgrind asyncio kernels programs machines
jobs=$(nproc 2>/dev/null || echo 1)
# Tests mostly wait.
test_jobs=$((jobs * 2))
log=build/log

# build_and_test PRESET [WRAPPER...]: all test programs, and the examples end to end.
build_and_test() {
	preset=$1
	shift
	report=$PWD/$log/$preset.xml
	rm -f "$report"
	cmake --preset "$preset" -DKQ_TESTS=ON -DKQ_EXAMPLES=ON -DKQ_BENCH="$([ "$preset" = release ] && echo ON || echo OFF)"
	cmake --build --preset "$preset" --parallel "$jobs"
	status=0
	"$@" ctest --preset "$preset" --parallel "$test_jobs" --output-junit "$report" \
	    --test-output-size-passed 1000000 --test-output-size-failed 1000000 || status=$?
	awk -f tools/ctest-count.awk "$report"
	return "$status"
}

stage_gcc() {
	build_and_test release
}

# With as few descriptors as a login has by default; the others have as many as they are given.
stage_clang() {
	if [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 1024 ]; then
		ulimit -Sn 1024
	fi
	build_and_test clang
}

stage_asan() {
	build_and_test asan
}

# Old thread sanitizers cannot place their shadow memory if the kernel scatters a process's
# mappings widely: then run without that.
stage_tsan() {
	echo 'int main(void) { return 0; }' >$log/probe.c
	cc -fsanitize=thread -o $log/probe $log/probe.c
	if $log/probe; then
		build_and_test tsan
	elif setarch -R $log/probe; then
		build_and_test tsan setarch -R
	else
		echo "skip - the thread sanitizer does not run here (try: sysctl vm.mmap_rnd_bits=28)"
		echo "0 passed, 0 failed, 1 skipped"
	fi
}

# fuzz_target NAME: what it finds is in build/fuzz/found.
fuzz_target() {
	mkdir -p build/fuzz/corpus/"$1" build/fuzz/found
	build/fuzz/fuzz/fuzz_"$1" -max_total_time="${KQ_FUZZ_SECONDS:-60}" -max_len=2400 -detect_leaks=0 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/found/"$1". build/fuzz/corpus/"$1" fuzz/corpus/"$1" >$log/fuzz-"$1".log 2>&1
}

# What a target printed, if it failed; else how many inputs it tried.
fuzz_verdict() {
	if [ "$2" -ne 0 ]; then
		tail -n 40 $log/fuzz-"$1".log
		return 1
	fi
	awk '/^stat::number_of_executed_units:/ { print $2, "inputs" }' $log/fuzz-"$1".log
}

# fuzz_await NAME:PID...
fuzz_await() {
	for target in "$@"; do
		status=0
		wait "${target##*:}" || status=$?
		check "fuzz ${target%%:*}" fuzz_verdict "${target%%:*}" "$status"
		[ "$status" -ne 0 ] || echo "$check_output"
	done
}

# Each target for KQ_FUZZ_SECONDS, as many at a time as there are processors.
stage_fuzz() {
	. tools/check.sh
	cmake -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-g -O1" -DKQ_FUZZ=ON \
	    -DKQ_TESTS=ON -DKQ_EXAMPLES=OFF -DKQ_SANITIZE=address,undefined
	cmake --build build/fuzz --parallel "$jobs" --target fuzz
	set --
	for source in fuzz/*.c; do
		name=$(basename "$source" .c)
		fuzz_target "$name" &
		set -- "$@" "$name:$!"
		[ $# -lt "$jobs" ] && continue
		fuzz_await "$@"
		set --
	done
	fuzz_await "$@"
	finish
}

# All tests that hold there, as if on older kernels and in sandboxes; some of them are in stage gcc.
stage_kernels() {
	cmake --preset release -DKQ_TESTS=ON -DKQ_EXAMPLES=ON
	cmake --build --preset release --parallel "$jobs"
	status=0
	ctest --preset release -C Kernels -R '^kernel-' --parallel "$test_jobs" --output-junit "$PWD/$log/kernels.xml" \
	    --test-output-size-passed 1000000 --test-output-size-failed 1000000 || status=$?
	awk -f tools/ctest-count.awk "$log/kernels.xml"
	return "$status"
}

# All tests on other kernels, which Debian's releases have, each in a machine of its own: KQ_MACHINES names them.
stage_machines() {
	tools/packages.sh machines
	sh tests/machines/tests.sh
}

stage_header() {
	sh tests/header/run.sh
}

stage_package() {
	cmake --preset release
	cmake --build --preset release --parallel "$jobs" --target kq_shared kq_static
	sh tests/package/run.sh
}

stage_builds() {
	tools/packages.sh builds
	sh tests/package/builds.sh
}

stage_musl() {
	sh tests/package/musl.sh
}

# python_tests ARGUMENT...: the package of Python's tests is known by name once Python is there.
python_tests() {
	tools/packages.sh python
	tools/packages.sh python
	"${PYTHON:-/usr/bin/python3}" bindings/python/run-tests "$@"
}

# Most of its time these only wait.
stage_python() {
	python_tests -j 4
}

stage_asyncio() {
	python_tests -a -j "$jobs"
}

# Other people's programs; KQ_PROGRAMS names some of them.
stage_programs() {
	tools/packages.sh programs || echo "What cannot be had is skipped."
	cmake --preset release
	cmake --build --preset release --parallel "$jobs" --target kq_shared kq_static
	# shellcheck disable=SC2086 # a list of words
	sh tests/programs/run.sh ${KQ_PROGRAMS-}
}

stage_man() {
	. tools/check.sh
	for page in man/*.[0-9]; do
		check "$page" mandoc -Tlint -W warning "$page"
	done
	finish
}

stage_lint() {
	tools/packages.sh lint
	sh tools/lint.sh
}

stage_valgrind() {
	tools/packages.sh valgrind
	cmake --preset release -DKQ_TESTS=ON
	cmake --build --preset release --parallel "$jobs"
	cmake -S . -B build/helgrind -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKQ_TESTS=ON -DKQ_EXAMPLES=OFF -DKQ_HELGRIND=ON
	cmake --build build/helgrind --parallel "$jobs"
	sh tools/valgrind.sh
}

# run_stage NAME: adds to the totals and prints the stage's line.
run_stage() {
	echo "==> $1"
	started=$(date +%s)
	(set -e; "stage_$1") >"$log/$1.log" 2>&1
	status=$?
	seconds=$(($(date +%s) - started))

	counts=$(tail -n 1 "$log/$1.log" | grep -E '^[0-9]+ passed, [0-9]+ failed')
	# shellcheck disable=SC2046 # split into words: N "passed" N "failed" N "skipped"
	set -- "$1" $(echo "${counts:-0 passed, 0 failed}" | tr -d ,)
	passed=$2 failed=$4 skipped=${6:-0}
	if [ "$failed" -eq 0 ]; then
		if [ "$status" -ne 0 ]; then
			failed=1	# the stage itself, a build for example
		elif [ $((passed + skipped)) -eq 0 ]; then
			echo "The stage ran no test." >>"$log/$1.log"
			failed=1
		fi
	fi
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
	total_skipped=$((total_skipped + skipped))

	verdict=ok
	[ "$passed" -ne 0 ] || verdict=skipped
	if [ "$failed" -ne 0 ]; then
		verdict=FAILED
		cat "$log/$1.log"
	fi
	[ "$skipped" -eq 0 ] || skips=$skips$(grep '^skip' "$log/$1.log" | sed "s/^/$1: /")'
'
	summary=$summary$(printf '%-8s %-8s %5d passed %4d failed %4d skipped %5d s   %s' \
	    "$1" "$verdict" "$passed" "$failed" "$skipped" "$seconds" "$log/$1.log")'
'
}

mkdir -p $log
total_passed=0 total_failed=0 total_skipped=0
summary='' skips=''
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $all_stages
for stage in "$@"; do
	run_stage "$stage"
done

echo
printf '%s\n' "$skips$summary"
if [ "$total_skipped" -eq 0 ]; then
	echo "$total_passed passed, $total_failed failed"
else
	echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
fi
[ "$total_failed" -eq 0 ]
