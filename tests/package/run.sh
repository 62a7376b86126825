#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Installs what is in build/release and uses it in every way that we promise.
# shellcheck disable=SC2016,SC2086 # some variables are lists of words
set -eu
cd "$(dirname "$0")/../.."
. tools/check.sh

release=$PWD/build/release
work=$PWD/build/package
prog=$PWD/tests/package/prog.c
here=$PWD/tests/package
jobs=$(nproc)
rm -rf "$work"
mkdir -p "$work"

# The directory of libkq.so below a prefix: lib, lib64 or lib/TRIPLET.
libdir() {
	dirname "$(find "$1" -name libkq.so)"
}

# compile_and_run LIBDIR ARGUMENT...: a program, with what the compiler needs to know.
compile_and_run() {
	libdir=$1
	shift
	rm -f "$work/prog"
	${CC:-cc} -o "$work/prog" "$prog" "$@" && LD_LIBRARY_PATH=$libdir "$work/prog"
}

# with_pkg_config PREFIX PACKAGE [-static]
with_pkg_config() {
	libdir=$(libdir "$1")
	flags=$(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config ${3+--static} --cflags --libs "$2") &&
	    compile_and_run "$libdir" ${3-} $flags
}

# The first program that a reader of README.md meets.
readme_program() {
	sed -n '/^```c$/,/^```$/{/^```/!p}' README.md >"$work/readme.c"
	libdir=$(libdir "$1")
	flags=$(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --cflags --libs kq) &&
	    cc -Wall -Wextra -Werror -o "$work/readme" "$work/readme.c" $flags &&
	    LD_LIBRARY_PATH=$libdir "$work/readme" </dev/null
}

# with_cmake NAME ARGUMENT...: configures, builds and runs a project that uses the library.
with_cmake() {
	name=$1
	build=$work/$name
	shift
	cmake -S "$here/$name" -B "$build" "$@" && cmake --build "$build" --parallel "$jobs" || return
	for program in "$build"/prog*; do
		"$program" || return
	done
}

install_to() {
	cmake --install "$release" --prefix "$1"
}

# Some other place, some other names, nothing but the library.
install_with_names() {
	cmake -S . -B "$work/names" -DKQ_LIBKQUEUE_NAMES=ON -DKQ_TESTS=OFF -DKQ_EXAMPLES=OFF &&
	    cmake --build "$work/names" --parallel "$jobs" &&
	    cmake --install "$work/names" --prefix "$1"
}

without() {
	cmake -S . -B "$work/without" -DKQ_TESTS=OFF -DKQ_EXAMPLES=OFF "$@" &&
	    cmake --build "$work/without" --parallel "$jobs"
}

# A program that was linked with a libkqueue.so.0 runs with ours in its place.
runs_in_place_of_libkqueue() {
	mkdir -p "$work/old"
	echo 'void kqueue(void); void kevent(void); void kqueue(void) {} void kevent(void) {}' |
	    cc -shared -fPIC -Wl,-soname,libkqueue.so.0 -o "$work/old/libkqueue.so" -x c - &&
	    compile_and_run "$(libdir "$1")" -I"$1/include/kqueue" -L"$work/old" -lkqueue
}

# Other constructors come before ours in a program that the library is preloaded into.
serves_constructors_before_its_own() {
	${CC:-cc} -shared -fPIC -o "$work/libearly.so" "$here/early.c" &&
	    echo 'int main(void) { return 0; }' |
	    ${CC:-cc} -o "$work/late" -x c - -x none -Wl,--no-as-needed -L"$work" -learly -Wl,-rpath,"$work" &&
	    LD_PRELOAD=$1 "$work/late" | grep -x early
}

# in_cxx LIBDIR ARGUMENT...: the same program, in C++.
in_cxx() {
	libdir=$1
	shift
	rm -f "$work/prog"
	g++ -o "$work/prog" -x c++ "$prog" -x none "$@" && LD_LIBRARY_PATH=$libdir "$work/prog"
}

# What leaves the library: our own calls, which have a version, and of the C library's names those in the file
# "wrapped", each that this C library has.
exports_what_it_should() {
	LC_ALL=C
	export LC_ALL
	readelf -W --dyn-syms "$1" | awk '$7 != "UND" && $5 == "GLOBAL" || $5 == "WEAK" && $7 != "UND" {
		print $8 }' | sort >"$work/exported"
	readelf -W --dyn-syms "$(cc -print-file-name=libc.so.6)" |
	    awk '$7 != "UND" { sub(/@.*/, "", $8); print $8 }' | sort -u >"$work/libc"
	grep '@' "$work/exported" | grep -vx 'KQ_1.0' >"$work/versioned" || true
	sed -n 's/^\t\t\(.*\);$/\1@@KQ_1.0/p' src/libkq.map | sort >"$work/promised"
	grep -v '@' "$work/exported" | grep -vx 'KQ_1.0' >"$work/unversioned"
	comm -12 "$here/wrapped" "$work/libc" >"$work/wrapped"
	diff "$work/promised" "$work/versioned" && diff "$work/wrapped" "$work/unversioned"
}

has_soname_and_stays_loaded() {
	readelf -dW "$1" | grep -F 'soname: [libkq.so.1]' && readelf -dW "$1" | grep -w NODELETE
}

# Nothing but the C library, and its dynamic linker where that lends it something.
needs_libc_only() {
	readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$work/needed"
	grep -qx 'libc\.so\.6' "$work/needed" && ! grep -vx -e 'libc\.so\.6' -e 'ld-linux.*' "$work/needed"
}

# Built again, somewhere else.
same_bytes() {
	mkdir -p "$work/elsewhere"
	cp -R CMakeLists.txt CMakePresets.json cmake include man src "$work/elsewhere"
	(cd "$work/elsewhere" && cmake --preset release -DKQ_STATIC=OFF -DKQ_TESTS=OFF -DKQ_EXAMPLES=OFF -DKQ_INSTALL=OFF &&
	    cmake --build --preset release --parallel "$jobs") &&
	    cmp "$work/elsewhere/build/release/libkq.so.1" "$1" && ! grep -F "$PWD" "$1"
}

# What make builds, and its calls into the C library.
is_hardened() {
	readelf -dW "$1" | grep -qw BIND_NOW && readelf -lW "$1" | grep -qw GNU_RELRO &&
	    readelf -lW "$1" | grep -w GNU_STACK | grep -qv 'RWE' && ! readelf -dW "$1" | grep -qw TEXTREL &&
	    readelf -W --dyn-syms "$1" | grep -q __stack_chk_fail && readelf -W --dyn-syms "$1" | grep -q '_chk@'
}

prefix=$work/prefix
check "install" install_to "$prefix"
lib=$(libdir "$prefix")
for file in "$lib/libkq.so.1" "$lib/libkq.a" "$lib/libkq_before.a" "$lib/cmake/kq/kqConfig.cmake" \
    "$prefix/include/kq/sys/event.h" "$prefix/include/kqueue/sys/event.h" \
    "$prefix/include/kq/sys/procdesc.h" "$prefix/include/kqueue/sys/procdesc.h"; do
	check "installs ${file#"$prefix/"}" test -f "$file"
done
for page in man/*.[0-9]; do
	check "installs $page" test -f "$prefix/share/man/man${page##*.}/${page##*/}"
done
for example in examples/*.c; do
	check "installs $example" test -f "$prefix/share/doc/kq/$example"
done

check "pkg-config" with_pkg_config "$prefix" kq
check "pkg-config, fully static" with_pkg_config "$prefix" kq -static
check "README.md's program" readme_program "$prefix"
check "libkq.a in a dynamic program" compile_and_run "" -I"$prefix/include/kq" "$lib/libkq.a"
prog=$here/libc.c
check "libkq.a and libkq_before.a in a dynamic program" compile_and_run "" -I"$prefix/include/kq" \
    "$lib/libkq.a" -Wl,-u,__libc_setup_tls -lc "$lib/libkq_before.a"
prog=$here/prog.c
check "libkq.a in a static PIE" compile_and_run "" -static-pie -I"$prefix/include/kq" "$lib/libkq.a"
for flags in -static -static-pie "-static -flto=auto" "-static -Wl,--gc-sections"; do
	prog=$here/libc.c
	check "streams and programs started: $flags" \
	    compile_and_run "" $flags -I"$prefix/include/kq" "$lib/libkq.a"
	prog=$here/prog.c
done
check "names of ours taken by a static program" \
    compile_and_run "" -static -I"$prefix/include/kq" "$here/taken.c" "$lib/libkq.a"
check "a C++ program" in_cxx "$lib" -I"$prefix/include/kq" -L"$lib" -lkq
check "a static C++ program" in_cxx "" -static -I"$prefix/include/kq" "$lib/libkq.a"
check "include/kqueue" compile_and_run "$lib" -I"$prefix/include/kqueue" -L"$lib" -lkq
check "find_package" with_cmake find_package -DCMAKE_PREFIX_PATH="$prefix"

mv "$prefix" "$work/moved"
check "pkg-config, after the prefix was moved" with_pkg_config "$work/moved" kq
lib=$(libdir "$work/moved")

check "DESTDIR" env DESTDIR="$work/dest" cmake --install "$release" --prefix /usr
check "pkg-config below DESTDIR" with_pkg_config "$work/dest/usr" kq

check "add_subdirectory" with_cmake add_subdirectory -DKQ_DIRECTORY="$PWD"
check "add_subdirectory, static" with_cmake add_subdirectory -DKQ_DIRECTORY="$PWD" \
    -DBUILD_SHARED_LIBS=OFF
tar -czf "$work/kq.tar.gz" CMakeLists.txt cmake examples include man src tests
check "FetchContent" with_cmake fetch_content -DKQ_ARCHIVE="$work/kq.tar.gz"

check "libkqueue's names" install_with_names "$work/kqueue"
check "pkg-config libkqueue" with_pkg_config "$work/kqueue" libkqueue
check "in place of libkqueue.so.0" runs_in_place_of_libkqueue "$work/kqueue"
check "KQ_INTERPOSE=OFF" without -DKQ_INTERPOSE=OFF -DKQ_STATIC=OFF

check "constructors before its own" serves_constructors_before_its_own "$lib/libkq.so.1"
check "exports" exports_what_it_should "$lib/libkq.so.1"
check "hardened" is_hardened "$lib/libkq.so.1"
check "reproducible" same_bytes "$release/libkq.so.1"
check "needs libc only" needs_libc_only "$lib/libkq.so.1"
check "SONAME and nodelete" has_soname_and_stays_loaded "$lib/libkq.so.1"

finish
