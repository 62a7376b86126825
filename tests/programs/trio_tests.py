# SPDX-License-Identifier: BSD-2-Clause
"""trio_tests.py MODULE SECONDS REPORT: runs one module of Trio's own tests, for bindings/python/run-tests.

Trio chooses its back end as it is imported, by what select has and by the
system's name.  Where there is a select.kqueue it is told that this is FreeBSD
for that moment, so that it waits for children with kqueue, too.

trio_tests.py alone prints the modules.
"""
import faulthandler
import os
import pathlib
import select
import sys

import pytest

# Of other systems, and of what linters know of Trio.
NOT = ["test_exports", "test_windows", "test_windows_pipes"]


def import_trio():
    if not hasattr(select, "kqueue"):
        import trio
        return trio
    # What these import is to be for the system that this is.
    import asyncio, ctypes, multiprocessing, signal, socket, ssl, subprocess, tempfile  # noqa: E401,F401

    hidden, name = (select.epoll, os.pidfd_open), sys.platform
    del select.epoll, os.pidfd_open
    sys.platform = "freebsd"
    import trio
    sys.platform = name
    select.epoll, os.pidfd_open = hidden
    return trio


class Report:
    def __init__(self, file, seconds):
        self.file, self.seconds, self.told = file, seconds, None

    def tell(self, verdict, name, reason=""):
        self.file.write(f"{verdict}\t{name}\t{' '.join(reason.split())[-200:]}\n")

    def pytest_runtest_logstart(self, nodeid):
        self.told = None
        self.tell("start", nodeid)
        faulthandler.dump_traceback_later(self.seconds, exit=True)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.told = "fail"
            self.tell("fail", report.nodeid, report.longreprtext)
        elif report.skipped:
            self.told = "skip"
            self.tell("skip", report.nodeid, str(report.longrepr))

    def pytest_runtest_logfinish(self, nodeid):
        faulthandler.cancel_dump_traceback_later()
        if self.told is None:
            self.tell("ok", nodeid)

    def pytest_collectreport(self, report):
        if not report.passed:
            self.tell("fail" if report.failed else "skip", report.nodeid, str(report.longrepr))


def main():
    trio = import_trio()
    if len(sys.argv) == 1:
        top = pathlib.Path(trio.__file__).parent
        for path in sorted([*top.glob("tests/test_*.py"), *top.glob("_core/tests/test_*.py")]):
            if path.stem not in NOT and "def test_" in path.read_text():
                print("trio." + str(path.relative_to(top))[:-3].replace("/", "."))
        return 0
    module, seconds, report = sys.argv[1:]
    manager = trio._core._run.TheIOManager.__name__
    assert manager == ("KqueueIOManager" if hasattr(select, "kqueue") else "EpollIOManager"), manager
    with open(report, "w", buffering=1) as file:
        return pytest.main(["--pyargs", module, "-p", "no:cacheprovider", "-q"], plugins=[Report(file, float(seconds))])


if __name__ == "__main__":
    sys.exit(main())
