# SPDX-License-Identifier: BSD-2-Clause
import ctypes
import errno
import os
import resource
import signal
import socket
import sys
import time

EVFILT_READ, EVFILT_SIGNAL = -1, -6
EV_ADD, EV_DELETE = 0x0001, 0x0002


class Kevent(ctypes.Structure):
    _fields_ = [("ident", ctypes.c_size_t), ("filter", ctypes.c_short),
                ("flags", ctypes.c_ushort), ("fflags", ctypes.c_uint),
                ("data", ctypes.c_int64), ("udata", ctypes.c_void_p)]


class Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


kq = ctypes.CDLL(sys.argv[1], use_errno=True)


def kevent(queue, changes=(), room=0, seconds=0.0):
    change = (Kevent * max(len(changes), 1))(*changes)
    event = (Kevent * max(room, 1))()
    wait = Timespec(int(seconds), int(seconds % 1 * 1e9))
    n = kq.kevent(queue, change, len(changes), event, room, ctypes.byref(wait))
    if n == -1:
        raise OSError(ctypes.get_errno(), "kevent")
    return list(event[:n])


def refuses(call, error):
    try:
        call()
    except OSError as e:
        return e.errno == error
    return False


def closed_socket_is_silent(queue):
    near, far = socket.socketpair()
    kevent(queue, [Kevent(near.fileno(), EVFILT_READ, EV_ADD)])
    far.send(b"abc")
    assert kevent(queue, room=1, seconds=5)[0].data == 3
    copy, number = near.dup(), near.fileno()
    near.close()
    spent = time.process_time()
    assert kevent(queue, room=1, seconds=0.2) == []
    assert time.process_time() - spent < 0.1
    again, other = socket.socketpair()
    assert again.fileno() == number
    kevent(queue, [Kevent(number, EVFILT_READ, EV_ADD)])
    other.send(b"x")
    assert kevent(queue, room=1, seconds=5)[0].data == 1
    for s in copy, far, again, other:
        s.close()
    assert kevent(queue, room=1) == []


def ignored_signal_is_counted(queue):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    kevent(queue, [Kevent(signal.SIGUSR1, EVFILT_SIGNAL, EV_ADD)])
    os.kill(os.getpid(), signal.SIGUSR1)
    assert kevent(queue, room=1, seconds=5)[0].ident == signal.SIGUSR1
    kevent(queue, [Kevent(signal.SIGUSR1, EVFILT_SIGNAL, EV_DELETE)])


def forked_child_has_no_queue(queue):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if refuses(lambda: kevent(queue), errno.EBADF) else 1)
    assert os.waitpid(pid, 0)[1] == 0


def closed_queue_is_ebadf(queue):
    os.close(queue)
    assert refuses(lambda: kevent(queue), errno.EBADF)


def first_queue_fails():
    lowest = os.dup(0)
    os.close(lowest)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limit[1]))
    assert kq.kqueue() == -1 and ctypes.get_errno() == errno.EMFILE
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


first_queue_fails()
queue = kq.kqueue()
assert queue >= 0
closed_socket_is_silent(queue)
ignored_signal_is_counted(queue)
forked_child_has_no_queue(queue)
closed_queue_is_ebadf(queue)
