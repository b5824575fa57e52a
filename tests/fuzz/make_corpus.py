#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the fuzz targets' first inputs, corpus/TARGET/*, from the small checkpoints of tests/golden.

Needs Python's own library only. Files named crash-* and found-* are inputs that once ended a target, or that a long
run found to reach new code; they are kept.
"""

import gzip
import io
import json
import random
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
SEPARATOR = b"\n-----\n"


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def clear():
    for path in (HERE / "corpus").glob("*/*"):
        if not path.name.startswith(("crash-", "found-")):
            path.unlink()


def compact(document):
    return json.dumps(document, separators=(",", ":")).encode()


def safetensors(tensors, metadata=None):
    """tensors: [(name, dtype, shape, bytes)]; the header's text and the data."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape, content in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return compact(header), data


def whole(header, data):
    return struct.pack("<Q", len(header)) + header + data


def doubles(values):
    return struct.pack(f"<{len(values)}d", *values)


def integers(values):
    return struct.pack(f"<{len(values)}i", *values)


def safetensors_files():
    golden = (GOLDEN / "checkpoint/dtypes.safetensors").read_bytes()
    put("safetensors", "dtypes", golden)
    length = struct.unpack("<Q", golden[:8])[0]
    put("safetensors_header", "dtypes", golden[8:8 + length] + SEPARATOR + golden[8 + length:])
    files = {
        "empty": safetensors([]),
        "one": safetensors([("w", "F32", [2, 2], bytes(16))], {"format": "pt"}),
        "no-elements": safetensors([("a", "F16", [0, 3], b""), ("b", "BF16", [2], bytes(4)), ("c", "I64", [], bytes(8))]),
        "all": safetensors([(d, d, [1], bytes(n)) for d, n in
                            [("F64", 8), ("I64", 8), ("F32", 4), ("I32", 4), ("F16", 2), ("BF16", 2), ("I16", 2),
                             ("I8", 1), ("U8", 1), ("BOOL", 1)]]),
    }
    for name, (header, data) in files.items():
        put("safetensors", name, whole(header, data))
        put("safetensors_header", name, header + SEPARATOR + data)


def pytorch_files():
    for name in ("views", "deflated", "repacked", "byteorder", "legacy"):
        data = (GOLDEN / f"checkpoint/pytorch/{name}.bin").read_bytes()
        put("pytorch_file", name, data)
        if name != "legacy":
            put("zip_archive", name, data)
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                pickle = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                put("pytorch_pickle", name, archive.read(pickle))
    for name, method in (("stored", zipfile.ZIP_STORED), ("packed", zipfile.ZIP_DEFLATED)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.comment = b"comment"
            archive.writestr(zipfile.ZipInfo("a"), b"x" * 40, method)
            archive.writestr(zipfile.ZipInfo("b/c"), b"", method)
        put("zip_archive", name, buffer.getvalue())

    # A tensor by hand, protocol 2: {"w": _rebuild_tensor_v2(storage, 0, (2, 3), (3, 1), False, OrderedDict())}
    def text(s):
        return b"X" + struct.pack("<I", len(s)) + s

    for storage, size in ((b"FloatStorage", 6), (b"HalfStorage", 100), (b"BFloat16Storage", 128)):
        put("pytorch_pickle", storage.decode().lower(),
            b"\x80\x02}q\x00(" + text(b"w") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text(b"storage") + b"ctorch\n" +
            storage + b"\n" + text(b"1") + text(b"cpu") + b"K" + bytes([size]) + b"tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89" +
            b"ccollections\nOrderedDict\n)RtRu.")


def configurations():
    for config in sorted(GOLDEN.glob("models/*/config.json")):
        document = json.loads(config.read_text())
        put("model_config", config.parent.name, compact(document))
        if "eigen_attention" in document:
            put("low_rank_description", config.parent.name, compact(document["eigen_attention"]))
    put("low_rank_description", "full", compact({
        "version": 1, "method": "attention-aware", "criterion": "energy", "source": "tiny", "head_group": 2,
        "calibration": {"text": "t.txt", "fingerprint": "0", "samples": 4, "sequence_length": 8,
                        "seed": 2 ** 64 - 1, "average_samples": 2},
        "key_ranks": [1, 2, 31, 32], "value_ranks": [8, 8, 8, 8], "kv_ratio": 0.4, "share_key_basis": True, "center": True,
        "key_bits": [8, 4, 3, 2], "value_bits": [16, 4, 4, 2], "kv_group": 32, "kv_keys": "channel", "kv_recent": 16}))
    put("low_rank_description", "least", compact({"version": 1, "key_ranks": [1] * 4, "value_ranks": [16] * 4}))


def small_tokenizer(document, merges):
    """The same rules with a vocabulary of few tokens: those of one character or byte, and of the first merges."""
    model = document["model"]
    model["merges"] = model["merges"][:merges]
    made = {"".join(m if isinstance(m, list) else m.split(" ")) for m in model["merges"]}
    keep = [t for t in model["vocab"] if t in made or len(t) == 1 or t.startswith("<")]
    letters = [t for t in keep if len(t) > 1 or t.isascii() or t in "ĠĊ▁"]
    model["vocab"] = {t: i for i, t in enumerate(letters)}
    model["merges"] = [m for m in model["merges"]
                       if all(p in model["vocab"] for p in (m if isinstance(m, list) else m.split(" ")))
                       and "".join(m if isinstance(m, list) else m.split(" ")) in model["vocab"]]
    for i, token in enumerate(document.get("added_tokens", [])):
        token["id"] = model["vocab"].get(token["content"], len(model["vocab"]) + i)
    return document


def tokenizers():
    for path in sorted(GOLDEN.glob("tokenizer/*/tokenizer.json")):
        parts = [compact(small_tokenizer(json.loads(path.read_text()), 25))]
        for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"):
            file = path.parent / name
            parts.append(compact(json.loads(file.read_text())) if file.exists() else b"")
        put("tokenizer_json", path.parent.name, SEPARATOR.join(parts))
    vocabulary = {t: i for i, t in enumerate(["<s>", "</s>", "<unk>", "a", "b", "Ġ", "Ġa", "ab", "Ġab", "<|endoftext|>"])}
    merges = "#version: 0.2\na b\nĠ a\nĠa b\n"
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": True, "bos_token": "</s>",
                "added_tokens_decoder": {"1": {"content": "</s>", "special": True, "lstrip": True}}}
    put("vocab_merges", "small", compact(vocabulary) + SEPARATOR + merges.encode())
    put("vocab_merges", "settings", compact(vocabulary) + SEPARATOR + merges.encode() + SEPARATOR + compact(settings))
    model = (GOLDEN / "tokenizer/sentencepiece_llama/tokenizer.model").read_bytes()
    put("sentencepiece_model", "beginning", model[:model_prefix(model, 400)])
    put("sentencepiece_model", "end", model_tail(model))
    for i, case in enumerate(json.loads((GOLDEN / "tokenizer/chat.json").read_text())["cases"]):
        put("chat_template", f"golden-{i:02d}", case["template"])
    put("chat_template", "settings", SEPARATOR + compact(
        {"bos_token": "<s>", "eos_token": {"content": "</s>"},
         "chat_template": [{"name": "default", "template": "{{ bos_token }}{% for m in messages %}{{ m.content | trim }}"
                                                           "{% endfor %}"}]}))
    put("chat_template", "values",
        "{%- set ns = namespace(n=0, l=[1, 'a', {'b': none}]) -%}{% for i in range(3) if i != 1 %}{% set ns.n = ns.n + i * 2 "
        "// 1 % 5 - 1 %}{{ loop.index ~ ':' ~ ns.n }}{% else %}x{% endfor %}{{ ns.l[1:] | tojson(indent=2) }}{{ ns.l | length }}"
        "{{ 'a,b'.split(',')[-1] | upper }}{{ ['p', 'q'] | join('-') }}{% if ns.n is defined and not (1 in ns.l) %}{{ 'y' "
        "if true else 'z' }}{% elif 2 > 1 %}{% endif %}{# no text #}{{ ' s '.strip() | replace('s', 't') }}{{ {'k': 1}.items() | "
        "list | first | last }}{% set block %}in{% endset %}{{ block | default('d', true) }}{{ strftime_now('%Y') | length }}")


def fields(model):
    """Ends of the message's top-level fields, all length-delimited with tags of one byte."""
    at = 0
    while at < len(model):
        at += 1
        size = shift = 0
        while True:
            byte = model[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += size
        yield at


def model_prefix(model, most):
    return max(end for end in fields(model) if end <= most)


def model_tail(model):
    ends = list(fields(model))
    return model[ends[-4] if len(ends) > 3 else 0:][:4000]


def moments(rng, heads, width, rows):
    gram, total = [], []
    for _ in range(heads):
        samples = [[rng.gauss(0, 1) for _ in range(width)] for _ in range(rows)]
        gram += [sum(s[i] * s[j] for s in samples) for i in range(width) for j in range(width)]
        total += [sum(s[i] for s in samples) for i in range(width)]
    return doubles(gram), doubles(total)


def statistics_file(layers, query_heads, kv_heads, width, attention, group, tables):
    rng = random.Random(layers * 100 + width)
    tokens = 4
    metadata = {"format": "eigenscope.statistics", "version": "1", "model_name": "tiny", "model_fingerprint": "0", "family": "llama",
                "rotary": "true", "layers": str(layers), "query_heads": str(query_heads), "kv_heads": str(kv_heads),
                "head_dim": str(width), "head_group": str(group), "tokens": str(tokens), "calibration.text": "t.txt",
                "calibration.fingerprint": "0", "calibration.samples": "1", "calibration.sequence_length": "4",
                "calibration.seed": "0", "calibration.average_samples": "1"}
    tensors = []

    def add(name, heads, size):
        gram, total = moments(rng, heads, size, tokens)
        tensors.append((name + ".gram", "F64", [heads, size, size], gram))
        tensors.append((name + ".sum", "F64", [heads, size], total))

    for i in range(layers):
        for kind in ("keys", "queries", "values", "outputs"):
            add(f"layers.{i}.{kind}", kv_heads, width)
        if attention:
            add(f"layers.{i}.logit_queries", kv_heads, width)
            tensors.pop()
            add(f"layers.{i}.logit_keys", kv_heads, width)
            tensors.append((f"layers.{i}.logit_weights", "F64", [kv_heads], doubles([1.0] * kv_heads)))
            tensors.append((f"layers.{i}.projection", "F64", [kv_heads, width, width], moments(rng, kv_heads, width, 3)[0]))
    for i in range(layers if group > 1 else 0):
        for kind in ("joint_keys", "joint_values") + (("joint_logit_keys",) if attention else ()):
            add(f"layers.{i}.{kind}", kv_heads // group, width * group)
    if tables:
        metadata["corpus"] = json.dumps({"files": [{"name": "t.txt", "fingerprint": "0", "format": "text", "sampling": "whole",
                                                    "weight": 1.0, "documents": 1, "windows": 1}], "text_field": ""})
        metadata["calibration.identity"] = json.dumps([["model", "0"], ["seed", "0"]])
        metadata["sensitivity.count"] = metadata["layer_errors.count"] = "1"
        for kind in ("sensitivity", "layer_errors"):
            metadata |= {f"{kind}.0.method": "eigen", f"{kind}.0.share_key_basis": "false", f"{kind}.0.center": "false",
                         f"{kind}.0.head_group": "1", f"{kind}.0.windows": "2", f"{kind}.0.sequence_length": "4"}
        metadata |= {"sensitivity.0.text": "t.txt", "sensitivity.0.fingerprint": "0", "sensitivity.0.kv_group": "8",
                     "sensitivity.0.kv_keys": "token", "sensitivity.0.kv_recent": "0", "layer_errors.0.criterion": "energy"}
        tensors += [("sensitivity.0.ranks", "I32", [2], integers([1, width])),
                    ("sensitivity.0.kl", "F64", [layers, 2, 2], doubles([0.5] * (4 * layers))),
                    ("sensitivity.0.bits", "I32", [2], integers([8, 4])),
                    ("sensitivity.0.bit_ranks", "I32", [1], integers([width])),
                    ("sensitivity.0.bit_kl", "F64", [layers, 2, 2, 1], doubles([0.25] * (4 * layers))),
                    ("layer_errors.0.ranks", "I32", [layers, 2, 2], integers([1, 1, width, width] * layers)),
                    ("layer_errors.0.error", "F64", [layers, 2], doubles([0.5, 0.0] * layers))]
        tensors.append(("probe_windows", "I32", [2, 3], integers([1, 2, 3, 4, 5, 6])))
    return safetensors(tensors, metadata)


def statistics_files():
    for name, arguments in {"least": (1, 1, 1, 1, False, 1, False), "grouped": (1, 4, 2, 2, False, 1, False),
                            "attention": (1, 2, 2, 2, True, 1, False), "joint": (1, 2, 2, 2, True, 2, False),
                            "tables": (2, 1, 1, 2, False, 1, True)}.items():
        header, data = statistics_file(*arguments)
        put("statistics", name, header + SEPARATOR + data)
    header, data = safetensors([("layers.0.sums", "F64", [3], doubles([1, 2, 3])), ("layers.1.sums", "F64", [1], doubles([4]))],
                               {"format": "eigenscope.partial-calibration", "windows": "7",
                                "identity": json.dumps([["model", "0"], ["seed", "1"]])})
    put("partial_calibration", "two-layers", header + SEPARATOR + data)


def plans():
    plan = {"version": 1, "method": "eigen", "criterion": "energy", "share_key_basis": False, "center": False, "head_group": 1,
            "allocation": "threshold", "rank_multiple": 8, "key_ranks": [8, 16], "value_ranks": [8, 8],
            "pinned": {"keys": [False, True], "values": [False, False]}, "thresholds": {"keys": 0.9, "values": 0.95}}
    put("rank_plan", "threshold", compact(plan))
    put("rank_plan", "budget", compact(plan | {"allocation": "error-budget", "error_budget": 0.05, "method": "attention-aware",
                                               "criterion": "singular-values", "share_key_basis": True,
                                               "layer_thresholds": {"keys": [0.9, None], "values": [None, 0.5]}}))
    put("rank_plan", "bits", compact(plan | {"allocation": "sensitivity", "kv_target": 0.3, "mixed_bits": True, "head_group": 2,
                                             "key_bits": [4, 16], "value_bits": [8, 2], "kv_group": 64, "kv_keys": "channel",
                                             "kv_recent": 8}))
    put("rank_plan", "least", compact({k: plan[k] for k in ("version", "method", "criterion", "key_ranks", "value_ranks")}))


def projects():
    plan = {"version": 1, "method": "attention-aware", "criterion": "energy", "head_group": 2, "key_ranks": [8, 16],
            "value_ranks": [8, 8], "kv_group": 64, "pinned": {"keys": [True, False], "values": [False, False]}}
    first = {"name": "tiny", "kv_format": "f16", "kv_ratio": 1.0, "perplexity": 4.5, "perplexity_standard_error": 0.25,
             "ttft_ms": 3.5, "tpot_ms": 1.25, "kv_cache_bytes": 65536, "peak_memory_bytes": 1048576}
    measurement = {"measured": "2026-11-28T18:03:11Z", "text": "text/heldout.txt", "windows": 8, "tokens": 4088,
                   "repetitions": 5, "new_tokens": 64, "nats_lost": -0.001, "nats_lost_standard_error": 0.002,
                   "kl_divergence": 0.01, "kl_divergence_standard_error": 0.001, "top1_agreement": 0.97,
                   "top1_agreement_standard_error": 0.01,
                   "models": [first, {"name": "tiny-0.6", "kv_format": "q4", "kv_ratio": 0.16, "kv_cache_bytes": 0,
                                      "peak_memory_bytes": 0}]}
    least = {"format": "eigenscope.project", "version": 1, "model": "models/tiny"}
    put("project", "least", compact(least))
    put("project", "preset", compact(least | {"model": "preset:llama-3-8b", "selection": {"layer": 3, "side": "keys"}}))
    put("project", "paths", compact(least | {"model": "../models/./tiny/", "comparison_model": "/srv/models/other",
                                             "statistics": "../../far.stats.safetensors", "converted": "./preset:x"}))
    put("project", "full", compact(least | {"statistics": "tiny.stats.safetensors", "plan": plan, "converted": "tiny-0.6",
                                            "selection": {"layer": 1, "head": 0, "side": "values"},
                                            "measurements": [measurement]}))


def texts():
    for name in ("few.json", "short.jsonl", "alpaca.json"):
        data = (GOLDEN / "corpus" / name).read_bytes()
        put("corpus", name, bytes([0 if name.endswith("l") else 1]) + (data if len(data) < 6000 else data[:3000]))
    records = b'{"text": "One."}\n{"text": "\\u00dcber \\ud83d\\ude00", "n": [1, {"a": null}]}\n\n"plain"\n{"content": "c"}\n'
    put("corpus", "records", b"\x00" + records)
    put("corpus", "content", b"\x84" + records)
    put("corpus", "alpaca", b'\x01\xef\xbb\xbf[{"instruction": "Say", "input": "", "output": "Yes"}, {"text": null}]\n')
    put("corpus", "plain", b"\x02One line.\nAnd another \xc3\x9cber all.\n")
    put("corpus", "stretches", b"\x82" + "Äpfel und Birnen. ".encode() * 20)
    put("corpus", "gzip-records", b"\x03" + gzip.compress(records, mtime=0))
    put("corpus", "gzip-twice", b"\x04" + gzip.compress(b"first ", mtime=0) + gzip.compress(b"second", mtime=0) + bytes(8))
    put("corpus", "sniffed", b"\x05" + records)
    index = {"metadata": {"total_size": 12}, "weight_map": {"one": "a.safetensors", "two": "a.safetensors", "three": "b.safetensors"}}
    put("checkpoint_index", "good", compact(index))
    put("checkpoint_index", "other", compact({"weight_map": {"two": "b.safetensors"}}))


def main():
    clear()
    safetensors_files()
    pytorch_files()
    configurations()
    tokenizers()
    statistics_files()
    plans()
    projects()
    texts()
    total = sum(p.stat().st_size for p in (HERE / "corpus").rglob("*") if p.is_file())
    print(f"{total} bytes")


if __name__ == "__main__":
    main()
