# SPDX-License-Identifier: Apache-2.0
"""Tiny random checkpoints of configurations as they occur, and what transformers computes from them in float32.

Needs what make_models.py needs, beside which it lies. Run it in this folder: python make_variants.py [NAME ...]
Folders are as make_models.py describes them. llama-rope-dynamic adds long.ids [n] and long.logits [n, vocab], n above
max_position_embeddings: one forward pass over all of them.

MPT's qk_ln, grouped queries and biases are in the original training code (https://github.com/mosaicml/llm-foundry) but not
in transformers, which ignores these settings: OriginalAttention below follows the original there.
"""
import json
import math
import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MptConfig, MptForCausalLM,
                          OPTConfig, OPTForCausalLM, Qwen2Config, Qwen2ForCausalLM)

from make_models import logits_of, plain, randomise

LLAMA = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=64, max_position_embeddings=96, rms_norm_eps=1e-5)
OPT = dict(hidden_size=32, ffn_dim=40, num_hidden_layers=2, num_attention_heads=4, vocab_size=64,
           max_position_embeddings=96, word_embed_proj_dim=32)
MPT = dict(d_model=24, n_heads=3, n_layers=2, vocab_size=64, max_seq_len=96, expansion_ratio=4)


class OriginalAttention(nn.Module):
    """MPT's attention in the original training code: projections, limits, norms of all heads together, shared heads."""

    def __init__(self, config, kv_heads, qk_ln, bias):
        super().__init__()
        self.heads, self.kv_heads, self.width = config.n_heads, kv_heads, config.d_model // config.n_heads
        self.clip, self.scale = config.attn_config.clip_qkv, 1 / math.sqrt(self.width)
        rows = (config.n_heads + 2 * kv_heads) * self.width
        self.Wqkv = nn.Linear(config.d_model, rows, bias=bias)
        self.out_proj = nn.Linear(config.d_model, config.d_model, bias=bias)
        if qk_ln:
            self.q_ln = nn.LayerNorm(config.d_model, bias=bias)
            self.k_ln = nn.LayerNorm(kv_heads * self.width, bias=bias)

    def forward(self, hidden_states, position_bias, past_key_values=None, attention_mask=None, **kwargs):
        batch, length, hidden = hidden_states.shape
        qkv = self.Wqkv(hidden_states)
        if self.clip:
            qkv = qkv.clamp(-self.clip, self.clip)
        q, k, v = qkv.split([hidden, self.kv_heads * self.width, self.kv_heads * self.width], dim=-1)
        if hasattr(self, "q_ln"):
            q, k = self.q_ln(q), self.k_ln(k)
        q = q.view(batch, length, self.heads, self.width).transpose(1, 2)
        k, v = (x.view(batch, length, self.kv_heads, self.width).transpose(1, 2)
                .repeat_interleave(self.heads // self.kv_heads, dim=1) for x in (k, v))
        scores = q @ k.transpose(-1, -2) * self.scale + position_bias[:, :, -length:]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(batch, length, hidden)), weights


def original_mpt(kv_heads=None, qk_ln=False, bias=False, clip=None, **change):
    def build(seed):
        config = MptConfig(**(MPT | change), attn_config={"clip_qkv": clip}, no_bias=not bias)
        model = MptForCausalLM(config)
        for block in model.transformer.blocks:
            block.attn = OriginalAttention(config, kv_heads or config.n_heads, qk_ln, bias)
            if bias:
                for norm in (block.norm_1, block.norm_2):
                    norm.bias = nn.Parameter(torch.zeros(config.d_model))
                block.ffn.up_proj.bias = nn.Parameter(torch.zeros(4 * config.d_model))
                block.ffn.down_proj.bias = nn.Parameter(torch.zeros(config.d_model))
        if bias:
            model.transformer.norm_f.bias = nn.Parameter(torch.zeros(config.d_model))
        return randomise(model, seed)
    return build


def edit_config(folder, change, attention=None, remove=()):
    path = folder / "config.json"
    data = json.loads(path.read_text())
    data |= change
    for key in remove:
        data.pop(key, None)
    if attention:
        data["attn_config"] |= attention
    path.write_text(json.dumps(data, indent=2) + "\n")


def rename(folder, old, new):
    tensors = load_file(folder / "model.safetensors")
    save_file({k.replace(old, new, 1) if k.startswith(old) else k: v for k, v in tensors.items()},
              folder / "model.safetensors", {"format": "pt"})


def add_long(folder, kind):
    """One pass over more tokens than max_position_embeddings."""
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(3, 64, (100,), generator=torch.Generator().manual_seed(77)).tolist()
    tensors = load_file(folder / "expected.safetensors")
    tensors |= {"long.ids": torch.tensor(ids, dtype=torch.int32), "long.logits": logits_of(model, ids).contiguous()}
    save_file(tensors, folder / "expected.safetensors")


llama = lambda **change: lambda s: randomise(LlamaForCausalLM(LlamaConfig(**(LLAMA | change))), s)
opt = lambda **change: lambda s: randomise(OPTForCausalLM(OPTConfig(**(OPT | change))), s)
mistral = lambda **change: lambda s: randomise(MistralForCausalLM(MistralConfig(**(LLAMA | change))), s)
qwen2 = lambda **change: lambda s: randomise(Qwen2ForCausalLM(Qwen2Config(**(LLAMA | change))), s)
F16 = torch.float16


def opt_350m(name):
    plain(name, opt(do_layer_norm_before=False, word_embed_proj_dim=16), 101, F16, trace=True)


def opt_no_final_norm(name):
    folder = plain(name, opt(_remove_final_layer_norm=True, enable_bias=False), 102, F16)
    edit_config(folder, {"_remove_final_layer_norm": True})
    rename(folder, "model.decoder.", "decoder.")


def opt_projected(name):
    plain(name, opt(word_embed_proj_dim=40, tie_word_embeddings=False), 103, F16)


def mpt_clip(name):
    plain(name, lambda s: randomise(MptForCausalLM(MptConfig(**(MPT | dict(d_model=32, n_heads=4, vocab_size=96)),
                                                             attn_config={"clip_qkv": 1.5})), s), 104, F16)


def mpt_qk_ln(name):
    folder = plain(name, original_mpt(qk_ln=True, clip=1.5), 105, F16)
    edit_config(folder, {}, {"qk_ln": True})


def mpt_grouped(name):
    folder = plain(name, original_mpt(kv_heads=2, d_model=32, n_heads=4), 106, F16)
    edit_config(folder, {}, {"attn_type": "grouped_query_attention", "kv_n_heads": 2})


def mpt_bias(name):
    plain(name, original_mpt(bias=True), 107, F16)


def rope_linear(name):
    plain(name, llama(rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}), 108, F16)


def rope_dynamic(name):
    """In the older form."""
    scaling = {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 2.0}
    build = llama(rope_parameters=scaling, max_position_embeddings=64)
    folder = plain(name, build, 109, F16)
    add_long(folder, LlamaForCausalLM)
    edit_config(folder, {"rope_theta": 500.0, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
                remove=["rope_parameters"])


def rope_llama3(name):
    plain(name, llama(rope_parameters={"rope_type": "llama3", "rope_theta": 200.0, "factor": 4.0, "low_freq_factor": 1.0,
                                       "high_freq_factor": 4.0, "original_max_position_embeddings": 24},
                      head_dim=16), 110, F16)


def rope_yarn(name):
    plain(name, llama(rope_parameters={"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "beta_fast": 4.0,
                                       "original_max_position_embeddings": 24},
                      head_dim=16), 111, F16)


def mistral_window(name):
    plain(name, mistral(sliding_window=7, head_dim=12), 112, F16)


def qwen2_window(name):
    plain(name, qwen2(use_sliding_window=True, sliding_window=5, max_window_layers=1, tie_word_embeddings=True), 113, F16,
          trace=True)


VARIANTS = {"opt-350m": opt_350m, "opt-no-final-norm": opt_no_final_norm, "opt-projected": opt_projected,
            "mpt-clip": mpt_clip, "mpt-qk-ln": mpt_qk_ln, "mpt-grouped": mpt_grouped, "mpt-bias": mpt_bias,
            "llama-rope-linear": rope_linear, "llama-rope-dynamic": rope_dynamic, "llama-rope-llama3": rope_llama3,
            "llama-rope-yarn": rope_yarn, "mistral-window": mistral_window, "qwen2-window": qwen2_window}

if __name__ == "__main__":
    torch.manual_seed(0)
    for name in sys.argv[1:] or VARIANTS:
        VARIANTS[name](name)
