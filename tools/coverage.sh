#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# coverage.sh: runs the tests of the shared library and prints which lines and branches of src/ they reach; line by
# line in build/coverage/html.
set -eu
cd "$(dirname "$0")/.."

jobs=$(nproc)
build=build/coverage
cmake -S . -B $build -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS="--coverage -fprofile-update=atomic" -DKQ_TESTS=ON \
    -DKQ_EXAMPLES=ON -DKQ_STATIC=OFF >/dev/null
cmake --build $build --parallel "$jobs" >/dev/null
find $build -name '*.gcda' -delete
ctest --test-dir $build --parallel "$jobs" --timeout 300 >$build/ctest.log || tail -n 20 $build/ctest.log
mkdir -p $build/html
gcovr -r . --filter src/ $build/CMakeFiles/kq_shared.dir --exclude-unreachable-branches \
    --html-details $build/html/index.html -s
