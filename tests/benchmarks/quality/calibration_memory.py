#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peak memory of `calibrate` over the number of samples: it must not grow with them.

    python3 calibration_memory.py --output FILE.md [--cli eigenscope-cli] [--demo resources/demo] [--threads N]

Each run is a process of its own; the peak is its largest resident set as the system counts it. Needs Python alone.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = ["llama-stories", "opt-stories", "mpt-stories"]
SAMPLES = [8, 64, 512]


def measure(options, model, samples, folder):
    command = [options.cli, "calibrate", options.demo / model, "--text", options.demo / "text/calibration.txt",
               "--samples", samples, "--output", Path(folder) / f"{model}-{samples}.stats.safetensors", "--json", "--quiet"]
    if options.threads:
        command += ["--threads", options.threads]
    command = list(map(str, command))
    print("$", " ".join(command), file=sys.stderr)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    result = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"calibrate: wait status {status}")
    return usage.ru_maxrss * 1024 / 1e6, result["tokens"]


def main():
    here = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cli", default="eigenscope-cli")
    parser.add_argument("--demo", type=Path, default=here / "resources/demo")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    lines = ["# Memory of calibration", "", "Peak resident memory, MB.", "",
             "| model | " + " | ".join(f"{s} samples" for s in SAMPLES) + " | tokens |",
             "| --- |" + " --- |" * (len(SAMPLES) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            rows = [measure(options, model, samples, folder) for samples in SAMPLES]
            lines.append(f"| {model} | " + " | ".join(f"{peak:.1f}" for peak, _ in rows) +
                         f" | {rows[0][1]} to {rows[-1][1]} |")
    options.output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
