# SPDX-License-Identifier: Apache-2.0
"""Makes <family>/fidelity.golden beside this file, for the models, windows and ranks that make_method.py left there:
how far the converted model's layers and heads are from the original's, and which layer its divergence comes from.

Nothing here uses Eigenscope. The models run in transformers, in float64; the converted model is the original with its
keys and values projected (make_method.py). Scores and weights are written out query by query, and the original's
weights are checked against those that transformers reports.

    python make_fidelity.py        (torch, transformers, tokenizers, safetensors, numpy)
"""
import json

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from make_attention_aware import open_family, rotate
from make_method import CONVERT_AT, HERE, bases_of, capture, logits, project, rank_of, remove, to_double


def projectors_of(f, windows):
    store = []
    handles = capture(f, store)
    for w in windows:
        logits(f, w)
    remove(handles)
    layers = bases_of(f, [{kind: np.concatenate(parts) for kind, parts in rows.items()} for rows in store])
    result = []
    for layer in layers:
        rank = {side: max(rank_of(s, CONVERT_AT, "energy") for s, _ in layer[side]) for side in ("keys", "values")}
        result.append(tuple(np.stack([v[:rank[side]].T @ v[:rank[side]] for _, v in layer[side]])
                            for side in ("keys", "values")))
    return result


def run_layers(f, window):
    """Inputs and outputs of every layer, and what its attention made of them."""
    calls, store, handles = {}, [], []
    for i, layer in enumerate(f.layers):
        def hook(_, args, kwargs, out, i=i):
            calls[i] = (args, kwargs, out[0] if isinstance(out, tuple) else out)
        handles.append(layer.register_forward_hook(hook, with_kwargs=True))
    handles += capture(f, store)
    with torch.no_grad():
        attentions = f.model(torch.tensor([window]), use_cache=False, output_attentions=True).attentions
    remove(handles)
    return calls, store, attentions


def run_alone(f, projectors, calls):
    """Every converted layer on the original's input."""
    handles, store, outputs = project(f, projectors), [], []
    handles += capture(f, store)
    for i, layer in enumerate(f.layers):
        args, kwargs, _ = calls[i]
        with torch.no_grad():
            out = layer(*args, **kwargs)
        outputs.append(out[0] if isinstance(out, tuple) else out)
    remove(handles)
    return outputs, store


def head_rows(f, rows, head):
    q, k = rows["queries"][0][:, head], rows["keys"][0][:, head // (f.heads // f.kv_heads)]
    if f.rotary:
        theta = f.model.config.rope_parameters["rope_theta"]
        angle = np.arange(len(q))[:, None] * theta ** (-np.arange(0, f.head_dim, 2) / f.head_dim)
        q, k = rotate(q, angle), rotate(k, angle)
    return q / np.sqrt(f.head_dim), k


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def compare_head(f, layer, head, a, b, attention):
    """Sums of one window: squares of score differences and scores, mean weight distance, the same of outputs."""
    (qa, ka), (qb, kb) = head_rows(f, a, head), head_rows(f, b, head)
    bias = np.zeros(len(qa))
    if f.name == "mpt":
        bias = build_mpt_alibi_tensor(f.heads, len(qa)).double().numpy()[head].reshape(-1)
    difference = norm = distance = 0.0
    for m in range(len(qa)):
        x, y = ka[:m + 1] @ qa[m], kb[:m + 1] @ qb[m]
        difference += np.sum(((x - x.mean()) - (y - y.mean())) ** 2)
        norm += np.sum((x - x.mean()) ** 2)
        weights = softmax(x + bias[:m + 1])
        assert np.abs(weights - attention[head, m, :m + 1]).max() < 1e-6
        distance += 0.5 * np.abs(weights - softmax(y + bias[:m + 1])).sum() / len(qa)
    w = f.output(layer).weight.detach().numpy()[:, head * f.head_dim:(head + 1) * f.head_dim]
    ca, cb = a["outputs"][0][:, head] @ w.T, b["outputs"][0][:, head] @ w.T
    ca, cb = ca - ca.mean(0), cb - cb.mean(0)
    return difference, norm, distance, np.sum((ca - cb) ** 2), np.sum(ca ** 2)


def ratio(sums):
    """Relative error of window sums [windows, 2], and its jackknife standard error."""
    theta = lambda s: np.sqrt(s[:, 0].sum() / s[:, 1].sum())
    n = len(sums)
    without = np.array([theta(np.delete(sums, i, axis=0)) for i in range(n)])
    return [theta(sums), np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))]


def mean(x):
    return [np.mean(x), np.std(x, ddof=1) / np.sqrt(len(x))]


def distributions(f, projectors, window):
    handles = project(f, projectors) if projectors else []
    logp = torch.log_softmax(logits(f, window)[:-1], -1).numpy()
    remove(handles)
    return logp


def kl(p, q):
    return (np.exp(p) * (p - q)).sum(-1)


def make(name):
    f = open_family(name)
    to_double(f.model)
    golden = load_file(HERE / name / "expected.golden")
    expected = json.loads((HERE / name / "expected.json").read_text())
    projectors = projectors_of(f, [w.tolist() for w in golden["windows"]])
    length, count = expected["evaluation_length"], expected["compared_windows"]
    ids = golden["ids"].tolist()
    windows = [ids[i * length:(i + 1) * length] for i in range(count)]

    output, propagated, heads = [], [], []
    lost, agreement = [], []
    for w in windows:
        calls, store, attentions = run_layers(f, w[:-1])
        alone, alone_store = run_alone(f, projectors, calls)
        handles = project(f, projectors)
        through, _, _ = run_layers(f, w[:-1])
        remove(handles)
        squares = lambda a, b: [float(((a - b) ** 2).sum()), float((a ** 2).sum())]
        output.append([squares(calls[i][2], alone[i]) for i in range(len(f.layers))])
        propagated.append([squares(calls[i][2], through[i][2]) for i in range(len(f.layers))])
        heads.append([[compare_head(f, i, h, store[i], alone_store[i], attentions[i][0].double().numpy())
                       for h in range(f.heads)] for i in range(len(f.layers))])
        p, q = distributions(f, None, w), distributions(f, projectors, w)
        targets = np.array(w[1:])
        lost.append(np.mean([p[t, targets[t]] - q[t, targets[t]] for t in range(len(targets))]))
        agreement.append(np.mean(p.argmax(-1) == q.argmax(-1)))
    output, propagated, heads = np.array(output), np.array(propagated), np.array(heads)
    layers, head_range = range(len(f.layers)), range(f.heads)
    data = {
        "output_error": [ratio(output[:, i]) for i in layers],
        "propagated_error": [ratio(propagated[:, i]) for i in layers],
        "score_error": [[ratio(heads[:, i, h, 0:2]) for h in head_range] for i in layers],
        "weight_distance": [[mean(heads[:, i, h, 2]) for h in head_range] for i in layers],
        "head_output_error": [[ratio(heads[:, i, h, 3:5]) for h in head_range] for i in layers],
        "nll_difference": mean(lost), "top1_agreement": mean(agreement)}

    # One text, token by token, with each layer's own keys and values restored in turn.
    w = windows[0]
    p, q, targets, rows = distributions(f, None, w), distributions(f, projectors, w), np.array(w[1:]), range(length - 1)
    identity = [np.stack([np.eye(f.head_dim)] * f.kv_heads)] * 2
    data["diff.kl"] = kl(p, q)
    data["diff.first_nll"], data["diff.second_nll"] = -p[rows, targets], -q[rows, targets]
    data["diff.first_top"], data["diff.second_top"] = p.argmax(-1), q.argmax(-1)
    data["diff.restored_kl"] = [
        kl(p, distributions(f, [identity if i == layer else projectors[i] for i in layers], w)) for layer in layers]
    save_file({k: np.ascontiguousarray(v, dtype=np.float64) for k, v in data.items()}, HERE / name / "fidelity.golden")
    (HERE / name / "fidelity.golden").chmod(0o644)
    print(name, {k: np.round(v, 5).tolist() for k, v in data.items() if not k.startswith("diff")})


if __name__ == "__main__":
    for family in ("llama", "opt", "mpt"):
        make(family)
