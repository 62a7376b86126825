# SPDX-License-Identifier: BSD-2-Clause
"""Every python3 that has this directory in PYTHONPATH has select.kqueue."""
import kqueue_select  # noqa: F401
