#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The process tree watcher, from end to end.
. "$(dirname "$0")/functions"

# run OUTPUT COMMAND...: through proc-tree, to its end.  Sets code.
run() {
	output=$1
	shift
	start "$output" "$examples/proc-tree" "$@" </dev/null
	collect "$pid"
}

run probe true
if [ "$code" -eq 69 ]; then
	skip "the kernel does not tell of processes here"
	exit 77
fi

# --- One process.

grep -q '^[0-9]*: runs another program$' probe && grep -q '^[0-9]*: exit code 0$' probe &&
    [ "$(wc -l <probe)" -eq 2 ] && [ "$code" -eq 0 ]
result "a command that does nothing" $? probe
run output sh -c 'exit 5'
grep -q ': exit code 5$' output && [ "$code" -eq 5 ]
result "its exit code is ours" $? output
# shellcheck disable=SC2016
run output sh -c 'kill -KILL $$'
grep -q ': ended by signal 9$' output && [ "$code" -eq 137 ]
result "so is its end by a signal" $? output
run output ./no-such-command
grep -q 'No such file' output && [ "$code" -eq 127 ]
result "a command that does not exist" $? output

# --- Families.

# shellcheck disable=SC2016
run output sh -c 'echo "parent $$"; sh -c "echo child \$\$; exit 3"; exit 4'
parent=$(sed -n 's/^parent //p' output)
child=$(sed -n 's/^child //p' output)
grep -q "^$child: child of $parent\$" output && grep -q "^$child: runs another program\$" output &&
    grep -q "^$child: exit code 3\$" output && grep -q "^$parent: exit code 4\$" output
result "a child, what it runs, and how it ends" $? output

run output sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do (:) & done; wait'
[ "$(grep -c ': child of ' output)" -eq 10 ] && [ "$(grep -c ': exit code 0$' output)" -eq 11 ]
result "ten children, each with its end" $? output

# It sleeps to be the one that is left: its parent ends at once.
run output sh -c '(sleep 0.3; echo orphan; exit 6) & exit 0'
grep -q '^orphan$' output && grep -q ': exit code 6$' output
result "who outlives its parent is waited for" $? output

# --- Usage.

run output
[ "$code" -eq 64 ] && grep -q '^usage: proc-tree' output
result "proc-tree without a command: usage" $? output

finish
