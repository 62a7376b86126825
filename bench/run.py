#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""run.py DIRECTORY [--rounds N] [--only WORD] [--json FILE]: runs the benchmark.

DIRECTORY has the programs bench-kq, bench-raw and so on.  Each line of the table is a ratio:
ours by theirs.  The programs of a line take turns, each for a fraction of a second, so that a
mood of the machine hits them alike; every round gives one ratio, and the table shows the median
and the quartiles.  Instructions and system calls are counted, not timed: the difference between a
longer run and a shorter one.

A line whose quartiles lie more than SPREAD apart gets further rounds, up to three times as many,
whatever its ratio is.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

SPREAD = 0.03

PEERS = ("libevent", "libev", "libuv")

# title, our workload (or that of the program named), the peers: (program, workload) and so on, the
# ratio to reach.  A workload that ends in " -n" does without counts.
LINES = [
    ("wait, 64 events a call", "wait64", [("raw", "wait64")], 1.05),
    ("wait, 1 event a call", "wait1", [("raw", "wait1")], 1.10),
    ("chain", "chain", [("raw", "chain")], 1.03),
    ("echo, 1 connection", "echo1", [("raw", "echo1")], 1.03),
    ("echo, 64 connections", "echo64", [("raw", "echo64")], 1.03),
    ("echo, 512 connections", "echo512", [("raw", "echo512")], 1.03),
    ("wait, 64 a call, no counts", "wait64 -n", [("raw", "wait64 -n")], 1.05),
    ("chain, no counts", "chain -n", [("raw", "chain -n")], 1.05),
    ("echo, 1, no counts", "echo1 -n", [("raw", "echo1 -n")], 1.05),
    ("echo, 64, no counts", "echo64 -n", [("raw", "echo64 -n")], 1.05),
    ("echo, 512, no counts", "echo512 -n", [("raw", "echo512 -n")], 1.05),
    ("wait, no counts, best library", "wait64 -n", [(p, "wait64") for p in PEERS], 1.00),
    ("wait, all in a call, no counts", "wait-all -n", [("raw", "wait-all -n")], None),
    ("wait, all in a call, no counts, best library", "wait-all -n", [(p, "wait-all") for p in PEERS],
     None),
    ("chain, no counts, best library", "chain -n", [(p, "chain") for p in PEERS], 1.00),
    ("echo, 1, no counts, best library", "echo1 -n", [(p, "echo1") for p in PEERS], 1.00),
    ("echo, 64, no counts, best library", "echo64 -n", [(p, "echo64") for p in PEERS], 1.00),
    ("echo, 512, no counts, best library", "echo512 -n", [(p, "echo512") for p in PEERS], 1.00),
    ("EV_ADD and EV_DELETE of sockets", "add-delete", [("raw", "add-delete")], 1.15),
    ("EV_ONESHOT armed again", "oneshot", [("raw", "oneshot")], 1.10),
    ("EV_DISPATCH enabled again", "dispatch", [("raw", "dispatch")], 1.10),
    ("WRITE", "write", [("raw", "write")], 1.05),
    ("USER in one call", "user1", [("raw", "user1")], 0.70),
    ("USER in two calls", "user2", [("raw", "user2")], 1.10),
    ("USER ping-pong of two threads", "user-pingpong", [("raw", "user-pingpong")], 1.05),
    ("SIGNAL", "signal", [("raw", "signal")], 1.6),
    ("TIMER of 100,000: arm, one a call", "timer-arm", [("raw", "timer-arm")], 3.0),
    ("TIMER of 100,000: arm, batched", "timer-arm-batch", [("raw", "timer-arm-batch")], 2.0),
    ("TIMER of 100,000: delete, batched", "timer-delete", [("raw", "timer-delete")], 4.0),
    ("TIMER of 100,000: arm, best library", "timer-arm", [(p, "timer-arm") for p in PEERS], None),
    ("TIMER of 100,000: delete, best library", "timer-delete",
     [(p, "timer-delete") for p in PEERS], None),
    ("TIMER of 1,000,000 by 1,000: arm", "timer-arm 1000000", [("kq", "timer-arm 1000")], 3.0),
    ("TIMER of 1,000,000 by 1,000: arm, batched", "timer-arm-batch 1000000",
     [("kq", "timer-arm-batch 1000")], 3.0),
    ("TIMER of 1,000,000 by 1,000: delete", "timer-delete 1000000",
     [("kq", "timer-delete 1000")], 3.0),
    ("TIMER, 10,000 in 100 ms", "timer-burst", [("raw", "timer-burst")], 1.0),
    ("VNODE of 10,000: register", "vnode-add", [("raw", "vnode-add")], 1.20),
    ("VNODE of 10,000: event", "vnode-event", [("raw", "vnode-event")], 1.10),
    ("VNODE of 10,000: delete", "vnode-delete", [("raw", "vnode-delete")], 1.25),
    ("PROC, exit", "proc", [("raw", "proc")], 1.10),
    ("first queue of a process", "queue-first", [("raw", "queue-first")], 4.0),
    ("each further queue", "queue-more", [("raw", "queue-more")], 2.5),
    ("READ of 1,000,000 by 1,000 idle", "idle-most", [("kq", "idle1000")], 1.2),
    ("2 threads by 1", "threads2", [("kq", "threads1")], 0.6),
    ("2 threads by 1, by hand", ("raw", "threads2"), [("raw", "threads1")], None),
]

# The second figure of a workload, by the same of a peer: title, workload, peer, ratio to reach.
SECOND = {"TIMER, 10,000 in 100 ms": ("TIMER, 10,000 in 100 ms: p99 lateness", 1.5)}

# The second figure alone: title, workload, figure to reach.
FIGURES = [
    ("bytes of memory a READ of 10,000", "memory-read", 112),
    ("bytes of memory a TIMER of 10,000", "memory-timer", 96),
]

# What is counted: workload, operations of the shorter run.
COUNTED = [
    ("wait1", 2000), ("wait64", 12800), ("wait64 -n", 12800), ("chain", 2000), ("add-delete", 4000),
    ("oneshot", 6400), ("dispatch", 6400), ("write", 12800), ("user1", 2000), ("user2", 2000),
    ("vnode-add", 1000), ("vnode-event", 1000), ("vnode-delete", 1000), ("queue-more", 1000),
]


class Bench:
    def __init__(self, directory):
        self.directory = directory

    def has(self, program):
        return os.access(self.path(program), os.X_OK)

    def path(self, program):
        return os.path.join(self.directory, "bench-" + program)

    def run(self, program, words, before=()):
        command = [*before, self.path(program), *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
        return [float(word) for word in done.stdout.split()], done.stderr

    def instructions(self, program, words, n):
        """User instructions of the whole program."""
        with tempfile.NamedTemporaryFile() as out:
            _, said = self.run(program, f"{words} {n}", (
                "valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}"))
        return int(re.search(r"Collected : (\d+)", said).group(1))

    def system_calls(self, program, words, n):
        with tempfile.NamedTemporaryFile("r") as out:
            self.run(program, f"{words} {n}", ("strace", "-f", "-c", "-o", out.name))
            return int(re.search(r"([\d]+)\s+(?:\d+\s+)?total", out.read()).group(1))


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def settled(ours, theirs):
    low, high = quartiles([a / b for a, b in zip(ours, theirs)])
    return high - low <= SPREAD


def measure(bench, line, rounds):
    """One line: the medians of every program, and the ratios of every round."""
    title, ours, peers, limit = line
    ours = ours if isinstance(ours, tuple) else ("kq", ours)
    peers = [peer for peer in peers if bench.has(peer[0])]
    if not peers:
        return []
    times = {peer: [] for peer in [ours, *peers]}
    second = {peer: [] for peer in times}

    def fastest():
        return min(peers, key=lambda peer: statistics.median(times[peer]))

    for turn in range(3 * rounds):
        if turn >= rounds and settled(times[ours], times[fastest()]):
            break
        # Whoever goes first may find another machine than who goes last.
        for peer in list(times)[::-1 if turn % 2 else 1]:
            figures, _ = bench.run(*peer)
            times[peer].append(figures[1])
            if len(figures) > 2:
                second[peer].append(figures[2])
    best = fastest()
    found = [summary(title, limit, times[ours], times[best], best[0], "ns")]
    if title in SECOND:
        found.append(summary(*SECOND[title], second[ours], second[best], best[0], "us"))
    return found


def summary(title, limit, ours, theirs, peer, unit):
    ratios = [a / b for a, b in zip(ours, theirs)]
    low, high = quartiles(ratios)
    return {"title": title, "peer": peer, "unit": unit, "ours": statistics.median(ours),
            "theirs": statistics.median(theirs), "ratio": statistics.median(ratios),
            "low": low, "high": high, "limit": limit}


def verdict(line):
    if line["limit"] is None:
        return ""
    # As it is shown: it is not known more exactly.
    return "yes" if round(line["ratio"], 2) <= line["limit"] else "**no**"


def show(line):
    limit = "" if line["limit"] is None else f"{line['limit']:.2f}"
    print(f"| {line['title']} | {line['peer']} | {line['ours']:.0f} | {line['theirs']:.0f} "
          f"| {line['ratio']:.2f} | {line['low']:.2f}-{line['high']:.2f} | {limit} "
          f"| {verdict(line)} |", flush=True)


def count(bench):
    """User instructions and system calls an operation, ours and by hand."""
    lines = []
    for words, n in COUNTED:
        line = {"workload": words}
        for program in ("kq", "raw"):
            for name, what in (("instructions", bench.instructions),
                               ("system calls", bench.system_calls)):
                short, long = what(program, words, n), what(program, words, 3 * n)
                line[f"{program} {name}"] = (long - short) / (2 * n)
        lines.append(line)
        print(f"| {words} | {line['kq instructions']:.0f} | {line['raw instructions']:.0f} "
              f"| {line['kq system calls']:.2f} | {line['raw system calls']:.2f} |", flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser(description="Runs the benchmark.")
    parser.add_argument("directory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="lines whose title has this word")
    parser.add_argument("--json", default="")
    parser.add_argument("--no-count", action="store_true", help="leave instructions out")
    args = parser.parse_args()
    bench = Bench(args.directory)
    everything = {"machine": platform.machine(), "kernel": platform.release(),
                  "processors": os.cpu_count(), "rounds": args.rounds, "lines": [], "figures": [],
                  "counts": []}

    print("| workload | against | ours, ns | theirs, ns | ratio | quartiles | at most | met |")
    print("|---|---|---|---|---|---|---|---|")
    for line in LINES:
        if args.only in line[0]:
            for found in measure(bench, line, args.rounds):
                everything["lines"].append(found)
                show(found)
    for title, workload, limit in FIGURES:
        if args.only not in title:
            continue
        figure = bench.run("kq", workload)[0][2]
        everything["figures"].append({"title": title, "figure": figure, "limit": limit})
        met = "yes" if figure <= limit else "**no**"
        print(f"| {title} | | {figure:.0f} | | | | {limit} | {met} |")
    if not args.no_count:
        print("\n| an operation | our instructions | raw's | our system calls | raw's |")
        print("|---|---|---|---|---|")
        everything["counts"] = count(bench)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(everything, out, indent=1)


main()
