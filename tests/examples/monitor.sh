#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The monitor of mounts and links, from end to end, in name spaces of its own.

if [ "${KQ_MONITOR_INSIDE:-}" = "" ]; then
	for how in "-mn" "-Urmn"; do
		if unshare $how true 2>/dev/null; then
			KQ_MONITOR_INSIDE=1 exec unshare $how sh "$0"
		fi
	done
	echo "skip - unshare(1) is not permitted here"
	exit 77
fi

. "$(dirname "$0")/functions"

# told WHAT LINE [NUMBER]: does the monitor say so, that often?
told() {
	within 20 lines_like "^$2\$" log "${3:-1}"
	result "$1" $? log
}

mkdir one two

# --- Mounts.

start log "$examples/monitor" lo </dev/null
monitor=$pid
told "mounts are watched" "watching: mounts"
told "and an interface" "watching: lo"
mount -t tmpfs none one
told "mounted" "mounted"
mount --bind one two
told "another" "mounted" 2
umount two
told "unmounted" "unmounted"
mount -o remount,size=1M one
umount one
told "the other" "unmounted" 2
[ "$(grep -c mounted log)" -eq 4 ]
result "and nothing else: remounting is neither" $? log

# --- Links.

if command -v ip >/dev/null; then
	ip link set lo up
	told "an interface comes up" "lo: up"
	ip link set lo down
	told "and goes down" "lo: down"
else
	skip "links: there is no ip(8)"
fi
kill -TERM "$monitor"
collect "$monitor"

if command -v ip >/dev/null && ip link add here type veth peer name there 2>/dev/null; then
	start log "$examples/monitor" </dev/null
	monitor=$pid
	told "every interface is watched" "watching: there"
	ip link set here up
	ip link set there up
	told "one end comes up" "here: up"
	told "and the other" "there: up"
	ip link set there down
	told "down" "there: down"
	told "and so is its peer" "here: down"
	ip link del here
	told "gone" "here: gone"
	told "and its peer" "there: gone"
	alive "$monitor"
	result "the rest is watched on" $? log
	kill -TERM "$monitor"
	collect "$monitor"
else
	skip "pairs of interfaces"
fi

# --- What cannot be watched.

start wrong "$examples/monitor" no-such-interface </dev/null
within 20 grep -q '^monitor: cannot watch no-such-interface' wrong
result "an interface that is not there" $? wrong
kill -TERM "$pid"
collect "$pid"

finish
