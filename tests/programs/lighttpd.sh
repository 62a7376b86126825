# SPDX-License-Identifier: BSD-2-Clause
# lighttpd: serves files with its kqueue back end, and watches their directories with kqueue.
# shellcheck shell=sh disable=SC2086 # some variables are lists of words
. ./common.sh
unpack lighttpd
src=$WORK/lighttpd/src

build() {
	cd "$WORK/lighttpd" || return
	./configure --without-pcre2 --without-zlib --without-bzip2 CFLAGS=-O1 CPPFLAGS="$KQ_CFLAGS" \
	    LIBS="$KQ_LIBS" && make -j "$JOBS" $NO_AUTOTOOLS && "$src/lighttpd" -V | grep -F '+ kqueue'
}

check "builds with kqueue" eval "(build)"
serves lighttpd --files -- "$src/lighttpd" -D -m "$src/.libs" -f @CONF@
finish
