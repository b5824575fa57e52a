#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of published shapes whose weights are holes: files of the right size and headers that take no room.

    sparse_checkpoint.py --format safetensors|pytorch --output DIR [--layers 80 --hidden 8192 ...]

The defaults are Llama 2 70B in bfloat16, in shards of 10 GB with an index. No PyTorch is needed: the pickle and
the zip archive are written here (PyTorch's notes "Serialization semantics"; APPNOTE.TXT 4.3 with its ZIP64 fields).
"""
import argparse
import collections
import io
import json
import os
import pickle
import struct
import sys
import types


def tensors(a):
    kv = a.hidden // a.heads * a.kv_heads
    yield "model.embed_tokens.weight", (a.vocab, a.hidden)
    for i in range(a.layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (a.hidden,)
        yield p + "mlp.down_proj.weight", (a.hidden, a.intermediate)
        yield p + "mlp.gate_proj.weight", (a.intermediate, a.hidden)
        yield p + "mlp.up_proj.weight", (a.intermediate, a.hidden)
        yield p + "post_attention_layernorm.weight", (a.hidden,)
        yield p + "self_attn.k_proj.weight", (kv, a.hidden)
        yield p + "self_attn.o_proj.weight", (a.hidden, a.hidden)
        yield p + "self_attn.q_proj.weight", (a.hidden, a.hidden)
        yield p + "self_attn.v_proj.weight", (kv, a.hidden)
    yield "model.norm.weight", (a.hidden,)
    yield "lm_head.weight", (a.vocab, a.hidden)


def count(shape):
    n = 1
    for extent in shape:
        n *= extent
    return n


def shards(a):
    """Lists of (name, shape), each of about `shard_bytes`."""
    part, size = [], 0
    for name, shape in tensors(a):
        if part and size + 2 * count(shape) > a.shard_bytes:
            yield part
            part, size = [], 0
        part.append((name, shape))
        size += 2 * count(shape)
    yield part


def write_safetensors(path, part):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in part:
        end = at + 2 * count(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)


def fake_torch():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    class BFloat16Storage:
        pass

    def _rebuild_tensor_v2(*args):
        raise RuntimeError("only named, never called")

    BFloat16Storage.__module__, BFloat16Storage.__qualname__ = "torch", "BFloat16Storage"
    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    torch.BFloat16Storage, utils._rebuild_tensor_v2, torch._utils = BFloat16Storage, _rebuild_tensor_v2, utils
    sys.modules.update({"torch": torch, "torch._utils": utils})
    return torch


class Storage:
    def __init__(self, key, numbers):
        self.key, self.numbers = key, numbers


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape

    def __reduce__(self):
        strides, step = [], 1
        for extent in reversed(self.shape):
            strides.insert(0, step)
            step *= extent
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, 0, self.shape, tuple(strides), False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return "storage", sys.modules["torch"].BFloat16Storage, value.key, "cpu", value.numbers
        return None


def write_pytorch(path, part):
    """Stored entries with ZIP64 sizes; those of weights are holes, and their checksums mean nothing."""
    import zlib

    state, entries = collections.OrderedDict(), []
    for key, (name, shape) in enumerate(part):
        state[name] = Tensor(Storage(str(key), count(shape)), shape)
    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump(state)
    entries.append(("archive/data.pkl", pickled.getvalue()))
    entries += [(f"archive/data/{key}", 2 * count(shape)) for key, (_, shape) in enumerate(part)]
    entries.append(("archive/version", b"3\n"))
    directory = b""
    with open(path, "wb") as f:
        for name, content in entries:
            size = len(content) if isinstance(content, bytes) else content
            crc = zlib.crc32(content) if isinstance(content, bytes) else 0
            raw, at = name.encode(), f.tell()
            zip64 = struct.pack("<HHQQ", 1, 16, size, size)
            pad = -(at + 30 + len(raw) + len(zip64) + 4) % 64  # PyTorch aligns storages so
            extra = zip64 + struct.pack("<HH", 0x4246, pad) + b"Z" * pad
            f.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0x21, crc, 0xFFFFFFFF, 0xFFFFFFFF,
                                len(raw), len(extra)) + raw + extra)
            if isinstance(content, bytes):
                f.write(content)
            else:
                f.seek(size, os.SEEK_CUR)
            zip64 = struct.pack("<HHQQQ", 1, 24, size, size, at)
            directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0x21, crc, 0xFFFFFFFF,
                                     0xFFFFFFFF, len(raw), len(zip64), 0, 0, 0, 0, 0xFFFFFFFF) + raw + zip64
        at = f.tell()
        f.write(directory)
        end = f.tell()
        f.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, len(entries), len(entries),
                            len(directory), at))
        f.write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        f.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(entries), len(entries), 0xFFFFFFFF, 0xFFFFFFFF, 0))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--format", choices=("safetensors", "pytorch"), required=True)
    p.add_argument("--output", required=True)
    for name, value in (("layers", 80), ("hidden", 8192), ("intermediate", 28672), ("heads", 64),
                        ("kv-heads", 8), ("vocab", 32000), ("shard-bytes", 10**10)):
        p.add_argument("--" + name, type=int, default=value)
    a = p.parse_args()
    os.makedirs(a.output)
    fake_torch()
    parts = list(shards(a))
    weight_map, total = {}, 0
    pattern = {"safetensors": "model-{:05d}-of-{:05d}.safetensors", "pytorch": "pytorch_model-{:05d}-of-{:05d}.bin"}
    write = {"safetensors": write_safetensors, "pytorch": write_pytorch}[a.format]
    for i, part in enumerate(parts):
        name = pattern[a.format].format(i + 1, len(parts))
        write(os.path.join(a.output, name), part)
        for tensor, shape in part:
            weight_map[tensor] = name
            total += 2 * count(shape)
    index = {"safetensors": "model.safetensors.index.json", "pytorch": "pytorch_model.bin.index.json"}[a.format]
    with open(os.path.join(a.output, index), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, f)
    with open(os.path.join(a.output, "config.json"), "w") as f:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
                   "hidden_size": a.hidden, "intermediate_size": a.intermediate, "num_hidden_layers": a.layers,
                   "num_attention_heads": a.heads, "num_key_value_heads": a.kv_heads, "vocab_size": a.vocab,
                   "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
                   "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2}, f)
    print(f"{len(parts)} shards, {total} bytes of weights")


if __name__ == "__main__":
    main()
