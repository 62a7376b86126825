#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# <sys/event.h> and <sys/procdesc.h> in every language it promises, with every warning a program may have on, alone,
# twice, and before and after everything else.
# shellcheck disable=SC2086 # some variables are lists of words
set -eu
cd "$(dirname "$0")/../.."
. tools/check.sh

work=$PWD/build/header
mkdir -p "$work"

warnings="-Wall -Wextra -Wpedantic -Wshadow -Werror"
c_warnings="$warnings -Wstrict-prototypes -Wmissing-prototypes -Wundef"
cxx_warnings="$warnings -Wold-style-cast"

# The system's headers are others' work; they are not judged.
others=
for header in assert ctype errno fcntl inttypes limits math netdb poll pthread semaphore setjmp \
    signal stdarg stddef stdint stdio stdlib string strings sys/epoll sys/eventfd sys/inotify \
    sys/ioctl sys/mman sys/param sys/queue sys/resource sys/select sys/socket sys/stat \
    sys/time sys/types sys/uio sys/un sys/wait syslog termios time unistd wchar netinet/in \
    netinet/tcp arpa/inet; do
	others="$others
#include <$header.h>"
done
header="
#include <sys/event.h>
#include <sys/procdesc.h>"
uses="
int use(struct kevent *);
int use(struct kevent *k) { EV_SET(k, 1, EVFILT_USER, EV_ADD, 0, 0, 0); return kevent(0, k, 1, k, 1, 0); }
int use64(struct kevent64_s *);
int use64(struct kevent64_s *k) { EV_SET64(k, 1, EVFILT_USER, EV_ADD, 0, 0, 0, 0, 0); return kevent64(0, k, 1, k, 1, KEVENT_FLAG_IMMEDIATE, 0); }
pid_t use_fork(int *);
pid_t use_fork(int *fd) { return pdfork(fd, PD_DAEMON | PD_CLOEXEC); }"
procdesc="
#include <sys/procdesc.h>"

echo "$header" >"$work/alone.c"
echo "$procdesc" >"$work/procdesc.c"
echo "$header$header$uses" >"$work/twice.c"
echo "$header$others$uses" >"$work/before.c"
echo "$others$header$uses" >"$work/after.c"
{ echo "#define _GNU_SOURCE 1"; cat "$work/before.c"; } >"$work/before_gnu.c"
{ echo "#define _GNU_SOURCE 1"; cat "$work/after.c"; } >"$work/after_gnu.c"

# in_language NAME COMPILER ARGUMENT...: compiles every order, and runs what EV_SET must do.
in_language() {
	language=$1
	shift
	for order in alone procdesc twice before after; do
		check "$language, $order" "$@" -Iinclude -fsyntax-only "$work/$order.c"
	done
	check "$language, EV_SET" runs "$@" -Iinclude -o "$work/ev_set" tests/header/ev_set.c
}

runs() {
	"$@" && "$work/ev_set"
}

for cc in gcc clang; do
	for standard in c99 c11 gnu17; do
		in_language "$cc $standard" $cc -std=$standard $c_warnings
	done
done
for cxx in g++ clang++; do
	for standard in c++11 c++20; do
		in_language "$cxx $standard" $cxx -x c++ -std=$standard $cxx_warnings
	done
done
for order in before_gnu after_gnu; do
	check "$order" gcc -std=c11 $c_warnings -Iinclude -fsyntax-only "$work/$order.c"
done
finish
