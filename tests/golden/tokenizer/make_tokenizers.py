#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains tiny tokenizers of every supported kind and records what Hugging Face transformers makes of many strings.

Needs transformers, tokenizers, sentencepiece and protobuf (written with 5.23.0, 0.23.3, 0.2.3 and 7.36). Writes, beside
itself, strings.json and one directory a tokenizer with its files and expected.json:
    [{"ids": [...], "plain_ids": [...], "decoded": "...", "decoded_all": "..."}, ...]   one entry a string
ids: encode(text); plain_ids: encode(text, add_special_tokens=False), left out when equal to ids; decoded: decode(ids,
skip_special_tokens=True), left out when equal to the string; decoded_all: decode(ids), left out when equal to decoded;
and decoding.json, random ids and their text. All come from AutoTokenizer, which for these directories gives the class that
tokenizer_config.json names.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent

SENTENCES = """
The quick brown fox jumps over the lazy dog, and the dog does not mind at all.
It's a small house; they've lived there since 1987, haven't they? I'd say we'll see, you're right, I'm sure, he's late.
In 2024, 12345 people paid $3.50 for 7 apples (about 10% more than before).
for (int i = 0; i < n; ++i) {\n    sum += values[i] * weights[i];\n    if (sum > limit) return -1;\n}
def attention(query, key, value):\n\tscores = query @ key.T / sqrt(len(key))\n\treturn softmax(scores) @ value
Wörter mit Umlauten: über, schön, Straße, Mädchen, größer, Füße.
L'été dernier, nous avons mangé des crêpes à côté de la forêt; c'était délicieux.
El niño pequeño corrió rápidamente hacia la montaña mañana por la mañana.
Быстрая коричневая лиса прыгает через ленивую собаку, а собака спит.
Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.
素早い茶色の狐がのろまな犬を飛び越える。東京は日本の首都です。
敏捷的棕色狐狸跳过了懒狗。我们今天去北京大学学习数学。
빠른 갈색 여우가 게으른 개를 뛰어넘는다. 서울은 대한민국의 수도이다.
الثعلب البني السريع يقفز فوق الكلب الكسول.
एक तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।
She said: "Hello, world!" -- and then... nothing. Well, well, well; what's this?
a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z
{"name": "value", "list": [1, 2, 3], "nested": {"true": false, "null": null}}
https://example.com/path/to/file.html?query=string&other=1#anchor
""".strip().replace("\\n", "\n").replace("\\t", "\t").split("\n")

FIXED = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\r", " \n ", "a", " a", "a ", "  a  ", "Hello world", " Hello world",
    "Hello  world", "Hello   world", "Hello     world    again", "Hello\tworld", "Hello\nworld", "Hello\r\nworld\r\n",
    "line one\n\nline three\n\n\n\nend", "\n\n  indented\n\t\ttabs\n", "trailing spaces   ", "   leading spaces",
    "tabs\t\tand \t mixed \n\t white  \n  space", "\u00a0no-break\u00a0space", "\u3000ideographic\u3000space\u3000",
    "thin\u2009space\u200aand\u202fothers\u2028line\u2029paragraph\u0085next", "zero\u200bwidth\ufeffmarks\u2060here",
    "mongolian\u180evowel separator", "\x1c\x1d\x1e\x1f separators\x0b\x0c", "\x00null\x01one\x7fdel",
    "don't can't won't I'll you're they've I'm he'd it's", "DON'T CAN'T I'LL YOU'RE THEY'VE I'M HE'D IT'S",
    "Don’t use ’curly’ quotes ‘ever’", "'s 't 're 've 'm 'll 'd", "'S'T'RE'VE'M'LL'D", "o'clock rock'n'roll 'tis",
    "it'ſ the long s", "0", "7", "42", "123", "1234", "12345", "123456789012345678901234567890", "3.14159", "1,000,000.00",
    "v1.2.3-rc4", "١٢٣٤٥ arabic-indic", "Ⅳ roman Ⅻ", "½ ⅓ ¼ fractions", "x² + y³ = z⁴", "①②③ circled", "5th 21st 3D H2O",
    "été crêpe naïve façade", "e\u0301te\u0301 decomposed cre\u0302pe", "ñ n\u0303 Å A\u030a \u212b", "ﬁ ﬂ ligatures ﷺ",
    "Z\u0351\u036a\u0310a\u0300\u0301\u0302\u0303l\u0334g\u0321o\u0322", "Ελληνικά ΑΒΓΔ αβγδ", "Привет, мир! Ёлка",
    "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "வணக்கம் உலகம்", "გამარჯობა", "Բարեւ", "こんにちは世界。",
    "カタカナ ｶﾀｶﾅ ひらがな", "你好，世界！", "漢字かな交じり文", "안녕하세요 세계", "\u1112\u1161\u11ab\u1100\u1173\u11af jamo", "𠜎𠜱𠝹 rare han",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒎𝒂𝒕𝒉", "ᚠᚢᚦ runes ⠓⠑⠇⠇⠕", "😀", "😀😃😄", "Hi 👋🏽 there", "👨‍👩‍👧‍👦 family", "🏳️‍🌈 🇩🇪🇫🇷 flags", "❤️ vs ❤", "1️⃣ 2️⃣ keycaps",
    "👩🏻‍💻👨🏿‍🚀", "text😀between🚀emoji", "⚡️☃️★☆♪♫", "…—–‐‑ “quotes” «guillemets»", "!!!???...,,,;;;", "---===+++***", "a-b_c.d/e\\f|g",
    "(parens) [brackets] {braces} <angles>", "#hashtag @mention $100 50% a&b", "email@example.com https://a.b/c?d=e&f=g#h",
    "C++ C# F# .NET node.js", "snake_case camelCase PascalCase kebab-case SCREAMING", "if (x==1) { y+=2; } // comment",
    "def f(x):\n    return x**2\n\n\nclass A:\n    pass\n", "\tif a:\n\t\tb = c\n", "<html><body class=\"x\">&nbsp;</body></html>",
    "SELECT * FROM t WHERE a='b';", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababababababab",
    "the the the the the", "thethethe", "Supercalifragilisticexpialidocious antidisestablishmentarianism", "ß ẞ SS İ i̇ ı I",
    "<s>", "</s>", "<unk>", "<pad>", "<s>Hello</s>", "Hello</s>World", "Hello </s> World", "a<s>b</s>c<unk>d<pad>e", "</s></s>", " </s> ",
    "</s>\n<s>", "< s>", "<s", "<|endoftext|>", "Hello<|endoftext|>World", "Hello <|endoftext|> World", "<|padding|>x<|padding|>",
    "<|begin_of_text|>Hi<|eot_id|>", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>", "<|im_start|>user\nHi<|im_end|>\n",
    "<mask>", "fill the <mask> here", "fill the  <mask>  here", "x<mask>y", "[LEFT]a", "a [LEFT]  b", "a  [RIGHT]  b", "[RIGHT]\n\nb",
    "word single words word.", "single", "unsingle single-minded presingle_", "é single é", "caf\u00e9tok", "cafe\u0301tok in text", "<user>", "say <user>hello",
    "a<user> b", "<0x0A>", "<0x41>", "▁", "▁a▁b", " ▁ ", "Ġ", "ĠHello Ċ", "   a    b     c      d", "        eight", "a\n \n  \n   \nb", "x \t \t y",
    "mixed العربية and English و 123", "日本語とEnglishと123を混ぜる", "ＦＵＬＬ　ｗｉｄｔｈ１２３", "\u202eright-to-left override\u202c", "\U0010ffff\ufffd\ufffe",
]


def random_strings(count):
    rng = random.Random(20240805)
    parts = (["a", "e", "the", "ing", "Hello", "World", "er", "x", "Q", "'s", "'ll", "'"] * 3
             + [" ", " ", " ", "  ", "   ", "\n", "\t", "\r\n", "\u00a0"] * 3
             + list("0123456789.,;:!?-_/()[]{}<>|&%$#@*+=\"") + list("äöüßéèñçøåÆŁ") + list("абвгдЖя") + list("αβγΩ")
             + list("日本語中文字한국어") + list("عربي") + ["\u0301", "\u0308", "\u200d", "\ufe0f", "😀", "👍🏽", "🇺🇸"]
             + ["<s>", "</s>", "<unk>", "<|endoftext|>", "<mask>", "[LEFT]", "[RIGHT]", "single", "<user>", "▁"])
    return ["".join(rng.choice(parts) for _ in range(rng.randint(1, 40))) for _ in range(count)]


def corpus():
    rng = random.Random(1)
    lines = []
    for _ in range(400):
        words = rng.choice(SENTENCES).split(" ")
        start = rng.randrange(len(words))
        lines.append(" ".join(words[start:] + words[:start]))
    return SENTENCES * 3 + lines


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def fresh(name):
    directory = HERE / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def added(content, **flags):
    rules = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
    return {"content": content, **{**rules, **flags}}


# SentencePiece: Llama 2's settings (identity normalisation, byte fallback, digits apart), in both prefix rules.
def make_sentencepiece():
    with tempfile.TemporaryDirectory() as scratch:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus()), model_prefix=f"{scratch}/m", vocab_size=780, model_type="bpe",
            byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
            allow_whitespace_only_pieces=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, character_coverage=0.98,
            user_defined_symbols=["<user>"], num_threads=1, minloglevel=2)
        model = Path(f"{scratch}/m.model").read_bytes()
    base = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
            "clean_up_tokenization_spaces": False}
    specials = {str(i): added(t) for i, t in enumerate(["<unk>", "<s>", "</s>"])}
    for name, extra in {
        "sentencepiece_llama": {"add_bos_token": True, "add_eos_token": False, "legacy": False,
                                "added_tokens_decoder": specials},
        "sentencepiece_legacy": {"add_bos_token": True, "add_eos_token": True, "legacy": True, "pad_token": "<pad>"},
    }.items():
        directory = fresh(name)
        (directory / "tokenizer.model").write_bytes(model)
        write_json(directory / "tokenizer_config.json", {**base, **extra})
        write_json(directory / "config.json", {"model_type": "llama"})
    write_json(HERE / "sentencepiece_legacy" / "added_tokens.json", {"<pad>": 780, "[LEFT]": 781})


# tokenizer.json as converters make it of the SentencePiece model, for the library's classes and rules around it.
def make_metaspace():
    base = json.loads(AutoTokenizer.from_pretrained(HERE / "sentencepiece_llama").backend_tokenizer.to_str())
    base["model"]["unk_token"] = "<unk>"
    prepend = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}

    def metaspace(scheme, split):
        return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}

    def save(name, config, model_type="llama", **changes):
        directory = fresh(name)
        document = {**base, **changes}
        (directory / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        write_json(directory / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **config})
        write_json(directory / "config.json", {"model_type": model_type})

    # Llama 2, TinyLlama: the class has rules of its own, the file's normalizer is not used.
    as_text = {**base["model"], "merges": [" ".join(pair) for pair in base["model"]["merges"]]}
    save("metaspace_llama", {"tokenizer_class": "LlamaTokenizerFast", "legacy": False, "add_bos_token": True,
                             "add_eos_token": False}, normalizer=prepend, pre_tokenizer=None, model=as_text)
    save("metaspace_legacy", {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True,
                              "add_eos_token": True, "pad_token": "</s>"}, normalizer=prepend, pre_tokenizer=None)
    # Mistral, and any other class: as the file says.
    save("metaspace_file", {"tokenizer_class": "LlamaTokenizer", "legacy": False}, "mistral", normalizer=prepend,
         pre_tokenizer=None)
    save("metaspace_first", {"tokenizer_class": "PreTrainedTokenizerFast"}, normalizer=None,
         pre_tokenizer=metaspace("first", False))
    # Words apart, no bytes to fall back on, the decoder of the same name.
    vocabulary = {text: i for text, i in base["model"]["vocab"].items() if not text.startswith("<0x")}
    save("metaspace_split", {"tokenizer_class": "PreTrainedTokenizerFast"}, normalizer=None,
         pre_tokenizer=metaspace("always", True), decoder=metaspace("always", True),
         model={**base["model"], "vocab": vocabulary, "byte_fallback": False})


def byte_level(vocab_size, special_tokens, pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special_tokens, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


# GPT-2's two files with OPT's configuration.
def make_opt():
    directory = fresh("opt")
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = byte_level(640, specials, pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.model.save(str(directory))
    token = {**added("</s>", normalized=True, special=True), "__type": "AddedToken"}
    del token["special"]
    write_json(directory / "tokenizer_config.json",
               {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": False, "errors": "replace",
                "bos_token": token, "eos_token": token, "unk_token": token, "pad_token": {**token, "content": "<pad>"}})
    write_json(directory / "special_tokens_map.json",
               {"bos_token": added("</s>", normalized=True), "eos_token": added("</s>", normalized=True),
                "unk_token": added("</s>", normalized=True), "pad_token": added("<pad>", normalized=True)})
    write_json(directory / "generation_config.json", {"bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 1})
    write_json(directory / "config.json", {"model_type": "opt"})


def edited(tokenizer, edit):
    """The tokenizer after a change to its JSON; before tokens are added, which get their ids from the vocabulary's size."""
    document = json.loads(tokenizer.to_str())
    edit(document)
    return Tokenizer.from_str(json.dumps(document))


def save_json_tokenizer(name, tokenizer, config, model_type, edit=None):
    directory = fresh(name)
    document = json.loads(tokenizer.to_str())
    if edit:
        edit(document)
    (directory / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    write_json(directory / "tokenizer_config.json", config)
    write_json(directory / "config.json", {"model_type": model_type})
    return directory


# GPT-NeoX (and MPT): NFC, runs of spaces as added tokens.
def make_neox():
    tokenizer = byte_level(640, ["<|endoftext|>", "<|padding|>"], pre_tokenizers.ByteLevel(add_prefix_space=False),
                           normalizers.NFC())
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(12, 1, -1)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)

    def merges_as_text(document):
        document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]

    save_json_tokenizer("neox", tokenizer,
                        {"tokenizer_class": "GPTNeoXTokenizer", "add_prefix_space": False, "bos_token": "<|endoftext|>",
                         "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}, "gpt_neox", merges_as_text)


# Llama 3: words by its regular expression, whole words first, bos by template.
def make_llama3():
    expression = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                  r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    words = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated", invert=False),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    def ignore_merges(document):
        document["model"]["ignore_merges"] = True
        # A token that no merge makes: only a whole word gives it.
        document["model"]["vocab"]["Ġantidisestablishmentarianism"] = len(document["model"]["vocab"])

    tokenizer = edited(byte_level(640, [], words), ignore_merges)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in
                                  ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                                   "<|eot_id|>"]])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True, add_prefix_space=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", bos)])])

    directory = save_json_tokenizer(
        "llama3", tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
                              "eos_token": "<|end_of_text|>", "clean_up_tokenization_spaces": True}, "llama")
    eot = tokenizer.token_to_id("<|eot_id|>")
    write_json(directory / "generation_config.json", {"eos_token_id": [bos + 1, eot]})


# Qwen 2: NFC, digits one by one, no bos.
def make_qwen2():
    expression = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                  r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    words = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated", invert=False),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(600, [], words, normalizers.NFC())
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    save_json_tokenizer("qwen2", tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
                                             "pad_token": "<|endoftext|>", "bos_token": None}, "qwen2")


# Every rule of added tokens, a prefix space, an alphabet with holes and an unknown token.
def make_rules():
    def holes(document):
        model = document["model"]
        for letter in ["Q", "Z", "þ"]:  # and every token with one of them
            for text in [t for t in model["vocab"] if letter in t]:
                del model["vocab"][text]
            model["merges"] = [pair for pair in model["merges"] if letter not in "".join(pair)]
        model["vocab"] = {text: i for i, text in enumerate(sorted(model["vocab"], key=model["vocab"].get))}
        model["unk_token"] = "<unk>"
        model["fuse_unk"] = True

    tokenizer = edited(byte_level(560, ["<unk>"], pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.NFC()), holes)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=False, normalized=False),
                                  AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False)])
    tokenizer.add_tokens([AddedToken("[LEFT]", lstrip=True, normalized=False), AddedToken("[RIGHT]", rstrip=True, normalized=False),
                          AddedToken("single", single_word=True, normalized=True), AddedToken("cafe\u0301tok", normalized=True),
                          AddedToken("<user>", lstrip=True, rstrip=True, normalized=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))])

    save_json_tokenizer("rules", tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                                             "eos_token": "</s>", "unk_token": "<unk>"}, "gpt_neox")


# Splits that take their delimiters along, as some code models have them.
def make_splits():
    words = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\s"), "merged_with_next"),
        pre_tokenizers.Split("o", "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"\p{P}"), "contiguous"),
        pre_tokenizers.Split(Regex(r"[^\p{Cc}]+"), "removed", invert=True),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    save_json_tokenizer("splits", byte_level(560, ["<|endoftext|>"], words),
                        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}, "gpt_neox")


def record_decoding(directory, tokenizer):
    """decoding.json: random ids and their text, with broken characters (byte-level tokenizers; SentencePiece's byte
    pieces are decoded by rules of their own where they form no character)."""
    rng = random.Random(7)
    cases = []
    for _ in range(60):
        ids = [rng.randrange(len(tokenizer)) for _ in range(rng.randint(1, 12))]
        cases.append({"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (directory / "decoding.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def record(directory, strings):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    cases = []
    for text in strings:
        ids = tokenizer.encode(text)
        plain = tokenizer.encode(text, add_special_tokens=False)
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        decoded_all = tokenizer.decode(ids)
        case = {"ids": ids}
        if plain != ids:
            case["plain_ids"] = plain
        if decoded != text:
            case["decoded"] = decoded
        if decoded_all != decoded:
            case["decoded_all"] = decoded_all
        cases.append(case)
    if not (directory / "tokenizer.model").exists() and not directory.name.startswith("metaspace"):
        record_decoding(directory, tokenizer)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    (directory / "expected.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(directory.name, type(tokenizer).__name__, len(tokenizer), "bos", tokenizer.bos_token_id, "eos", tokenizer.eos_token_id)


def main():
    make_sentencepiece()
    make_metaspace()
    make_opt()
    make_neox()
    make_llama3()
    make_qwen2()
    make_rules()
    make_splits()
    strings = FIXED + random_strings(60)
    (HERE / "strings.json").write_text(json.dumps(strings, ensure_ascii=True, indent=0) + "\n", encoding="utf-8")
    for directory in sorted(path.parent for path in HERE.glob("*/tokenizer_config.json")):
        record(directory, strings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
