#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# smoke.sh PROGRAM: every workload of a benchmark program runs, and prints its figures.
set -u
. "$(dirname "$0")/../tools/check.sh"

prints_figures() {
	"$1" "$2" smoke | grep -Ex '[0-9]+ [0-9]+\.[0-9]{3}( [0-9]+\.[0-9]{3})?'
}

for workload in $("$1" list); do
	check "$workload" prints_figures "$1" "$workload"
done
finish
