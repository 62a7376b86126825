# SPDX-License-Identifier: BSD-2-Clause
# libev: what its watchers promise, with its kqueue back end.
# shellcheck shell=sh disable=SC2086 # some variables are lists of words
. ./common.sh
here=$PWD
unpack libev

build() {
	cd "$WORK/libev" || return
	./configure --disable-shared CPPFLAGS="$KQ_CFLAGS" LIBS="$KQ_LIBS" && make -j "$JOBS" $NO_AUTOTOOLS &&
	    ${CC:-cc} -o "$WORK/libev-check" -I. "$here/libev.c" .libs/libev.a -lm $KQ_LIBS
}

check "builds with kqueue" eval "(build)"
for name in $("$WORK/libev-check"); do
	check "$name" timeout 120 "$WORK/libev-check" "$name"
done
finish
