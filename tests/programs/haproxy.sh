# SPDX-License-Identifier: BSD-2-Clause
# HAProxy: a proxy with two threads, each with a kqueue.
# shellcheck shell=sh
. ./common.sh
unpack haproxy
haproxy=$WORK/haproxy/haproxy

build() {
	make -C "$WORK/haproxy" -j "$JOBS" TARGET=generic USE_KQUEUE=1 USE_THREAD=1 USE_GETADDRINFO=1 CPU_CFLAGS=-O1 \
	    ADDINC="$KQ_CFLAGS" ADDLIB="$KQ_LIBS" && "$haproxy" -vv | grep 'will use kqueue'
}

check "builds with kqueue" build
serves haproxy --post -- "$haproxy" -db -f @CONF@
finish
