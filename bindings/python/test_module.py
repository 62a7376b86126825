# SPDX-License-Identifier: BSD-2-Clause
"""What Python's manual says of select.kqueue and select.kevent, and test_kqueue does not try."""
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

if not hasattr(select, "kqueue"):
    raise unittest.SkipTest("there is no select.kqueue")

from select import kevent, kqueue

ADD = select.KQ_EV_ADD


def descriptors():
    return set(os.listdir("/proc/self/fd"))


class KeventTest(unittest.TestCase):
    def test_attributes_can_be_set(self):
        event = kevent(0)
        for name, value in (("ident", 2**32), ("filter", -5), ("flags", 0xfff0), ("fflags", 0xfffffff0),
                            ("data", -2**63), ("udata", 2**40)):
            setattr(event, name, value)
            self.assertEqual(getattr(event, name), value)

    def test_keywords(self):
        event = kevent(ident=1, filter=2, flags=3, fflags=4, data=5, udata=6)
        self.assertEqual(event, kevent(1, 2, 3, 4, 5, 6))

    def test_each_attribute_counts_in_comparison(self):
        values = [1, 2, 3, 4, 5, 6]
        for i in range(6):
            larger = values[:]
            larger[i] += 1
            self.assertLess(kevent(*values), kevent(*larger))
            self.assertGreater(kevent(*larger), kevent(*values))
            self.assertNotEqual(kevent(*larger), kevent(*values))

    def test_comparison_with_something_else(self):
        self.assertFalse(kevent(1) == 1)
        self.assertTrue(kevent(1) != 1)

    def test_ident_is_a_file(self):
        a, b = socket.socketpair()
        with a, b:
            self.assertEqual(kevent(a).ident, a.fileno())

    def test_ident_is_neither(self):
        self.assertRaises(TypeError, kevent)
        self.assertRaises(TypeError, kevent, "1")
        self.assertRaises(OverflowError, kevent, -1)
        self.assertRaises(OverflowError, kevent, 2**64)

    def test_repr(self):
        self.assertEqual(repr(kevent(1, -2, 3, 4, 5, 6)),
                         "<select.kevent ident=1 filter=-2 flags=0x3 fflags=0x4 data=0x5 udata=0x6>")


class KqueueTest(unittest.TestCase):
    def setUp(self):
        self.kq = kqueue()
        self.addCleanup(self.kq.close)

    def test_arguments(self):
        self.assertRaises(TypeError, kqueue, 1)
        self.assertRaises(TypeError, self.kq.control)
        self.assertRaises(TypeError, self.kq.control, None)
        self.assertRaises(TypeError, self.kq.control, 1, 1)
        self.assertRaises(TypeError, self.kq.control, [1], 1)
        self.assertRaises(TypeError, self.kq.control, None, 1, "1")
        self.assertRaises(ValueError, self.kq.control, None, -1)
        self.assertRaises(ValueError, self.kq.control, None, 1, -1)
        self.assertRaises(ValueError, self.kq.control, None, 1, float("nan"))
        self.assertRaises(OverflowError, self.kq.control, None, 1, 1e300)

    def test_failed_change_without_room_raises(self):
        with self.assertRaises(FileNotFoundError):
            self.kq.control([kevent(1, select.KQ_FILTER_TIMER, select.KQ_EV_DELETE)], 0)

    def test_failed_change_with_room_is_an_event(self):
        event, = self.kq.control([kevent(1, select.KQ_FILTER_TIMER, select.KQ_EV_DELETE)], 1)
        self.assertTrue(event.flags & select.KQ_EV_ERROR)
        self.assertEqual(event.data, 2)

    def test_no_room_returns_at_once(self):
        self.assertEqual(self.kq.control(None, 0), [])

    def test_timeout_is_never_early(self):
        for timeout in (0.000001, 0.0105, 1e-9):
            started = time.monotonic()
            self.assertEqual(self.kq.control(None, 1, timeout), [])
            self.assertGreaterEqual(time.monotonic() - started, timeout)

    def test_udata_comes_back(self):
        event, = self.kq.control([kevent(7, select.KQ_FILTER_USER, ADD, select.KQ_NOTE_TRIGGER, 0, 2**63 + 1)], 1)
        self.assertEqual((event.ident, event.udata), (7, 2**63 + 1))

    def test_others_run_meanwhile(self):
        def trigger():
            self.kq.control([kevent(1, select.KQ_FILTER_USER, 0, select.KQ_NOTE_TRIGGER)], 0)

        self.kq.control([kevent(1, select.KQ_FILTER_USER, ADD)], 0)
        thread = threading.Timer(0.05, trigger)
        thread.start()
        self.assertEqual(len(self.kq.control(None, 1)), 1)
        thread.join()

    def test_handler_interrupts_and_the_wait_goes_on(self):
        calls = []
        old = signal.signal(signal.SIGALRM, lambda *_: calls.append(time.monotonic()))
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        # A change that is made once, though it is interrupted: else the timer would start again.
        events = self.kq.control([kevent(1, select.KQ_FILTER_TIMER, ADD, 0, 150)], 1, 60)
        self.assertEqual(len(events), 1)
        self.assertEqual(len(calls), 1)
        self.assertGreaterEqual(time.monotonic() - started, 0.15)

    def test_handler_raises(self):
        def handler(*_):
            raise ZeroDivisionError

        old = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        self.assertRaises(ZeroDivisionError, self.kq.control, None, 1, 60)

    def test_interrupted_wait_ends_in_time(self):
        old = signal.signal(signal.SIGALRM, lambda *_: None)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        started = time.monotonic()
        self.assertEqual(self.kq.control(None, 1, 0.1), [])
        self.assertGreaterEqual(time.monotonic() - started, 0.1)

    def test_closed_while_the_changes_are_listed(self):
        def changes():
            self.kq.close()
            yield kevent(1, select.KQ_FILTER_USER, ADD)

        self.assertRaises(ValueError, self.kq.control, changes(), 0)

    def test_closed_one_holds_no_descriptor(self):
        before = descriptors()
        for how in (lambda kq: kq.close(), lambda kq: None):
            for _ in range(20):
                kq = kqueue()
                kq.control([kevent(1, select.KQ_FILTER_TIMER, ADD, 0, 1000)], 0)
                how(kq)
                del kq
        self.assertEqual(descriptors() - before, set())

    def test_closed_by_another_is_an_error(self):
        os.close(self.kq.fileno())
        with self.assertRaises(OSError):
            self.kq.control(None, 0, 0)
        with self.assertRaises(OSError):
            self.kq.close()
        self.assertTrue(self.kq.closed)

    def test_fromfd_is_the_same_queue(self):
        other = kqueue.fromfd(self.kq.fileno())
        self.assertEqual(other.fileno(), self.kq.fileno())
        other.control([kevent(1, select.KQ_FILTER_USER, ADD, select.KQ_NOTE_TRIGGER)], 0)
        self.assertEqual(len(self.kq.control(None, 1)), 1)
        self.kq.close()
        self.assertRaises(OSError, other.close)

    def test_fromfd_of_no_descriptor(self):
        self.assertRaises(ValueError, kqueue.fromfd, -1)
        self.assertRaises(TypeError, kqueue.fromfd, "1")

    def test_forked_child_has_none(self):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                # The number may be another file's by now, which closing the object must not close.
                number = self.kq.fileno() if not self.kq.closed else None
                own = kqueue()
                own.control([kevent(1, select.KQ_FILTER_USER, ADD, select.KQ_NOTE_TRIGGER)], 0)
                self.kq.close()
                status = 0 if number is None and len(own.control(None, 1, 10)) == 1 else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.kq.control([kevent(1, select.KQ_FILTER_USER, ADD, select.KQ_NOTE_TRIGGER)], 0)
        self.assertEqual(len(self.kq.control(None, 1)), 1)

    def test_no_reference_is_lost(self):
        counts = []
        for _ in range(3):
            for _ in range(1000):
                self.kq.control([kevent(1, select.KQ_FILTER_USER, ADD, select.KQ_NOTE_TRIGGER)], 1)
                for bad in (1, [1]):
                    try:
                        self.kq.control(bad, 1)
                    except TypeError:
                        pass
            counts.append((sys.getallocatedblocks(), sys.getrefcount(kevent), sys.getrefcount(kqueue)))
        for before, after in zip(counts[1], counts[2]):
            self.assertLess(after - before, 100)


class ShimTest(unittest.TestCase):
    def python(self, *arguments):
        return subprocess.run([sys.executable, "-S", *arguments], text=True, capture_output=True, timeout=60)

    def test_selectors_and_asyncio_take_it(self):
        import asyncio
        import selectors

        self.assertIs(selectors.DefaultSelector, selectors.KqueueSelector)
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        self.assertIsInstance(loop._selector, selectors.KqueueSelector)

    def test_runs_a_module(self):
        done = self.python("-m", "kqueue_select", "-m", "timeit", "-n", "1", "import select; select.kqueue().close()")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_too_late(self):
        done = self.python("-c", "import selectors, kqueue_select")
        self.assertIn("before selectors", done.stderr)


if __name__ == "__main__":
    unittest.main()
