#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes ops.json: what the ops give on small inputs, computed in float64 by numpy (and scipy-free closed forms).

Written from the formulas in kernels/api/ops.h and the papers named there, with whole-array operations; it shares no code
and no loop structure with the reference backend that is checked against it. Inputs are rounded to the dtype the op
reads, so that both start from the same numbers. Run: python3 make_ops.py > ops.json  (numpy only)
"""
import json
import math

import numpy as np

rng = np.random.default_rng(20240817)


def f32(*shape, scale=1.0, mean=0.0):
    """Normal numbers on a grid of 1/1024: exact in float32, short in JSON."""
    return np.round((rng.standard_normal(shape) * scale + mean) * 1024) / 1024


def round_to(x, dtype):
    if dtype == "f32":
        return x.astype(np.float32).astype(np.float64)
    if dtype == "f16":
        return x.astype(np.float16).astype(np.float64)
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def flat(x):
    return [float(f"{v:.12g}") for v in np.asarray(x, dtype=np.float64).ravel()]


def gemm(m, n, k, weight_dtype, compute, bias, accumulate):
    x, w, b, y = f32(m, k), f32(n, k, scale=2), f32(n), f32(m, n)
    stored = round_to(w, weight_dtype)
    result = round_to(x, compute) @ round_to(stored, compute).T
    result = result + (b if bias else 0) + (y if accumulate else 0)
    return dict(op="gemm", m=m, n=n, k=k, weight_dtype=weight_dtype, compute=compute, x=flat(x), weight=flat(w),
                bias=flat(b) if bias else None, before=flat(y) if accumulate else None, expected=flat(result))


def norm(kind, rows, width):
    x, w, b, eps = f32(rows, width, mean=0.5), f32(width, mean=1), f32(width), 0.015625
    if kind == "layer":
        result = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps) * w + b
    else:
        result = x / np.sqrt((x**2).mean(1, keepdims=True) + eps) * w
        b = None
    return dict(op="norm", kind=kind, rows=rows, width=width, epsilon=eps, x=flat(x), weight=flat(w),
                bias=None if b is None else flat(b), expected=flat(result))


def activate(kind, gated):
    x = np.concatenate([f32(12, scale=2), [0.0, -20.0, 20.0, -120.0, 120.0]])
    g = f32(len(x))
    erf = np.vectorize(math.erf)
    y = {"relu": lambda: np.maximum(x, 0),
         "gelu": lambda: x * 0.5 * (1 + erf(x / math.sqrt(2))),
         "gelu_tanh": lambda: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
         "silu": lambda: x / (1 + np.exp(-x)),
         "clamp": lambda: np.clip(x, -1.5, 1.5)}[kind]()
    return dict(op="activate", kind=kind, x=flat(x), gate=flat(g) if gated else None, expected=flat(y * g if gated else y))


def tables(positions, rotary_dim):
    frequency = 10000.0 ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    angle = np.arange(positions)[:, None] * frequency[None]
    return np.cos(angle).astype(np.float32).astype(np.float64), np.sin(angle).astype(np.float32).astype(np.float64)


def rotate(x, cos, sin):
    """x [..., length, dim]; the first 2 * cos.shape[-1] elements turn, element i with i + half: a complex product."""
    half = cos.shape[-1]
    z = (x[..., :half] + 1j * x[..., half:2 * half]) * (cos + 1j * sin)
    return np.concatenate([z.real, z.imag, x[..., 2 * half:]], -1)


def rope(batch, length, heads, head_dim, rotary_dim, first):
    x = f32(batch, length, heads, head_dim)
    cos, sin = tables(first + length, rotary_dim)
    y = rotate(x.transpose(0, 2, 1, 3), cos[first:], sin[first:]).transpose(0, 2, 1, 3)
    return dict(op="rope", batch=batch, length=length, heads=heads, head_dim=head_dim, rotary_dim=rotary_dim,
                first=first, cos=flat(cos), sin=flat(sin), x=flat(x), expected=flat(y))


def attention(batch, query_heads, kv_heads, key_width, value_width, length, position, window=0, alibi=False, head_dim=0,
              rotary_dim=0, mean=False, dtype="f32"):
    rows = position + length
    width = head_dim or key_width
    q = f32(batch, length, query_heads, width)
    k = f32(batch, kv_heads, rows, key_width)
    v = f32(batch, kv_heads, rows, value_width)
    scale = 0.4375
    keys, values = round_to(k, dtype), round_to(v, dtype)
    case = dict(op="attention", batch=batch, query_heads=query_heads, kv_heads=kv_heads, query_width=width,
                key_width=key_width, value_width=value_width, length=length, position=position, window=window,
                scale=scale, dtype=dtype, query=flat(q), keys=flat(k), values=flat(v), slopes=None, basis=None)
    if head_dim:
        basis, mu = f32(kv_heads, head_dim, key_width, scale=0.5), f32(kv_heads, head_dim)
        cos, sin = tables(rows, rotary_dim)
        keys = np.einsum("hir,bhnr->bhni", basis, keys) + (mu[None, :, None] if mean else 0)
        keys = rotate(keys, cos, sin)
        case.update(basis=flat(basis), mean=flat(mu) if mean else None, rotary_dim=rotary_dim, cos=flat(cos), sin=flat(sin))
    group = query_heads // kv_heads
    scores = scale * np.einsum("bmhi,bhni->bhmn", q, np.repeat(keys, group, axis=1))
    distance = np.arange(rows)[None, :] - (position + np.arange(length))[:, None]  # n - m, <= 0 where visible
    if alibi:
        slopes = np.array([2.0 ** -(h + 1) for h in range(query_heads)])
        case["slopes"] = flat(slopes)
        scores = scores + slopes[None, :, None, None] * distance
    hidden = distance > 0
    if window:
        hidden |= distance <= -window
    scores = np.where(hidden, -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    case["expected"] = flat(np.einsum("bhmn,bhni->bmhi", weights, np.repeat(values, group, axis=1)))
    return case


def gram(rows, heads, width, group):
    x = f32(rows, heads, width)
    per_group = x.reshape(rows, heads // group, group, width).transpose(1, 0, 2, 3).reshape(heads // group, -1, width)
    return dict(op="gram", rows=rows, heads=heads, width=width, group=group, x=flat(x),
                expected=flat(per_group.transpose(0, 2, 1) @ per_group), sum=flat(per_group.sum(1)))


def weighted_gram(rows, heads, width, group):
    case = gram(rows, heads, width, group)
    x = np.array(case["x"]).reshape(rows, heads // group, group, width)
    weights = rng.random((heads, rows)) ** 8
    weights[0, 1] = 0
    w = weights.T.reshape(rows, heads // group, group)
    case.update(op="weighted_gram", weights=flat(weights), expected=flat(np.einsum("rgh,rghi,rghj->gij", w, x, x)),
                sum=flat(np.einsum("rgh,rghi->gi", w, x)))
    return case


def logit_case(length, query_heads, kv_heads, width, positions, window=0, alibi=False, rotary_dim=0, joint=1):
    """Weights of logit errors: all pairs at once as dense matrices, attention as torch or numpy would write it, the
    output's change through W itself and not a root of W^T W."""
    group = query_heads // kv_heads
    q, k, v = (f32(length, heads, width) for heads in (query_heads, kv_heads, kv_heads))
    o = f32(length, query_heads, width, scale=0.3)
    w = f32(query_heads, width, width)
    cos, sin = tables(length, rotary_dim)
    turn = lambda x: rotate(x.transpose(1, 0, 2), cos, sin) if rotary_dim else x.transpose(1, 0, 2)  # [heads, rows, dim]
    scale = 0.4375
    keys, values = (np.repeat(x, group, axis=0) for x in (turn(k), v.transpose(1, 0, 2)))
    scores = scale * turn(q) @ keys.transpose(0, 2, 1)
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    slopes = np.array([2.0 ** -(h + 1) for h in range(query_heads)])
    if alibi:
        scores = scores + slopes[:, None, None] * distance
    hidden = (distance > 0) | ((distance <= -window) if window else False)
    scores = np.where(hidden, -np.inf, scores)
    a = np.exp(scores - scores.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)
    change = values[:, None] - o.transpose(1, 0, 2)[:, :, None]  # [heads, m, n, dim]
    pairs = a**2 * np.linalg.norm(change @ w[:, None], axis=-1)**2
    return dict(length=length, query_heads=query_heads, kv_heads=kv_heads, width=width, window=window, scale=scale,
                samples=len(positions), positions=positions, rotary_dim=rotary_dim, joint=joint, queries=flat(q),
                keys=flat(k), values=flat(v), outputs=flat(o), roots=flat(w), slopes=flat(slopes) if alibi else None,
                cos=flat(cos) if rotary_dim else None, sin=flat(sin) if rotary_dim else None), pairs[:, positions], q


def logit_weights(*shape, **options):
    case, pairs, _ = logit_case(*shape, **options)
    heads, kv_heads, joint, length = (case[k] for k in ("query_heads", "kv_heads", "joint", "length"))
    by_distance = np.zeros_like(pairs)
    for s, m in enumerate(case["positions"]):
        by_distance[:, s, :m + 1] = pairs[:, s, m::-1]
    by_key = pairs.reshape(kv_heads, -1, length).sum(1)
    joint_keys = by_key.reshape(kv_heads // joint, joint, length).sum(1)
    case.update(op="logit_weights", expected=flat(by_distance),
                sum=flat(pairs.sum(-1)) + flat(by_key) + flat(joint_keys) + flat(by_key.sum(1) + 2))
    return case


def spread_gram(*shape, **options):
    """A row's copies are rotated with a table row each, then summed as the weighted outer products that they are."""
    case, pairs, q = logit_case(*shape, **options)
    heads, width, length, group = (case[k] for k in ("query_heads", "width", "length", "kv_heads"))
    group = heads // group
    cos, sin = tables(length, case["rotary_dim"])
    weights, total = np.full(pairs.shape, 7.0), np.zeros((heads // group, width, width))
    for s, m in enumerate(case["positions"]):
        weights[:, s, :m + 1] = pairs[:, s, m::-1]
        copies = rotate(np.repeat(q[m][:, None], m + 1, axis=1), cos[:m + 1], sin[:m + 1])  # [heads, t, dim]
        total += np.einsum("ght,ghti,ghtj->gij", *(a.reshape(heads // group, group, *a.shape[1:])
                                                   for a in (weights[:, s, :m + 1], copies, copies)))
    return dict(op="spread_gram", length=length, heads=heads, width=width, group=group, samples=case["samples"],
                positions=case["positions"], window=case["window"], rotary_dim=case["rotary_dim"], x=case["queries"],
                cos=case["cos"], sin=case["sin"], weights=flat(weights), expected=flat(total))


def eigh(n, rank):
    x = f32(rank, n)
    a = x.T @ x
    return dict(op="eigh", n=n, a=flat(a), expected=flat(np.linalg.eigvalsh(a)[::-1]))


def nll(rows, vocab):
    logits, targets = f32(rows, vocab, scale=4), rng.integers(0, vocab, rows)
    targets[1] = -1
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(rows), targets]
    losses[1] = 0
    return dict(op="nll", rows=rows, vocab=vocab, logits=flat(logits), targets=targets.tolist(), expected=flat(losses))


def embed(dtype, accumulate):
    table, ids, y = f32(6, 5), np.array([5, 0, 3, 3]), f32(4, 5)
    result = round_to(table, dtype)[ids] + (y if accumulate else 0)
    return dict(op="embed", rows=6, width=5, dtype=dtype, table=flat(table), ids=ids.tolist(),
                before=flat(y) if accumulate else None, expected=flat(result))


def append(dtype):
    batch, length, heads, width, position, capacity = 2, 3, 2, 5, 2, 7
    x, cache = f32(batch, length, heads, width), f32(batch, heads, capacity, width)
    result = round_to(cache, dtype)
    result[:, :, position:position + length] = round_to(x, dtype).transpose(0, 2, 1, 3)
    return dict(op="append", batch=batch, length=length, heads=heads, width=width, position=position, capacity=capacity,
                dtype=dtype, x=flat(x), before=flat(cache), expected=flat(result))


def f16_down(v):
    h = np.clip(v, -65504, 65504).astype(np.float16)
    return np.where(h.astype(np.float32) > v, np.nextafter(h, np.float16(-np.inf)), h).astype(np.float16)


def group_scale(lo, hi, bits):
    """Scale and minimum in float16 of groups ranging over [lo, hi] (float32 arrays)."""
    minimum = f16_down(lo + np.float32(0))  # zero is positive
    width = (hi - minimum.astype(np.float32)) / np.float32(2**bits - 1)
    return -f16_down(-width), minimum


def codes_of(x, scale, minimum, bits):
    s, m = scale.astype(np.float32), minimum.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.rint((x - m) / s)
    return np.where(s > 0, np.clip(q, 0, 2**bits - 1), 0).astype(np.uint8)


def quantise(x, bits, group, channel):
    """x float32 [..., rows, width] -> codes, scales, minima (of complete groups of rows when by channel)."""
    rows, width = x.shape[-2:]
    if channel:
        whole = rows // group
        blocks = x[..., :whole * group, :].reshape(*x.shape[:-2], whole, group, width)
        scale, minimum = group_scale(blocks.min(-2), blocks.max(-2), bits)
        spread = lambda a: np.repeat(a, group, axis=-2)
        return codes_of(x[..., :whole * group, :], spread(scale), spread(minimum), bits), scale, minimum
    parts = [x[..., i:i + group] for i in range(0, width, group)]
    both = [group_scale(p.min(-1), p.max(-1), bits) for p in parts]
    scale, minimum = (np.stack([b[k] for b in both], -1) for k in (0, 1))
    spread = lambda a: np.repeat(a, group, axis=-1)[..., :width]
    return codes_of(x, spread(scale), spread(minimum), bits), scale, minimum


def dequantise(codes, scale, minimum, group, channel):
    axis = -2 if channel else -1
    spread = lambda a: np.repeat(a.astype(np.float64), group, axis=axis)[..., :codes.shape[-2], :codes.shape[-1]]
    return spread(minimum) + spread(scale) * codes


def pack(codes, bits):
    """Codes [..., width] as rows of bytes, lowest bit of the first byte first."""
    planes = (codes[..., None] >> np.arange(bits, dtype=np.uint8)) & 1
    flat_bits = planes.reshape(*codes.shape[:-1], -1)
    return np.packbits(flat_bits, axis=-1, bitorder="little")


def code_append(batch, heads, width, chunks, capacity, bits, group, channel, recent, dtype):
    """Appending in chunks; codes, scales and minima of what is stored at the end."""
    rows = sum(chunks)
    x = f32(batch, rows, heads, width, scale=1.5, mean=0.25)
    x[0, :, 0, :] = 3.0  # constant groups
    x[-1, 1:, -1, :] *= 2.0**-12  # small ones
    head_rows = x.transpose(0, 2, 1, 3)
    kept = round_to(head_rows, dtype) if channel else head_rows  # by channel the exact rows are what is coded
    codes, scale, minimum = quantise(kept.astype(np.float32), bits, group, channel)
    scales = np.stack([scale, minimum], -2)  # [batch, heads, rows or groups, 2, ...]
    return dict(op="code_append", batch=batch, heads=heads, width=width, chunks=chunks, capacity=capacity, bits=bits,
                group=group, channel=channel, recent=recent, dtype=dtype, x=flat(x), stored=codes.shape[-2],
                scale_rows=scale.shape[-2], expected=flat(pack(codes, bits)), sum=flat(scales.view(np.uint16)))


def code_attention(batch, query_heads, kv_heads, key_width, value_width, chunks, keys_format, values_format, recent,
                   alibi=False, head_dim=0, mean=False, dtype="f32"):
    """Attention of the last chunk's queries over a cache appended in chunks. A query reads a position from its codes when
    it is outside the recent window and its group is complete, else exactly."""
    rows, length = sum(chunks), chunks[-1]
    width = head_dim or key_width
    q = f32(batch, length, query_heads, width)
    scale = 0.3125
    case = dict(op="code_attention", batch=batch, query_heads=query_heads, kv_heads=kv_heads, query_width=width,
                key_width=key_width, value_width=value_width, chunks=chunks, recent=recent, scale=scale, dtype=dtype,
                query=flat(q), slopes=None, basis=None)
    sides = []
    for name, side_width, (bits, group, channel) in (("keys", key_width, keys_format),
                                                     ("values", value_width, values_format)):
        x = f32(batch, rows, kv_heads, side_width, scale=1.25, mean=0.5)
        case[name] = flat(x)
        case[name + "_bits"], case[name + "_group"], case[name + "_channel"] = bits, group, channel
        exact = round_to(x.transpose(0, 2, 1, 3), dtype)
        span = group if channel else 1
        source = exact if channel else x.transpose(0, 2, 1, 3)
        coded = exact.copy()
        if bits:
            approximate = dequantise(*quantise(source.astype(np.float32), bits, group, channel), group, channel)
            coded[:, :, :approximate.shape[2]] = approximate
        needs_ring = bits and (recent > 0 or span > 1)
        boundary = [max(0, (m + 1 - recent)) // span * span if needs_ring else rows for m in range(rows)]
        sides.append((exact, coded, boundary))
    cos = sin = None
    if head_dim:
        basis, mu = f32(kv_heads, head_dim, key_width, scale=0.5), f32(kv_heads, head_dim)
        cos, sin = tables(rows, head_dim)
        case.update(basis=flat(basis), mean=flat(mu) if mean else None, rotary_dim=head_dim, cos=flat(cos), sin=flat(sin))
    result = np.zeros((batch, length, query_heads, value_width))
    group_heads = query_heads // kv_heads
    slopes = np.array([2.0 ** -(h + 1) for h in range(query_heads)])
    if alibi:
        case["slopes"] = flat(slopes)
    for i in range(length):
        m = rows - length + i
        read = []
        for exact, coded, boundary in sides:
            picked = np.where((np.arange(rows) < boundary[m])[None, None, :, None], coded, exact)
            read.append(picked[:, :, :m + 1])
        keys, values = read
        if head_dim:
            keys = np.einsum("hir,bhnr->bhni", basis, keys) + (mu[None, :, None] if mean else 0)
            keys = rotate(keys, cos[:m + 1], sin[:m + 1])
        scores = scale * np.einsum("bhi,bhni->bhn", q[:, i], np.repeat(keys, group_heads, axis=1))
        if alibi:
            scores = scores + slopes[None, :, None] * (np.arange(m + 1) - m)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        result[:, i] = np.einsum("bhn,bhni->bhi", weights, np.repeat(values, group_heads, axis=1))
    case["expected"] = flat(result)
    return case


cases = [
    gemm(1, 5, 7, "f32", "f32", False, False), gemm(3, 4, 9, "bf16", "f32", True, True),
    gemm(2, 6, 8, "f16", "f16", True, False), gemm(4, 3, 11, "f32", "bf16", False, True),
    norm("layer", 3, 17), norm("rms", 2, 9),
    *[activate(kind, gated) for kind in ("relu", "gelu", "gelu_tanh", "silu") for gated in (False, True)],
    rope(2, 3, 2, 8, 8, 5), rope(1, 4, 3, 10, 6, 0),
    attention(1, 1, 1, 4, 4, 1, 6),
    attention(2, 4, 2, 6, 3, 4, 2),
    attention(1, 3, 3, 5, 5, 3, 4, alibi=True),
    attention(1, 2, 1, 4, 6, 5, 3, window=3, dtype="bf16"),
    attention(1, 4, 2, 3, 5, 3, 4, head_dim=8, rotary_dim=8),
    attention(2, 2, 2, 5, 2, 2, 3, head_dim=6, rotary_dim=4, mean=True, dtype="f16"),
    attention(1, 6, 2, 3, 4, 4, 1, head_dim=4, rotary_dim=4, mean=True, window=2, alibi=True),
    gram(5, 4, 3, 2), gram(4, 3, 5, 1),
    eigh(5, 9), eigh(8, 3), eigh(12, 20),
    nll(4, 13),
    embed("f32", False), embed("f16", True), embed("bf16", False),
    append("f32"), append("f16"), append("bf16"),
    activate("clamp", False), activate("clamp", True),  # limit 1.5
    *[code_append(2, 2, width, [3, 1, 5], 12, bits, 8, False, 0, "f32")
      for bits, width in ((8, 5), (4, 24), (3, 11), (2, 40))],
    code_append(2, 2, 13, [4, 2, 5], 12, 3, 8, False, 2, "f16"),
    *[code_append(2, 2, width, [5, 1, 14, 1], 21, bits, 8, True, recent, dtype)
      for bits, width, recent, dtype in ((8, 3, 0, "f32"), (4, 10, 3, "bf16"), (3, 5, 0, "f16"), (2, 4, 9, "f32"))],
    code_attention(1, 2, 2, 12, 5, [6, 3], (4, 8, False), (4, 8, False), 0),
    code_attention(2, 4, 2, 5, 11, [3, 1, 4], (3, 8, False), (2, 8, False), 3, alibi=True),
    code_attention(1, 2, 1, 9, 6, [7, 1, 1, 10], (4, 8, True), (3, 8, False), 0, dtype="f16"),
    code_attention(1, 3, 3, 4, 4, [5, 1, 14], (2, 8, True), (8, 8, False), 5, dtype="bf16"),
    code_attention(1, 4, 2, 6, 8, [4, 9], (8, 8, False), (0, 8, False), 4, head_dim=10),
    code_attention(2, 2, 2, 5, 3, [9, 1, 10], (3, 8, True), (4, 8, False), 2, head_dim=8, mean=True),
    weighted_gram(6, 4, 3, 2), weighted_gram(3, 2, 5, 1),
    logit_weights(7, 4, 2, 4, [0, 3, 6], rotary_dim=4, joint=2),
    logit_weights(9, 3, 3, 5, [2, 8], window=4, alibi=True),
    logit_weights(6, 6, 2, 6, [5, 1], window=3, rotary_dim=4),
    spread_gram(7, 4, 2, 4, [0, 3, 6], rotary_dim=4),
    spread_gram(6, 3, 3, 7, [5, 2], window=3, rotary_dim=4),
]
print(json.dumps({"cases": cases}, separators=(",", ":")).replace('{"op"', '\n{"op"'))
