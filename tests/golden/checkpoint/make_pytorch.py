#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small PyTorch weight files with torch.save, and what a reader must find in them.

Needs torch and safetensors (written with 2.15 and 0.8.0), and the files of make_checkpoints.py and of
tests/golden/models/make_models.py. Writes into pytorch/, beside itself:
    views.bin                every dtype, strided, transposed, offset and expanded views, shared storage, parameters
    views.safetensors        the same tensors, contiguous: what torch itself reads from views.bin
    deflated.bin, repacked.bin  views.bin packed again by Python's zipfile, deflated and stored (unaligned)
    byteorder.bin            a file that says it is big-endian
    legacy.bin               the format from before PyTorch 1.6
    sharded/                 the weights of ../sharded in two files with their index
    opt/                     the weights of tests/golden/models/opt
"""

import collections
import json
import shutil
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
OUT = HERE / "pytorch"
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool]


def views():
    generator = torch.Generator().manual_seed(3)
    state = collections.OrderedDict()
    for dtype in DTYPES:
        values = torch.randn(3, 5, generator=generator) * 50
        state["dtype." + str(dtype).removeprefix("torch.")] = values > 0 if dtype == torch.bool else values.abs().to(dtype)
    base = torch.randn(6, 4, 5, generator=generator)
    state["base"] = base
    state["offset"] = base[2:4]
    state["transposed"] = base.transpose(0, 2)
    state["strided"] = base[::2, 1:4:2, ::3]
    state["column"] = base[:, 1, 3]
    state["last"] = base[5, 3, 4]
    state["permuted"] = base.permute(1, 2, 0)[1:, ::2]
    state["one.extents"] = base.as_strided((1, 5, 1), (999, 1, 777), 20)  # strides of extents of 1 do not matter
    state["half"] = torch.randn(4, 6, generator=generator).half()
    state["half.transposed"] = state["half"].t()
    state["bfloat.shared"] = torch.arange(12.0).bfloat16().view(3, 4)
    state["bfloat.tied"] = state["bfloat.shared"]
    state["expanded"] = torch.tensor([[1.5], [2.5]]).expand(2, 7)
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(4, 0, 2)
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 3, generator=generator))
    state["parameter.half"] = torch.nn.Parameter(torch.ones(3).half(), requires_grad=False)
    state["rotary_emb.inv_freq"] = 1.0 / 10000 ** (torch.arange(0, 8, 2).float() / 8)
    state["name.größe"] = torch.tensor([7], dtype=torch.int32)
    # What is no tensor is left out by the reader.
    state["step"] = 12345678901
    state["note"] = "text"
    state["ratio"] = -0.5
    state["flag"] = None
    state["numbers"] = [1, -2, 70000, (1, 2, 3, 4)]
    state["shape"] = torch.Size([2, 3])
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return state


def repack(source, target, method):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name), compress_type=method)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.save(views(), OUT / "views.bin")
    read = torch.load(OUT / "views.bin", weights_only=True)
    save_file({name: value.detach().clone().contiguous() for name, value in read.items() if torch.is_tensor(value)},
              OUT / "views.safetensors")
    repack(OUT / "views.bin", OUT / "deflated.bin", zipfile.ZIP_DEFLATED)
    repack(OUT / "views.bin", OUT / "repacked.bin", zipfile.ZIP_STORED)

    small = {"weight": torch.ones(2)}
    torch.save(small, OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(small, OUT / "small.bin")
    with zipfile.ZipFile(OUT / "small.bin") as old, zipfile.ZipFile(OUT / "byteorder.bin", "w") as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), b"big" if name.endswith("/byteorder") else old.read(name))
    (OUT / "small.bin").unlink()

    sharded = OUT / "sharded"
    sharded.mkdir()
    shutil.copy(HERE / "sharded" / "config.json", sharded)
    weights = {}
    for file in sorted((HERE / "sharded").glob("*.safetensors")):
        weights.update(load_file(file))
    names = list(weights)
    weight_map = {}
    for index, part in enumerate([names[: len(names) // 2], names[len(names) // 2:]]):
        file = f"pytorch_model-{index + 1:05}-of-00002.bin"
        torch.save({name: weights[name] for name in part}, sharded / file)
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())}, "weight_map": weight_map}
    (sharded / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")

    opt = OUT / "opt"
    opt.mkdir()
    source = HERE.parent / "models" / "opt"
    shutil.copy(source / "config.json", opt)
    torch.save(collections.OrderedDict(load_file(source / "model.safetensors")), opt / "pytorch_model.bin")
    return 0


if __name__ == "__main__":
    sys.exit(main())
