# SPDX-License-Identifier: Apache-2.0
"""Makes the data beside this file: tiny random models of the three families and what calibration, spectra, ranks,
conversion and evaluation must find for them.

Nothing here uses Eigenscope. The models run in transformers, in float64. Spectra come from the singular values of the
stacked rows (not from Gram matrices); the converted model is the original with its keys and values projected on the
span of the leading singular vectors (not folded weights); the draw of windows is written out from the definition of
MT19937-64.

    python make_method.py        (torch, transformers, tokenizers, safetensors, numpy)
"""
import json
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MptConfig, MptForCausalLM, OPTConfig, OPTForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

HERE = Path(__file__).resolve().parent
VOCABULARY = 288
SAMPLES, SEED = 3, 7
THRESHOLDS = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0]
CONVERT_AT = 0.9  # threshold of the converted model's ranks, energy, multiple 1


# --- text and tokenizer -------------------------------------------------------------------------------------------

def make_text():
    draw = random.Random(11)
    who, what = ["Ada", "Bruno", "Chloé", "Dmitri"], ["a red boat", "the café", "her old map", "12 keys"]
    where = ["by the river", "under the bridge", "in the garden", "near the mill"]
    lines = []
    for _ in range(44):
        a, b = draw.sample(who, 2)
        lines.append(f"{a} found {draw.choice(what)} {draw.choice(where)}, and {b} said: “{draw.choice(what)}!”")
    return "\n".join(lines) + "\n"


def make_tokenizer(text, with_bos):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if with_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


# --- models -------------------------------------------------------------------------------------------------------

def randomise(model, generator):
    """Weights large enough that attention looks at something."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                p.copy_(base + 0.1 * torch.randn(p.shape, generator=generator))
            else:
                scale = 0.22 if "emb" in name or "wte" in name else 1.6 / p.shape[1] ** 0.5
                p.copy_(scale * torch.randn(p.shape, generator=generator))


def decay(weight, head_dim, generator):
    """Each head's rows mapped so that its outputs have falling singular values."""
    with torch.no_grad():
        for head in range(weight.shape[0] // head_dim):
            q, _ = torch.linalg.qr(torch.randn(head_dim, head_dim, generator=generator))
            d = torch.diag(0.72 ** torch.arange(head_dim)) * 1.6
            rows = slice(head * head_dim, (head + 1) * head_dim)
            weight[rows] = q @ d @ q.T @ weight[rows]


class Family:
    def __init__(self, name, model, layers, attention, rotary, heads, kv_heads, head_dim, length):
        self.name, self.model, self.layers, self.attention = name, model, layers, attention
        self.rotary, self.heads, self.kv_heads, self.head_dim, self.length = rotary, heads, kv_heads, head_dim, length

    def modules(self, layer):
        a = getattr(self.layers[layer], self.attention)
        return a, (a.Wqkv if self.name == "mpt" else None)

    def output(self, layer):
        a, _ = self.modules(layer)
        return a.o_proj if self.name == "llama" else a.out_proj


def make_families():
    g = torch.Generator().manual_seed(3)
    common = dict(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, pad_token_id=None)
    llama = LlamaForCausalLM(LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=512, tie_word_embeddings=True, attn_implementation="sdpa", **common))
    opt = OPTForCausalLM(OPTConfig(
        hidden_size=48, word_embed_proj_dim=48, ffn_dim=64, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=64, dropout=0.0, attn_implementation="sdpa", **common))
    mpt = MptForCausalLM(MptConfig(
        d_model=36, n_heads=3, n_layers=2, expansion_ratio=4, max_seq_len=512, vocab_size=VOCABULARY,
        bos_token_id=0, eos_token_id=1))
    for model in (llama, opt, mpt):
        randomise(model, g)
        model.eval()
    for layer in llama.model.layers:
        for p in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            decay(p.weight, 16, g)
    for layer in opt.model.decoder.layers:
        for p in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            decay(p.weight, 16, g)
    for block in mpt.transformer.blocks:
        decay(block.attn.Wqkv.weight, 12, g)
    return [Family("llama", llama, llama.model.layers, "self_attn", True, 4, 2, 16, 300),
            Family("opt", opt, opt.model.decoder.layers, "self_attn", False, 3, 3, 16, 48),
            Family("mpt", mpt, mpt.transformer.blocks, "attn", False, 3, 3, 12, 300)]


def norm_in_its_own_dtype(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def to_double(model):
    # transformers rounds norms and softmaxes to float32 whatever the model's dtype; here they stay in float64.
    LlamaRMSNorm.forward = norm_in_its_own_dtype
    torch.Tensor.float = torch.Tensor.double
    return model.double()


# --- hooks --------------------------------------------------------------------------------------------------------

def capture(f, store):
    """Rows of queries, keys, values (before rotary positions) and attention outputs: store[layer][kind], float64."""
    handles = []

    def keep(layer, kind, heads):
        def hook(_, __, out):
            store[layer].setdefault(kind, []).append(out[0].reshape(-1, heads, f.head_dim).numpy())
        return hook

    def keep_fused(layer):
        def hook(_, __, out):
            for kind, part in zip(("queries", "keys", "values"), out[0].chunk(3, dim=-1)):
                store[layer].setdefault(kind, []).append(part.reshape(-1, f.heads, f.head_dim).numpy())
        return hook

    def keep_input(layer):
        def hook(_, args):
            store[layer].setdefault("outputs", []).append(args[0][0].reshape(-1, f.heads, f.head_dim).numpy())
        return hook

    for layer in range(len(f.layers)):
        store.append({})
        a, fused = f.modules(layer)
        if fused is not None:
            handles.append(fused.register_forward_hook(keep_fused(layer)))
        else:
            handles.append(a.q_proj.register_forward_hook(keep(layer, "queries", f.heads)))
            handles.append(a.k_proj.register_forward_hook(keep(layer, "keys", f.kv_heads)))
            handles.append(a.v_proj.register_forward_hook(keep(layer, "values", f.kv_heads)))
        handles.append(f.output(layer).register_forward_pre_hook(keep_input(layer)))
    return handles


def project(f, projectors):
    """Keys and values replaced by their projections: projectors[layer] = (keys, values), each [kv_heads, d, d]."""
    handles = []

    def apply(out, p):
        rows = out.reshape(*out.shape[:-1], p.shape[0], f.head_dim)
        return torch.einsum("bthi,hij->bthj", rows, p).reshape(out.shape)

    for layer, (keys, values) in enumerate(projectors):
        keys, values = torch.from_numpy(keys), torch.from_numpy(values)
        a, fused = f.modules(layer)
        if fused is not None:
            def hook(_, __, out, keys=keys, values=values):
                q, k, v = out.chunk(3, dim=-1)
                return torch.cat([q, apply(k, keys), apply(v, values)], dim=-1)
            handles.append(fused.register_forward_hook(hook))
        else:
            handles.append(a.k_proj.register_forward_hook(lambda _, __, out, p=keys: apply(out, p)))
            handles.append(a.v_proj.register_forward_hook(lambda _, __, out, p=values: apply(out, p)))
    return handles


def remove(handles):
    for handle in handles:
        handle.remove()


def logits(f, ids):
    with torch.no_grad():
        return f.model(torch.tensor([ids])).logits[0]


# --- windows ------------------------------------------------------------------------------------------------------

def mt19937_64(seed):
    """Nishimura and Matsumoto's 64-bit Mersenne twister."""
    mask = (1 << 64) - 1
    mt = [seed & mask]
    for i in range(1, 312):
        mt.append((6364136223846793005 * (mt[-1] ^ (mt[-1] >> 62)) + i) & mask)
    while True:
        for i in range(312):
            x = (mt[i] & 0xFFFFFFFF80000000) | (mt[(i + 1) % 312] & 0x7FFFFFFF)
            mt[i] = mt[(i + 156) % 312] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)
        for i in range(312):
            x = mt[i]
            x ^= (x >> 29) & 0x5555555555555555
            x ^= (x << 17) & 0x71D67FFFEDA60000
            x ^= (x << 37) & 0xFFF7EEE000000000
            yield x ^ (x >> 43)


def sample_windows(ids, samples, length, seed):
    numbers, bound, windows = mt19937_64(seed), len(ids) - length + 1, []
    for _ in range(samples):
        number = next(numbers)
        while number < (1 << 64) % bound:
            number = next(numbers)
        windows.append(ids[number % bound:number % bound + length])
    return windows


# --- expected values ----------------------------------------------------------------------------------------------

def stacked(f, rows, kind, head):
    """All rows of a key/value head: of the query heads of its group for queries and outputs."""
    group = f.heads // f.kv_heads if kind in ("queries", "outputs") else 1
    return np.concatenate([rows[kind][:, h] for h in range(head * group, (head + 1) * group)])


def bases_of(f, store):
    """SVD of stacked rows: per layer {side: [(singular values, right singular vectors) per head]}, and the shared key
    basis of each layer."""
    layers = []
    for rows in store:
        keys, values, everything = [], [], []
        for head in range(f.kv_heads):
            x = [stacked(f, rows, "keys", head)]
            if not f.rotary:
                x.append(stacked(f, rows, "queries", head))
            x = np.concatenate(x)
            everything.append(x)
            keys.append(np.linalg.svd(x, full_matrices=False)[1:])
            values.append(np.linalg.svd(stacked(f, rows, "values", head), full_matrices=False)[1:])
        shared = np.linalg.svd(np.concatenate(everything), full_matrices=False)[1:]
        layers.append({"keys": keys, "values": values, "shared": [shared]})
    return layers


def rank_of(s, threshold, criterion):
    share = np.cumsum(s**2 if criterion == "energy" else s)
    share /= share[-1]
    if threshold >= 1:
        return len(s)
    # Far enough from the threshold that float32 activations cannot change the answer.
    assert np.min(np.abs(share - threshold)) > 2e-6
    return int(np.argmax(share >= threshold)) + 1


def rank_table(f, layers):
    table = []
    for threshold in THRESHOLDS:
        for criterion in ("energy", "singular-values"):
            for multiple in (1, 8):
                for shared in (False, True):
                    def ranks(side):
                        result = []
                        for layer in layers:
                            r = max(rank_of(s, threshold, criterion) for s, _ in layer[side])
                            result.append(min(f.head_dim, -(-r // multiple) * multiple))
                        return result
                    table.append(dict(threshold=threshold, criterion=criterion, rank_multiple=multiple,
                                      share_key_basis=shared, key_ranks=ranks("shared" if shared else "keys"),
                                      value_ranks=ranks("values")))
    return table


def token_nll(out, ids):
    logp = torch.log_softmax(out, dim=-1)
    return -logp[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


def evaluate(f, ids, length, bos):
    windows = [ids[i:i + length] for i in range(0, len(ids) - length + 1, length)]
    if bos is not None:
        windows = [[bos] + w[1:] for w in windows]
    means = np.array([token_nll(logits(f, w)[:-1], w).mean() for w in windows])
    ppl = np.exp(means.mean())
    error = ppl * means.std(ddof=1) / len(means) ** 0.5
    return means, ppl, error


def compare(f, projectors, windows):
    kl, agree, count, first = [], 0, 0, None
    for w in windows:
        a = logits(f, w)
        handles = project(f, projectors)
        b = logits(f, w)
        remove(handles)
        first = b if first is None else first
        pa, pb = torch.log_softmax(a[:-1], -1), torch.log_softmax(b[:-1], -1)
        kl.append((pa.exp() * (pa - pb)).sum(-1).numpy())
        agree += int((a[:-1].argmax(-1) == b[:-1].argmax(-1)).sum())
        count += len(w) - 1
    return np.concatenate(kl), agree / count, first.numpy()


def layer_errors(f, projectors, windows):
    difference, norm = np.zeros(len(f.layers)), np.zeros(len(f.layers))
    for w in windows:
        calls = {}
        handles = []
        for i, layer in enumerate(f.layers):
            def hook(_, args, kwargs, out, i=i):
                calls[i] = (args, kwargs, out[0] if isinstance(out, tuple) else out)
            handles.append(layer.register_forward_hook(hook, with_kwargs=True))
        # Without a cache, so that a layer can be run again on the same input.
        with torch.no_grad():
            f.model(torch.tensor([w]), use_cache=False)
        remove(handles)
        handles = project(f, projectors)
        for i, layer in enumerate(f.layers):
            args, kwargs, expected = calls[i]
            with torch.no_grad():
                out = layer(*args, **kwargs)
            out = out[0] if isinstance(out, tuple) else out
            difference[i] += float(((out - expected) ** 2).sum())
            norm[i] += float((expected ** 2).sum())
        remove(handles)
    return np.sqrt(difference / norm)


def make(f, text):
    folder = HERE / f.name
    shutil.rmtree(folder, ignore_errors=True)
    f.model.save_pretrained(folder)
    tokenizer = make_tokenizer(text, with_bos=f.name == "llama")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n")
    ids = tokenizer.encode(text).ids
    to_double(f.model)

    windows, store = sample_windows(ids, SAMPLES, f.length, SEED), []
    handles = capture(f, store)
    for w in windows:
        logits(f, w)
    remove(handles)
    store = [{kind: np.concatenate(parts) for kind, parts in rows.items()} for rows in store]
    data = {"ids": np.array(ids, np.int32), "windows": np.array(windows, np.int32)}
    for i, rows in enumerate(store):
        for kind in ("keys", "queries", "values", "outputs"):
            x = [stacked(f, rows, kind, h) for h in range(f.kv_heads)]
            data[f"layers.{i}.{kind}.gram"] = np.stack([a.T @ a for a in x])
            data[f"layers.{i}.{kind}.sum"] = np.stack([a.sum(0) for a in x])
    layers = bases_of(f, store)
    for i, layer in enumerate(layers):
        for side in ("keys", "values", "shared"):
            data[f"layers.{i}.{side}.eigenvalues"] = np.stack([s**2 for s, _ in layer[side]])

    ranks = {side: [max(rank_of(s, CONVERT_AT, "energy") for s, _ in layer[side]) for layer in layers]
             for side in ("keys", "values")}
    projectors = [tuple(np.stack([v[:r].T @ v[:r] for _, v in layer[side]])
                        for side, r in (("keys", ranks["keys"][i]), ("values", ranks["values"][i])))
                  for i, layer in enumerate(layers)]
    length = 40
    evaluation = [ids[i * length:(i + 1) * length] for i in range(4)]
    kl, agreement, converted = compare(f, projectors, evaluation)
    data["converted.logits"] = converted.astype(np.float32)
    data["original.logits"] = logits(f, evaluation[0]).numpy().astype(np.float32)
    data["token_kl"] = kl
    data["layer_errors"] = layer_errors(f, projectors, windows)
    means, ppl, error = evaluate(f, ids, length, None)
    every, ppl_every, _ = evaluate(f, ids, length, 0)
    data["window_nll"], data["window_nll_every"] = means, every
    save_file({k: np.ascontiguousarray(v) for k, v in data.items()}, folder / "expected.golden")
    (folder / "expected.json").write_text(json.dumps(dict(
        samples=SAMPLES, sequence_length=f.length, seed=SEED, convert_at=CONVERT_AT, evaluation_length=length,
        compared_windows=len(evaluation), perplexity=ppl, standard_error=error, perplexity_every=ppl_every,
        top1_agreement=agreement, ranks=rank_table(f, layers))) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f.name, "tokens", len(ids), "ppl", ppl, "+-", error, "ranks", ranks, "kl", kl.mean(), "agree", agreement,
          "layer errors", data["layer_errors"])


def main():
    assert [x for _, x in zip(range(10000), mt19937_64(5489))][-1] == 9981545732273789042  # the C++ standard's check
    text = make_text()
    (HERE / "text.txt").write_text(text, encoding="utf-8")
    for family in make_families():
        make(family, text)


if __name__ == "__main__":
    main()
