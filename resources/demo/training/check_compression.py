#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Simulates Eigen Attention (arXiv 2408.05646) on a demo model.

    check_compression.py ../llama-stories ../opt-stories ../mpt-stories

The calibration text gives uncentred Gram matrices of the key, query and value
projections (with their bias) of every head.  Keys use the eigenvectors of
C_k + C_q, with RoPE those of C_k alone and before the rotation; values those
of C_v.  The rank of a layer is the largest a head needs to reach the energy
threshold, rounded up to a multiple of 8, apart for keys and values; the
threshold is bisected for a target ratio of cache sizes.  Nothing is folded:
keys, queries and values are projected on the kept eigenvectors inside a
replaced attention, which gives the same outputs as a compressed cache.
"""
import argparse
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import train

PROMPTS = [
    "Mira had a silver key, which had once belonged to her grandmother. One morning Mira decided to hide the silver key, "
    "so she put it under the old bridge. Only Mira knew the place.\n"
    "A week later Tom came to the door. \"Do you still have the silver key?\" asked Tom. But Mira had forgotten where it was.\n"
    "First they looked in the mill. There was nothing but dust.",
    "Oscar had a brown goat called Pepper. It had two white feet. One summer day Pepper was gone. "
    "\"Pepper, where are you?\" asked Oscar.\nOscar ran to Lena. \"I have lost my goat,\" said Oscar. \"What does it look like?\" asked Lena.",
]
RATIOS = (1.0, 0.8, 0.6, 0.4, 0.2)


class Attention:
    """One attention layer: collects Gram matrices, or projects on bases."""

    def __init__(self, family, module, config, index):
        self.family, self.m, self.index = family, module, index
        if family == "llama":
            self.hq, self.hk, self.d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        elif family == "opt":
            self.hq = self.hk = config.num_attention_heads
            self.d = config.hidden_size // self.hq
        else:
            self.hq = self.hk = config.n_heads
            self.d = config.d_model // self.hq
            self.slopes = train_alibi(self.hq)
        self.gram = None      # [k or v][head] d x d
        self.collecting = False
        self.basis = None     # (keys [head, d, d], values [head, d, d]) projectors
        module.forward = self.forward

    def forward(self, hidden_states, *args, **kw):
        m, x = self.m, hidden_states
        b, t, _ = x.shape
        if self.family == "mpt":
            q, k, v = m.Wqkv(x).chunk(3, dim=2)
        else:
            q, k, v = m.q_proj(x), m.k_proj(x), m.v_proj(x)
        q = q.view(b, t, self.hq, self.d).transpose(1, 2)
        k = k.view(b, t, self.hk, self.d).transpose(1, 2)
        v = v.view(b, t, self.hk, self.d).transpose(1, 2)
        group = self.hq // self.hk
        if self.collecting:
            g = lambda y: torch.einsum("bhti,bhtj->hij", y.double(), y.double())
            ck, cv = g(k), g(v)
            if self.family != "llama":
                ck = ck + g(q).view(self.hk, group, self.d, self.d).sum(1)
            self.gram = (ck, cv) if self.gram is None else (self.gram[0] + ck, self.gram[1] + cv)
        if self.basis is not None:
            pk, pv = self.basis
            k, v = k @ pk, v @ pv
            if self.family != "llama":
                q = q @ pk.repeat_interleave(group, 0)
        bias = torch.full((t, t), float("-inf")).triu(1)
        if self.family == "llama":
            from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
            cos, sin = kw.get("position_embeddings") or args[0]
            q, k = apply_rotary_pos_emb(q, k, cos, sin)
        elif self.family == "mpt":
            pos = torch.arange(t)
            bias = bias + self.slopes.view(-1, 1, 1) * (pos.view(1, 1, -1) - pos.view(1, -1, 1))
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(self.d) + bias, -1) @ v
        y = y.transpose(1, 2).reshape(b, t, -1)
        out = m.o_proj if self.family == "llama" else m.out_proj
        return out(y), None


def train_alibi(n):
    return torch.tensor([2.0 ** -(8.0 * (i + 1) / n) for i in range(n)])


def layers_of(family, model):
    if family == "llama":
        return [l.self_attn for l in model.model.layers]
    if family == "opt":
        return [l.self_attn for l in model.model.decoder.layers]
    return [b.attn for b in model.transformer.blocks]


def spectra(gram):
    """Eigenvalues (falling) and eigenvectors of every head."""
    w, u = torch.linalg.eigh(gram)
    return w.flip(-1).clamp_min(0), u.flip(-1)


def rank(w, threshold):
    """The rank a layer needs: w is [heads, d]."""
    energy = w.cumsum(-1) / w.sum(-1, keepdim=True)
    need = (energy < threshold - 1e-12).sum(-1).max().item() + 1
    return min(w.shape[-1], (int(need) + 7) // 8 * 8)


def ranks(specs, threshold):
    return [(rank(wk, threshold), rank(wv, threshold)) for (wk, _), (wv, _) in specs]


def ratio(rs, d):
    return sum(a + b for a, b in rs) / (2 * d * len(rs))


def threshold_for(specs, d, target):
    """The largest threshold whose KV ratio does not exceed the target."""
    if target >= 1:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(50):
        mid = (low + high) / 2
        low, high = (mid, high) if ratio(ranks(specs, mid), d) <= target + 1e-9 else (low, mid)
    return low


def check(folder, text_dir, calibration_windows, tokens):
    from transformers import AutoModelForCausalLM
    name = os.path.basename(os.path.normpath(folder))
    family = name.split("-")[0]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    codec = train.Codec(family, folder)
    read = lambda f: open(os.path.join(text_dir, f)).read()
    held = train.windows(codec, read("heldout.txt"))
    own = train.perplexity(model, held[:4])
    atts = [Attention(family, m, model.config, i) for i, m in enumerate(layers_of(family, model))]
    assert abs(own / train.perplexity(model, held[:4]) - 1) < 1e-4, "the replaced attention differs"
    for a in atts:
        a.collecting = True
    cal = train.windows(codec, read("calibration.txt"))[:calibration_windows]
    train.perplexity(model, cal)
    for a in atts:
        a.collecting = False
    specs = [(spectra(a.gram[0]), spectra(a.gram[1])) for a in atts]
    d = atts[0].d
    print(f"\n## {name}: {sum(p.numel() for p in model.parameters())} parameters, head dimension {d}, "
          f"{held.numel()} held-out and {cal.numel()} calibration tokens")
    print("share of energy in the first d/8, d/4, d/2, 3d/4 eigenvectors (mean over heads)")
    for i, sp in enumerate(specs):
        row = []
        for w, _ in sp:
            e = (w.cumsum(-1) / w.sum(-1, keepdim=True)).mean(0)
            row.append(" ".join(f"{e[n - 1]:.4f}" for n in (d // 8, d // 4, d // 2, 3 * d // 4)))
        print(f"  layer {i}: keys {row[0]}   values {row[1]}")
    rows, samples = [], []
    for target in RATIOS:
        th = threshold_for(specs, d, target)
        rs = ranks(specs, th) if target < 1 else [(d, d)] * len(atts)
        for a, ((_, uk), (_, uv)), (rk, rv) in zip(atts, specs, rs):
            proj = lambda u, r: (u[..., :r] @ u[..., :r].transpose(-1, -2)).float()
            a.basis = None if target >= 1 else (proj(uk, rk), proj(uv, rv))
        ppl = train.perplexity(model, held)
        rows.append((target, ratio(rs, d), th, ppl))
        print(f"target {target:.1f}  KV ratio {ratio(rs, d):.4f}  threshold {th:.5f}  perplexity {ppl:.4f}  "
              f"ranks (keys/values) {' '.join(f'{a}/{b}' for a, b in rs)}", flush=True)
        for p in PROMPTS:
            samples.append((target, train.greedy(model, codec, p, tokens)[1] if tokens else ""))
    if tokens:
        for i, p in enumerate(PROMPTS):
            print(f"\nPrompt: {p}")
            for target, s in samples[i::len(PROMPTS)]:
                print(f"--- KV ratio target {target:.1f}:{s}")
    return rows


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("models", nargs="+")
    ap.add_argument("--text", default=os.path.join(train.HERE, "..", "text"))
    ap.add_argument("--calibration-windows", type=int, default=128)
    ap.add_argument("--tokens", type=int, default=120, help="length of the samples, 0 for none")
    ap.add_argument("--threads", type=int, default=1)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    np.random.seed(0)
    with torch.no_grad():
        for m in args.models:
            check(m, args.text, args.calibration_windows, args.tokens)


if __name__ == "__main__":
    main()
