#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a GPU backend is expected to reach, beside what a session of gpu_session.sh measured.

    python3 session_bars.py results/FILE.json

Ratios within one run: decode attention against the copy and against its dense variant, prefill attention and whole-model
prefill against the matrix product, whole-model decode against reading weights and cache once. Prints a line a bar, worst
case first; a bar without measurements says so. Python alone.
"""
import json
import sys

DENSE, LOW_RANK, LIFTED = 0.85, 0.65, 0.70  # decode attention: of the copy, of dense time, of dense time
DECODE, PREFILL = 0.80, 0.55                # whole model: of the bound, of the product


def result_of(session, part):
    return session["parts"].get(part, {}).get("result") or {}


def bar(name, bound, values, at_least):
    """values: (measured, where)."""
    values = [(value, where) for value, where in values if value is not None]
    if not values:
        print(f"  -    {name}: not measured")
        return
    worst, where = (min if at_least else max)(values)
    good = worst >= bound if at_least else worst <= bound
    met = sum((value >= bound) if at_least else (value <= bound) for value, _ in values)
    print(f"  {'met ' if good else 'MISS'} {name}: {'at least' if at_least else 'at most'} {bound:.2f}, "
          f"worst {worst:.3f} ({where}), {met} of {len(values)} meet it")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as file:
        session = json.load(file)
    print(f"{session['device'] or 'no device'}, driver {session['driver'] or '-'}, {session['date']}, commit {session['commit'] or '-'}")
    attention = [row for row in result_of(session, "op_bench").get("rows", []) if row.get("problem")]
    decode = [row for row in attention if "1 query," in row["problem"]]

    def of(rows, variant, key):
        return [(row.get(key), row["problem"]) for row in rows if row["variant"] == variant]

    bar("decode attention, dense, of the copy", DENSE, of(decode, "dense", "bandwidth_fraction"), True)
    bar("decode attention, low-rank, of dense time", LOW_RANK, of(decode, "low-rank", "time_of_dense"), False)
    bar("decode attention, low-rank with lift, of dense time", LIFTED, of(decode, "low-rank, lifted", "time_of_dense"),
        False)
    prefill = [row for row in attention if "1 query," not in row["problem"]]
    bar("prefill attention, dense, of the product", PREFILL, of(prefill, "dense", "compute_fraction"), True)
    models = result_of(session, "models").get("rows", [])
    where = [f"{row['model']}, context {row['context']}" for row in models]
    bar("whole-model decode, of the bound", DECODE, [(row["decode_bound_fraction"], at) for row, at in zip(models, where)],
        True)
    bar("whole-model prefill, of the product", PREFILL,
        [(row["prefill_compute_fraction"], at) for row, at in zip(models, where) if row["context"] >= 4096], True)
    theirs = {(row["problem"], row["variant"]): row["seconds"] for row in result_of(session, "torch").get("rows", [])}
    for row in attention:
        seconds = theirs.get((row["problem"], row["variant"]))
        if seconds:
            print(f"       {row['problem']}, {row['variant']}: {row['seconds'] * 1e6:.1f} us, PyTorch {seconds * 1e6:.1f} us")
    for part in ("op_check", "memcheck", "racecheck", "parity"):
        entry = session["parts"][part]
        print(f"  {part}: {entry['status']}" + (f" ({entry['reason'][:120]})" if entry["reason"] else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
