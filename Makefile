# SPDX-License-Identifier: BSD-2-Clause
# The front door.  The build itself is CMake's: see CMakeLists.txt and CMakePresets.json.
#
#	make		build the library, the examples and (if Check is there) the tests
#	make run	build and start the echo server: nc localhost 1234
#	make test	build and run all tests, in every way we know
#	make soak	load, the storm and the model by turns, for SECONDS (3600)
#	make bench	measure, beside raw epoll, libevent, libev and libuv (docs/performance.md)
#	make coverage	which lines and branches the tests reach (docs/reliability.md)
#	make install	into PREFIX (/usr/local), below DESTDIR if that is set
#	make clean	remove everything that was made
#
# run, test, bench and coverage install missing Debian packages, if they may.

PREFIX = /usr/local
SECONDS = 3600
JOBS := $(shell nproc 2>/dev/null || echo 1)
ARGS =

# The makes that cmake starts are not part of this one, nor of its jobs.
unexport MAKEFLAGS
APART = env -u MAKELEVEL

.PHONY: all run test soak bench coverage install clean

all:
	@tools/packages.sh --check build
	$(APART) cmake --preset release
	$(APART) cmake --build --preset release --parallel $(JOBS)

run:
	@tools/packages.sh build
	@$(APART) tools/run.sh echo-server $(ARGS)

test:
	@tools/packages.sh test
	@$(APART) tools/test.sh

soak:
	@tools/packages.sh test
	$(APART) cmake --preset release -DKQ_TESTS=ON
	$(APART) cmake --build --preset release --parallel $(JOBS) --target load storm model
	tools/soak.sh $(SECONDS)

bench:
	@tools/packages.sh bench
	$(APART) cmake --preset release -DKQ_BENCH=ON
	$(APART) cmake --build --preset release --parallel $(JOBS)
	@$(APART) python3 bench/run.py build/release/bench --json build/bench.json $(ARGS)

coverage:
	@tools/packages.sh coverage
	@$(APART) tools/coverage.sh

install: all
	$(APART) cmake --install build/release --prefix "$(PREFIX)"
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ]; then ldconfig; fi

clean:
	rm -rf build change_prompt.txt
