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
]
print(json.dumps({"cases": cases}, separators=(",", ":")).replace('{"op"', '\n{"op"'))
