# SPDX-License-Identifier: BSD-2-Clause
# Twisted: its own tests, with its kqueue reactor and its epoll reactor, by the module of bindings/python.
# shellcheck shell=sh
PYTHON=${PYTHON:-/usr/bin/python3}
"$PYTHON" -c 'import twisted; print("note - twisted", twisted.__version__)' || true
exec "$PYTHON" ../../bindings/python/run-tests -r twisted_tests.py -j 4
