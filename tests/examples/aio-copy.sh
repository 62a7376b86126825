#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The copier, from end to end.
. "$(dirname "$0")/functions"

# Under the thread sanitizer any AIO of the C library's crashes that starts a thread.
if grep -q __tsan_init "$examples/aio-copy"; then
	echo "skip - the thread sanitizer does not know the C library's threads"
	exit 77
fi

for size in 0 1 65535 65536 65537 5000000; do
	head -c "$size" /dev/urandom >from
	timeout 60 "$examples/aio-copy" from to 2>log && cmp -s from to
	result "$size bytes" $? log
done

timeout 60 "$examples/aio-copy" to from extra 2>log
[ $? -eq 64 ]
result "wrong usage" $? log

timeout 60 "$examples/aio-copy" . to 2>log
[ $? -eq 1 ] && grep -q "Is a directory" log
result "what cannot be read is said" $? log

finish
