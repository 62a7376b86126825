# SPDX-License-Identifier: BSD-2-Clause
"""twisted_tests.py MODULE SECONDS REPORT: runs one module of Twisted's own tests, for bindings/python/run-tests.

The reactor is Twisted's for kqueue where there is a select.kqueue, else its
epoll reactor.  Tests that are made for each reactor are made for that one and
for asyncio's, which takes kqueue where there is one.

twisted_tests.py alone prints the modules: those of reactors, and of what they
wait for.
"""
import faulthandler
import pathlib
import select
import sys
import tempfile

KQUEUE = hasattr(select, "kqueue")
if KQUEUE:
    from twisted.internet import kqreactor
    kqreactor.install()
else:
    from twisted.internet import epollreactor
    epollreactor.install()
from twisted.internet.test import reactormixins
from twisted.trial import reporter, runner

OF_TWISTED = ["defer", "dirdbm", "fdesc", "internet", "iutils", "pb", "process", "reflect", "socks", "stdio", "tcp", "tcp_internals",
              "threadable", "threadpool", "threads", "udp", "unix"]
# Of other systems, and of what needs more packages.
NOT = ["gireactor", "glibbase", "iocp", "win32events", "win32serialport", "serialport"]


class Report(reporter.VerboseTextReporter):
    file = None
    seconds = 0

    def tell(self, verdict, test, reason=""):
        # As run-tests knows the test of the other reactor.
        name = test.id().replace("KQueueReactor", "EPollReactor")
        self.file.write(f"{verdict}\t{name}\t{' '.join(reason.split())[-200:]}\n")

    def startTest(self, test):
        super().startTest(test)
        self.tell("start", test)
        faulthandler.dump_traceback_later(self.seconds, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.tell("ok", test)

    def addError(self, test, error):
        super().addError(test, error)
        self.tell("error", test, str(getattr(error, "value", error)))

    def addFailure(self, test, failure):
        super().addFailure(test, failure)
        self.tell("fail", test, str(getattr(failure, "value", failure)))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell("skip", test, str(reason))

    def addExpectedFailure(self, test, failure, todo=None):
        super().addExpectedFailure(test, failure, todo)
        self.tell("ok", test)

    def addUnexpectedSuccess(self, test, todo=None):
        super().addUnexpectedSuccess(test, todo)
        self.tell("fail", test, "unexpected success")


def main():
    if len(sys.argv) == 1:
        top = pathlib.Path(reactormixins.__file__).parent
        for path in sorted(top.glob("test_*.py")):
            if path.stem[5:] not in NOT:
                print(f"twisted.internet.test.{path.stem}")
        for name in OF_TWISTED:
            if (top.parent.parent / "test" / f"test_{name}.py").exists():
                print(f"twisted.test.test_{name}")
        return 0
    module, seconds, report = sys.argv[1:]
    Report.seconds = float(seconds)
    reactormixins.ReactorBuilder._reactors = [
        "twisted.internet.kqreactor.KQueueReactor" if KQUEUE else "twisted.internet.epollreactor.EPollReactor",
        "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    ]
    with open(report, "w", buffering=1) as Report.file, tempfile.TemporaryDirectory() as directory:
        trial = runner.TrialRunner(Report, workingDirectory=f"{directory}/trial", uncleanWarnings=True)
        result = trial.run(runner.TestLoader().loadByNames([module], recurse=True))
    return not result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
