#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a GPU backend is expected to reach, beside what a session of gpu_session.sh measured.

    python3 session_bars.py results/FILE.json [--json FILE]

Ratios within one run: decode attention against the copy and against its dense variant, prefill attention and whole-model
prefill against the matrix product, whole-model decode against reading weights and cache once, calibration against its
products; and that op cases, demo models and compute-sanitizer found nothing. Prints a line a bar: pass, FAIL, or - where
nothing was measured, or not all of it. --json FILE writes the same. Python alone.
"""
import json
import sys

DENSE, LOW_RANK, LIFTED = 0.85, 0.65, 0.70  # decode attention: of the copy, of dense time, of dense time
DECODE, PREFILL = 0.80, 0.55                # whole model: of the bound, of the product
CALIBRATION = 3.0                           # times its products
MODELS = ("llama_2_7b", "llama_3_8b")

bars = []


def result_of(session, part):
    return session["parts"].get(part, {}).get("result") or {}


def note(name, verdict, text):
    bars.append({"bar": name, "verdict": verdict, "measured": text})
    print(f"  {verdict:4} {name}: {text}")


def bar(name, bound, values, at_least):
    """values: (measured, where)."""
    values = [(value, where) for value, where in values if value is not None]
    if not values:
        note(name, "-", "not measured")
        return
    worst, where = (min if at_least else max)(values)
    good = worst >= bound if at_least else worst <= bound
    met = sum((value >= bound) if at_least else (value <= bound) for value, _ in values)
    note(name, "pass" if good else "FAIL", f"{'at least' if at_least else 'at most'} {bound:.2f}, worst {worst:.3f} ({where}), "
         f"{met} of {len(values)} meet it")


def found_nothing(session, part, name):
    entry = session["parts"].get(part, {"status": "skipped", "reason": "not run"})
    verdict = {"passed": "pass", "failed": "FAIL"}.get(entry["status"], "-")
    note(name, verdict, entry["status"] + (f" ({entry['reason'][:120]})" if entry["reason"] else ""))


def attention_bars(attention):
    decode = [row for row in attention if "1 query," in row["problem"]]
    # The shapes; single sequences are shown by the op benchmark beside them.
    batched = [row for row in decode if "batch 16" in row["problem"]]

    def of(rows, variant, key):
        return [(row.get(key), row["problem"]) for row in rows if row["variant"] == variant]

    bar("decode attention, dense, of the copy", DENSE, of(batched, "dense", "bandwidth_fraction"), True)
    bar("decode attention, low-rank, of dense time", LOW_RANK, of(batched, "low-rank", "time_of_dense"), False)
    bar("decode attention, low-rank with lift, of dense time", LIFTED, of(batched, "low-rank, lifted", "time_of_dense"),
        False)
    prefill = [row for row in attention if "1 query," not in row["problem"]]
    bar("prefill attention, dense, of the product (no bar of the issue)", PREFILL, of(prefill, "dense", "compute_fraction"),
        True)


def model_bars(session):
    models = [row for part in MODELS for row in result_of(session, part).get("rows", [])]
    where = [f"{row['model']}, context {row['context']}" for row in models]
    bar("whole-model decode, of the bound", DECODE, [(row["decode_bound_fraction"], at) for row, at in zip(models, where)],
        True)
    bar("whole-model prefill, of the product", PREFILL,
        [(row["prefill_compute_fraction"], at) for row, at in zip(models, where) if row["context"] >= 4096], True)
    runs = result_of(session, "calibration").get("runs", [])
    bar("calibration, times its products", CALIBRATION,
        [(run["times_of_products"], f"{run['model']}, {run['attention_queries']} attention queries a window")
         for run in runs], False)


def main():
    arguments = sys.argv[1:]
    output = arguments[2] if len(arguments) == 3 and arguments[1] == "--json" else None
    if len(arguments) != (3 if output else 1):
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8") as file:
        session = json.load(file)
    print(f"{session['device'] or 'no device'}, driver {session['driver'] or '-'}, {session['date']}, commit {session['commit'] or '-'}")
    attention = [row for row in result_of(session, "op_bench").get("rows", []) if row.get("problem")]
    attention_bars(attention)
    model_bars(session)
    found_nothing(session, "op_check", "every op case equals the reference")
    found_nothing(session, "parity", "demo models equal the host's")
    for tool in ("memcheck", "racecheck"):
        found_nothing(session, tool, f"compute-sanitizer {tool}")
    theirs = {(row["problem"], row["variant"]): row["seconds"] for row in result_of(session, "torch").get("rows", [])}
    for row in attention:
        seconds = theirs.get((row["problem"], row["variant"]))
        if seconds:
            print(f"       {row['problem']}, {row['variant']}: {row['seconds'] * 1e6:.1f} us, PyTorch {seconds * 1e6:.1f} us")
    if output:
        with open(output, "w", encoding="utf-8") as file:
            json.dump(bars, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
