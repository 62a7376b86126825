# SPDX-License-Identifier: BSD-2-Clause
# Reads the report of ctest --output-junit and prints "N passed, N failed, N skipped".  A program
# of Check counts as the tests it ran, a script as the checks it says it made ("N passed, N
# failed", and "skip - WHY", repeated here, for each it left out), anything else as one.

/<testcase / {
	good = bad = left_out = 0
	failed = $0 !~ / status="run"/
	skipped = 0
}
{
	line = $0
	sub(/^.*<system-out>/, "", line)
}
line ~ /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
	sub(/^[0-9]+%: Checks: /, "", line)
	split(line, number, /[^0-9]+/)
	good += number[1] - number[2] - number[3]
	bad += number[2] + number[3]
}
line ~ /^[0-9]+ passed, [0-9]+ failed/ {
	split(line, number, /[^0-9]+/)
	good += number[1]
	bad += number[2]
}
line ~ /^skip +- / {
	left_out++
	print line
}
/<skipped message="SKIP_RETURN_CODE/ {
	skipped = 1
}
/<\/testcase>/ {
	if (skipped) {
		left_out = 1
	} else if (failed && bad == 0) {
		bad = 1		# the program itself: a crash, a time-out, a sanitizer
	} else if (good + bad == 0) {
		good = 1
	}
	total_good += good
	total_bad += bad
	total_left_out += left_out
}
END {
	printf "%d passed, %d failed, %d skipped\n", total_good, total_bad, total_left_out
}
