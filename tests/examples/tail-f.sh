#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The follower of a log, from end to end.
. "$(dirname "$0")/functions"

# follow FILE [COMMAND...]: sets follower; its messages are in the log, too.
follow() {
	followed=$1
	shift
	start log "$@" "$examples/tail-f" "$followed" </dev/null
	follower=$pid
	within 20 grep -q -e ': following$' -e ': not there yet$' log || fail "it starts" log
}

# told WHAT LINE: was it printed, and only once?
told() {
	within 20 grep -qxF -e "$2" log && [ "$(grep -cxF -e "$2" log)" -eq 1 ]
	result "$1" $? log
}

stop() {
	kill -TERM "$follower"
	collect "$follower"
}

mkdir d
echo before >d/log
follow d/log
echo one >>d/log
told "what is appended" "one"
printf 'two\nthree\n' >>d/log
told "several lines" "two"
told "all of them" "three"
: >d/unrelated
echo x >>d/unrelated
chmod 600 d/log
rm d/unrelated
echo four >>d/log
told "after what concerns others" "four"
! grep -q before log
result "what was there before is not printed" $? log

# --- Renamed, and a new one is made.

mv d/log d/log.1
echo "to the old one" >>d/log.1
told "what the writer adds to a renamed file" "to the old one"
echo "in the new one" >d/log
told "the new file, from its beginning" "in the new one"
echo more >>d/log
told "and what is appended to it" "more"
echo late >>d/log.1
echo after >>d/log
told "the file goes on" "after"
! grep -qx late log
result "and the old one is left alone" $? log

# --- Cut to nothing.

: >d/log
within 20 grep -q 'truncated' log
result "truncation is noticed" $? log
echo short >>d/log
told "and what comes then is printed" "short"

# --- Removed, and made anew.

rm d/log
echo again >d/log
told "removed and made anew" "again"

# --- Replaced in one step.

echo replacement >d/tmp
mv d/tmp d/log
told "replaced by another" "replacement"
echo continued >>d/log
told "which is followed" "continued"

# --- Many times in a row; a writer that is done is not lost.

i=0
while [ $i -lt 200 ]; do
	echo "line $i" >>d/log
	[ $((i % 10)) -ne 9 ] || { within 20 grep -qx "line $i" log; mv d/log "d/log.$i"; }
	i=$((i + 1))
done
within 20 lines_like '^line [0-9]*$' log 200
result "rotated twenty times: every line once" $? log

# --- The directory is renamed.

mv d d2
echo moved >>d2/log
told "in a renamed directory" "moved"
mv d2/log d2/last
echo "moved and new" >d2/log
told "rotated there" "moved and new"
stop

# --- Not there yet.

follow d2/none
echo born >d2/none
told "a file that comes later" "born"
stop
! grep -q 'another file' log
result "is not another" $? log

# --- May not be read at first.

if [ "$(id -u)" -ne 0 ]; then
	unprivileged="env"
elif chroot --userspec=65534:65534 / "$examples/tail-f" >/dev/null 2>&1 || [ $? -eq 64 ]; then
	unprivileged="chroot --userspec=65534:65534 /"
else
	unprivileged=
fi
if [ -n "$unprivileged" ]; then
	chmod 755 . d2
	echo old >d2/secret
	chmod 644 d2/secret
	# shellcheck disable=SC2086
	follow "$work/d2/secret" $unprivileged
	echo forbidden >d2/tmp
	chmod 000 d2/tmp
	mv d2/tmp d2/secret
	chmod 644 d2/secret
	told "a file that may be read only later" "forbidden"
	stop
else
	skip "a file that may not be read: cannot run without privilege"
fi

# --- Usage.

for arguments in "" "d2/log d2/log"; do
	# shellcheck disable=SC2086
	start usage "$examples/tail-f" $arguments </dev/null
	collect "$pid"
	[ "$code" -eq 64 ] && grep -q '^usage: tail-f' usage
	result "tail-f $arguments: usage" $? usage
done
start wrong "$examples/tail-f" no-such-directory/log </dev/null
collect "$pid"
[ "$code" -eq 1 ] && [ -s wrong ]
result "no directory: an error" $? wrong

finish
