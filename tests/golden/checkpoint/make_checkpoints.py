#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small safetensors files with the format's own library, and what a reader must find in them.

Needs torch, safetensors and transformers (written with 2.15, 0.8.0 and 5.23.0). Writes, beside itself:
    dtypes.safetensors   one tensor a dtype, a scalar, an empty tensor, metadata
    sharded/             a tiny Llama checkpoint in several files with their index
    expected.json        {"dtypes": {name: {dtype, shape, sum}}, "sharded": {...}}; sum: of the bytes, unsigned
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def describe(tensor):
    data = tensor.contiguous().view(-1)
    total = int(data.view(torch.uint8).to(torch.int64).sum()) if data.numel() else 0
    return {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "sum": total}


def main():
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for dtype, name in NAMES.items():
        values = torch.randn(3, 5, generator=generator) * 50
        tensors["tensor." + name.lower()] = (values > 0) if dtype == torch.bool else values.abs().to(dtype)
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(4, 0, 2)
    save_file(tensors, HERE / "dtypes.safetensors", metadata={"format": "pt", "note": "zwölf \"quoted\"\n"})

    torch.manual_seed(2)
    config = LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=48, max_position_embeddings=64, tie_word_embeddings=False)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    shutil.rmtree(HERE / "sharded", ignore_errors=True)
    model.save_pretrained(HERE / "sharded", max_shard_size=3000)
    sharded = {}
    for file in sorted((HERE / "sharded").glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():
                sharded[name] = {**describe(opened.get_tensor(name)), "file": file.name}
    assert len({entry["file"] for entry in sharded.values()}) > 2
    expected = {"dtypes": {name: describe(tensor) for name, tensor in tensors.items()}, "sharded": sharded}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
