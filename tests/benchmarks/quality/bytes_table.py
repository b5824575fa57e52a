#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the KV cache loses over its bytes: plain quantised caches beside mixtures of rank and bits, for the demo models.

    python3 bytes_table.py --output DIR [--cli eigenscope-cli] [--demo resources/demo] [--windows 40] [--threads N]

Calibrates each model on the demo's calibration text and measures sensitivity of `attention-aware` over ranks and bits
(`sensitivity --bits 8,4,3,2`), with a latent of each head's own and one for all heads of a layer. Then, at each byte
target, the best mixture (`plan --kv-bits mixed`), and for comparison one setting of rank and bits for all layers, beside
the plain cache at 8, 4, 3 and 2 bit. Bytes are the cache's over the original's in f16, scales and minima counted; nats
lost a token on held-out text, with standard errors of the paired differences over windows; KL divergence likewise, and the
one that the tables led to expect.
Leaves statistics, all rows (JSON) and the table (quality_bytes.md) in DIR; statistics that are there already, of the same
calibration and with tables, are not measured again. Needs Python alone.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = ["llama-stories", "opt-stories", "mpt-stories"]
PLAIN = ["q8", "q4", "q3", "q2"]
TARGETS = ["0.3125", "0.25", "0.19", "0.15", "0.125"]
UNIFORM = [("0.75", 4), ("0.6", 4), ("0.55", 4)]
BARS = [("0.25", "q3", 1 / 3), ("0.19", "q2", 1 / 10)]  # a mixture's loss over the plain cache's, at most


def run(options, *arguments, check=True):
    command = [options.cli, *map(str, arguments), "--json", "--quiet"]
    if options.threads and arguments[0] != "inspect":
        command += ["--threads", str(options.threads)]
    print("$", " ".join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode:
        if not check:
            return None
        raise SystemExit(f"{command[1]}: exit status {done.returncode}")
    return json.loads(done.stdout)


def statistics_of(options, model, path, groups):
    statistics, text = options.output / f"{model}.stats.safetensors", options.demo / "text/calibration.txt"
    run(options, "calibrate", path, "--text", text, "--samples", options.samples, "--output", statistics)
    for group in groups:
        probe = ["plan", statistics, "--kv-ratio", "0.25", "--kv-bits", "mixed", "--allocation", "sensitivity", "--method",
                 "attention-aware", "--head-group", group, "--output", options.output / "probe.json"]
        if run(options, *probe, check=False) is None:
            run(options, "sensitivity", path, "--stats", statistics, "--text", text, "--method", "attention-aware",
                "--head-group", group, "--bits", "8,4,3,2")
    (options.output / "probe.json").unlink(missing_ok=True)
    return statistics


def measure(options, model):
    path, text = options.demo / model, options.demo / "text/heldout.txt"
    facts = run(options, "inspect", path, "--kv-format", "f16")
    full, shared = facts["kv_bytes_per_token"], facts["kv_heads"]
    statistics = statistics_of(options, model, path, [1, shared])
    rows = []

    def compare(name, other, *more, **facts):
        result = run(options, "compare", path, other, "--text", text, "--windows", options.windows, *more)
        rows.append({"name": name, "bytes": result["kv_bytes_per_token"][1] / full, "lost": result["nll_difference"],
                     "lost_error": result["nll_difference_standard_error"], "kl": result["kl_divergence"],
                     "kl_error": result["kl_standard_error"], **facts})

    for bits in PLAIN:
        compare(f"plain {bits}", path, "--kv-format2", bits, plain=bits)
    with tempfile.TemporaryDirectory() as folder:
        def convert(name, heads, goal, **facts):
            plan, converted = Path(folder) / "plan.json", Path(folder) / str(len(rows))
            planned = run(options, "plan", statistics, *goal, "--method", "attention-aware", "--head-group", heads, "--allocation",
                "sensitivity", "--rank-multiple", 1, "--output", plan)
            run(options, "convert", path, "--stats", statistics, "--plan", plan, "--output", converted)
            compare(name, converted, expected=planned["expected_divergence"], **facts)

        for group, latents in ((shared, f"{shared} heads a latent"), (1, "a latent a head")):
            for target in TARGETS:
                convert(f"best mixture at {target}, {latents}", group, ["--kv-ratio", target, "--kv-bits", "mixed"],
                        target=target, group=group)
        for ratio, bits in UNIFORM:
            convert(f"rank {ratio} x {bits} bit, {shared} heads a latent", shared,
                    ["--rank-ratio", ratio, "--kv-bits", bits])
    (options.output / f"{model}.json").write_text(json.dumps(rows, indent=2) + "\n")
    return rows


def expected(row):
    return f"{row['expected']:.6f}" if "expected" in row else ""


def table(model, rows):
    lines = [f"## {model}", "", "| cache | bytes | nats lost | KL divergence | expected |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r['name']} | {r['bytes']:.4f} | {r['lost']:.5f} ± {r['lost_error']:.5f} | "
              f"{r['kl']:.6f} ± {r['kl_error']:.6f} | {expected(r)} |" for r in rows]
    return lines + [""]


def bars(results):
    lines = ["## Mixtures over plain caches", "",
             "Nats lost by the best mixture over those of the plain cache; in brackets the same of KL divergences.", "",
             "| model | " + " | ".join(f"at {t}, over plain {p} (at most {b:.2f})" for t, p, b in BARS) + " |",
             "| --- |" + " --- |" * len(BARS)]
    for model, rows in results:
        plain = {r["plain"]: r for r in rows if "plain" in r}
        groups = list(dict.fromkeys(r["group"] for r in rows if "group" in r))
        for group in groups:
            mixed = {r["target"]: r for r in rows if r.get("group") == group}
            cells = [f"{mixed[t]['lost'] / plain[p]['lost']:.3f} ({mixed[t]['kl'] / plain[p]['kl']:.3f})"
                     for t, p, _ in BARS]
            lines.append(f"| {model}, {f'{group} heads a latent' if group > 1 else 'a latent a head'} | "
                         + " | ".join(cells) + " |")
    return lines + [""]


def main():
    here = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--cli", default="eigenscope-cli", help="the terminal program")
    parser.add_argument("--demo", type=Path, default=here / "resources/demo")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--samples", type=int, default=128, help="calibration windows")
    parser.add_argument("--windows", type=int, default=40, help="held-out windows")
    parser.add_argument("--threads", type=int, help="threads (default: the program's)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    results = [(model, measure(options, model)) for model in options.models]
    lines = ["# Quality over bytes", "", f"{options.windows} held-out windows, ± standard error.", ""]
    lines += bars(results)
    for model, rows in results:
        lines += table(model, rows)
    (options.output / "quality_bytes.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
