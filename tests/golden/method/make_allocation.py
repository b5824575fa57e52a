# SPDX-License-Identifier: Apache-2.0
"""Makes <family>/allocation.golden beside this file, for the models and windows that make_method.py left there: layer
errors along the path of ranks of one threshold, spectra and layer errors of centred bases, Gram matrices of averaged
samples, and the logits of a conversion with refitted output projections.

Nothing here uses Eigenscope. The models run in transformers, in float64; bases are singular vectors of the stacked
rows; a conversion projects keys and values in place (no folded weights), and the refit solves its normal equations in
the original's dimensions, where the ridge acts on the same numbers, since the basis is orthonormal.

    python make_allocation.py        (torch, transformers, tokenizers, safetensors, numpy)
"""
import json

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from make_attention_aware import open_family
from make_method import CONVERT_AT, HERE, bases_of, capture, layer_errors, logits, project, rank_of, remove, stacked, \
    to_double

POINTS = 6
RIDGE = 1e-3


def path(f, layer):
    """Ranks of one threshold for keys and values: for each of POINTS sizes the most that fit."""
    def shares(side):
        return np.min([np.cumsum(s**2) / np.sum(s**2) for s, _ in layer[side]], axis=0)

    keys, values, d = shares("keys"), shares("values"), f.head_dim
    thresholds = sorted([*keys[:-1], *values[:-1], 1.0])

    def rank(share, threshold):
        return d if threshold >= 1 else min(d, int(np.argmax(share >= threshold)) + 1)

    pairs = [(rank(keys, t), rank(values, t)) for t in thresholds]
    sizes = [-(-2 * d * i // POINTS) for i in range(1, POINTS + 1)]
    return [max((p for p in pairs if sum(p) <= size), key=sum, default=pairs[0]) for size in sizes]


def projector(layer, side, rank):
    return np.stack([v[:rank].T @ v[:rank] for _, v in layer[side]])


def centred_bases(f, store):
    layers = []
    for rows in store:
        entry = {"keys": [], "values": [], "means": {"keys": [], "values": []}}
        for side in ("keys", "values"):
            for head in range(f.kv_heads):
                x = stacked(f, rows, side, head)
                entry["means"][side].append(x.mean(0))
                x = x - x.mean(0)
                if side == "keys" and not f.rotary:
                    x = np.concatenate([x, stacked(f, rows, "queries", head)])
                entry[side].append(np.linalg.svd(x, full_matrices=False)[1:])
        layers.append(entry)
    return layers


class Centred:
    """Projectors of rows less their mean, as `project` applies them: what it gets are rows, what it wants a product."""

    def __init__(self, f, layers, ranks):
        self.f, self.layers, self.ranks = f, layers, ranks

    def hooks(self):
        handles, f = [], self.f

        def apply(out, layer, side, rank):
            rows = out.reshape(*out.shape[:-1], f.kv_heads, f.head_dim)
            mean = torch.from_numpy(np.stack(layer["means"][side]))
            p = torch.from_numpy(projector(layer, side, rank))
            return (torch.einsum("bthi,hij->bthj", rows - mean, p) + mean).reshape(out.shape)

        for i, (layer, (r_k, r_v)) in enumerate(zip(self.layers, self.ranks)):
            a, fused = f.modules(i)
            if fused is not None:
                def hook(_, __, out, layer=layer, r_k=r_k, r_v=r_v):
                    q, k, v = out.chunk(3, dim=-1)
                    return torch.cat([q, apply(k, layer, "keys", r_k), apply(v, layer, "values", r_v)], dim=-1)
                handles.append(fused.register_forward_hook(hook))
            else:
                handles.append(a.k_proj.register_forward_hook(
                    lambda _, __, out, layer=layer, r=r_k: apply(out, layer, "keys", r)))
                handles.append(a.v_proj.register_forward_hook(
                    lambda _, __, out, layer=layer, r=r_v: apply(out, layer, "values", r)))
        return handles


def mlp_norm(f, layer):
    return {"llama": "post_attention_layernorm", "opt": "final_layer_norm", "mpt": "norm_2"}[f.name], f.layers[layer]


def run(f, window, layer):
    """The state after attention and the head outputs of one layer."""
    kept = {}
    name, block = mlp_norm(f, layer)
    handles = [getattr(block, name).register_forward_pre_hook(
                   lambda _, args: kept.__setitem__("state", args[0].reshape(-1, args[0].shape[-1]).numpy())),
               f.output(layer).register_forward_pre_hook(
                   lambda _, args: kept.__setitem__("outputs", args[0].reshape(-1, args[0].shape[-1]).numpy()))]
    with torch.no_grad():
        f.model(torch.tensor([window]), use_cache=False)
    remove(handles)
    return kept["state"], kept["outputs"]


def refit(f, projectors, ranks, windows):
    """Hooks that change each output projection, layer after layer; returns them."""
    changes = []
    for i in range(len(f.layers)):
        features, residuals = [], []
        for window in windows:
            expected, _ = run(f, window, i)
            handles = project(f, projectors) + changes_on(f, changes)
            found, outputs = run(f, window, i)
            remove(handles)
            features.append(outputs)
            residuals.append(expected - found)
        x, y = np.concatenate(features), np.concatenate(residuals)
        mx, my = x.mean(0), y.mean(0)
        x, y = x - mx, y - my
        gram = x.T @ x
        # The mean over the dimensions that the basis keeps; the others are zero.
        ridge = RIDGE * np.trace(gram) / (f.heads * ranks[i])
        change = np.linalg.solve(gram + ridge * np.eye(len(gram)), x.T @ y).T
        changes.append((change, my - change @ mx))
    return changes


def changes_on(f, changes):
    handles = []
    for i, (weight, bias) in enumerate(changes):
        w, b = torch.from_numpy(weight), torch.from_numpy(bias)
        handles.append(f.output(i).register_forward_hook(
            lambda _, args, out, w=w, b=b: out + (args[0] @ w.T + b).reshape(out.shape)))
    return handles


def make(name):
    f = open_family(name)
    to_double(f.model)
    folder = HERE / name
    golden = load_file(folder / "expected.golden")
    windows = golden["windows"].tolist()
    store = []
    handles = capture(f, store)
    for window in windows:
        logits(f, window)
    remove(handles)
    apart = store
    store = [{kind: np.concatenate(parts) for kind, parts in rows.items()} for rows in store]
    layers = bases_of(f, store)
    data = {}

    paths = [path(f, layer) for layer in layers]
    data["errors.ranks"] = np.array(paths, np.int32)
    errors = [layer_errors(f, [(projector(layer, "keys", paths[i][p][0]), projector(layer, "values", paths[i][p][1]))
                               for i, layer in enumerate(layers)], windows) for p in range(POINTS)]
    data["errors.error"] = np.stack(errors, axis=1)

    centred = centred_bases(f, store)
    ranks = [tuple(max(rank_of(s, CONVERT_AT, "energy") for s, _ in layer[side]) for side in ("keys", "values"))
             for layer in centred]
    data["centred.ranks"] = np.array(ranks, np.int32)
    for i, layer in enumerate(centred):
        for side in ("keys", "values"):
            data[f"layers.{i}.centred.{side}.eigenvalues"] = np.stack([s**2 for s, _ in layer[side]])
    handles = Centred(f, centred, ranks).hooks()
    data["centred.logits"] = logits(f, windows[0][:40]).numpy().astype(np.float32)
    remove(handles)

    for i, rows in enumerate(apart):
        mean = {kind: np.mean(parts, axis=0) for kind, parts in rows.items()}
        for kind in ("keys", "queries", "values", "outputs"):
            x = [stacked(f, mean, kind, h) for h in range(f.kv_heads)]
            data[f"layers.{i}.averaged.{kind}.gram"] = np.stack([a.T @ a for a in x])
            data[f"layers.{i}.averaged.{kind}.sum"] = np.stack([a.sum(0) for a in x])

    ranks = {side: [max(rank_of(s, CONVERT_AT, "energy") for s, _ in layer[side]) for layer in layers]
             for side in ("keys", "values")}
    projectors = [(projector(layer, "keys", ranks["keys"][i]), projector(layer, "values", ranks["values"][i]))
                  for i, layer in enumerate(layers)]
    changes = refit(f, projectors, ranks["values"], windows)
    handles = project(f, projectors)
    before = logits(f, windows[0][:40])
    handles += changes_on(f, changes)
    after = logits(f, windows[0][:40])
    remove(handles)
    data["refit.logits"] = after.numpy().astype(np.float32)
    original = logits(f, windows[0][:40])
    print(name, "paths", paths, "errors", data["errors.error"], "centred", data["centred.ranks"].tolist(),
          "distance of logits before and after refit", float((before - original).norm()),
          float((after - original).norm()))
    save_file({k: np.ascontiguousarray(v) for k, v in data.items()}, folder / "allocation.golden")
    (folder / "allocation.golden").chmod(0o644)


if __name__ == "__main__":
    for family in ("llama", "opt", "mpt"):
        make(family)
