#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the demo language models and saves them as Hugging Face checkpoints.

    generate_stories.py --split train --out stories.txt
    train.py llama --text stories.txt --out ../llama-stories --steps 1800
    train.py opt   --text stories.txt --out ../opt-stories   --steps 1800
    train.py mpt   --text stories.txt --out ../mpt-stories   --steps 1800

Needs torch, transformers, tokenizers, sentencepiece, safetensors and numpy; a
CPU is enough.  The learning rate follows a warm-up and a cosine over --steps,
or over --minutes of wall clock.  `<family>_log.json` in the work folder holds
what a model card needs.
"""
import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB = 1024
CONTEXT = 512


# ---------------------------------------------------------------------------
# Tokenizers
# ---------------------------------------------------------------------------
def dump(path, obj):
    with open(path, "w") as f:
        json.dump(obj, f, indent=2)
        f.write("\n")


def make_tokenizer(family, sample, out):
    """Trains the tokenizer of a family on `sample` (a string) and writes its files to `out`."""
    os.makedirs(out, exist_ok=True)
    if family == "llama":
        import sentencepiece as spm
        # One story a line.  A word that opens a paragraph has no space before
        # it; the quotation mark in place of the newline shows the trainer such words.
        lines = (s.replace("\n", '"') for s in sample.split("\n\n"))
        spm.SentencePieceTrainer.train(
            sentence_iterator=lines, model_prefix=os.path.join(out, "tokenizer"), model_type="bpe", vocab_size=VOCAB,
            byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity", split_digits=True,
            remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
            unk_surface=" \u2047 ", num_threads=2, max_sentence_length=8192, minloglevel=2)
        os.remove(os.path.join(out, "tokenizer.vocab"))
        special = {k: {"content": v, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
                   for k, v in (("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"))}
        dump(os.path.join(out, "tokenizer_config.json"), {
            "add_bos_token": True, "add_eos_token": False,
            "added_tokens_decoder": {str(i): dict(special[k], special=True)
                                     for i, k in enumerate(("unk_token", "bos_token", "eos_token"))},
            "bos_token": "<s>", "clean_up_tokenization_spaces": False, "eos_token": "</s>", "legacy": True,
            "model_max_length": CONTEXT, "pad_token": None, "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer",
            "unk_token": "<unk>"})
        dump(os.path.join(out, "special_tokens_map.json"), special)
        return
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=True)
    if family == "mpt":
        tok.normalizer = normalizers.NFC()
    special = ["<s>", "<pad>", "</s>", "<unk>"] if family == "opt" else ["<|endoftext|>", "<|padding|>"]
    tok.train_from_iterator(sample.split("\n\n"), trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if family == "opt":
        tok.model.save(out)  # vocab.json, merges.txt
        added = {"__type": "AddedToken", "content": "</s>", "lstrip": False, "normalized": True, "rstrip": False,
                 "single_word": False}
        dump(os.path.join(out, "tokenizer_config.json"), {
            "add_bos_token": True, "add_prefix_space": False, "bos_token": added, "eos_token": added, "errors": "replace",
            "model_max_length": CONTEXT, "pad_token": dict(added, content="<pad>"), "tokenizer_class": "GPT2Tokenizer",
            "unk_token": added})
        plain = {k: v for k, v in added.items() if k != "__type"}
        dump(os.path.join(out, "special_tokens_map.json"), {
            "bos_token": plain, "eos_token": plain, "pad_token": dict(plain, content="<pad>"), "unk_token": plain})
    else:
        tok.save(os.path.join(out, "tokenizer.json"))
        end = "<|endoftext|>"
        dump(os.path.join(out, "tokenizer_config.json"), {
            "add_prefix_space": False, "bos_token": end, "clean_up_tokenization_spaces": True, "eos_token": end,
            "model_max_length": CONTEXT, "tokenizer_class": "GPTNeoXTokenizer", "unk_token": end})
        dump(os.path.join(out, "special_tokens_map.json"), {"bos_token": end, "eos_token": end, "unk_token": end})


class Codec:
    """Text to token numbers and back, straight from the files of a checkpoint folder."""

    def __init__(self, family, folder):
        self.family = family
        path = lambda name: os.path.join(folder, name)
        if family == "llama":
            import sentencepiece as spm
            self.sp = spm.SentencePieceProcessor(model_file=path("tokenizer.model"))
            self.bos, self.eos = [1], 2
        else:
            from tokenizers import Tokenizer, decoders, models, pre_tokenizers
            if family == "opt":
                self.tok = Tokenizer(models.BPE.from_file(path("vocab.json"), path("merges.txt")))
                self.tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
                self.tok.decoder = decoders.ByteLevel()
                self.bos, self.eos = [2], 2
            else:
                self.tok = Tokenizer.from_file(path("tokenizer.json"))
                self.bos, self.eos = [], 0

    def encode_many(self, texts):
        if self.family == "llama":
            return self.sp.encode(texts)
        return [e.ids for e in self.tok.encode_batch(texts, add_special_tokens=False)]

    def encode(self, text):
        return self.encode_many([text])[0]

    def decode(self, ids):
        return self.sp.decode(ids) if self.family == "llama" else self.tok.decode(ids)


def token_stream(codec, text, seed):
    """Documents of one to three stories: [bos] text, and eos where a document ends.

    OPT's bos and eos are one token, so there a single one parts two documents.
    """
    rng = np.random.default_rng(seed)
    stories, docs, i = text.strip().split("\n\n"), [], 0
    while i < len(stories):
        n = int(rng.integers(1, 4))
        docs.append("\n\n".join(stories[i:i + n]))
        i += n
    ids, starts = [], []
    for k in range(0, len(docs), 1000):
        for d in codec.encode_many(docs[k:k + 1000]):
            starts.append(len(ids))
            ids.extend(codec.bos + d + ([] if codec.family == "opt" else [codec.eos]))
    return np.array(ids, dtype=np.uint16), np.array(starts)


# ---------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------
def make_model(family):
    import transformers as tf
    if family == "llama":
        return tf.LlamaForCausalLM(tf.LlamaConfig(
            vocab_size=VOCAB, hidden_size=128, intermediate_size=320, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=2, head_dim=64, hidden_act="silu", max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
            initializer_range=0.02, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, attention_bias=False))
    if family == "opt":
        return tf.OPTForCausalLM(tf.OPTConfig(
            vocab_size=VOCAB, hidden_size=128, ffn_dim=512, num_hidden_layers=4, num_attention_heads=4,
            word_embed_proj_dim=128, max_position_embeddings=CONTEXT, do_layer_norm_before=True,
            activation_function="relu", dropout=0.0, attention_dropout=0.0, init_std=0.02, bos_token_id=2, eos_token_id=2,
            pad_token_id=1, prefix="</s>"))
    return tf.MptForCausalLM(tf.MptConfig(
        vocab_size=VOCAB, d_model=128, n_heads=4, n_layers=4, expansion_ratio=4, max_seq_len=CONTEXT,
        layer_norm_epsilon=1e-5, initializer_range=0.02, bos_token_id=0, eos_token_id=0))


@torch.no_grad()
def looking_back_start(family, model, match=2.0, previous=14.0):
    """Starts the first two layers near an induction circuit, which then trains like the rest.

    The first head of layer 0 looks at the previous token and notes it in a
    subspace B; the first head of layer 1 looks for a token whose note is the
    current token and copies it.  Small models find this by themselves only
    after a long plateau; here they start behind it.  (Compare the mimetic
    initialisation of arXiv 2305.09828.)
    """
    n = 128
    orthogonal = lambda: torch.linalg.qr(torch.randn(n, n))[0]
    emb = model.get_input_embeddings().weight
    emb.normal_(0, 0.12)
    size = 0.12 * math.sqrt(n)
    if family == "llama":
        att = [l.self_attn for l in model.model.layers]
        parts = [(a.q_proj.weight, a.k_proj.weight, a.v_proj.weight, a.o_proj.weight) for a in att]
        dim = model.config.head_dim
        common = orthogonal()[0]
        model.lm_head.weight.copy_(emb)
        emb.add_(common * 0.8)
    elif family == "opt":
        att = [l.self_attn for l in model.model.decoder.layers]
        parts = [(a.q_proj.weight, a.k_proj.weight, a.v_proj.weight, a.out_proj.weight) for a in att]
        dim = model.config.hidden_size // model.config.num_attention_heads
    else:
        parts = [(*b.attn.Wqkv.weight.chunk(3, 0), b.attn.out_proj.weight) for b in model.transformer.blocks]
        dim = model.config.d_model // model.config.n_heads
    (q0, k0, v0, o0), (q1, k1, v1, o1) = parts[:2]
    read, note, copy = orthogonal()[:dim], orthogonal()[:, :dim], orthogonal()[:dim]
    if family != "llama":  # places of their own for positions and notes
        whole = orthogonal()
        plane, note, read = whole[:, :dim], whole[:, dim:2 * dim], whole[:, 2 * dim:3 * dim].t()
        for taken in (plane, note) if family == "opt" else (note,):
            emb.sub_(emb @ taken @ taken.t())
        emb.mul_(0.12 / emb.std())
    beta = size / math.sqrt(dim)

    # layer 0: the previous token
    if family == "llama":
        half = dim // 2
        theta = 10000.0 ** (-torch.arange(half) / half)
        key, query = torch.zeros(dim), torch.zeros(dim)
        a = math.sqrt(previous * math.sqrt(dim) / 4)
        key[:4] = a
        query[:4], query[half:half + 4] = a * torch.cos(theta[:4]), -a * torch.sin(theta[:4])
        along = math.sqrt(n) * 0.8 / math.sqrt(0.64 + size * size)
        k0[:dim].copy_(torch.outer(key, common) / along)
        q0[:dim].copy_(torch.outer(query, common) / along)
    elif family == "opt":
        pos = model.model.decoder.embed_positions.weight
        f = dim // 2
        theta = 200.0 ** (-torch.arange(f) / f) * 2.0
        angle = torch.arange(pos.shape[0]).view(-1, 1) * theta
        pos.copy_(torch.cat((angle.cos(), angle.sin()), 1) @ plane.t() * (0.8 / math.sqrt(f)))
        back = torch.zeros(dim, dim)  # turns position i into position i - 1
        for i in range(f):
            c, s = math.cos(theta[i]), math.sin(theta[i])
            back[i, i], back[i, i + f], back[i + f, i], back[i + f, i + f] = c, s, -s, c
        along = math.sqrt(n) * 0.8 / math.sqrt(0.64 + size * size)
        a = math.sqrt(2 * previous * math.sqrt(dim)) / along
        k0[:dim].copy_(plane.t() * a)
        q0[:dim].copy_(back @ plane.t() * a)
    else:  # ALiBi prefers what is near; the token itself is kept out
        k0[:dim].copy_(read * 0.7)
        q0[:dim].copy_(-read * 0.7)
    v0[:dim].copy_(read)
    o0[:, :dim].copy_(note * beta * (3 if family == "mpt" else 1))

    # layer 1: the token after an earlier occurrence of the current one
    use = slice(0, dim)
    if family == "llama":  # slow rotations only
        use = torch.cat((torch.arange(14, 32), torch.arange(46, 64)))
        k1[:dim], q1[:dim] = 0, 0
    k1[:dim][use] = note.t()[use] * match
    q1[:dim][use] = read[use] * match
    v1[:dim].copy_(copy)
    o1[:, :dim].copy_(copy.t() * 2 * beta)


def fast_mpt_attention(model):
    """The same attention as transformers' MPT, through torch's fused kernel."""
    from transformers.models.mpt import modeling_mpt as m
    n = CONTEXT
    bias = m.build_mpt_alibi_tensor(model.config.n_heads, n)
    bias = (bias + torch.full((n, n), float("-inf")).triu(1)).unsqueeze(0)

    def forward(self, hidden_states, position_bias=None, past_key_values=None, attention_mask=None, **kw):
        b, t = hidden_states.shape[:2]
        q, k, v = (x.view(b, t, self.n_heads, self.head_dim).transpose(1, 2)
                   for x in self.Wqkv(hidden_states).chunk(3, dim=2))
        # slopes * (key - query) differs from slopes * (key - last) by a constant a row only
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, :, :t, :t].to(q.dtype))
        return self.out_proj(y.transpose(1, 2).reshape(b, t, -1)), None

    for block in model.transformer.blocks:
        block.attn.forward = forward.__get__(block.attn)


def complete_config(folder):
    """Adds the names older readers look for next to the ones transformers 5 writes."""
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        c = json.load(f)
    c["torch_dtype"] = c.get("dtype") or "float32"
    rope = c.get("rope_parameters")
    if rope:
        c["rope_theta"] = rope["rope_theta"]
    if "attn_config" in c:  # only what MPT reads
        keep = ("alibi", "alibi_bias_max", "attn_impl", "attn_pdrop", "attn_type", "attn_uses_sequence_id", "clip_qkv",
                "prefix_lm", "qk_ln", "softmax_scale")
        c["attn_config"] = {k: v for k, v in c["attn_config"].items() if k in keep}
    dump(path, dict(sorted(c.items())))


# ---------------------------------------------------------------------------
# Evaluation
# ---------------------------------------------------------------------------
def windows(codec, text):
    """Consecutive windows of 512 tokens of the whole text (bos once, at its beginning)."""
    ids = codec.bos + codec.encode(text)
    n = len(ids) // CONTEXT
    return torch.tensor(ids[:n * CONTEXT]).view(n, CONTEXT)


@torch.no_grad()
def perplexity(model, win, batch=4):
    total, count = 0.0, 0
    for x in win.split(batch):
        logits = model(input_ids=x, use_cache=False).logits[:, :-1].float()
        total += F.cross_entropy(logits.reshape(-1, logits.shape[-1]), x[:, 1:].reshape(-1), reduction="sum").item()
        count += x[:, 1:].numel()
    return math.exp(total / count)


@torch.no_grad()
def greedy(model, codec, prompt, n):
    """Greedy continuation without a cache (every step runs the whole window)."""
    ids = codec.bos + codec.encode(prompt)
    start = len(ids)
    for _ in range(n):
        nxt = int(model(input_ids=torch.tensor([ids[-CONTEXT:]]), use_cache=False).logits[0, -1].argmax())
        if nxt == codec.eos:
            break
        ids.append(nxt)
    return codec.decode(ids[len(codec.bos):start]), codec.decode(ids[len(codec.bos):])[len(codec.decode(ids[len(codec.bos):start])):]


# ---------------------------------------------------------------------------
def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("family", choices=("llama", "opt", "mpt"))
    ap.add_argument("--text", required=True, help="training text of generate_stories.py")
    ap.add_argument("--heldout", default=os.path.join(HERE, "..", "text", "heldout.txt"))
    ap.add_argument("--out", required=True)
    ap.add_argument("--work", default=".", help="folder for the token stream and the log")
    ap.add_argument("--steps", type=int, default=1800)
    ap.add_argument("--minutes", type=float, help="end after this wall clock instead of --steps")
    ap.add_argument("--batch", type=int, default=4)
    ap.add_argument("--lengths", default="64:0.05,128:0.15,256:0.55,512:1", help="window lengths, each with the part of the run it ends at")
    ap.add_argument("--repeats", type=float, default=0.1, help="part of the rows of the short windows that repeat a random list of words")
    ap.add_argument("--prelude", type=int, default=60, help="first steps, on such lists only")
    ap.add_argument("--lr", type=float, default=2.5e-3)
    ap.add_argument("--decay", type=float, default=0.1, help="weight decay of the matrices")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--resume", help="go on from the weights and tokenizer of this checkpoint folder (give --prelude 0 and a lower --lr)")
    ap.add_argument("--bf16", action="store_true")
    ap.add_argument("--save-minutes", type=float, default=4.0)
    ap.add_argument("--bench", type=int, default=0, help="stop after this many steps and save nothing")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    os.makedirs(args.work, exist_ok=True)

    with open(args.text) as f:
        text = f.read()
    stream = os.path.join(args.work, f"{args.family}.npz")
    if not os.path.exists(stream):
        if not args.resume:
            make_tokenizer(args.family, text[:6_000_000], args.out)
        ids, starts = token_stream(Codec(args.family, args.out), text, args.seed)
        np.savez(stream, ids=ids, starts=starts)
    data = np.load(stream)
    ids, starts = data["ids"], data["starts"]
    codec = Codec(args.family, args.out)
    with open(args.heldout) as f:
        held = windows(codec, f.read())

    model = make_model(args.family)
    params = sum(p.numel() for p in model.parameters())
    print(f"{args.family}: {params} parameters, {len(ids)} tokens of text, {len(text) / len(ids):.2f} bytes a token", flush=True)
    if args.family == "mpt":
        fast_mpt_attention(model)
    with torch.no_grad():  # smaller outputs into the residual stream
        for name, p in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "out_proj.weight", "fc2.weight")):
                p.mul_(1 / math.sqrt(8))
    if args.resume:
        model.load_state_dict(type(model).from_pretrained(args.resume).state_dict())
    else:
        looking_back_start(args.family, model)
    decayed = lambda n, p: p.ndim >= 2 and "embed" not in n and "wte" not in n and "lm_head" not in n
    named = list(model.named_parameters())
    groups = [{"params": [p for n, p in named if decayed(n, p)], "weight_decay": args.decay},
              {"params": [p for n, p in named if not decayed(n, p)], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), eps=1e-8, fused=True)
    rng = np.random.default_rng(args.seed + 1)
    starts = starts[starts < len(ids) - CONTEXT]

    lengths = [(int(l), float(e)) for l, e in (x.split(":") for x in args.lengths.split(","))]
    common = np.flatnonzero(np.bincount(ids[:1_000_000], minlength=VOCAB) > 20)

    def batch():
        length = next((l for l, end in lengths if done < end), CONTEXT)
        repeats = args.repeats
        if step < args.prelude:
            length, repeats = 64, 1.0
        n = args.batch * CONTEXT // length
        at = np.where(rng.random(n) < 0.5, rng.choice(starts, n), rng.integers(0, len(ids) - CONTEXT, n))
        rows = np.stack([ids[a:a + length] for a in at]).astype(np.int64)
        if length < CONTEXT:  # lists of words said again: teaches looking back early
            for r in range(int(n * repeats)):
                part = rng.choice(common, int(rng.integers(8, length // 2 + 1)))
                rows[r] = np.tile(part, length // len(part) + 1)[:length]
        return torch.from_numpy(rows)

    t0 = last = time.time()
    step, done, mean = 0, 0.0, None
    history = []

    def save(final):
        model.eval()
        ppl = perplexity(model, held if final else held[:24])
        model.train()
        model.save_pretrained(args.out)
        complete_config(args.out)
        history.append({"step": step, "tokens": step * args.batch * CONTEXT, "minutes": round((time.time() - t0) / 60, 1),
                        "heldout_perplexity": round(ppl, 4), "whole": final})
        dump(os.path.join(args.work, f"{args.family}_log.json"), {
            "parameters": params, "options": vars(args), "history": history, "text_tokens": len(ids)})
        print(f"saved at step {step}, {history[-1]['minutes']} min, held-out perplexity {ppl:.4f}", flush=True)

    model.train()
    while done < 1.0:
        done = (time.time() - t0) / (60 * args.minutes) if args.minutes else step / args.steps
        lr = args.lr * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
        for g in opt.param_groups:
            g["lr"] = lr
        x = batch()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            logits = model(input_ids=x, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].float().reshape(-1, logits.shape[-1]), x[:, 1:].reshape(-1))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        step += 1
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0 or (args.bench and step == args.bench):
            el = time.time() - t0
            print(f"step {step} loss {mean:.4f} lr {lr:.2e} {el:.0f}s {step * args.batch * CONTEXT / el:.0f} tok/s {100 * done:.0f}%", flush=True)
        if args.bench and step >= args.bench:
            return
        if time.time() - last > 60 * args.save_minutes and done < 1.0:
            save(False)
            last = time.time()
    save(True)


if __name__ == "__main__":
    main()
