#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch's scaled_dot_product_attention on the shapes of eigenscope-op-check's attention benchmarks.

    python3 torch_attention.py [--device auto|cuda|cpu] [--json FILE] [--contexts 4096,...] [--batch 16] [--all]

Decode (one query a sequence, a full cache) and causal prefill of 4096 tokens, bf16, 32 query heads, 8 and 32 key/value
heads, head dimension 128; dense, and with keys of 80 and values of 72 dimensions, as a low-rank cache without a lift has
them (PyTorch has nothing that rebuilds rotary keys inside attention, and no quantised cache). Times are of a call among
many that are queued before the device is waited for: CUDA events on a GPU, the clock on a CPU. A copy within the device
and a bf16 matrix product of the same run stand beside them. Shapes that do not fit, or take a CPU long (unless --all), are
listed with the reason. Development only; needs PyTorch and nothing else.
"""
import argparse
import datetime
import json
import math
import sys
import time

try:
    import torch
    import torch.nn.functional as functional
except ImportError as error:
    print(f"skipped: PyTorch is not installed ({error})", file=sys.stderr)
    sys.exit(77)

QUERY_HEADS, HEAD_DIM = 32, 128
KEY_RANK, VALUE_RANK = 80, 72  # 152 of 256 dimensions: a KV ratio of 0.594
CPU_BYTES, CPU_FLOPS = 300e6, 50e9


class Timer:
    """Seconds of a call: the fastest tenth of rounds, each of as many calls as take 2 ms."""

    def __init__(self, device):
        self.cuda = device.type == "cuda"

    def round(self, call, count):
        if self.cuda:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            for _ in range(count):
                call()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) * 1e-3 / count
        begin = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - begin) / count

    def seconds(self, call, budget=0.3):
        self.round(call, 1)
        one = self.round(call, 1)
        count = max(1, min(1000, math.ceil(2e-3 / max(one, 1e-9))))
        rounds, begin = [], time.perf_counter()
        while len(rounds) < 3 or time.perf_counter() - begin < budget:
            rounds.append(self.round(call, count))
        return sorted(rounds)[len(rounds) // 10]


def free_bytes(device):
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    return 0


def attend(query, key, value, causal):
    """Grouped heads without copies of the cache: natively where this PyTorch can, else queries of a group as rows."""
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    if causal:
        try:
            return functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        except TypeError:  # before PyTorch 2.5
            key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
            return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    batch, _, _, width = query.shape
    rows = query.view(batch, key.shape[1], groups, width)
    return functional.scaled_dot_product_attention(rows, key, value)


def cases(contexts, batch):
    for kv_heads in (8, 32):
        for context in contexts:
            yield kv_heads, batch, 1, context
        yield kv_heads, 1, 4096, 4096


def work(kv_heads, batch, queries, context, key_width, value_width):
    cache = 2.0 * batch * kv_heads * context * (key_width + value_width)
    pairs = batch * queries * (context - 0.5 * (queries - 1))
    return cache, 2.0 * QUERY_HEADS * pairs * (key_width + value_width)


def measure(device, timer, arguments, ceilings):
    rows, skipped = [], []
    for kv_heads, batch, queries, context in cases(arguments.contexts, arguments.batch):
        problem = (f"32:{kv_heads} heads, " + (f"batch {batch}, " if batch > 1 else "") +
                   (f"{queries} query" if queries == 1 else f"{queries} queries") + f", context {context}")
        dense = None
        for variant, key_width, value_width in (("dense", HEAD_DIM, HEAD_DIM), ("low-rank", KEY_RANK, VALUE_RANK)):
            cache, flops = work(kv_heads, batch, queries, context, key_width, value_width)
            reason = None
            if cache * 1.1 > 0.9 * free_bytes(device):
                reason = f"takes {cache * 1e-9:.1f} GB of memory, {free_bytes(device) * 1e-9:.1f} GB are free"
            elif device.type == "cpu" and not arguments.all and (cache > CPU_BYTES or (queries > 1 and flops > CPU_FLOPS)):
                reason = "takes long on a CPU; --all runs it"
            if reason:
                skipped.append({"problem": problem, "variant": variant, "reason": reason})
                continue
            random = lambda heads, length, width: torch.randn(batch, heads, length, width, device=device,
                                                              dtype=torch.bfloat16)
            try:
                query = random(QUERY_HEADS, queries, key_width)
                key, value = random(kv_heads, context, key_width), random(kv_heads, context, value_width)
                with torch.inference_mode():
                    seconds = timer.seconds(lambda: attend(query, key, value, queries > 1))
            except RuntimeError as error:  # out of memory, or no kernel for these widths
                skipped.append({"problem": problem, "variant": variant, "reason": str(error).splitlines()[0]})
                continue
            if variant == "dense":
                dense = seconds
            row = {"problem": problem, "variant": variant, "seconds": seconds, "bytes": cache,
                   "bandwidth_fraction": cache / seconds / ceilings["copy_bytes_per_second"],
                   "flops": flops, "compute_fraction": flops / seconds / ceilings["matmul_flops_per_second"],
                   "time_of_dense": seconds / dense if dense else None}
            rows.append(row)
            print(f"{problem + ', ' + variant:60} {seconds * 1e6:12.1f} us {100 * row['bandwidth_fraction']:6.1f} % of copy "
                  f"{100 * row['compute_fraction']:6.1f} % of product", file=sys.stderr)
            del query, key, value
    return rows, skipped


def measure_ceilings(device, timer):
    size = (1 << 30) if device.type == "cuda" else (256 << 20)
    source, target = (torch.ones(size // 4, device=device) for _ in range(2))
    copy = 2.0 * size / timer.seconds(lambda: target.copy_(source))
    del source, target
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = 2.0 * n ** 3 / timer.seconds(lambda: a @ b)
    return {"copy_bytes_per_second": copy, "matmul_flops_per_second": product, "matmul_size": n}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    parser.add_argument("--json", help="file to write (default: standard output)")
    parser.add_argument("--contexts", default=[4096, 16384, 65536, 131072],
                        type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--all", action="store_true", help="on a CPU, also what takes long")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("skipped: PyTorch sees no CUDA device", file=sys.stderr)
        return 77
    device = torch.device("cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu")
    timer = Timer(device)
    ceilings = measure_ceilings(device, timer)
    rows, skipped = measure(device, timer, arguments, ceilings)
    result = {"torch": torch.__version__, "cuda": torch.version.cuda,
              "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
              "threads": torch.get_num_threads(),
              "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
              "command": " ".join(sys.argv), "ceilings": ceilings, "rows": rows, "skipped": skipped}
    text = json.dumps(result, indent=1)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
