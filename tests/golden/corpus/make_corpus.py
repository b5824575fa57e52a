# SPDX-License-Identifier: Apache-2.0
"""Makes the data beside this file: small corpora in every form the reader knows, the documents that json and gzip of
Python's library find in them, and the windows that the documented scheme draws.

Nothing here uses Eigenscope. Documents are lists of ids ("12 7 3"), so that no tokenizer takes part. The scheme is the
one of core/calibration/corpus_sample.h, done the obvious way: sort all documents by priority, walk them in rounds.

    python make_corpus.py
"""
import gzip
import json
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
MASK = (1 << 64) - 1
SAMPLES, LENGTH, SEED, EOS = 12, 16, 12345678901234567890, 1


def mt19937_64(seed):
    """Matsumoto and Nishimura's 64-bit Mersenne twister, from the recurrence in their paper."""
    n, m = 312, 156
    state = [seed]
    for i in range(1, n):
        state.append((6364136223846793005 * (state[-1] ^ (state[-1] >> 62)) + i) & MASK)
    while True:
        for i in range(n):
            x = (state[i] & 0xFFFFFFFF80000000) | (state[(i + 1) % n] & 0x7FFFFFFF)
            state[i] = state[(i + m) % n] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)
        for x in list(state):
            x ^= (x >> 29) & 0x5555555555555555
            x ^= (x << 17) & 0x71D67FFFEDA60000
            x ^= (x << 37) & 0xFFF7EEE000000000
            yield (x ^ (x >> 43)) & MASK


def draw_below(numbers, bound):
    while True:
        number = next(numbers)
        if number >= (1 << 64) % bound:
            return number % bound


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def priority(seed, record, round_):
    return mix(((mix(seed) ^ mix(record)) + round_) & MASK)


def separate(documents, samples, seed):
    """documents: [(record, ids)]"""
    windows = []
    round_ = 0
    long_enough = [(record, ids) for record, ids in documents if len(ids) >= LENGTH]
    while len(windows) < samples:
        for record, ids in sorted(long_enough, key=lambda d: (priority(seed, d[0], round_), d[0])):
            start = draw_below(mt19937_64(mix(priority(seed, record, round_))), len(ids) - LENGTH + 1)
            windows.append(ids[start:start + LENGTH])
        round_ += 1
    return windows[:samples]


def packed(documents, samples, seed):
    stream, round_ = [], 0
    # Only the documents that fill the windows are used, in the first round's order.
    first = sorted(documents, key=lambda d: (priority(seed, d[0], 0), d[0]))
    while len(stream) < samples * LENGTH:
        for record, ids in sorted(first, key=lambda d: (priority(seed, d[0], round_), d[0])):
            stream += ids + [EOS]
        round_ += 1
    return [stream[i * LENGTH:(i + 1) * LENGTH] for i in range(samples)]


def whole(ids, samples, seed):
    numbers, windows = mt19937_64(seed), []
    for _ in range(samples):
        start = draw_below(numbers, len(ids) - LENGTH + 1)
        windows.append(ids[start:start + LENGTH])
    return windows


def mixture(parts, weights, samples):
    """parts: f(samples, seed) of each file. The next window is of the file furthest behind its share."""
    given, turns = [0] * len(parts), []
    for i in range(1, samples + 1):
        behind = [w * i / sum(weights) - g for w, g in zip(weights, given)]
        best = behind.index(max(behind))
        given[best] += 1
        turns.append(best)
    windows = [iter(part(given[f], SEED if f == 0 else mix((SEED + f) & MASK))) for f, part in enumerate(parts)]
    return [next(windows[f]) for f in turns], given


def text(ids):
    return " ".join(map(str, ids))


def main():
    draw = random.Random(5)
    some = lambda n: [draw.randrange(2, 100) for _ in range(n)]
    long = [some(draw.randrange(4, 60)) for _ in range(60)]
    few = [some(30) for _ in range(3)] + [some(5) for _ in range(9)]
    short = [some(draw.randrange(2, 12)) for _ in range(40)]
    plain = some(300)

    lines = []
    for i, ids in enumerate(long):
        lines.append(json.dumps({"text": text(ids), "timestamp": "2019-04-25T12:57:54Z", "url": f"https://é.example/{i}"},
                                ensure_ascii=i % 2 == 0))
        if i == 7:
            lines.append(json.dumps({"text": "", "timestamp": None, "url": "empty"}))
        if i == 8:
            lines.append("")
    # Two members, as `cat a.gz b.gz` and parallel compressors write them.
    half = len(lines) // 2
    members = [gzip.compress(("\n".join(part) + "\n").encode(), mtime=0) for part in (lines[:half], lines[half:])]
    (HERE / "long.jsonl.gz").write_bytes(b"".join(members))
    (HERE / "few.json").write_text(json.dumps([{"body": {"nested": [1, "]}"]}, "content": text(ids)} for ids in few],
                                              indent=1))
    (HERE / "short.jsonl").write_text("".join(json.dumps({"text": text(ids)}) + "\n" for ids in short))
    (HERE / "plain.txt").write_text(text(plain) + "\n")
    (HERE / "plain.txt.gz").write_bytes(gzip.compress((text(plain) + "\n").encode(), mtime=0))
    alpaca = [{"instruction": "Say it in Zoë's words.", "input": "the tree", "output": "A \"tree\".\nOld."},
              {"instruction": "Count to two.", "input": "", "output": "1 2"}]
    (HERE / "alpaca.json").write_text(json.dumps(alpaca, ensure_ascii=False, indent=4))

    numbered = lambda documents: [(i + 1, ids) for i, ids in enumerate(documents)]
    # Empty records count as records.
    with_gap = [(i + 1 + (i > 7), ids) for i, ids in enumerate(long)]
    mixed, given = mixture([lambda n, s: separate(with_gap, n, s), lambda n, s: whole(plain, n, s),
                            lambda n, s: packed(numbered(short), n, s)], [3, 2, 1], SAMPLES)
    expected = {
        "samples": SAMPLES, "length": LENGTH, "seed": SEED, "eos": EOS,
        "long": {"separate": separate(with_gap, SAMPLES, SEED), "packed": packed(with_gap, SAMPLES, SEED)},
        "few": {"separate": separate(numbered(few), SAMPLES, SEED), "packed": packed(numbered(few), SAMPLES, SEED)},
        "short": {"packed": packed(numbered(short), SAMPLES, SEED)},
        "plain": {"whole": whole(plain, SAMPLES, SEED)},
        "mixed": {"windows": mixed, "weights": [3, 2, 1], "given": given},
        "long_documents": [text(ids) for ids in long],
    }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


main()
