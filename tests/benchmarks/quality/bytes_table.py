#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the KV cache loses over its bytes: plain quantised caches beside mixtures of rank and bits, for the demo models.

    python3 bytes_table.py --statistics DIR --output FILE.md [--cli eigenscope-cli] [--demo resources/demo] [--windows 40]

DIR holds the statistics that quality_table.py left there, with sensitivity tables of `attention-aware` for one latent a
layer. Bytes are the cache's over the original's in f16, scales and minima counted; nats lost a token on held-out text,
with standard errors of the paired differences over windows. Needs Python alone.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = ["llama-stories", "opt-stories", "mpt-stories"]
PLAIN = ["q8", "q4", "q3", "q2"]
MIXTURES = [("0.8", 4), ("0.75", 4), ("0.6", 4), ("0.55", 4)]


def run(cli, *arguments):
    command = [cli, *map(str, arguments), "--json", "--quiet"]
    print("$", " ".join(command), file=sys.stderr)
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(options, model):
    path, text = options.demo / model, options.demo / "text/heldout.txt"
    statistics = options.statistics / f"{model}.stats.safetensors"
    facts = run(options.cli, "inspect", path, "--kv-format", "f16")
    full, group = facts["kv_bytes_per_token"], facts["kv_heads"]
    rows = []

    def compare(name, other, *more):
        result = run(options.cli, "compare", path, other, "--text", text, "--windows", options.windows, *more)
        rows.append((name, result["kv_bytes_per_token"][1] / full, result["nll_difference"],
                     result["nll_difference_standard_error"]))

    for bits in PLAIN:
        compare(f"plain {bits}", path, "--kv-format2", bits)
    with tempfile.TemporaryDirectory() as folder:
        for ratio, bits in MIXTURES:
            plan, converted = Path(folder) / f"{ratio}.json", Path(folder) / f"{ratio}-{bits}"
            run(options.cli, "plan", statistics, "--rank-ratio", ratio, "--kv-bits", bits, "--method", "attention-aware",
                "--head-group", group, "--allocation", "sensitivity", "--rank-multiple", 1, "--output", plan)
            run(options.cli, "convert", path, "--stats", statistics, "--plan", plan, "--output", converted)
            compare(f"rank {ratio} x {bits} bit", converted)
    return rows


def main():
    here = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statistics", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cli", default="eigenscope-cli")
    parser.add_argument("--demo", type=Path, default=here / "resources/demo")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--windows", type=int, default=40)
    options = parser.parse_args()
    lines = ["# Quality over bytes", "", f"Nats lost a token ± standard error, {options.windows} held-out windows.", ""]
    for model in options.models:
        lines += [f"## {model}", "", "| cache | bytes | lost |", "| --- | --- | --- |"]
        lines += [f"| {name} | {size:.4f} | {lost:.5f} ± {error:.5f} |" for name, size, lost, error in measure(options, model)]
        lines.append("")
    options.output.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
