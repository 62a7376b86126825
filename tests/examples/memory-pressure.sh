#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The memory-pressure watcher, from end to end.
. "$(dirname "$0")/functions"

# --- Usage.

for arguments in 0 -1 x 1x "1 2"; do
	# shellcheck disable=SC2086
	start usage "$examples/memory-pressure" $arguments </dev/null
	collect "$pid"
	[ "$code" -eq 64 ] && grep -q '^usage: memory-pressure' usage
	result "memory-pressure $arguments: usage" $? usage
done

# --- A system that does not tell.

start none env MEMORY_PRESSURE_WATCH=/dev/null "$examples/memory-pressure" 1 </dev/null
collect "$pid"
[ "$code" -eq 69 ] && grep -q '^memory-pressure: cannot watch memory' none
result "where it is not told, that is said" $? none

# The whole system's, which others may put under pressure meanwhile: then a word of it is right.
stalled() {
	sed -n 's/^some .*total=//p' /proc/pressure/memory 2>/dev/null || echo 0
}

before=$(stalled)
start calm "$examples/memory-pressure" 1 </dev/null
collect "$pid"
if [ "$code" -eq 69 ]; then
	skip "no pressure-stall triggers here"
	finish
fi
[ "$code" -eq 0 ] && [ "$(head -n 1 calm)" = watching ] &&
	{ [ "$(cat calm)" = watching ] || [ $(($(stalled) - before)) -ge 100000 ]; }
result "nothing is told without pressure, and the time ends it" $? calm

# --- Real pressure, in a control group of our own.

mkfifo lines
exec 8<>lines
start group "$helpers/squeeze" "$work" <lines
squeeze=$pid
settled() {
	[ -s group ] || dead "$squeeze"
}
within 20 settled
if [ ! -s group ]; then
	skip "real pressure: no control group can be made"
	exec 8>&-
	collect "$squeeze"
	finish
fi
file=$(cat group)
start log env MEMORY_PRESSURE_WATCH="$file" "$examples/memory-pressure" </dev/null
within 20 grep -qx watching log
result "a pressure file that the service manager names" $? log
echo >&8
if ! within 30 grep -q -e '^warning: ' -e '^critical: ' log; then
	stalled=$(sed -n 's/^some .*total=//p' "$file")
	[ "$stalled" -lt 4500000 ]
	result "no warning where there is no pressure" $? log "$file"
	skip "a warning: no pressure could be made"
else
	pass "a warning"
	echo >&8
	within 40 grep -qx normal log
	result "and its end" $? log
	[ "$(tail -n 1 log)" = normal ]
	result "which is the last word" $? log
fi
exec 8>&-
collect "$squeeze"
result "the group is gone" "$code"

finish
