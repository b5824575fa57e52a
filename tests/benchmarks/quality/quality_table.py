#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each method and allocation loses over KV ratio, for the three demo models: one table a model, on held-out text.

    python3 quality_table.py --output DIR [--cli eigenscope-cli] [--demo resources/demo] [--windows N]

Calibrates each model on the demo's calibration text, measures sensitivity for both methods, then converts and measures
every row: the original, the published method (`eigen`, one threshold, the key basis shared by a layer where positions are
rotary), `eigen` and `attention-aware` with each allocation, with a latent of each head's own and one for all heads, and
`attention-aware` with refitted output projections.
Leaves, for each model, its statistics, the measured rows (JSON, CSV) and a picture of the curves (SVG) in DIR, and all
tables in DIR/quality.md. Standard errors are of the paired differences over windows. Needs Python alone.
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

MODELS = ["opt-stories", "mpt-stories", "llama-stories"]
RATIOS = ["0.8", "0.7", "0.6", "0.5", "0.4"]


def run(cli, *arguments):
    """The JSON object that a subcommand prints; its progress goes to this terminal."""
    command = [cli, *map(str, arguments), "--json"]
    print("$", " ".join(command), file=sys.stderr)
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure(options, model):
    path, output = options.demo / model, options.output
    calibration, heldout = options.demo / "text/calibration.txt", options.demo / "text/heldout.txt"
    stats = output / f"{model}.stats.safetensors"
    start = time.time()
    run(options.cli, "calibrate", path, "--text", calibration, "--samples", options.samples, "--output", stats,
        "--again")
    group = run(options.cli, "inspect", path)["kv_heads"]
    for method in ("eigen", "attention-aware"):
        for heads in (1, group):  # a latent a head, and one for all of a layer
            run(options.cli, "sensitivity", path, "--stats", stats, "--text", calibration, "--method", method,
                "--head-group", heads)
    windows = ["--windows", options.windows] if options.windows else []
    common = ["tradeoff", path, "--stats", stats, "--text", heldout, "--ratios", ",".join(RATIOS), "--rank-multiple",
              options.rank_multiple, *windows]
    result = run(options.cli, *common, "--csv", output / f"{model}.csv", "--svg", output / f"{model}.svg")
    refit = run(options.cli, *common, "--methods", "attention-aware", "--allocations", "sensitivity", "--head-group", 1,
                "--refit-text", calibration)
    result["rows"] += [row for row in refit["rows"] if row["refit"]]
    result["seconds"] = time.time() - start
    (output / f"{model}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def cell(row):
    error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.5f}"
    return f"{row['nats_lost']:.5f}{error}"


def table(model, result):
    names = list(dict.fromkeys(row["name"] for row in result["rows"]))
    rows = {(row["name"], row["target"]): row for row in result["rows"]}
    original = result["original"]
    lines = [f"## {model}", "",
             f"Original: perplexity {original['perplexity']:.4f}, {original['bytes_per_token']} bytes of cache a token, "
             f"{result['windows']} windows. Cells: nats lost a token ± standard error of the paired differences.", "",
             "| | " + " | ".join(RATIOS) + " |", "| --- |" + " --- |" * len(RATIOS)]
    for name in names:
        cells = [cell(rows[name, float(r)]) if (name, float(r)) in rows else "" for r in RATIOS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    here = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--cli", default="eigenscope-cli", help="the terminal program")
    parser.add_argument("--demo", type=Path, default=here / "resources/demo")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--samples", type=int, default=128, help="calibration windows")
    parser.add_argument("--windows", type=int, help="held-out windows (default: all)")
    parser.add_argument("--rank-multiple", type=int, default=1)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    text = "# Quality over KV ratio\n\n" + "\n".join(table(model, measure(options, model)) for model in options.models)
    (options.output / "quality.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
