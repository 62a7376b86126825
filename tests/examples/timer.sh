#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The timer, from end to end.
. "$(dirname "$0")/functions"

# has_zombies PID: has it children that have ended and were not waited for?
has_zombies() {
	for f in /proc/[0-9]*/stat; do
		read -r stat_line 2>/dev/null <"$f" || continue
		case ${stat_line##*) } in
		"Z $1 "*)	return 0 ;;
		esac
	done
	return 1
}
has_none() {
	! has_zombies "$1"
}
end() {
	kill -TERM "$1"
	collect "$1"
}

# --- The tutorial's: date(1) every 5 seconds.

before=$(date +%s)
start dates "$examples/timer" </dev/null
default=$pid
default_since=$before

# --- Often.

start ticks "$examples/timer" 0.05 echo tick </dev/null
within 20 lines_like '^tick$' ticks 20
result "a command runs again and again" $? ticks
alive "$pid" && within 20 has_none "$pid"
result "and its remains are collected" $? ticks
kill -STOP "$pid"
kill -CONT "$pid"
lines=$(($(wc -l <ticks) + 5))
within 20 lines_like '^tick$' ticks "$lines"
result "also after being stopped and continued" $? ticks
end "$pid"
[ "$code" -eq 143 ]
result "SIGTERM ends it" $?

# --- On time: never early, and without drift.

before=$(date +%s%N)
start seconds "$examples/timer" 1 date +%s%N </dev/null
within 30 lines_like . seconds 3
end "$pid"
first=$(sed -n 1p seconds)
third=$(sed -n 3p seconds)
[ $((first - before)) -ge 1000000000 ] && [ $((third - before)) -ge 3000000000 ] &&
    [ $((third - before)) -lt 13000000000 ]
result "the command runs after one, two and three seconds" $? seconds

# --- A command that takes longer than the period.

# It sleeps to be slow: longer than the period of 0.1 s.
# shellcheck disable=SC2016
start slow "$examples/timer" 0.1 sh -c 'echo begin; sleep 1; echo end' </dev/null
within 20 grep -q end slow
[ "$(sed '/end/q' slow | grep -c begin)" -ge 2 ]
result "a slow command does not delay the next" $? slow
end "$pid"

# --- Commands that fail.

start bad "$examples/timer" 0.1 ./no-such-command </dev/null
within 20 lines_like './no-such-command\[[0-9]*\]: exit code 127' bad 2 &&
    grep -q './no-such-command: No such file' bad
result "a command that does not exist is reported each time" $? bad
end "$pid"

# shellcheck disable=SC2016
start bad "$examples/timer" 0.1 sh -c 'kill -KILL $$' </dev/null
within 20 lines_like 'ended by signal 9' bad 2
result "and so is one that is killed" $? bad
end "$pid"

# --- Children are reaped even if the caller has left SIGCHLD ignored.

start ignored sh -c 'trap "" CHLD; exec "$@"' sh "$examples/timer" 0.05 sh -c 'exit 3' </dev/null
within 20 lines_like 'exit code 3' ignored 3
result "SIGCHLD ignored by the caller" $? ignored
end "$pid"

# --- Usage.

for arguments in 0 -1 x 1x 1e9 nan inf ''; do
	start usage "$examples/timer" "$arguments" </dev/null
	collect "$pid"
	[ "$code" -eq 64 ] && grep -q '^usage: timer' usage
	result "timer '$arguments': usage" $? usage
done

# --- The tutorial's again, which has had its time.

within 20 lines_like . dates 1
now=$(date +%s)
[ "$(wc -l <dates)" -ge 1 ] && [ $((now - default_since)) -ge 4 ] && grep -q ':' dates
result "date(1) runs every 5 seconds by default" $? dates
end "$default"

finish
