# SPDX-License-Identifier: BSD-2-Clause
"""Puts kqueue's names into the select module, as Python has them on the BSDs.

Imported before selectors, which looks what select has, it makes there be a
selectors.KqueueSelector, which is the DefaultSelector, and so asyncio's.

    python3 -m kqueue_select program.py [argument ...]
    python3 -m kqueue_select -m module [argument ...]

runs a program so.
"""
import select
import sys

import kqueue

if "selectors" in sys.modules and not hasattr(select, "kqueue"):
    raise ImportError("kqueue_select must be imported before selectors, and what imports that")

for _name in dir(kqueue):
    if _name.startswith("KQ_") or _name in ("kqueue", "kevent"):
        setattr(select, _name, getattr(kqueue, _name))


def _main():
    import os
    import runpy

    arguments = sys.argv[1:]
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments and not arguments[0].startswith("-"):
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    _main()
