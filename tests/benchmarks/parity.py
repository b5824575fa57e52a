#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo models on a device and on the host: logits, greedy tokens and perplexity must agree.

    python3 parity.py --device cuda --host cpu --demo resources/demo --json FILE [--tokens 256] [--windows 8] -- CLI...

CLI... is what starts eigenscope-cli. Logits of fixed ids and greedy tokens are computed in f32 with an f32 cache on both
sides: the tokens must be equal, the logits differ by no more than 1e-3 of their range (float32 sums in another order).
Perplexity is computed in bf16 with a bf16 cache, on the host too where it can: within 0.1 %. A build without SentencePiece
can do nothing with the text of the Llama model: what is left out is listed. Exit status 1 when something differs.
Python alone.
"""
import argparse
import array
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = ("llama-stories", "opt-stories", "mpt-stories")
IDS = [1 + (i * 37) % 500 for i in range(48)]  # every demo model's vocabulary is larger
F32 = ("--compute", "f32", "--kv-format", "f32")
BF16 = ("--compute", "bf16", "--kv-format", "bf16")
LOGIT_BOUND, PERPLEXITY_BOUND = 1e-3, 1e-3


class Failed(Exception):
    pass


def run(cli, *arguments):
    done = subprocess.run([*cli, *map(str, arguments), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Failed(lines[-1])
    return json.loads(done.stdout)


def read_npy(path):
    """float32 values of a version 1 .npy file."""
    data = Path(path).read_bytes()
    begin = 10 + int.from_bytes(data[8:10], "little")
    values = array.array("f")
    values.frombytes(data[begin:])
    return values


def logits(cli, model, device, folder):
    output = Path(folder) / f"{device}.npy"
    run(cli, "logits", model, "--ids", ",".join(map(str, IDS)), "--output", output, "--device", device, *F32)
    return read_npy(output)


def compare_logits(cli, model, arguments, folder):
    found, expected = (logits(cli, model, device, folder) for device in (arguments.device, arguments.host))
    span = max(expected) - min(expected)
    worst = max(abs(a - b) for a, b in zip(found, expected)) / span
    return {"passed": len(found) == len(expected) and worst <= LOGIT_BOUND, "largest_difference": worst,
            "bound": LOGIT_BOUND, "values": len(expected)}


def compare_greedy(cli, model, arguments):
    found, expected = (run(cli, "generate", model, "--prompt", "Once upon a time", "--max-tokens", arguments.tokens,
                           "--device", device, *F32)["ids"] for device in (arguments.device, arguments.host))
    equal = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), min(len(found), len(expected)))
    return {"passed": found == expected, "tokens": len(expected), "equal": equal}


def compare_perplexity(cli, model, arguments):
    text = Path(arguments.demo) / "text" / "heldout.txt"
    options = ("perplexity", model, "--text", text, "--sequence-length", 256, "--windows", arguments.windows)
    found = run(cli, *options, "--device", arguments.device, *BF16)["perplexity"]
    try:
        expected, arithmetic = run(cli, *options, "--device", arguments.host, *BF16)["perplexity"], "bf16"
    except Failed:
        expected, arithmetic = run(cli, *options, "--device", arguments.host, *F32)["perplexity"], "f32"
    relative = abs(found / expected - 1)
    return {"passed": relative <= PERPLEXITY_BOUND, "device": found, "host": expected, "host_arithmetic": arithmetic,
            "relative_difference": relative, "bound": PERPLEXITY_BOUND}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--demo", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("cli", nargs="+")
    arguments = parser.parse_args()
    if arguments.device == arguments.host:
        print("skipped: there is nothing to compare", arguments.device, "with", file=sys.stderr)
        return 77
    result = {"device": arguments.device, "host": arguments.host, "models": {}}
    good = True
    for name in MODELS:
        model = Path(arguments.demo) / name
        checks = result["models"][name] = {}
        with tempfile.TemporaryDirectory() as folder:
            for check, compare in (("logits", lambda: compare_logits(arguments.cli, model, arguments, folder)),
                                   ("greedy", lambda: compare_greedy(arguments.cli, model, arguments)),
                                   ("perplexity", lambda: compare_perplexity(arguments.cli, model, arguments))):
                try:
                    checks[check] = compare()
                except Failed as error:
                    left_out = "SentencePiece" in str(error)
                    checks[check] = {"passed": None if left_out else False, "reason": str(error)}
                good = good and checks[check]["passed"] is not False
                print(name, check, json.dumps(checks[check]))
    Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
