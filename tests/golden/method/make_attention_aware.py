# SPDX-License-Identifier: Apache-2.0
"""Makes <family>/attention_aware.golden beside this file, for the models and windows that make_method.py left there:
the weighted second moments of method `attention-aware` with every query position sampled, and its spectra.

Nothing here uses Eigenscope. The models run in transformers, in float64, and the attention weights are those that it
reports. Everything is summed pair by pair, query after query; the spectra are singular values of
S_q^(1/2) S_k^(1/2), not eigenvalues of a product.

    python make_attention_aware.py        (torch, transformers, tokenizers, safetensors, numpy)
"""
import json

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from make_method import HERE, Family, capture, remove, to_double


def open_family(name):
    model = AutoModelForCausalLM.from_pretrained(HERE / name, attn_implementation="eager")
    model.eval()
    length = json.loads((HERE / name / "expected.json").read_text())["sequence_length"]
    if name == "llama":
        return Family(name, model, model.model.layers, "self_attn", True, 4, 2, 16, length)
    if name == "opt":
        return Family(name, model, model.model.decoder.layers, "self_attn", False, 3, 3, 16, length)
    return Family(name, model, model.transformer.blocks, "attn", False, 3, 3, 12, length)


def rotate(x, angle):
    """Rows x [n, d] rotated as rotary positions do, by angle [n, d / 2]."""
    half = x.shape[1] // 2
    a, b, c, s = x[:, :half], x[:, half:], np.cos(angle), np.sin(angle)
    return np.concatenate([a * c - b * s, b * c + a * s], axis=1)


def root(m):
    values, vectors = np.linalg.eigh(m)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def moments(f, layer, rows, attention, sums):
    """Adds one window: rows[kind] [tokens, heads, d], attention [heads, tokens, tokens]."""
    group, d = f.heads // f.kv_heads, f.head_dim
    theta = f.model.config.rope_parameters["rope_theta"] if f.rotary else 1.0
    frequencies = theta ** (-np.arange(0, d, 2) / d)
    output = f.output(layer).weight.detach().numpy()
    for head in range(f.heads):
        g, w_o = head // group, output[:, head * d:(head + 1) * d]
        sums["projection"][g] += w_o.T @ w_o * sums["first"]
        keys, values = rows["keys"][:, g], rows["values"][:, g]
        for m in range(len(keys)):
            effect = (values[:m + 1] - rows["outputs"][m, head]) @ w_o.T
            w = attention[head, m, :m + 1] ** 2 * (effect ** 2).sum(1)
            q = np.repeat(rows["queries"][m:m + 1, head], m + 1, axis=0)
            if f.rotary:
                q = rotate(q, np.arange(m, -1, -1)[:, None] * frequencies)
            sums["logit_queries.gram"][g] += (q * w[:, None]).T @ q
            sums["logit_keys.gram"][g] += (keys[:m + 1] * w[:, None]).T @ keys[:m + 1]
            sums["logit_keys.sum"][g] += w @ keys[:m + 1]
            sums["logit_weights"][g] += w.sum()


def make(name):
    f = open_family(name)
    to_double(f.model)
    d, folder = f.head_dim, HERE / name
    shapes = {"logit_queries.gram": (d, d), "logit_keys.gram": (d, d), "logit_keys.sum": (d,), "logit_weights": (),
              "projection": (d, d)}
    sums = [{k: np.zeros((f.kv_heads, *v)) for k, v in shapes.items()} for _ in f.layers]
    outputs = [[] for _ in f.layers]
    for number, window in enumerate(load_file(folder / "expected.golden")["windows"]):
        store = []
        handles = capture(f, store)
        with torch.no_grad():
            attentions = f.model(torch.tensor([window.tolist()]), output_attentions=True).attentions
        remove(handles)
        for i, rows in enumerate(store):
            rows = {kind: parts[0] for kind, parts in rows.items()}
            sums[i]["first"] = 1.0 if number == 0 else 0.0
            moments(f, i, rows, attentions[i][0].double().numpy(), sums[i])
            outputs[i].append(rows["outputs"])
    data = {}
    for i, s in enumerate(sums):
        for k in shapes:
            data[f"layers.{i}.{k}"] = s[k]
        keys, values, group = [], [], f.heads // f.kv_heads
        for g in range(f.kv_heads):
            total, mean = s["logit_weights"][g], s["logit_keys.sum"][g] / s["logit_weights"][g]
            centred = s["logit_keys.gram"][g] / total - np.outer(mean, mean)
            keys.append(np.linalg.svd(root(s["logit_queries.gram"][g]) @ root(centred))[1] ** 2)
            o = np.concatenate([np.concatenate(outputs[i])[:, h] for h in range(g * group, (g + 1) * group)])
            # The rows themselves: the singular values of rows times the root of what weighs them.
            values.append(np.linalg.svd((o - o.mean(0)) @ root(s["projection"][g]))[1] ** 2)
        data[f"layers.{i}.keys.eigenvalues"] = np.stack(keys)
        data[f"layers.{i}.values.eigenvalues"] = np.stack(values)
    save_file({k: np.ascontiguousarray(v) for k, v in data.items()}, folder / "attention_aware.golden")
    (folder / "attention_aware.golden").chmod(0o644)
    print(name, {k: v.flatten()[:3] for k, v in data.items() if "eigenvalues" in k})


if __name__ == "__main__":
    for family in ("llama", "opt", "mpt"):
        make(family)
