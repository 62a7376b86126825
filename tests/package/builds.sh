#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The library built in every other way: for 32 bits and for arm64, with link-time optimisation, twice with the same
# bytes.  What a build yields is tested as far as it runs here.
set -eu
cd "$(dirname "$0")/../.."
. tools/check.sh

here=$PWD
work=$PWD/build/builds
jobs=$(nproc)
mkdir -p "$work"

skip() {
	echo "skip - $*"
	checks_skipped=$((${checks_skipped:-0} + 1))
}

# build NAME ARGUMENT...: in a directory of its own.
build() {
	name=$1
	shift
	cmake -S . -B "$work/$name" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKQ_WERROR=ON -DKQ_EXAMPLES=OFF \
	    "$@" && cmake --build "$work/$name" --parallel "$jobs"
}

# run_tests NAME ARGUMENT...: of that build, as ctest(1) is told.
run_tests() {
	name=$1
	shift
	ctest --test-dir "$work/$name" --parallel "$jobs" --output-on-failure --timeout 300 "$@" &&
	    ctest --test-dir "$work/$name" -N "$@" | grep -q 'Test *#'
}

# 32-bit glibc, with its older types and with its newer ones.  Python is not a 32-bit program here, nor is what the
# model prints made one, and a filter does not see what socketcall(2) is asked for.  timer_clock and timer_soon stand in
# for calls that have other names with the newer types; AIO sees no aio_suspend() there (kq(7)).
build_32() {
	kernel=/usr/include/$(cc -print-multiarch)
	if ! echo '#include <errno.h>
	    int main(void) { return 0; }' | cc -m32 -idirafter "$kernel" -o "$work/probe" -x c - || ! "$work/probe"; then
		skip "32-bit programs cannot be built or run here"
		return
	fi
	check "32-bit" build m32 -DKQ_TESTS=ON -DKQ_CHECK_STANDIN=ON -DCMAKE_C_FLAGS="-m32 -idirafter $kernel"
	check "32-bit, tests" run_tests m32 -E 'dlopen-ctypes|model-paste|no-connector|stress'
	check "32-bit, _TIME_BITS=64" build time64 -DKQ_TESTS=ON -DKQ_CHECK_STANDIN=ON -DKQ_STATIC=OFF \
	    -DCMAKE_C_FLAGS="-m32 -idirafter $kernel -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64"
	check "32-bit, _TIME_BITS=64, tests" run_tests time64 \
	    -R '^(kevent|kevent_answers|kevent_cancel|kevent_wait|kevent64|kevent_errors|kqueue_dup|timer|timer_date|read_file|signal_blocked)$'
}

# arm64 under qemu's emulation of Linux: what fails there, and not on x86-64, is left out (docs/reliability.md).
build_arm64() {
	if ! command -v aarch64-linux-gnu-gcc || ! command -v qemu-aarch64-static; then
		skip "no compiler for arm64, or no qemu-aarch64-static"
		return
	fi >/dev/null
	check "arm64" build arm64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	    -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DKQ_TESTS=ON -DKQ_CHECK_STANDIN=ON \
	    "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64-static;-L;/usr/aarch64-linux-gnu"
	groups="aio aio_life disturbed exec flags flags_mixed flags_threads flags_unwrapped fs fs_space kevent kevent64
	    kevent_answers kevent_errors kevent_nocount kevent_room kevent_turns kevent_wait kqueue kqueue_close
	    kqueue_close_static kqueue_close_ways kqueue_close_ways_static kqueue_dup kqueue_dup_static
	    kqueue_fork kqueue_handler kqueue_hidden kqueue_nest kqueue_nest_unwrapped kqueue_poll
	    kqueue_poll_unwrapped kqueue_refused kqueue_stray_unwrapped kqueue_unseen kqueue_unseen_unwrapped late
	    libkqueue lio lowat memorystatus neighbours netdev netdev_space pages pdfork proc proc_foreign proc_fork
	    proc_fork_who proc_track proc_track_lost procdesc read read_file read_kinds read_terminal
	    read_terminal_unwrapped read_unwrapped signal signal_blocked signal_many signal_tty signal_wait signal_ways
	    system_calls timer timer_clock timer_clock_unwrapped timer_date timer_leeway timer_soon timer_urgency udata
	    udata_end user user_threads user_unwrapped vnode_dir vnode_kinds vnode_life vnode_many vnode_notes vnode_race
	    write"
	# shellcheck disable=SC2086 # a list of words
	check "arm64, tests" env CK_TIMEOUT_MULTIPLIER=5 ctest --test-dir "$work/arm64" --parallel "$jobs" \
	    --output-on-failure --timeout 300 -R "^($(echo $groups | tr ' ' '|'))\$|^dlopen.*-(local|global|deepbind|preload)\$"
}

# musl: the tests that ask for nothing of glibc's.
build_musl() {
	groups="aio aio_life empty except except_beside flags flags_mixed flags_threads fs kevent kevent64 kevent_answers
	    kevent_errors kevent_nocount kevent_room kevent_turns kevent_usual kevent_wait kqueue kqueue_close
	    kqueue_close_ways kqueue_fork kqueue_nest kqueue_poll libkqueue lowat
	    netdev proc proc_fork procdesc read read_file read_socket signal signal_wait socket_error timer timer_soon
	    udata user vnode vnode_dir vnode_kinds vnode_life vnode_threads write"
	mkdir -p "$work/musl-headers"
	for directory in linux asm-generic; do
		ln -sfn "/usr/include/$directory" "$work/musl-headers/$directory"
	done
	ln -sfn "/usr/include/$(cc -print-multiarch)/asm" "$work/musl-headers/asm"
	check "musl" build_musl_groups
	# shellcheck disable=SC2086 # a list of words
	check "musl, tests" run_tests musl -R "^($(echo $groups | tr ' ' '|'))\$"
}

build_musl_groups() {
	# shellcheck disable=SC2046,SC2086 # lists of words
	cmake -S . -B "$work/musl" -DCMAKE_C_COMPILER=musl-gcc -DCMAKE_C_FLAGS="-idirafter $work/musl-headers" \
	    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKQ_TESTS=ON -DKQ_EXAMPLES=OFF -DKQ_CHECK_STANDIN=ON &&
	    cmake --build "$work/musl" --parallel "$jobs" --target $(printf 'test_%s ' $groups)
}

# What was built is a program's library: shared, archive in a dynamic program, archive in a static one.
works() {
	dir=$1
	shift
	for flags in "" "$dir/libkq.a" "-static $dir/libkq.a"; do
		# shellcheck disable=SC2086 # a list of words
		"$@" -Iinclude -o "$dir/prog" tests/package/prog.c ${flags:--L"$dir" -lkq} &&
		    LD_LIBRARY_PATH=$dir "$dir/prog" || return
	done
}

build_lto() {
	check "gcc -flto" build lto-gcc -DKQ_TESTS=ON -DKQ_CHECK_STANDIN=ON -DCMAKE_C_COMPILER=gcc \
	    -DCMAKE_C_FLAGS=-flto=auto -DCMAKE_AR="$(command -v gcc-ar)" -DCMAKE_RANLIB="$(command -v gcc-ranlib)"
	check "gcc -flto, programs" works "$work/lto-gcc" gcc -O2 -flto=auto
	check "gcc -flto, tests" run_tests lto-gcc -R '^(kqueue_close|kqueue_close_ways|kqueue_fork|signal|signal_wait|kevent_cancel|kevent_wait|aio|aio_life|dlopen-local|kqueue_close_static|kqueue_close_ways_static|signal_static|signal_wait_static)$'
	if ! command -v ld.lld >/dev/null || ! command -v llvm-ar >/dev/null; then
		skip "clang -flto: no lld or no llvm-ar"
		return
	fi
	check "clang -flto" build lto-clang -DKQ_TESTS=OFF -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS=-flto \
	    -DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=lld -DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld \
	    -DCMAKE_AR="$(command -v llvm-ar)" -DCMAKE_RANLIB="$(command -v llvm-ranlib)"
	check "clang -flto, programs" works "$work/lto-clang" clang -O2 -flto -fuse-ld=lld
}

# Two builds in two places.
same_bytes() {
	for place in here elsewhere/deeper; do
		rm -rf "${work:?}/$place"
		mkdir -p "$work/$place"
		cp -R CMakeLists.txt cmake include man src examples "$work/$place"
		(cd "$work/$place" && cmake -B made -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKQ_TESTS=OFF \
		    -DKQ_EXAMPLES=OFF && cmake --build made --parallel "$jobs") || return
	done
	for file in libkq.so.1 libkq.a libkq_before.a; do
		cmp "$work/here/made/$file" "$work/elsewhere/deeper/made/$file" || return
	done
	! grep -F "$here" "$work/here/made/libkq.so.1"
}

is_hardened() {
	readelf -dW "$1" | grep -qw BIND_NOW && readelf -lW "$1" | grep -qw GNU_RELRO &&
	    readelf -lW "$1" | grep -w GNU_STACK | grep -qv 'RWE' && ! readelf -dW "$1" | grep -qw TEXTREL &&
	    readelf -W --dyn-syms "$1" | grep -q __stack_chk_fail && readelf -W --dyn-syms "$1" | grep -q '_chk@'
}

build_32
build_arm64
build_musl
build_lto
check "reproducible" same_bytes
check "hardened" is_hardened "$work/here/made/libkq.so.1"

status=0
finish >"$work/count" || status=$?
echo "$(cat "$work/count"), ${checks_skipped:-0} skipped"
exit "$status"
