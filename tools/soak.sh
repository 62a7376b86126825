#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# soak.sh SECONDS: what the library can hold, the storm and the model, by turns, of build/release; ends at the first
# failure.  What each tried is on the screen.
set -eu
cd "$(dirname "$0")/../build/release/tests"

end=$(($(date +%s) + ${1:?seconds}))

left() {
	echo $((end - $(date +%s)))
}

# An hour a turn, so that what leaks slowly is seen by the storm, which compares what it holds early and late; in a
# short turn there is no time for all that can be held.
while [ "$(left)" -gt 0 ]; do
	turn=$(left)
	[ "$turn" -le 3600 ] || turn=3600
	turn_end=$(($(date +%s) + turn))
	stress/load $((turn >= 120 ? 1 : 100))
	turn=$((turn_end - $(date +%s)))
	[ "$turn" -gt 1 ] || continue
	stress/storm $((turn / 2))
	turn=$((turn_end - $(date +%s)))
	[ "$turn" -le 0 ] || model/model "$turn"
done
