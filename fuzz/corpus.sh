#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# fuzz/corpus.sh TARGET [SECONDS]: makes fuzz/corpus/TARGET again, from what is there and what the fuzzer finds in
# that time (60).  With FRESH=1 what is there is left out.  README.md beside this says what these files are.
set -eu
cd "$(dirname "$0")/.."
target=$1
program=build/fuzz/fuzz/fuzz_$target
[ -x "$program" ] || {
	echo "$0: there is no $program: see fuzz/README.md" >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old" "$work/found" "$work/least"
[ "${FRESH:-0}" = 1 ] || cp fuzz/corpus/"$target"/* "$work/old"
# Short inputs: the fuzzer makes them longer by itself.  A program of the model is longer than that before it does much.
longest=64
[ "$target" != program ] || longest=480
[ "$target" != program ] || [ -n "$(ls "$work/old")" ] || head -c 480 /dev/urandom >"$work/old/random"
"$program" -max_total_time="${2:-60}" -max_len="$longest" -detect_leaks=0 -print_final_stats=1 \
    -artifact_prefix="$work/" "$work/found" "$work/old"
# The fewest that reach what all of them reach.
"$program" -merge=1 -max_len="$longest" -detect_leaks=0 "$work/least" "$work/old" "$work/found"
rm -rf fuzz/corpus/"$target"
mkdir fuzz/corpus/"$target"
cp "$work/least"/* fuzz/corpus/"$target"
set -- fuzz/corpus/"$target"/*
echo "fuzz/corpus/$target: $# files"
