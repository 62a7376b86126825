#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# coverage.sh: runs the tests and prints which lines and branches of src/ they reach, in whichever way of building the
# library that a test uses; line by line in build/coverage/html, as text in build/coverage/gcov.
set -eu
cd "$(dirname "$0")/.."

jobs=$(nproc)
build=build/coverage
cmake -S . -B $build -DCMAKE_BUILD_TYPE=Debug -DKQ_COVERAGE=ON -DKQ_TESTS=ON -DKQ_EXAMPLES=ON >/dev/null
cmake --build $build --parallel "$jobs" >/dev/null
# A test that is nobody in the end writes its counters, too.
find $build -name '*.gcda' -delete
find $build -name '*.gcno' | sed 's/gcno$/gcda/' | xargs sh -c 'touch "$@" && chmod a+rw "$@"' sh
ctest --test-dir $build --parallel "$jobs" --timeout 300 >$build/ctest.log || tail -n 20 $build/ctest.log
find $build -name '*.gcda' -empty -delete
mkdir -p $build/html
# A process that forked while its threads counted may have written a count that gcov cannot make sense of.
gcovr -r . --filter src/ $build --exclude-unreachable-branches --gcov-ignore-parse-errors \
    --html-details $build/html/index.html --txt $build/lines.txt --json $build/coverage.json -s
