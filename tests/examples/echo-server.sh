#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The echo server, from end to end.
. "$(dirname "$0")/functions"

if ! nc -h 2>&1 | grep -q OpenBSD; then
	echo "skip - nc (netcat-openbsd) is needed"
	exit 77
fi

# Say something, hear it, hang up.
ask() {
	printf '%s\n' "$2" | timeout 20 nc -N "$1" "$port" 2>/dev/null
}

# --- One client, word for word.

: >change_prompt.txt
start_server log </dev/null
heard=$(ask 127.0.0.1 hi)
[ "$heard" = hi ]
result "a client hears what it said" $? log

within 20 lines_like '^The socket' log 1
cat >expected <<'END'
Welcome to our simple echo server!
Setting up Signal Handler
Server starting...
About to accept
Accepted new client with file descriptor: 7
About to accept
File descriptor: 7 - has 3 characters for reading
Received from client(7) % hi
The socket (7) has been closed.
END
cmp -s log expected
result "the server says what the tutorial's says" $? log

# --- More clients.

if have_ipv6; then
	heard=$(ask ::1 six)
	[ "$heard" = six ]
	result "IPv6" $? log
else
	skip "IPv6: the loopback interface has no such address"
fi

mkfifo in1 in2
exec 8<>in1 9<>in2	# for reading, too: so it waits for nobody
start out1 timeout 60 nc -N 127.0.0.1 "$port" <in1
start out2 timeout 60 nc -N 127.0.0.1 "$port" <in2
echo one >&8
echo two >&9
within 20 grep -qx one out1 && within 20 grep -qx two out2 &&
    echo three >&8 && within 20 grep -qx three out1
result "two clients at once" $? out1 out2 log
exec 8>&- 9>&-
within 20 lines_like '^The socket' log 3
result "clients that go are noticed" $? log

# --- Bytes that are not text, and many of them.

head -c 1000000 /dev/urandom >random
timeout 60 nc -N 127.0.0.1 "$port" <random >random.back
cmp -s random random.back
result "a million random bytes come back, though the client half-closes" $? log
[ "$(tr -d '\n -~' <log | wc -c)" -eq 0 ]
result "the terminal sees printable characters only" $?

printf '\033[2J\001caf\303\251\n' | timeout 20 nc -N 127.0.0.1 "$port" >out
within 20 grep -qF ') % \x1b[2J\x01caf\xc3\xa9' log
result "what is not text is spelled out" $? log

: >empty
timeout 20 nc -N 127.0.0.1 "$port" <empty >out
result "a client that says nothing" $? log

# --- The prompt.

# The change of the file and the message race to the server: ask until it has seen both.
prompt_is() {
	ask 127.0.0.1 "prompt?" >/dev/null
	within 20 tail_is_closed
	[ "$(grep 'prompt?' log | tail -n 1 | sed 's/.*) \(.\) .*/\1/')" = "$1" ]
}
tail_is_closed() {
	case $(tail -n 1 log) in
	"The socket"*)	return 0 ;;
	esac
	return 1
}

prompt_is % || fail "the first prompt is %" log
for p in '$' '>' % '$'; do
	touch change_prompt.txt
	within 20 prompt_is "$p"
	result "a touch moves the prompt on to $p" $? log
done

# --- A client that does not read.

mkfifo go
exec 8<>go
start stuck "$helpers/stubborn" 127.0.0.1 "$port" <go
stubborn=$pid
within 30 grep -q '^stuck at' stuck
result "the server holds back a client that does not read" $? stuck
heard=$(ask 127.0.0.1 "still there?")
[ "$heard" = "still there?" ]
result "a client that does not read stops nobody else" $? log
exec 8>&-
collect "$stubborn" 60
grep -q '^all .* came back' stuck && [ "$code" -eq 0 ]
result "when it reads, nothing was lost" $? stuck

start stuck "$helpers/stubborn" 127.0.0.1 "$port" reset </dev/null
collect "$pid" 60
heard=$(ask 127.0.0.1 "unhurt?")
[ "$heard" = "unhurt?" ]
result "a client that hangs up with all of its answer unread does no harm" $? stuck log

# --- The port.

start busy "$examples/echo-server" -p "$port" </dev/null
collect "$pid"
[ "$code" -eq 1 ] && grep -q "port $port: Address already in use" busy
result "a busy port is an error (exit code $code)" $? busy

for arguments in "-p" "-p 0" "-p 65536" "-p 12x" "-x" "1234"; do
	# shellcheck disable=SC2086
	start usage "$examples/echo-server" $arguments </dev/null
	collect "$pid"
	[ "$code" -eq 64 ] && grep -q '^usage: echo-server' usage
	result "echo-server $arguments: usage" $? usage
done

# --- SIGTERM.

mkfifo in3 in4 go2
exec 7<>go2 8<>in3 9<>in4
start out3 timeout 60 nc 127.0.0.1 "$port" <in3
start out4 timeout 60 nc 127.0.0.1 "$port" <in4
echo x >&8
echo x >&9
within 20 grep -q x out3
within 20 grep -q x out4
start stuck "$helpers/stubborn" 127.0.0.1 "$port" <go2
stubborn=$pid
within 30 grep -q '^stuck at' stuck
kill -TERM "$server"
within 20 grep -q '^We got a terminate signal!' log
exec 7>&-
collect "$server"
[ "$code" -eq 130 ]
result "SIGTERM ends the server with exit code 130 (it was $code)" $? log
within 20 grep -q '^Server shutting down' out3 && within 20 grep -q '^Server shutting down' out4
result "and every client is told" $? out3 out4
exec 8>&- 9>&-
collect "$stubborn"
grep -q '^goodbye' stuck
result "even one that was held back" $? stuck

# --- No prompt file.

rm change_prompt.txt
start_server log </dev/null
grep -qx 'Error: there was an error reading ./change_prompt.txt' log
result "a missing prompt file is reported" $? log
heard=$(ask 127.0.0.1 hi)
[ "$heard" = hi ] && prompt_is %
result "and does no harm" $? log
: >change_prompt.txt
within 20 prompt_is '$'
result "the file is noticed when it comes, and moves the prompt" $? log
: >new
mv new change_prompt.txt
within 20 prompt_is '>'
result "and when another takes its place" $? log
touch change_prompt.txt
within 20 prompt_is %
result "which is then watched" $? log
kill -STOP "$server"
kill -TERM "$server"
kill -CONT "$server"
collect "$server"
[ "$code" -eq 130 ]
result "SIGTERM while stopped, without clients" $? log

# --- Text in the user's language.

if [ "$(LC_ALL=C.UTF-8 locale charmap 2>/dev/null)" = UTF-8 ]; then
	start_server log env LC_ALL=C.UTF-8 </dev/null
	printf 'caf\303\251 \302\233\n' | timeout 20 nc -N 127.0.0.1 "$port" >out
	within 20 grep -qF "$(printf 'caf\303\251 ')\\xc2\\x9b" log
	result "UTF-8 is text, its control characters are not" $? log
	stop_server
else
	skip "UTF-8: no such locale"
fi

# --- Out of descriptors.

# shellcheck disable=SC2016
start_server log sh -c 'ulimit -n 32; exec "$@"' sh </dev/null
mkfifo in5
exec 8<>in5
i=0
crowd=
while [ $i -lt 40 ]; do
	start "out5.$i" timeout 60 nc 127.0.0.1 "$port" <in5
	crowd="$crowd $pid"
	i=$((i + 1))
done
within 20 lines_like '^Error accepting' log 3
result "no descriptor left: the server tries again" $? log
lines=$(grep -c '^Error accepting' log)
[ "$lines" -lt 20 ]
result "but not all the time" $? log
exec 8>&-
for p in $crowd; do
	kill "$p" 2>/dev/null
	collect "$p"
done
heard=$(ask 127.0.0.1 hi)
[ "$heard" = hi ]
result "when others go, there is room again" $? log
stop_server

# --- A crowd.

start_server log </dev/null
start crowd "$helpers/crowd" 127.0.0.1 "$port" 5000 </dev/null
crowd=$pid
crowd_settled() {
	grep -q '^all echoed' crowd || dead "$crowd"
}
within 120 crowd_settled
stop_server
served=$code
collect "$crowd" 60
if [ "$code" -eq 77 ]; then
	skip "5,000 clients: $(cat crowd)"
else
	[ "$code" -eq 0 ] && [ "$served" -eq 130 ] && grep -q '^all echoed' crowd
	result "5,000 clients at once" $? crowd log
	grep -qx 'goodbyes: 5000' crowd
	result "all of whom are told of the end" $? crowd log
fi

finish
