#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The directory monitor, from end to end.
. "$(dirname "$0")/functions"

# told WHAT LINE: does the monitor say so?
told() {
	within 20 grep -qxF -e "$2" log
	result "$1" $? log
}

# watch DIRECTORY [COMMAND...]: sets monitor.
watch() {
	directory=$1
	shift
	start log "$@" "$examples/watch-dir" "$directory" </dev/null
	monitor=$pid
	within 20 grep -q '^watching: ' log || fail "the monitor starts" log
}

# mark: all that was done is told when this is.  A line of its own, to be seen only once.
marks=0
mark() {
	marks=$((marks + 1))
	: >"d/.mark$marks"
	within 20 grep -qxF "created: .mark$marks" log || fail "the monitor goes on" log
}

# silent PATTERN: was it not said?
silent() {
	! grep -q -e "$1" log
}

mkdir d d/sub elsewhere
for f in a b c; do
	echo "$f" >"d/$f"
done

# --- Every entry that was there before, the first one, too.

watch d
mark
silent '^created: [abcs]'
result "what was there before is not called new" $? log
for f in a b c; do
	echo more >>"d/$f"
	told "$f is watched" "written: $f"
done
: >d/sub/inside
told "a subdirectory is watched" "written: sub"

# --- All that can happen.

: >d/new
told "created" "created: new"
echo text >d/new
told "and watched at once" "written: new"
chmod 600 d/new
told "attributes changed" "attributes changed: new"
mv d/new d/newer
told "renamed" "renamed: new -> newer"
mark
silent '^created: newer' && silent '^deleted: new'
result "which is neither created nor deleted" $? log
echo text >>d/newer
told "and watched under its new name" "written: newer"
: >d/newer
mark
lines_like '^written: newer$' log 2
result "truncated" $? log
rm d/newer
told "deleted" "deleted: newer"

# --- The same name for another file.

echo other >d/tmp
mark
mv d/tmp d/a
told "one replaces another: renamed" "renamed: tmp -> a"
told "one replaces another: deleted" "deleted: a"
chmod 600 d/a
told "and is watched in its place" "attributes changed: a"

# Deleted and created anew, the number of the file may well be the same.
rm d/b
: >d/b2
told "not renamed, but deleted" "deleted: b"
told "and created" "created: b2"

# --- In and out.

mv d/c elsewhere/c
told "moved out" "renamed: c (out of the directory)"
echo x >>elsewhere/c
mark
[ "$(grep -c '^written: c$' log)" -eq 1 ]
result "and no longer watched" $? log
mv elsewhere/c d/c3
told "moved in" "created: c3"
ln d/c3 d/c4
told "a link" "created: c4"
mark
silent 'renamed: c3'
result "which renames nothing" $? log
rm d/c4
told "removed again" "deleted: c4"
echo x >>d/c3
told "the file remains" "written: c3"

# --- All kinds of entries.

mkdir d/deep
told "a new directory" "created: deep"
: >d/deep/x
told "is watched" "written: deep"
mv d/deep d/deeper
told "is renamed" "renamed: deep -> deeper"
rm -r d/deeper
told "is deleted" "deleted: deeper"
ln -s nowhere d/link
told "a symbolic link to nowhere" "created: link"
mv d/link d/link2
told "is renamed" "renamed: link -> link2"
rm d/link2
told "is deleted" "deleted: link2"
mkfifo d/fifo
told "a FIFO keeps nobody waiting" "created: fifo"
rm d/fifo
told "is deleted" "deleted: fifo"
: >"$(printf 'd/\033[2Jtwo\nlines')"
told "a name that is not text is spelled out" 'created: \x1b[2Jtwo\x0alines'

# --- Many at once.

i=0
while [ $i -lt 500 ]; do
	: >"d/many.$i"
	i=$((i + 1))
done
within 20 lines_like '^created: many' log 500
result "five hundred new entries" $? log
for f in d/many.*; do
	mv "$f" "d/more.${f#d/many.}"
done
within 20 lines_like '^renamed: many\.\([0-9]*\) -> more\.\1$' log 500
result "five hundred renamed" $? log
chmod 600 d/more.*
within 20 lines_like '^attributes changed: more' log 500
result "and changed" $? log
rm d/more.*
within 20 lines_like '^deleted: more' log 500
result "and deleted" $? log

# --- The directory itself.

chmod 700 d
told "the directory's own attributes" "attributes changed: ."
mv d d2
told "the directory itself renamed" "renamed: ."
: >d2/after
told "and still watched" "created: after"
rm -r d2
collect "$monitor"
[ "$code" -eq 0 ] && [ "$(tail -n 1 log)" = "deleted: ." ]
result "the directory itself deleted ends it with exit code 0 (it was $code)" $? log
grep -qx 'deleted: sub' log
result "after all that was in it" $? log

# --- An entry that may not be watched.

mkdir d
chmod 755 . d
: >d/secret
: >d/open
chmod 000 d/secret
chmod 666 d/open
unprivileged=
if [ "$(id -u)" -ne 0 ]; then
	unprivileged="env"
elif chroot --userspec=65534:65534 / "$examples/watch-dir" >/dev/null 2>&1 || [ $? -eq 64 ]; then
	unprivileged="chroot --userspec=65534:65534 /"
fi
if [ -n "$unprivileged" ]; then
	# shellcheck disable=SC2086
	watch "$work/d" $unprivileged
	echo x >>d/open
	told "beside an unreadable entry, others are watched" "written: open"
	mv d/secret d/mystery
	told "and even that is followed by name" "renamed: secret -> mystery"
	rm -f d/mystery
	told "to its end" "deleted: mystery"
	[ "$(grep -c '^cannot watch: secret: Permission denied' log)" -eq 1 ]
	result "the unreadable entry is reported once" $? log
	kill -TERM "$monitor"
	collect "$monitor"
else
	skip "an unreadable entry: cannot run without privilege"
fi

# --- An empty directory; many descriptors.

mkdir empty
watch empty
: >empty/first
told "the first entry of an empty directory" "created: first"
echo x >>empty/first
told "is watched" "written: first"
kill -TERM "$monitor"
collect "$monitor"

# --- Usage.

for arguments in "" "d d"; do
	# shellcheck disable=SC2086
	start usage "$examples/watch-dir" $arguments </dev/null
	collect "$pid"
	[ "$code" -eq 64 ] && grep -q '^usage: watch-dir' usage
	result "watch-dir $arguments: usage" $? usage
done
for what in d/open no-such-directory; do
	start wrong "$examples/watch-dir" "$what" </dev/null
	collect "$pid"
	[ "$code" -eq 1 ] && [ -s wrong ]
	result "watch-dir $what: an error" $? wrong
done

finish
