#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a command takes to stop after it is interrupted.

    cancel_latency.py [--runs 10] [--from SECONDS] [--to SECONDS] [--seed 0] -- eigenscope-cli calibrate ...

Starts the command again and again, sends it SIGINT after a time drawn between --from and --to, and prints
how long it then took to end: each, the median and the most. A command that ends before it is interrupted is
counted apart. Exit status 1 when one ends otherwise than interrupted (130).
"""
import argparse
import random
import signal
import statistics
import subprocess
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--from", dest="begin", type=float, default=1.0)
    parser.add_argument("--to", dest="end", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    times, early, wrong = [], 0, 0
    for _ in range(options.runs):
        delay = draw.uniform(options.begin, options.end)
        process = subprocess.Popen(options.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(delay)
            early += 1
            wrong += process.returncode != 0
            continue
        except subprocess.TimeoutExpired:
            pass
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait()
        times.append(time.monotonic() - start)
        wrong += process.returncode != 130
        print(f"after {delay:6.2f} s: {times[-1]:.3f} s", flush=True)
    if times:
        print(f"median {statistics.median(times):.3f} s, most {max(times):.3f} s of {len(times)} runs")
    if early:
        print(f"{early} ended before")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
