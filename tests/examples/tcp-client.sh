#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The TCP client, from end to end.
. "$(dirname "$0")/functions"

client=$examples/tcp-client
head -c 12000000 /dev/urandom >big

# host MODE...: the other end.  Sets host and port.
host() {
	start hostlog "$helpers/host" "$@" </dev/null
	host=$pid
	within 20 grep -q '^port' hostlog || fail "the other end starts" hostlog
	port=$(sed -n 's/^port //p' hostlog)
}

# run ARGUMENT...: the client, not for ever.  Sets left, its exit code.
run() {
	timeout 60 "$client" "$@"
	left=$?
}

# --- Much, both ways.

host sink there
run 127.0.0.1 "$port" <big >answer 2>err
collect "$host"
cmp -s big there
result "a file arrives, every byte" $? err
[ "$left" -eq 0 ] && grep -qx 'got 12000000' answer
result "and the answer comes, though the input ended before" $? answer err

host source big
run 127.0.0.1 "$port" </dev/null >here 2>err
collect "$host"
[ "$left" -eq 0 ] && cmp -s big here
result "a file comes, every byte" $? err

host sink there
# shellcheck disable=SC2002
cat big | timeout 60 "$client" 127.0.0.1 "$port" 2>err | cat >answer
collect "$host"
cmp -s big there && grep -qx 'got 12000000' answer
result "from a pipe and into a pipe" $? err answer

head -c 3000000 big >some
host source some
timeout 60 "$client" 127.0.0.1 "$port" </dev/null 2>err | {
	# Time is what this is about: it reads late, and slowly.
	sleep 0.5
	while dd bs=65536 count=4 2>/dev/null | grep -a . ; do
		sleep 0.01
	done
} >/dev/null
collect "$host"
[ "$code" -eq 0 ]
result "a slow reader of its output" $? err

host slow there
run 127.0.0.1 "$port" <some >answer 2>err
collect "$host" 60
[ "$left" -eq 0 ] && cmp -s some there && grep -qx 'got 3000000' answer
result "a slow host" $? err

host early there
run 127.0.0.1 "$port" <big >answer 2>err
collect "$host"
[ "$left" -eq 0 ] && cmp -s big there && [ ! -s answer ]
result "a host that falls silent first still gets everything" $? err hostlog

host sink there
# Slowly: the pauses are what is tested.
{ printf a; sleep 0.3; printf b; sleep 0.3; printf c; } |
    timeout 60 "$client" 127.0.0.1 "$port" >answer 2>err
collect "$host"
[ "$(cat there)" = abc ]
result "input that comes slowly" $? err there

host sink there
run 127.0.0.1 "$port" </dev/null >answer 2>err
collect "$host"
[ "$left" -eq 0 ] && [ ! -s there ] && grep -qx 'got 0' answer
result "no input at all" $? err answer

# --- A conversation.

: >change_prompt.txt
start_server log </dev/null
mkfifo in
exec 8<>in
start out timeout 60 "$client" 127.0.0.1 "$port" <in
talker=$pid
echo first >&8
within 20 grep -qx first out && echo second >&8 && within 20 grep -qx second out
result "a conversation, line by line" $? out log
exec 8>&-
collect "$talker"
[ "$code" -eq 0 ]
result "which ends when the input does" $? out

run 127.0.0.1 "$port" <some >here 2>err
[ "$left" -eq 0 ] && cmp -s some here
result "everything echoed" $? err
run 127.0.0.1 "$port" <some >/dev/null 2>err
[ "$left" -eq 0 ]
result "output to /dev/null" $? err

run localhost "$port" <some >here 2>err
[ "$left" -eq 0 ] && cmp -s some here
result "a name" $? err

stop_server

# --- IPv6.

if have_ipv6; then
	host -6 sink there
	run ::1 "$port" <some >answer 2>err
	collect "$host"
	[ "$left" -eq 0 ] && cmp -s some there
	result "IPv6" $? err
else
	skip "IPv6: the loopback interface has no such address"
fi
host sink there		# at 127.0.0.1 only, and localhost may be ::1, too
run localhost "$port" <some >answer 2>err
collect "$host"
[ "$left" -eq 0 ] && cmp -s some there
result "one address after the other is tried" $? err

# --- What can go wrong.

host nobody
collect "$host"
run 127.0.0.1 "$port" </dev/null >out 2>err
[ "$left" -eq 1 ] && grep -q "127.0.0.1 port $port: Connection refused" err
result "a refused connection: exit code 1 (it was $left)" $? err

run no-such-host.invalid 80 </dev/null >out 2>err
[ "$left" -eq 1 ] && grep -q 'no-such-host.invalid' err
result "a name that does not exist: exit code 1 (it was $left)" $? err

run 127.0.0.1 no-such-service </dev/null >out 2>err
[ "$left" -eq 1 ] && [ -s err ]
result "a service that does not exist: exit code 1 (it was $left)" $? err

host reset
run 127.0.0.1 "$port" <big >out 2>err
collect "$host"
[ "$left" -eq 1 ] && grep -q connection err
result "a lost connection: exit code 1 (it was $left)" $? err

host source big
{ timeout 60 "$client" 127.0.0.1 "$port" </dev/null 2>err; echo $? >code; } | head -c 10 >/dev/null
collect "$host"
[ "$(cat code)" -eq 74 ] && grep -q 'standard output' err
result "nobody reads its output: exit code 74 (it was $(cat code))" $? err hostlog

host sink there
run 127.0.0.1 "$port" <. >out 2>err
collect "$host"
[ "$left" -eq 74 ] && grep -q 'standard input' err
result "unreadable input: exit code 74 (it was $left)" $? err

for arguments in "" "localhost" "localhost 1 2" "localhost 0" "localhost 65536" "localhost -1"; do
	# shellcheck disable=SC2086
	run $arguments </dev/null >out 2>err
	[ "$left" -eq 64 ] && grep -q '^usage: tcp-client' err
	result "tcp-client $arguments: usage" $? err
done

finish
