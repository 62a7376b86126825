#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh EXAMPLE [ARGUMENT...]: builds an example and becomes it, so that signals reach it.
set -eu
cd "$(dirname "$0")/.."

mkdir -p build
echo "Building $1"
if ! { cmake --preset release && cmake --build --preset release --target "$1"; } >build/run.log 2>&1
then
	cat build/run.log >&2
	exit 1
fi

# The file whose touch moves the echo server's prompt on.
[ -e change_prompt.txt ] || : >change_prompt.txt

program=build/release/examples/$1
shift
exec "$program" "$@"
