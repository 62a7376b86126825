#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# With musl: the static library and a static program that uses it, and the shared library, loaded late.
set -eu
cd "$(dirname "$0")/../.."
. tools/check.sh

build=$PWD/build/musl
mkdir -p "$build/linux"

# musl-gcc does not see the kernel's headers: show it those, and nothing of glibc's.
for directory in linux asm-generic; do
	ln -sfn "/usr/include/$directory" "$build/linux/$directory"
done
ln -sfn "/usr/include/$(cc -print-multiarch)/asm" "$build/linux/asm"

build_library() {
	cmake -S . -B "$build" -DCMAKE_C_COMPILER=musl-gcc -DCMAKE_C_FLAGS="-idirafter $build/linux" \
	    -DKQ_WERROR=ON -DKQ_TESTS=OFF -DKQ_EXAMPLES=OFF &&
	    cmake --build "$build" --parallel "$(nproc)"
}

# compile_and_run SOURCE...
compile_and_run() {
	musl-gcc -static -Iinclude -o "$build/prog" "$@" "$build/libkq.a" && "$build/prog"
}

# The same, not static, linked as kq(7) says.
compile_and_run_dynamic() {
	musl-gcc -Iinclude -o "$build/prog" "$@" "$build/libkq.a" \
	    -Wl,-u,__init_tls -lc "$build/libkq_before.a" && "$build/prog"
}

compile_and_load() {
	musl-gcc -Iinclude -o "$build/late" tests/package/late.c &&
	    "$build/late" "$build/libkq.so.1"
}

check "libkq.a and libkq.so" build_library
check "a static program" compile_and_run tests/package/prog.c
check "streams and programs started" compile_and_run tests/package/libc.c
check "and in a program that is not static" compile_and_run_dynamic tests/package/libc.c
check "names of ours taken by the program" compile_and_run tests/package/prog.c tests/package/taken.c
check "a program that loads the library" compile_and_load
finish
