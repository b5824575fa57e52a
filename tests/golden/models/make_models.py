# SPDX-License-Identifier: Apache-2.0
"""Tiny random checkpoints and what Hugging Face transformers computes from them in float32.

Needs torch, transformers, tokenizers, safetensors. Run it in this folder: python make_models.py
Each folder holds a checkpoint as save_pretrained writes it and expected.safetensors:
  ids [n], logits [n, vocab]   one sequence and its logits
  prompt [p], greedy [24]      a prompt and its greedy continuation (each best token leads clearly)
  trace.<what>                 layer 1's queries, keys (before rotation), values, attention outputs, and layer output
The *-low-rank folders hold checkpoints with factored projections (`eigen_attention` in config.json). Their expected
logits come from a plain model whose projections are the factors' products: a computation that knows nothing of low ranks.
"""
import json
import math
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (LlamaConfig, LlamaForCausalLM, MptConfig, MptForCausalLM, OPTConfig, OPTForCausalLM,
                          PreTrainedTokenizerFast)

HERE = pathlib.Path(__file__).parent
LENGTH, PROMPT, NEW = 36, 10, 24
LLAMA = dict(hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=128, max_position_embeddings=96, rms_norm_eps=1e-5)
OPT = dict(hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=128,
           max_position_embeddings=96, word_embed_proj_dim=32)
MPT = dict(d_model=32, n_heads=4, n_layers=2, vocab_size=128, max_seq_len=96, expansion_ratio=4)


def randomise(model, seed):
    """Weights large enough that attention looks somewhere and logits spread; norms near one, biases small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_(0.1 * x + (1.0 if name.endswith("weight") else 0.0))
            elif "embed" in name or "wte" in name:
                # Tied embeddings would else make each token its own best successor.
                p.copy_(x * (0.25 if model.config.tie_word_embeddings else 1.0))
            else:
                p.copy_(x * (1.6 if any(s in name for s in ("q_proj", "k_proj", "Wqkv")) else 0.8) / math.sqrt(p.shape[1]))
    return model.eval()


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def greedy_of(model, prompt):
    ids, margin = list(prompt), math.inf
    for _ in range(NEW):
        last = logits_of(model, ids)[-1]
        best = torch.topk(last, 2).values
        margin = min(margin, ((best[0] - best[1]) / (last.max() - last.min())).item())
        ids.append(int(last.argmax()))
    return ids[len(prompt):], margin


def trace_of(model, ids):
    """Inputs and outputs of layer 1's projections."""
    base = model.model if hasattr(model, "model") else model.transformer
    layer = base.layers[1] if hasattr(base, "layers") else base.blocks[1] if hasattr(base, "blocks") else base.decoder.layers[1]
    found, hooks = {}, []
    attention = layer.self_attn if hasattr(layer, "self_attn") else layer.attn
    def keep(name, pick):
        def hook(module, inputs, output):
            x = inputs[0] if pick == "input" else output[0] if isinstance(output, tuple) else output
            found[name] = x.reshape(-1, x.shape[-1]).clone()
        return hook
    if hasattr(attention, "Wqkv"):
        hooks.append(attention.Wqkv.register_forward_hook(keep("qkv", "output")))
    else:
        for name in ("q", "k", "v"):
            hooks.append(getattr(attention, name + "_proj").register_forward_hook(keep(name, "output")))
    out = attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj
    hooks.append(out.register_forward_hook(keep("outputs", "input")))
    hooks.append(layer.register_forward_hook(keep("layer", "output")))
    logits_of(model, ids)
    for hook in hooks:
        hook.remove()
    if "qkv" in found:
        found["q"], found["k"], found["v"] = found.pop("qkv").chunk(3, dim=-1)
    names = {"q": "queries", "k": "keys", "v": "values", "outputs": "outputs", "layer": "layer"}
    return {"trace." + names[k]: v.contiguous() for k, v in found.items()}


def expect(model, folder, seed, trace=False):
    generator = torch.Generator().manual_seed(seed + 1000)
    vocab = model.config.vocab_size
    ids = torch.randint(3, vocab, (LENGTH,), generator=generator).tolist()
    logits = logits_of(model, ids)
    changed = ids[:-1] + [(ids[-1] + 1) % vocab]
    assert torch.equal(logits_of(model, changed)[:-1], logits[:-1]), "not causal"
    greedy, margin = greedy_of(model, ids[:PROMPT])
    assert len(set(greedy)) > 5, f"{folder.name}: a dull continuation {greedy}"
    assert margin > 2e-3, f"{folder.name}: best tokens too close ({margin:.1e})"
    tensors = {"ids": torch.tensor(ids, dtype=torch.int32), "logits": logits.contiguous(),
               "prompt": torch.tensor(ids[:PROMPT], dtype=torch.int32),
               "greedy": torch.tensor(greedy, dtype=torch.int32)}
    if trace:
        tensors |= trace_of(model, ids)
    save_file(tensors, folder / "expected.safetensors")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{folder.name}: {size} bytes, logits {logits.min():.2f}..{logits.max():.2f}, margin {margin:.1e}, "
          f"{len(set(greedy))} distinct")


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def with_good_seed(build, name, seed, **options):
    """The first seed from `seed` whose greedy continuation is clear and not dull."""
    for s in range(seed, seed + 200):
        folder = fresh(name)
        model = build(s)
        try:
            expect(model, folder, s, **options)
        except AssertionError as error:
            if "causal" in str(error):
                raise
            continue
        return model, folder
    raise SystemExit(f"{name}: no seed works")


def plain(name, build, seed, dtype=torch.float32, trace=False, **save):
    """`build(seed)` gives a float32 model; a narrower dtype rounds its weights before anything is computed."""
    def rounded(s):
        model = build(s)
        for p in model.parameters():  # not the buffers: tables of positions are never stored
            p.data = p.data.to(dtype).float()
        return model
    model, folder = with_good_seed(rounded, name, seed, trace=trace)
    model.to(dtype).save_pretrained(folder, **save)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def add_tokenizer(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    text = "The old lighthouse keeper told the children a story about the sea and the stars. " * 3
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
                            unk_token="<unk>").save_pretrained(folder)


# Low-rank checkpoints: random factors, and the plain model that their products make.
KEY_RANKS, VALUE_RANKS = [5, 3], [6, 4]


def blocks(factors):
    return torch.block_diag(*factors)


def factor(low, up, generator, heads, width, rank):
    """A random narrow projection [heads * rank, hidden] with bias, and blocks [width, rank] that widen it."""
    u = [torch.randn((width, rank), generator=generator) / math.sqrt(rank) for _ in range(heads)]
    return u, blocks(u) @ low, blocks(u) @ up


def low_rank_config(folder, config):
    data = json.loads(config.to_json_string())
    data["eigen_attention"] = {
        "version": 1, "method": "eigen", "criterion": "energy", "source": "random",
        "calibration": {"text": "none.txt", "fingerprint": "0", "samples": 1, "sequence_length": 8, "seed": 0},
        "key_ranks": KEY_RANKS, "value_ranks": VALUE_RANKS,
        "kv_ratio": (sum(KEY_RANKS) + sum(VALUE_RANKS)) / (2 * 2 * 8), "share_key_basis": False}
    (folder / "config.json").write_text(json.dumps(data, indent=2) + "\n")


def narrow(layer, generator, kv_heads, hidden, bias):
    """Random latents' projections of a layer, and the wide keys and values that they make."""
    rk, rv, d = KEY_RANKS[layer], VALUE_RANKS[layer], 8
    def random(rows, scale):
        return scale * torch.randn((rows, hidden), generator=generator) / math.sqrt(hidden)
    k_low, v_low = random(kv_heads * rk, 1.6), random(kv_heads * rv, 0.8)
    k_bias = 0.1 * torch.randn(kv_heads * rk, generator=generator) * bias
    v_bias = 0.1 * torch.randn(kv_heads * rv, generator=generator) * bias
    uk, k_wide, k_wide_bias = factor(k_low, k_bias, generator, kv_heads, d, rk)
    uv, v_wide, v_wide_bias = factor(v_low, v_bias, generator, kv_heads, d, rv)
    return dict(k_low=k_low, v_low=v_low, k_bias=k_bias, v_bias=v_bias, uk=uk, uv=uv, k=k_wide, v=v_wide,
                kb=k_wide_bias, vb=v_wide_bias)


def low_rank_llama(seed):
    generator = torch.Generator().manual_seed(seed)
    # attention_bias is for the products' sake: the mean of the rebuilt keys is a bias of the plain model.
    model = randomise(LlamaForCausalLM(LlamaConfig(**LLAMA, attention_bias=True)), seed)
    state, tensors = model.state_dict(), {}
    for i in range(2):
        p = f"model.layers.{i}.self_attn."
        n = narrow(i, generator, 2, 32, bias=0.0)
        mean = 0.3 * torch.randn(16, generator=generator)
        state[p + "k_proj.weight"].copy_(n["k"])
        state[p + "k_proj.bias"].copy_(mean)
        state[p + "v_proj.weight"].copy_(n["v"])
        state[p + "v_proj.bias"].zero_()
        state[p + "q_proj.bias"].zero_()
        tensors[p + "k_proj_low.weight"], tensors[p + "v_proj_low.weight"] = n["k_low"], n["v_low"]
        tensors[p + "k_proj_up.weight"], tensors[p + "k_proj_up.bias"] = torch.cat(n["uk"]), mean
        output = state[p + "o_proj.weight"]
        tensors[p + "o_proj_up.weight"] = output @ blocks([n["uv"][h // 2] for h in range(4)])
        tensors[p + "o_proj_up.bias"] = state[p + "o_proj.bias"].clone()
        tensors[p + "q_proj.weight"] = state[p + "q_proj.weight"].clone()
    tensors |= {k: v for k, v in state.items() if "self_attn" not in k}
    model.low_rank_tensors, model.low_rank_config = tensors, LlamaConfig(**LLAMA)
    return model


def low_rank_opt(seed):
    generator = torch.Generator().manual_seed(seed)
    model = randomise(OPTForCausalLM(OPTConfig(**OPT)), seed)
    state, tensors = model.state_dict(), {}
    for i in range(2):
        p = f"model.decoder.layers.{i}.self_attn."
        n = narrow(i, generator, 4, 32, bias=1.0)
        for name, w, b in (("k_proj", "k", "kb"), ("v_proj", "v", "vb")):
            state[p + name + ".weight"].copy_(n[w])
            state[p + name + ".bias"].copy_(n[b])
        up = blocks(n["uk"]).T
        tensors[p + "q_proj_low.weight"] = up @ state[p + "q_proj.weight"]
        tensors[p + "q_proj_low.bias"] = up @ state[p + "q_proj.bias"]
        tensors[p + "k_proj_low.weight"], tensors[p + "k_proj_low.bias"] = n["k_low"], n["k_bias"]
        tensors[p + "v_proj_low.weight"], tensors[p + "v_proj_low.bias"] = n["v_low"], n["v_bias"]
        tensors[p + "out_proj_up.weight"] = state[p + "out_proj.weight"] @ blocks(n["uv"])
        tensors[p + "out_proj_up.bias"] = state[p + "out_proj.bias"].clone()
    tensors |= {k: v for k, v in state.items() if "self_attn." not in k and k != "lm_head.weight"}
    model.low_rank_tensors, model.low_rank_config = tensors, model.config
    return model


def low_rank_mpt(seed):
    generator = torch.Generator().manual_seed(seed)
    model = randomise(MptForCausalLM(MptConfig(**MPT)), seed)
    state, tensors = model.state_dict(), {}
    for i in range(2):
        p = f"transformer.blocks.{i}.attn."
        n = narrow(i, generator, 4, 32, bias=0.0)
        fused = state[p + "Wqkv.weight"]
        fused[32:64].copy_(n["k"])
        fused[64:].copy_(n["v"])
        tensors[p + "Wqkv_low.weight"] = torch.cat([blocks(n["uk"]).T @ fused[:32], n["k_low"], n["v_low"]])
        tensors[p + "out_proj_up.weight"] = state[p + "out_proj.weight"] @ blocks(n["uv"])
    tensors |= {k: v for k, v in state.items() if ".attn." not in k and k != "lm_head.weight"}
    model.low_rank_tensors, model.low_rank_config = tensors, model.config
    return model


def low_rank(name, build, seed):
    model, folder = with_good_seed(build, name, seed)
    model.low_rank_config.architectures = [type(model).__name__]
    low_rank_config(folder, model.low_rank_config)
    save_file({k: v.contiguous() for k, v in model.low_rank_tensors.items()}, folder / "model.safetensors",
              {"format": "pt"})


def main():
    torch.manual_seed(0)
    llama = lambda **change: lambda s: randomise(LlamaForCausalLM(LlamaConfig(**(LLAMA | change))), s)
    opt = lambda **change: lambda s: randomise(OPTForCausalLM(OPTConfig(**(OPT | change))), s)
    mpt = lambda **change: lambda s: randomise(MptForCausalLM(MptConfig(**(MPT | change))), s)
    folder = plain("llama-gqa", llama(vocab_size=300, num_hidden_layers=3), 1, trace=True)
    add_tokenizer(folder)
    plain("llama-head-dim", llama(hidden_size=40, head_dim=12, num_key_value_heads=1, attention_bias=True, mlp_bias=True,
                                  rope_parameters={"rope_type": "default", "rope_theta": 500.0}), 2)
    plain("llama-tied-bf16", llama(num_key_value_heads=4, tie_word_embeddings=True), 3, dtype=torch.bfloat16)
    plain("opt", opt(), 4, trace=True)
    plain("opt-plain-f16", opt(activation_function="gelu", enable_bias=False, layer_norm_elementwise_affine=False), 5,
          dtype=torch.float16)
    plain("mpt-sharded", mpt(), 6, trace=True, max_shard_size="30KB")
    plain("mpt-3-heads", mpt(d_model=24, n_heads=3), 7)
    plain("mpt-6-heads", mpt(d_model=36, n_heads=6, attn_config={"softmax_scale": 0.3}), 8)
    low_rank("llama-low-rank", low_rank_llama, 9)
    low_rank("opt-low-rank", low_rank_opt, 10)
    low_rank("mpt-low-rank", low_rank_mpt, 11)


if __name__ == "__main__":
    main()
