# SPDX-License-Identifier: BSD-2-Clause
"""http_check.py [OPTION...] TEMPLATE COMMAND...: tries an HTTP server, on the loopback.

TEMPLATE is its configuration, where @PORT@, @ROOT@, @BACKEND@ and @DIR@ stand
for a port, a directory of files, the port of a server that has the same files
and returns what is posted, and a directory for itself.  COMMAND, with @CONF@
and @DIR@, runs it in the foreground.  Each answer must be right to the byte;
what clients leave behind must not cost the server a descriptor or time, and
it must come to its end by SIGTERM.  With --files it must see that a file has
changed, with --post return what is posted, with --reload take SIGHUP.  Counted are checks, "N passed, N failed".
"""
import argparse
import concurrent.futures
import functools
import http.client
import http.server
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

SECONDS = 120       # one wait of a client, on a busy machine
FILES = {name: random.Random(name).randbytes(size) for name, size in
         [("empty", 0), ("small", 200), ("page", 9000), ("medium", 150_000), ("large", 4_000_000), ("big", 24_000_000)]}
USUAL = ["empty", "small", "page", "medium"]


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:     # the client of the proxy has gone
            self.close_connection = True

    def do_GET(self):
        self.answer(FILES[self.path.rsplit("/", 1)[-1]])

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, *_):
        pass


class BackendServer(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def children(pid):
    try:
        return [int(child) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")
                for child in path.read_text().split()]
    except OSError:     # it has just ended
        return []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    def __init__(self, options, directory, backend):
        self.port, self.prefix = free_port(), options.prefix
        self.root = root = directory / "root"
        root.mkdir()
        for name, content in FILES.items():
            (root / name).write_bytes(content)
        conf = directory / "conf"
        text = options.template.read_text()
        for name, value in {"PORT": self.port, "ROOT": root, "BACKEND": backend, "DIR": directory}.items():
            text = text.replace(f"@{name}@", str(value))
        conf.write_text(text)
        command = [word.replace("@CONF@", str(conf)).replace("@DIR@", str(directory)) for word in options.command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + SECONDS
        while True:
            try:
                self.get_once("small")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def connect(self, receive=None):
        connection = socket.socket()
        if receive:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        connection.settimeout(SECONDS)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def client(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def get(self, client, name):
        client.request("GET", self.prefix + name)
        expect(client.getresponse(), FILES[name], name)

    def get_once(self, name):
        client = self.client()
        self.get(client, name)
        client.close()

    def request(self, name):
        return f"GET {self.prefix}{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def processes(self):
        found, new = set(), {self.process.pid}
        while new:
            found |= new
            new = {child for pid in new for child in children(pid)}
        return found

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes())

    def cpu_seconds(self):
        ticks = 0
        for pid in self.processes():
            ticks += sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")


def expect(response, body, name):
    got = response.read()
    if response.status != 200 or got != body:
        raise AssertionError(f"{name}: status {response.status}, {len(got)} bytes of {len(body)}")


def at_once(many, function):
    """Calls it with 0, 1, ... at the same time; a failure is ours."""
    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        for future in [pool.submit(function, number) for number in range(many)]:
            future.result()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def keep_alive(server):
    def run(number):
        client = server.client()
        for i in range(200):
            server.get(client, USUAL[(number + i) % len(USUAL)])
        client.close()
    at_once(12, run)


def one_each(server):
    at_once(8, lambda number: [server.get_once(USUAL[(number + i) % len(USUAL)]) for i in range(50)])


def pipelined(server):
    def run(number):
        connection = server.connect()
        connection.sendall(server.request("page") * 16)
        for _ in range(16):
            # Unbuffered, so that it takes no byte of the next answer.
            response = http.client.HTTPResponse(connection)
            response.fp.close()
            response.fp = connection.makefile("rb", 0)
            response.begin()
            expect(response, FILES["page"], "page")
        connection.close()
    at_once(4, run)


def big(server):
    at_once(4, lambda number: server.get_once("big"))


def slow_readers(server):
    def run(number):
        connection = server.connect(receive=8192)
        connection.sendall(server.request("large"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        got = bytearray()
        while len(got) < len(FILES["large"]):
            piece = response.read(50_000)
            if not piece:
                break
            got += piece
            time.sleep(0.02)
        if got != FILES["large"]:
            raise AssertionError(f"{len(got)} bytes")
        connection.close()
    at_once(6, run)


def slow_senders(server):
    def run(number):
        connection = server.connect()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(2):
            for byte in server.request("page"):
                connection.send(bytes([byte]))
                time.sleep(0.002)
            response = http.client.HTTPResponse(connection)
            response.begin()
            expect(response, FILES["page"], "page")
        connection.close()
    at_once(6, run)


def changes(server):
    """A file that is replaced is served anew."""
    path = server.root / "changing"
    for size in (100, 70_000, 9):
        content = random.Random(size).randbytes(size)
        (server.root / "new").write_bytes(content)
        os.replace(server.root / "new", path)
        until = time.monotonic() + SECONDS
        client = server.client()
        while True:
            client.request("GET", server.prefix + path.name)
            response = client.getresponse()
            if response.read() == content and response.status == 200:
                break
            if time.monotonic() > until:
                raise AssertionError(f"the file of {size} bytes is not served")
            time.sleep(0.05)
        client.close()


def posts(server):
    def run(number):
        client = server.client()
        for name in ["small", "large", "medium", "page"] * 3:
            client.request("POST", server.prefix + "post", body=FILES[name])
            expect(client.getresponse(), FILES[name], name)
        client.close()
    at_once(4, run)


def aborts(server):
    def run(number):
        for i in range(25):
            connection = server.connect()
            if i % 5 == 1:
                connection.sendall(server.request("big")[:20])
            elif i % 5 > 1:
                connection.sendall(server.request("big"))
                if i % 5 > 2:
                    connection.recv(70_000)
            reset(connection) if (i + number) % 2 else connection.close()
        server.get_once("medium")
    at_once(8, run)


def idle(server):
    """Connections that say nothing cost nothing, and are served when they speak."""
    clients = [server.client() for _ in range(60)]
    for client in clients:
        server.get(client, "small")
    before = server.cpu_seconds()
    time.sleep(3)
    used = server.cpu_seconds() - before
    if used > 0.5:
        raise AssertionError(f"{used} s of processor time in 3 s of idleness")
    for client in clients:
        server.get(client, "page")
        client.close()


def settles(server, before):
    """What clients left behind has gone."""
    until = time.monotonic() + SECONDS
    while (now := server.descriptors()) > before + 12:
        if time.monotonic() > until:
            raise AssertionError(f"{now} descriptors, {before} before")
        time.sleep(0.1)


def reload(server):
    """New processes take over from the old ones while clients ask on; no request is lost."""
    done = threading.Event()

    def ask(number):
        count = 0
        while not done.is_set() or count < 20:
            server.get_once("medium")
            count += 1

    def signals(number):
        for _ in range(3):
            old = server.processes()
            server.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + SECONDS
            while server.processes() & old != {server.process.pid}:
                if time.monotonic() > until:
                    raise AssertionError("an old process stays")
                time.sleep(0.05)
        done.set()

    try:
        at_once(5, lambda number: ask(number) if number else signals(number))
    finally:
        done.set()


def ends(server):
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(SECONDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default="/")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--post", action="store_true")
    parser.add_argument("--reload", action="store_true")
    parser.add_argument("template", type=pathlib.Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()

    backend = BackendServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        server = Server(options, pathlib.Path(directory), backend.server_address[1])
        try:
            server.get_once("large")
            before = server.descriptors()
            checks = [keep_alive, one_each, pipelined, big, slow_readers, slow_senders, *[changes] * options.files,
                      *[posts] * options.post, aborts, idle, functools.partial(settles, before=before),
                      *[reload] * options.reload, keep_alive, ends]
            for check in checks:
                name = f"{options.template.stem}{options.prefix}: {getattr(check, 'func', check).__name__}"
                try:
                    check(server)
                    print(f"ok - {name}", flush=True)
                    passed += 1
                except Exception as error:
                    print(f"not ok - {name}: {error!r}", flush=True)
                    failed += 1
        finally:
            if server.process.poll() is None:
                os.killpg(server.process.pid, signal.SIGKILL)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
