# SPDX-License-Identifier: BSD-2-Clause
"""run_module.py MODULE SECONDS REPORT: runs one module of Python's own tests.

REPORT gets a line for each test as it ends, "ok", "skip", "fail" or "error",
its name and the reason.  A test that takes longer than SECONDS ends the run,
with the place where each thread stood, and has no line.
"""
import faulthandler
import os
import sys
import tempfile
import unittest


class Result(unittest.TextTestResult):
    report = None
    seconds = 0

    def tell(self, verdict, test, reason=""):
        self.report.write(f"{verdict}\t{test.id()}\t{' '.join(reason.split())[-200:]}\n")

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

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.tell("ok", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.tell("fail", test, "unexpected success")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell("skip", test, reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell("fail", test, str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self.tell("error", test, repr(err[1]))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.tell("fail", test, repr(err[1]))


def main():
    module, seconds, report = sys.argv[1], float(sys.argv[2]), os.path.abspath(sys.argv[3])
    from test import support
    from test.support import os_helper

    # All that needs nothing from outside this machine.
    support.use_resources = ["cpu", "subprocess", "walltime"]
    Result.seconds = seconds
    with (open(report, "w", buffering=1) as Result.report, tempfile.TemporaryDirectory() as directory,
          os_helper.change_cwd(directory)):
        runner = unittest.TextTestRunner(resultclass=Result, verbosity=2)
        try:
            name = module if module == "test_module" else f"test.{module}"
            suite = unittest.defaultTestLoader.loadTestsFromName(name)
        except unittest.SkipTest as reason:
            Result.report.write(f"skip\ttest.{module}\t{reason}\n")
            return
        result = runner.run(suite)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
