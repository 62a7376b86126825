#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# ctypes.sh library: Python loads the library at run time, and closes without its seeing it.
# 77: there is no Python here.
python3 -c 'import ctypes' 2>/dev/null || exit 77
exec python3 "$(dirname "$0")/ctypes_test.py" "$1"
