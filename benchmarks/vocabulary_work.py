"""The work that `vocabulary.py` measures, each piece of it in a process of its own: train or encode with one tool.

Every tool gets its text in the form it likes best, imports nothing of the others, and uses one thread unless told
(`vocabulary.py` sets the environment for it).
The last line of the output is JSON.
"""

import argparse
import hashlib
import json
import resource
import statistics
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

TOOLS = ("llama-gene", "sentencepiece", "tokenizers", "tiktoken")
SENTENCE = 4096  # letters a line for sentencepiece, which holds a line to be one word
LETTERS = [chr(code) for code in range(ord("A"), ord("Z") + 1)]

Merges = list[tuple[str, str]]
# Encodes lines into whatever the tool returns, and brings that into the ids of our vocabulary.
Encoder = tuple[Callable[[list[str]], Sequence[Any]], Callable[[Any], bytes]]


def read_fasta(path: Path) -> Iterator[str]:
    """The records of a FASTA file, as the shortest script would read them."""
    lines: list[str] = []
    with path.open(encoding="ascii") as stream:
        for line in stream:
            if not line.startswith(">"):
                lines.append(line.rstrip())
            elif lines:
                yield "".join(lines)
                lines = []
    yield "".join(lines)


def train_sentencepiece(source: Path, size: int) -> Merges:
    """BPE without any change of the text; pieces of at most 16 letters, its default, which spares it some work.

    It keeps no merges: each piece comes as its own letters and nothing.
    """
    import io

    import sentencepiece

    def sentences() -> Iterator[str]:
        for sequence in read_fasta(source):
            for start in range(0, len(sequence), SENTENCE):
                yield sequence[start : start + SENTENCE]

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(),
        model_writer=model,
        model_type="bpe",
        vocab_size=size + 1,  # and the unknown
        bos_id=-1,
        eos_id=-1,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        max_sentence_length=2 * SENTENCE,
        num_threads=1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(number) for number in range(1, processor.get_piece_size())]
    return [(piece, "") for piece in pieces if len(piece) > 1]


def train_tokenizers(source: Path, size: int) -> Merges:
    """`BpeTrainer` over records as they come: each is one word."""
    from tokenizers import Tokenizer, models, trainers

    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(read_fasta(source), trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def encoder_of_llama_gene(folder: Path, num_threads: int) -> Encoder:
    from llama_gene.vocabulary.train import SequenceVocabulary

    vocabulary = SequenceVocabulary.load(folder)
    return lambda lines: vocabulary.encode_batch(lines, num_threads=num_threads), lambda ids: bytes(ids.tobytes())


def encoder_of_sentencepiece(folder: Path, num_threads: int) -> Encoder:
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # made when it is imported
    model.trainer_spec.model_type = model.trainer_spec.BPE
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.pieces.add(piece="<unk>", score=0.0, type=model.SentencePiece.UNKNOWN)
    for rank, piece in enumerate(read_pieces(folder)):
        model.pieces.add(piece=piece, score=float(-rank))
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    return (
        lambda lines: processor.encode(lines, out_type=int, num_threads=num_threads),
        lambda ids: array("i", [number - 1 for number in ids]).tobytes(),  # the unknown is 0
    )


def encoder_of_tokenizers(folder: Path, _: int) -> Encoder:
    # No cache: it would answer for short lines when they come again in the next run.
    from tokenizers import Tokenizer, models

    pieces = {piece: number for number, piece in enumerate(read_pieces(folder))}
    tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=read_merges(folder), cache_capacity=0))
    return (
        lambda lines: tokenizer.encode_batch_fast(lines, add_special_tokens=False),
        lambda encoding: array("i", encoding.ids).tobytes(),
    )


def encoder_of_tiktoken(folder: Path, _: int) -> Encoder:
    import tiktoken  # type: ignore[import-not-found, unused-ignore]  # not in the development environment

    ranks = {piece.encode(): number for number, piece in enumerate(read_pieces(folder))}
    encoding = tiktoken.Encoding("sequences", pat_str="[A-Z]+", mergeable_ranks=ranks, special_tokens={})
    return (
        lambda lines: [encoding.encode_ordinary(line) for line in lines],
        lambda ids: array("i", ids).tobytes(),
    )


def read_merges(folder: Path) -> Merges:
    """The merges of a folder that `llama-gene vocabulary train` made."""
    spec = json.loads((folder / "tokenizer.json").read_text())
    return [(left, right) for left, right in spec["model"]["merges"]]


def read_pieces(folder: Path) -> list[str]:
    """Its pieces in the order of their ids: 26 letters, then what the merges make."""
    return [*LETTERS, *(left + right for left, right in read_merges(folder))]


ENCODERS: dict[str, Callable[[Path, int], Encoder]] = {
    "llama-gene": encoder_of_llama_gene,
    "sentencepiece": encoder_of_sentencepiece,
    "tokenizers": encoder_of_tokenizers,
    "tiktoken": encoder_of_tiktoken,
}
TRAINERS: dict[str, Callable[[Path, int], Merges]] = {
    "sentencepiece": train_sentencepiece,
    "tokenizers": train_tokenizers,
}


def encode(tool: str, folder: Path, path: Path, num_threads: int, num_runs: int, budget: float) -> dict[str, Any]:
    """Encode the lines of a file again and again; no run is begun after `budget` seconds."""
    encode_lines, bytes_of = ENCODERS[tool](folder, num_threads)
    lines = path.read_text(encoding="ascii").split()
    forget_peak()
    before = after = peak_bytes()
    cpu: list[float] = []
    wall: list[float] = []
    encoded: Sequence[Any] = ()
    while not cpu or (len(cpu) < num_runs and sum(wall) <= budget):
        encoded = ()  # what the last run made is given back outside the time
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        encoded = encode_lines(lines)
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - wall_start)
        if len(cpu) == 1:
            after = peak_bytes()
    digest, num_tokens = hashlib.sha256(), 0
    for ids in encoded:
        packed = bytes_of(ids)
        num_tokens += len(packed) // 4
        digest.update(len(packed).to_bytes(8, "little") + packed)
    return {
        "letters": sum(map(len, lines)),
        "tokens": num_tokens,
        "ids": digest.hexdigest(),
        "runs": len(cpu),
        "cpu_best": min(cpu),
        "cpu_median": statistics.median(cpu),
        "wall_best": min(wall),
        "wall_median": statistics.median(wall),
        "peak_before": before,
        "peak_after": after,
    }


def train(tool: str, source: Path, size: int) -> dict[str, Any]:
    """Train a vocabulary and throw it away, but for what tells whether it is the same as another."""
    merges = TRAINERS[tool](source, size)
    return {"merges": len(merges), "digest": digest_of(merges)}


def digest_of(merges: Iterable[tuple[str, str]]) -> str:
    """Equal for equal merges in the same order."""
    return hashlib.sha256("\n".join(chain.from_iterable(merges)).encode()).hexdigest()


def idle(tool: str) -> dict[str, Any]:
    """Import what training needs, and do nothing."""
    if tool == "llama-gene":
        import llama_gene.cli.vocabulary
        import llama_gene.vocabulary.learn  # noqa: F401
    elif tool == "sentencepiece":
        import sentencepiece  # noqa: F401
    else:
        import tokenizers  # noqa: F401
    return {}


def peak_bytes() -> int:
    """The most memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> None:
    """Let the peak be what is held now, where the system can: on Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Do one piece of work."""
    parser = argparse.ArgumentParser(description="Do one piece of work of benchmarks/vocabulary.py.")
    works = parser.add_subparsers(dest="work", required=True)
    for name in ("idle", "train", "encode"):
        works.add_parser(name).add_argument("tool", choices=TOOLS)
    works.choices["train"].add_argument("source", type=Path)
    works.choices["train"].add_argument("size", type=int)
    works.choices["encode"].add_argument("folder", type=Path)
    works.choices["encode"].add_argument("lines", type=Path)
    for name, kind in (("threads", int), ("runs", int), ("budget", float)):
        works.choices["encode"].add_argument(name, type=kind)
    given = parser.parse_args()
    if given.work == "idle":
        result = idle(given.tool)
    elif given.work == "train":
        result = train(given.tool, given.source, given.size)
    else:
        result = encode(given.tool, given.folder, given.lines, given.threads, given.runs, given.budget)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
