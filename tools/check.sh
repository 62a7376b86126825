# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the scripts that test what is not a program of tests.
#
#	check NAME COMMAND...	runs a command; shows what it printed if it fails
#	finish			prints how many checks passed; fails if one did not
# shellcheck shell=sh

checks_passed=0
checks_failed=0

check() {
	check_name=$1
	shift
	if check_output=$("$@" 2>&1); then
		echo "ok - $check_name"
		checks_passed=$((checks_passed + 1))
	else
		echo "not ok - $check_name: $*"
		echo "$check_output"
		checks_failed=$((checks_failed + 1))
	fi
}

finish() {
	echo "$checks_passed passed, $checks_failed failed"
	[ "$checks_failed" -eq 0 ]
}
