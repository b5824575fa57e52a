# SPDX-License-Identifier: Apache-2.0
"""Makes <family>/head_groups.golden beside this file, for the models and windows that make_method.py left there: bases
of all key/value heads of a layer side by side (one latent for the whole group), their spectra, and the logits of the
model with keys and values projected on them.

Nothing here uses Eigenscope. The models run in transformers, in float64. Spectra of `eigen` are singular values of
stacked rows; those of `attention-aware` singular values of S_q^(1/2) S_k^(1/2), every query position weighed.

    python make_head_groups.py        (torch, transformers, tokenizers, safetensors, numpy)
"""
import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from make_attention_aware import moments, open_family, root
from make_method import HERE, capture, remove, to_double


LAST = 32  # rows of logits kept, the last of the first window


def block_diagonal(blocks):
    n = sum(len(b) for b in blocks)
    result, at = np.zeros((n, n)), 0
    for b in blocks:
        result[at:at + len(b), at:at + len(b)] = b
        at += len(b)
    return result


def side_by_side(rows):
    return rows.reshape(len(rows), -1)


def eigen_rows(f, rows, side):
    """What the bases of `eigen` are the right singular vectors of, [rows, kv_heads * d]. A query head meets its own key
    head only: its rows are zero elsewhere."""
    x = [side_by_side(rows[side])]
    if side == "keys" and not f.rotary:
        group = f.heads // f.kv_heads
        for head in range(f.heads):
            part = np.zeros((len(rows["queries"]), f.kv_heads, f.head_dim))
            part[:, head // group] = rows["queries"][:, head]
            x.append(side_by_side(part))
    return np.concatenate(x)


def weighed_keys(f, layer, rows, attention):
    """Gram matrix, sum and total of all heads' keys side by side, weighed by every query head."""
    n, group, d = f.kv_heads * f.head_dim, f.heads // f.kv_heads, f.head_dim
    output = f.output(layer).weight.detach().numpy()
    gram, total, weight = np.zeros((n, n)), np.zeros(n), 0.0
    keys = side_by_side(rows["keys"])
    for head in range(f.heads):
        w_o, values = output[:, head * d:(head + 1) * d], rows["values"][:, head // group]
        for m in range(len(keys)):
            effect = (values[:m + 1] - rows["outputs"][m, head]) @ w_o.T
            w = attention[head, m, :m + 1] ** 2 * (effect ** 2).sum(1)
            gram += (keys[:m + 1] * w[:, None]).T @ keys[:m + 1]
            total += w @ keys[:m + 1]
            weight += w.sum()
    return gram, total, weight


def balanced(weight, moment):
    """Singular values and projectors by rank of the best approximation in the norm of `weight` of rows with second
    moments `moment`: moment^(1/2) Z_r Z_r^T moment^(-1/2)."""
    half = root(moment)
    _, s, z = np.linalg.svd(root(weight) @ half)
    # Rows lie in fewer dimensions than they have where normalisation takes their mean away.
    inverse = np.linalg.pinv(half, rcond=1e-6, hermitian=True)
    return s, lambda r: half @ z[:r].T @ z[:r] @ inverse


def project(f, maps):
    """Keys and values replaced by mean + P (x - mean): maps[layer] = ((P, mean) of keys, of values)."""
    handles = []
    for layer, sides in enumerate(maps):
        (pk, mk), (pv, mv) = [(torch.from_numpy(p), torch.from_numpy(m)) for p, m in sides]
        a, fused = f.modules(layer)
        if fused is not None:
            def hook(_, __, out, pk=pk, mk=mk, pv=pv, mv=mv):
                q, k, v = out.chunk(3, dim=-1)
                return torch.cat([q, mk + (k - mk) @ pk.T, mv + (v - mv) @ pv.T], dim=-1)
            handles.append(fused.register_forward_hook(hook))
        else:
            for projection, p, m in ((a.k_proj, pk, mk), (a.v_proj, pv, mv)):
                handles.append(projection.register_forward_hook(lambda _, __, out, p=p, m=m: m + (out - m) @ p.T))
    return handles


def make(name):
    f = open_family(name)
    to_double(f.model)
    n, d = f.kv_heads * f.head_dim, f.head_dim
    windows = [w.tolist() for w in load_file(HERE / name / "expected.golden")["windows"]]
    stacked = [{"keys": [], "values": []} for _ in f.layers]
    values = [[] for _ in f.layers]
    shapes = {"logit_queries.gram": (d, d), "logit_keys.gram": (d, d), "logit_keys.sum": (d,), "logit_weights": (),
              "projection": (d, d)}
    sums = [{k: np.zeros((f.kv_heads, *v)) for k, v in shapes.items()} for _ in f.layers]
    weighed = [[np.zeros((n, n)), np.zeros(n), 0.0] for _ in f.layers]
    for number, window in enumerate(windows):
        store = []
        handles = capture(f, store)
        with torch.no_grad():
            attentions = f.model(torch.tensor([window]), output_attentions=True).attentions
        remove(handles)
        for i, rows in enumerate(store):
            rows = {kind: parts[0] for kind, parts in rows.items()}
            attention = attentions[i][0].double().numpy()
            for side in ("keys", "values"):
                stacked[i][side].append(eigen_rows(f, rows, side))
            values[i].append(side_by_side(rows["values"]))
            sums[i]["first"] = 1.0 if number == 0 else 0.0
            moments(f, i, rows, attention, sums[i])
            weighed[i] = [a + b for a, b in zip(weighed[i], weighed_keys(f, i, rows, attention))]
    data, eigen, aware, rank = {}, [], [], n // 2
    zero = np.zeros(n)
    for i, s in enumerate(sums):
        maps = []
        for side in ("keys", "values"):
            _, s_values, vectors = np.linalg.svd(np.concatenate(stacked[i][side]), full_matrices=False)
            data[f"layers.{i}.eigen.{side}"] = s_values**2
            maps.append((vectors[:rank].T @ vectors[:rank], zero))
        eigen.append(maps)
        gram, total, weight = weighed[i]
        mean = total / weight
        s_keys, keys_of = balanced(block_diagonal(list(s["logit_queries.gram"])),
                                   gram / weight - np.outer(mean, mean))
        rows = np.concatenate(values[i])
        centred = rows - rows.mean(0)
        s_values, values_of = balanced(block_diagonal(list(s["projection"])), centred.T @ centred / len(rows))
        data[f"layers.{i}.aware.keys"] = s_keys**2
        data[f"layers.{i}.aware.values"] = s_values**2 * len(rows)
        aware.append([(keys_of(rank), mean), (values_of(rank), rows.mean(0))])
    for method, maps in (("eigen", eigen), ("aware", aware)):
        handles = project(f, maps)
        with torch.no_grad():
            data[f"{method}.logits"] = f.model(torch.tensor([windows[0]])).logits[0, -LAST:].numpy().astype(np.float32)
        remove(handles)
    data["rank"] = np.array([rank], dtype=np.int32)
    target = HERE / name / "head_groups.golden"
    save_file({k: np.ascontiguousarray(v) for k, v in data.items()}, target)
    target.chmod(0o644)
    print(name, rank, {k: v.flatten()[:3] for k, v in data.items() if k.startswith("layers.0")})


if __name__ == "__main__":
    for family in ("llama", "opt", "mpt"):
        make(family)
