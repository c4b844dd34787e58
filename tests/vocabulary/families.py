"""Small stand-ins of every family of bases: files, classes, normalizers and added tokens as in the published ones.

Nothing can be downloaded in a test, so each is trained here on a few lines; what differs between families is not the
pieces but everything around them.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LINES = [
    "The promoter of the gene is bound by the transcription factor in the liver of the mouse.",
    "We measured the expression of 25 proteins; the differences were significant (p < 0.05).",
    "def main():\n\treturn {'key': [1, 2, 3]}\n\nThe    end... KRAS, TAG and ATG are names.",
    "naïve Größe 蛋白质 – 🧬 Ω≈ç√ don't we'll",
] * 3

# As in the published files.
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_WORDS = LLAMA3_WORDS.replace("{1,3}", "")
TEKKEN_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Spec = dict[str, Any]


def added(spec: Spec, names: Iterable[str], *, special: bool = True, normalized: bool = False, **flags: bool) -> None:
    """Add tokens after the vocabulary, as most published files do: they stand in ``added_tokens`` alone."""
    vocab, known = spec["model"]["vocab"], {token["content"] for token in spec["added_tokens"]}
    taken = {*vocab.values(), *(token["id"] for token in spec["added_tokens"])}
    for name in names:
        if name in known:
            continue
        index = vocab[name] if name in vocab else max(taken) + 1
        taken.add(index)
        token = {"id": index, "content": name, "single_word": False, "lstrip": False, "rstrip": False}
        spec["added_tokens"].append(token | {"normalized": normalized, "special": special} | flags)
    spec["added_tokens"].sort(key=lambda token: int(token["id"]))


def write(
    folder: Path, spec: Spec, tokenizer_class: str, model_type: str, rows: int | None = None, **config: Any
) -> Path:
    """Write a base as it is published: tokenizer.json, tokenizer_config.json, config.json."""
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
    decoder = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in spec["added_tokens"]}
    settings = {"tokenizer_class": tokenizer_class, "added_tokens_decoder": decoder, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
    top = 1 + max(*spec["model"]["vocab"].values(), *(token["id"] for token in spec["added_tokens"]))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": rows or top}))
    return folder


def _spec(tokenizer: Tokenizer, **changes: Any) -> Spec:
    spec: Spec = json.loads(tokenizer.to_str())
    return spec | changes


def sentencepiece_style(first: Sequence[str], size: int = 600, letters: str = "") -> Spec:
    """A BPE with byte fallback over text with "▁" for the space; `first` are its first tokens, before the bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    names = [*first, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=names, initial_alphabet=list(letters), show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    spec = _spec(tokenizer, pre_tokenizer=None, added_tokens=[])
    added(spec, first)
    spec["decoder"] = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }
    return spec


def byte_level(
    words: str | None, first: Sequence[str] = (), *, nfc: bool = False, digits: bool = False, size: int = 420
) -> Spec:
    """A byte-level BPE; without `words` with GPT-2's own regex."""
    tokenizer = Tokenizer(models.BPE())
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if words is not None:
        steps.append(pre_tokenizers.Split(Regex(words), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words is None))
    tokenizer.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(first), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return _spec(tokenizer)


def _template(spec: Spec, name: str) -> None:
    """A beginning-of-text token before every text."""
    index = next(token["id"] for token in spec["added_tokens"] if token["content"] == name)
    bos = {"SpecialToken": {"id": name, "type_id": 0}}
    a, b = ({"Sequence": {"id": letter, "type_id": place}} for place, letter in enumerate("AB"))
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [bos, a],
        "pair": [bos, a, bos, b],
        "special_tokens": {name: {"id": name, "ids": [index], "tokens": [name]}},
    }


_SP = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_LEGACY = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}


def llama2(folder: Path) -> Path:
    """LLaMA 2 as of 2023: a Prepend and a Replace as normalizer, no pre-tokenizer."""
    spec = sentencepiece_style(["<unk>", "<s>", "</s>"]) | {"normalizer": _LEGACY}
    _template(spec, "<s>")
    return write(folder, spec, "LlamaTokenizer", "llama", **_SP, add_bos_token=True, legacy=False)


def llama2_fast(folder: Path) -> Path:
    """The same file behind the generic class, which takes it as it stands."""
    spec = sentencepiece_style(["<unk>", "<s>", "</s>"]) | {"normalizer": _LEGACY}
    return write(folder, spec, "PreTrainedTokenizerFast", "llama", **_SP, pad_token="</s>")


def mistral(folder: Path) -> Path:
    """Mistral v0.3: a Metaspace that acts on the first part of a text, control tokens right after the three first."""
    spec = sentencepiece_style(["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"])
    step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    spec |= {"normalizer": None, "pre_tokenizer": step}
    _template(spec, "<s>")
    return write(folder, spec, "LlamaTokenizer", "mistral", **_SP, add_prefix_space=True, legacy=False)


def tekken(folder: Path) -> Path:
    """Mistral Nemo: byte-level, its control tokens first, whole words first."""
    spec = byte_level(TEKKEN_WORDS, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>", "<SPECIAL_6>"])
    spec["model"]["ignore_merges"] = True
    return write(folder, spec, "PreTrainedTokenizerFast", "mistral", **_SP, pad_token="<pad>")


def phi3(folder: Path) -> Path:
    """Phi-3: LLaMA 2 with tokens after the vocabulary that swallow the white space after them, and padded rows."""
    spec = sentencepiece_style(["<unk>", "<s>", "</s>"]) | {"normalizer": _LEGACY}
    added(spec, ["<|endoftext|>"])
    added(spec, ["<|assistant|>", "<|end|>", "<|user|>"], rstrip=True)
    special = _SP | {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    return write(folder, spec, "LlamaTokenizer", "phi3", 640, **special, add_bos_token=False, legacy=False)


def gemma(folder: Path) -> Path:
    """Gemma: no prefix, byte fallback, and tokens of line breaks and of spaces inside the vocabulary."""
    lines = ["\n" * num for num in range(1, 6)]
    spaces = ["▁" * num for num in range(2, 6)]
    first = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    names = [*first, "<unused0>", "<start_of_turn>", "<end_of_turn>", *lines, *spaces, "<table>", "<b>", "</b>"]
    spec = sentencepiece_style(names, 640)
    spec["added_tokens"] = []
    added(spec, [*first, "<start_of_turn>", "<end_of_turn>"])
    added(spec, ["<unused0>", *lines, *spaces, "<table>", "<b>", "</b>"], special=False)
    # Every merge that makes a token of white space stands in the published file, too.
    spec["model"]["merges"] += [[run[:cut], run[cut:]] for run in spaces for cut in range(1, len(run))]
    spec["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    spec["decoder"]["decoders"].pop()
    _template(spec, "<bos>")
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return write(folder, spec, "GemmaTokenizer", "gemma", **special, add_bos_token=True)


def gpt2(folder: Path) -> Path:
    """GPT-2: its own regex, and one token that is beginning, end and unknown in one, the last of the vocabulary."""
    spec = byte_level(None)
    spec["model"]["vocab"]["<|endoftext|>"] = len(spec["model"]["vocab"])
    added(spec, ["<|endoftext|>"], normalized=True)
    end = "<|endoftext|>"
    return write(folder, spec, "GPT2Tokenizer", "gpt2", bos_token=end, eos_token=end, unk_token=end)


def smollm(folder: Path) -> Path:
    """SmolLM2: every digit alone, GPT-2's class beside a LLaMA, its special tokens first."""
    first = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"]
    spec = byte_level(None, first, digits=True)
    special = {"bos_token": first[1], "eos_token": first[2], "unk_token": first[0], "pad_token": first[2]}
    return write(folder, spec, "GPT2Tokenizer", "llama", **special, chat_template=CHAT_TEMPLATE)


def llama3(folder: Path) -> Path:
    """LLaMA 3: whole words first, a row of reserved tokens after the vocabulary, all of them in ``added_tokens``."""
    spec = byte_level(LLAMA3_WORDS)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>"]
    added(
        spec, [*names, "<|start_header_id|>", "<|eot_id|>", *(f"<|reserved_special_token_{i}|>" for i in range(1, 20))]
    )
    spec["model"]["ignore_merges"] = True
    _template(spec, "<|begin_of_text|>")
    special = {"bos_token": names[0], "eos_token": "<|eot_id|>"}
    return write(folder, spec, "PreTrainedTokenizerFast", "llama", **special)


def _qwen(folder: Path, model_type: str) -> Path:
    spec = byte_level(QWEN_WORDS, nfc=True)
    added(spec, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    added(spec, ["<tool_call>", "</tool_call>", "<|fim_prefix|>"], special=False)
    rows = 64 * (len(spec["model"]["vocab"]) // 64 + 4)  # far above the tokenizer: 151,936 for 151,669 in the published
    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None}
    extra = {"chat_template": CHAT_TEMPLATE, "add_prefix_space": False, "errors": "replace"}
    return write(folder, spec, "Qwen2Tokenizer", model_type, rows, **special, **extra)


def qwen2(folder: Path) -> Path:
    """Qwen 2: NFC, tokens after the vocabulary, rows far above them."""
    return _qwen(folder, "qwen2")


def qwen3(folder: Path) -> Path:
    """Qwen 3: the same files."""
    return _qwen(folder, "qwen3")


def neox(folder: Path) -> Path:
    """GPT-NeoX and Pythia: NFC, tokens of spaces after the vocabulary that are matched after it, padded rows."""
    spec = byte_level(None, ["<|endoftext|>", "<|padding|>"], nfc=True)
    added(spec, [" " * num for num in range(8, 1, -1)], special=False, normalized=True)
    end = "<|endoftext|>"
    return write(
        folder, spec, "GPTNeoXTokenizer", "gpt_neox", 512, bos_token=end, eos_token=end, unk_token=end, pad_token=None
    )


FAMILIES: dict[str, Callable[[Path], Path]] = {
    build.__name__: build
    for build in (llama2, llama2_fast, mistral, tekken, phi3, gemma, gpt2, smollm, llama3, qwen2, qwen3, neox)
}
