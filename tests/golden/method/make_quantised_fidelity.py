# SPDX-License-Identifier: Apache-2.0
"""Makes <family>/quantised_fidelity.golden beside this file, for the models and windows that make_method.py left there:
how far layers and heads are from the original's when keys and values are held in a quantised cache some of whose rows
are read exactly (a recent window; groups of positions that are not complete).

Nothing here uses Eigenscope. The forward passes are written out in numpy, in float64, and checked against the logits
that transformers gave; each query's keys and values are put together by themselves, from the description of the format
in kernels/api/ops.h.

    python make_quantised_fidelity.py        (numpy, safetensors)
"""
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).resolve().parent
SETTINGS = {  # name: bits, group, keys by channel, recent positions
    "channel": (4, 8, True, 5),
    "incomplete": (3, 16, True, 0),
    "recent": (2, 8, False, 6),
}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x, w, b=0.0):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


def rms_norm(x, w):
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-6) * w


def rotate(x):
    """[tokens, heads, d], halves as transformers pairs them."""
    d = x.shape[-1]
    angle = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., :d // 2], x[..., d // 2:]
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


# --- the cache ----------------------------------------------------------------------------------------------------

def f16_down(x):
    y = np.float16(x)
    return y if np.float64(y) <= x else np.nextafter(y, np.float16(-np.inf))


def f16_up(x):
    y = np.float16(x)
    return y if np.float64(y) >= x else np.nextafter(y, np.float16(np.inf))


def through_codes(x, bits):
    """One group of elements, as its codes give them back."""
    least, most = np.float32(x.min()), np.float32(x.max())
    minimum = np.float64(f16_down(least))
    scale = np.float64(f16_up((most - minimum) / (2 ** bits - 1)))
    if scale == 0:
        return np.full_like(x, minimum)
    return minimum + scale * np.clip(np.rint((x - minimum) / scale), 0, 2 ** bits - 1)


def coded(x, bits, group, by_channel):
    """[tokens, heads, d]: every row from its codes; not a number where its group of positions is not complete."""
    y = np.full_like(x, np.nan)
    tokens, heads, d = x.shape
    for h in range(heads):
        if by_channel:
            for t in range(0, tokens - group + 1, group):
                for i in range(d):
                    y[t:t + group, h, i] = through_codes(x[t:t + group, h, i], bits)
        else:
            for t in range(tokens):
                for i in range(0, d, group):
                    y[t, h, i:i + group] = through_codes(x[t, h, i:i + group], bits)
    return y


def read_by(t, exact, codes, recent, span):
    """What the query at position t reads of [tokens, heads, d]."""
    stored = max(0, t + 1 - recent) // span * span
    return np.concatenate([codes[:stored], exact[stored:t + 1]])


# --- models -------------------------------------------------------------------------------------------------------

class Model:
    def __init__(self, name):
        self.name, self.w = name, {k: v.astype(np.float64) for k, v in load_file(HERE / name / "model.safetensors").items()}
        config = json.loads((HERE / name / "config.json").read_text())
        self.layers = config["n_layers" if name == "mpt" else "num_hidden_layers"]
        self.heads = config["n_heads" if name == "mpt" else "num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads", self.heads)
        self.slopes = np.zeros(self.heads)
        if name == "mpt":  # ALiBi of three heads: powers of two for four, every second first, the rest behind
            four = 2.0 ** (-8.0 * np.arange(1, 5) / 4)
            self.slopes = np.concatenate([four[1::2], four[0::2]])[:3]

    def embed(self, ids):
        if self.name == "llama":
            return self.w["model.embed_tokens.weight"][ids]
        if self.name == "mpt":
            return self.w["transformer.wte.weight"][ids]
        return self.w["model.decoder.embed_tokens.weight"][ids] + \
            self.w["model.decoder.embed_positions.weight"][np.arange(len(ids)) + 2]

    def logits(self, x):
        w = self.w
        if self.name == "llama":
            return rms_norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T
        if self.name == "mpt":
            return layer_norm(x, w["transformer.norm_f.weight"]) @ w["transformer.wte.weight"].T
        n = "model.decoder.final_layer_norm."
        return layer_norm(x, w[n + "weight"], w[n + "bias"]) @ w["model.decoder.embed_tokens.weight"].T

    def rows(self, layer, x):
        """Queries, keys and values as attention meets them."""
        w, split = self.w, lambda y, n: y.reshape(len(x), n, -1)
        if self.name == "llama":
            p = f"model.layers.{layer}."
            h = rms_norm(x, w[p + "input_layernorm.weight"])
            q, k, v = (h @ w[p + f"self_attn.{n}_proj.weight"].T for n in "qkv")
            return rotate(split(q, self.heads)), rotate(split(k, self.kv_heads)), split(v, self.kv_heads)
        if self.name == "mpt":
            p = f"transformer.blocks.{layer}."
            q, k, v = np.split(layer_norm(x, w[p + "norm_1.weight"]) @ w[p + "attn.Wqkv.weight"].T, 3, -1)
        else:
            p = f"model.decoder.layers.{layer}."
            h = layer_norm(x, w[p + "self_attn_layer_norm.weight"], w[p + "self_attn_layer_norm.bias"])
            q, k, v = (h @ w[p + f"self_attn.{n}_proj.weight"].T + w[p + f"self_attn.{n}_proj.bias"] for n in "qkv")
        return tuple(split(y, self.heads) for y in (q, k, v))

    def output_weight(self, layer):
        return self.w[{"llama": f"model.layers.{layer}.self_attn.o_proj.weight",
                       "mpt": f"transformer.blocks.{layer}.attn.out_proj.weight",
                       "opt": f"model.decoder.layers.{layer}.self_attn.out_proj.weight"}[self.name]]

    def rest(self, layer, x, outputs):
        """The layer's output, from its input and its heads' outputs [tokens, heads, d]."""
        w = self.w
        x = x + outputs.reshape(len(x), -1) @ self.output_weight(layer).T
        if self.name == "llama":
            p = f"model.layers.{layer}."
            h = rms_norm(x, w[p + "post_attention_layernorm.weight"])
            gate, up = h @ w[p + "mlp.gate_proj.weight"].T, h @ w[p + "mlp.up_proj.weight"].T
            return x + (gate / (1 + np.exp(-gate)) * up) @ w[p + "mlp.down_proj.weight"].T
        if self.name == "mpt":
            p = f"transformer.blocks.{layer}."
            h = layer_norm(x, w[p + "norm_2.weight"]) @ w[p + "ffn.up_proj.weight"].T
            erf = np.vectorize(__import__("math").erf)
            return x + (h * 0.5 * (1 + erf(h / np.sqrt(2)))) @ w[p + "ffn.down_proj.weight"].T
        p = f"model.decoder.layers.{layer}."
        x = x + w[p + "self_attn.out_proj.bias"]
        h = layer_norm(x, w[p + "final_layer_norm.weight"], w[p + "final_layer_norm.bias"])
        h = np.maximum(0, h @ w[p + "fc1.weight"].T + w[p + "fc1.bias"])
        return x + h @ w[p + "fc2.weight"].T + w[p + "fc2.bias"]

    def layer(self, layer, x, setting=None):
        """Output, and per head: scores [query] -> [keys], head outputs [tokens, heads, d]."""
        q, k, v = self.rows(layer, x)
        d, group = q.shape[-1], self.heads // self.kv_heads
        kc, vc, recent, span = k, v, 0, 1
        if setting is not None:
            bits, size, by_channel, recent = setting
            kc, vc, span = coded(k, bits, size, by_channel), coded(v, bits, size, False), size if by_channel else 1
        scores, outputs = [[] for _ in range(self.heads)], np.zeros_like(q)
        for t in range(len(x)):
            if setting is None:
                keys, values = k[:t + 1], v[:t + 1]
            else:
                keys, values = read_by(t, k, kc, recent, span), read_by(t, v, vc, recent, 1)
            for h in range(self.heads):
                s = keys[:, h // group] @ q[t, h] / np.sqrt(d)
                scores[h].append(s)
                outputs[t, h] = softmax(s + self.slopes[h] * np.arange(-t, 1)) @ values[:, h // group]
        return self.rest(layer, x, outputs), scores, outputs


# --- measures -----------------------------------------------------------------------------------------------------

def compare_head(model, layer, head, a, b):
    difference = norm = distance = 0.0
    (sa, oa), (sb, ob) = a, b
    for t, (x, y) in enumerate(zip(sa[head], sb[head])):
        difference += np.sum(((x - x.mean()) - (y - y.mean())) ** 2)
        norm += np.sum((x - x.mean()) ** 2)
        bias = model.slopes[head] * np.arange(-t, 1)
        distance += 0.5 * np.abs(softmax(x + bias) - softmax(y + bias)).sum() / len(sa[head])
    d = oa.shape[-1]
    w = model.output_weight(layer)[:, head * d:(head + 1) * d]
    ca, cb = oa[:, head] @ w.T, ob[:, head] @ w.T
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


def squares(a, b):
    return [np.sum((a - b) ** 2), np.sum(a ** 2)]


def make(name):
    model = Model(name)
    golden = load_file(HERE / name / "expected.golden")
    expected = json.loads((HERE / name / "expected.json").read_text())
    length, count, ids = expected["evaluation_length"], expected["compared_windows"], golden["ids"]
    windows = [ids[i * length:(i + 1) * length] for i in range(count)]

    x = model.embed(windows[0])
    for i in range(model.layers):
        x = model.layer(i, x)[0]
    known = golden["original.logits"]  # of transformers
    assert np.abs(model.logits(x) - known).max() < 1e-5 * np.ptp(known), np.abs(model.logits(x) - known).max()

    data = {}
    for key, setting in SETTINGS.items():
        output, propagated, heads = [], [], []
        for w in windows:
            x = y = model.embed(w[:-1])
            o, p, h = [], [], []
            for i in range(model.layers):
                right, right_scores, right_heads = model.layer(i, x)
                alone, scores, outputs = model.layer(i, x, setting)
                y = model.layer(i, y, setting)[0]
                o.append(squares(right, alone))
                p.append(squares(right, y))
                h.append([compare_head(model, i, head, (right_scores, right_heads), (scores, outputs))
                          for head in range(model.heads)])
                x = right
            output.append(o), propagated.append(p), heads.append(h)
        output, propagated, heads = np.array(output), np.array(propagated), np.array(heads)
        layers, head_range = range(model.layers), range(model.heads)
        data.update({
            f"{key}.output_error": [ratio(output[:, i]) for i in layers],
            f"{key}.propagated_error": [ratio(propagated[:, i]) for i in layers],
            f"{key}.score_error": [[ratio(heads[:, i, h, 0:2]) for h in head_range] for i in layers],
            f"{key}.weight_distance": [[mean(heads[:, i, h, 2]) for h in head_range] for i in layers],
            f"{key}.head_output_error": [[ratio(heads[:, i, h, 3:5]) for h in head_range] for i in layers]})
    file = HERE / name / "quantised_fidelity.golden"
    save_file({k: np.ascontiguousarray(v, dtype=np.float64) for k, v in data.items()}, file)
    file.chmod(0o644)
    print(name, {k: np.round(v, 5).tolist() for k, v in data.items() if k.endswith("score_error")})


if __name__ == "__main__":
    for family in ("llama", "opt", "mpt"):
        make(family)
