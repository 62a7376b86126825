# SPDX-License-Identifier: BSD-2-Clause
# Trio: its own tests, with its kqueue back end and with epoll, by the module of bindings/python.
# shellcheck shell=sh
PYTHON=${PYTHON:-/usr/bin/python3}
"$PYTHON" -c 'import trio; print("note - trio", trio.__version__)' || true
exec "$PYTHON" ../../bindings/python/run-tests -r trio_tests.py -j 4
