#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# packages.sh [--check] build|test|bench|coverage|lint|builds|valgrind|python|programs|machines: sees to it that what is needed to
# do that is there.  Missing Debian packages are installed if we are root or sudo asks nothing; otherwise, and with
# --check, the command to run is printed and the exit code is 1.  Nothing missing: apt is not run.
# shellcheck disable=SC2086 # some variables are lists of words
set -eu

check=false
if [ "${1-}" = --check ]; then
	check=true
	shift
fi
missing=

# need PACKAGE COMMAND...: the package is missing if the command fails.
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

compiles() {
	echo "#include <$2>" | "$1" -fsyntax-only -x c -
}

need_to_build() {
	need gcc command -v cc
	need libc6-dev compiles cc errno.h
	need cmake command -v cmake
	need make command -v make
}

# The libraries that the benchmark compares with.
need_peers() {
	need pkg-config command -v pkg-config
	need libevent-dev pkg-config --exists libevent_core
	need libev-dev compiles cc ev.h
	need libuv1-dev pkg-config --exists libuv
}

need_to_bench() {
	need_to_build
	need_peers
	need python3 command -v python3
	need valgrind command -v valgrind
	need strace command -v strace
}

need_to_test() {
	need_to_build
	need_peers
	need g++ command -v g++
	need clang command -v clang
	need check pkg-config --exists check
	need musl-tools command -v musl-gcc
	need mandoc command -v mandoc
	need netcat-openbsd command -v nc
	need procps command -v ps
}

need_to_lint() {
	need_to_build
	need cppcheck command -v cppcheck
	need clang-tidy command -v clang-tidy
}

need_for_valgrind() {
	need_to_test
	need valgrind command -v valgrind
}

need_for_builds() {
	need_to_test
	# For other machines, where Debian has the compilers for this one.
	if [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
		need libc6-dev-i386 test -e /usr/include/gnu/stubs-32.h -o -e /usr/lib32/libc.a
		need "lib32gcc-$(gcc -dumpversion | cut -d. -f1)-dev" links_32
		need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
		need libc6-dev-arm64-cross test -d /usr/aarch64-linux-gnu/include
		need qemu-user-static command -v qemu-aarch64-static
	fi
	need lld command -v ld.lld
	need llvm command -v llvm-ar
}

links_32() {
	test -e "$(gcc -m32 -print-libgcc-file-name)"
}

need_for_machines() {
	need_to_test
	need qemu-system-x86 command -v qemu-system-x86_64
	need busybox-static busybox_is_static
	need xz-utils command -v unxz
}

busybox_is_static() {
	! ldd "$(command -v busybox)"
}

# Python, and its own tests of the same version, which is known once Python is there.
need_for_python() {
	need_to_build
	need pkg-config command -v pkg-config
	python=${PYTHON:-/usr/bin/python3}
	need python3 "$python" -c ''
	need python3-dev has_python_headers
	if "$python" -c '' 2>/dev/null; then
		need "libpython$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-testsuite" \
		    "$python" -c 'import test.test_asyncio'
	fi
}

has_python_headers() {
	test -e "$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h"
}

# What fetches and builds sources as Debian has them, and the Python programs with what their tests import.
need_for_programs() {
	need_to_build
	python=${PYTHON:-/usr/bin/python3}
	need pkg-config command -v pkg-config
	need dpkg-dev command -v dpkg-source
	need xz-utils command -v xz
	need python3 "$python" -c ''
	need python3-dev has_python_headers
	need python3-pytest "$python" -c 'import pytest'
	need python3-trio "$python" -c 'import trio'
	need python3-trustme "$python" -c 'import trustme'
	need python3-openssl "$python" -c 'import OpenSSL'
	need python3-twisted "$python" -c 'import twisted'
}

need_to_cover() {
	need_to_test
	need gcovr command -v gcovr
}

case ${1-} in
build)	need_to_build ;;
test)	need_to_test ;;
bench)	need_to_bench ;;
lint)	need_to_lint ;;
builds)	need_for_builds ;;
valgrind) need_for_valgrind ;;
python)	need_for_python ;;
programs) need_for_programs ;;
coverage) need_to_cover ;;
machines) need_for_machines ;;
*)	echo "usage: $0 [--check] build|test|bench|coverage|lint|builds|valgrind|python|programs|machines" >&2
	exit 2 ;;
esac

[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
	sudo=
	may_install=true
else
	sudo="sudo "
	if sudo -n true 2>/dev/null; then may_install=true; else may_install=false; fi
fi
if $check || ! $may_install || ! command -v apt-get >/dev/null; then
	echo "Missing packages:$missing" >&2
	echo "Install them with (the names are Debian's):" >&2
	echo "    ${sudo}apt-get update && $sudo$install" >&2
	exit 1
fi

echo "Installing:$missing"
${sudo}env DEBIAN_FRONTEND=noninteractive apt-get update
${sudo}env DEBIAN_FRONTEND=noninteractive $install
