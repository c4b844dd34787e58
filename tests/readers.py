"""Every reader of files from outside, samples of what it reads, and how samples go wrong; for `test_fuzz_readers`.

`python tests/readers.py SECONDS` is the long form: it breaks samples for as long as it is told, and prints what is
neither records, nor rejects, nor a `LlamaGeneError`. What it finds becomes a literal case of `test_fuzz_readers`.
"""

import bz2
import gzip
import json
import lzma
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import zstandard

from llama_gene.config import load_recipe
from llama_gene.errors import LlamaGeneError
from llama_gene.evaluation.answers import read_answers
from llama_gene.evaluation.result import Report
from llama_gene.sequences.read import parse_records, read_records
from llama_gene.sequences.reference import open_reference
from llama_gene.sequences.sections import find_sections
from llama_gene.sequences.table import read_rows
from llama_gene.sequences.text import read_text_records
from llama_gene.sequences.variants import read_variants
from llama_gene.tasks.convert import read_examples, read_labels
from llama_gene.tasks.convert.instructions import read_instructions
from llama_gene.tasks.convert.labelled import read_functions, read_headers, read_layout
from llama_gene.tasks.draft import guess_sequences, look_at
from llama_gene.tasks.registry import load_task
from llama_gene.vocabulary.train import SequenceVocabulary

MOST_MEMORY = 100_000_000  # bytes that a few kilobytes may become while they are read


def exhaust(records: Iterable[Any]) -> None:
    """Read to the end."""
    for _ in records:
        pass


def ignore(_: object) -> None:
    """What a reader sets aside."""


def _sections(path: Path) -> None:
    for lines in (False, True):
        for section, _ in find_sections(path, 40, lines=lines):
            exhaust(read_text_records(path, section=section, on_reject=ignore))


def _reference(path: Path) -> None:
    with open_reference(path) as reference:
        reference.fetch("chr1", 2, 9)
        reference.length("chr1")


def _vocabulary(path: Path) -> None:
    (path.parent / "vocabulary.json").write_bytes(path.read_bytes())
    spec = {"model": {"merges": [["A", "C"]]}}
    (path.parent / "tokenizer.json").write_text(json.dumps(spec))
    SequenceVocabulary.load(path.parent)


def _pieces(path: Path) -> None:
    (path.parent / "tokenizer.json").write_bytes(path.read_bytes())
    (path.parent / "vocabulary.json").write_text('{"kind": "dna", "size": 5, "sources": []}')
    SequenceVocabulary.load(path.parent)


_SPLICE, _STABILITY, _PAIR = (load_task(name) for name in ("splice_reconstructed", "stability", "ppi_yeast_string"))

READERS: dict[str, Callable[[Path], None]] = {
    "records": lambda path: exhaust(read_records(path, "dna")),
    "records, masked": lambda path: exhaust(read_records(path, "protein", policy="mask", on_reject=ignore)),
    "records of a message": lambda path: exhaust(parse_records(path.read_bytes(), "dna", name="body")),
    "rows": lambda path: exhaust(read_rows(path)),
    "texts": lambda path: exhaust(read_text_records(path, on_reject=ignore)),
    "texts of a field": lambda path: exhaust(read_text_records(path, field="a.text")),
    "sections": _sections,
    "variants": lambda path: exhaust(read_variants(path, ignore)),
    "reference": _reference,
    "examples": lambda path: exhaust(read_examples(_SPLICE, path, on_reject=ignore)),
    "examples of a regression": lambda path: exhaust(read_examples(_STABILITY, path, policy="drop")),
    "examples of pairs": lambda path: exhaust(read_examples(_PAIR, path, on_reject=ignore, labelled=False)),
    "labels": lambda path: read_labels(path, has_header=True) and None,
    "instructions": lambda path: exhaust(read_instructions(path, on_reject=ignore)),
    "functions": lambda path: exhaust(read_functions(path, "skip", ignore)),
    "headers": lambda path: exhaust(read_headers(path, "dna", None, "mask", ignore)),
    "layout": lambda path: exhaust(read_layout(path, "gue", "mask", ignore)),
    "answers": lambda path: read_answers(path) and None,
    "table of a new task": lambda path: guess_sequences(look_at(path)) and None,
    "recipe": lambda path: load_recipe(path) and None,
    "task file": lambda path: load_task(path) and None,
    "report": lambda path: Report.from_json(path.read_text(encoding="utf-8", errors="replace")) and None,
    "vocabulary": _vocabulary,
    "pieces": _pieces,
}

_VCF = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t3\trs1\tA\tC,<DEL>\n"
_XML = b"""<?xml version='1.0'?><uniprot xmlns="https://uniprot.org/uniprot"><entry><accession>P1</accession><protein>
<recommendedName><fullName>Kinase</fullName></recommendedName></protein><organism><name type="scientific">Mus</name>
</organism><comment type="function"><text>Binds.</text></comment>
<sequence length="4">MKVL</sequence></entry></uniprot>"""
_FLAT = b"""ID   A_B                     Reviewed;           4 AA.
AC   P1;
DE   RecName: Full=Kinase {ECO:1};
OS   Mus musculus.
CC   -!- FUNCTION: Binds. {ECO:1}.
SQ   SEQUENCE   4 AA;  1 MW;  2 CRC64;
     MKVL
//
"""
_RECIPE = b"""name = "x"
[vocabulary.dna]
size = 8
files = ["*.fa"]
[model]
base = "scratch"
size = "nano"
[[corpus.source]]
name = "g"
kind = "dna"
files = ["*.fa"]
[pretrain]
tokens = 6000
"""
_TASK = b"""name = "t"
kind = "classification"
row = "classification DNA"
title = "T"
question = "Q?"
layout = "gue"
data = "t"
metric = "mcc"
[[inputs]]
role = "sequence"
kind = "dna"
column = "sequence"
[labels]
0 = "no"
1 = "yes"
"""
_ANSWER = b'{"instruction": "Is it A or B?", "input": "ACGT", "output": "A", "model_response": "A", "answer": "A"}'
_PAPER = b'{"paper_id": 1, "title": "T", "abstract": [{"text": "A"}], "body_text": [{"section": "S", "text": "B"}]}\n'

SAMPLES: dict[str, bytes] = {
    "a.fa": b">chr1 first\nACGTNACGTA\nACG\n;x\n>b\nTTGA\n",
    "a.fq": b"@a x\nACGT\n+\nIIII\n@b\nAC\n+b\nII\n",
    "a.gb": b"LOCUS       A 8 bp DNA\nDEFINITION  x\n            y\nVERSION     A.1\nORIGIN\n        1 acgt acgt\n//\n",
    "a.dat": _FLAT,
    "a.xml": _XML,
    "a.csv": b'sequence,label,id\nACGT,0,"a, b"\nTTGA,1,c\n',
    "a.tsv": b"seq_a\tseq_b\tlabel\nMKV\tMLL\t1\nMK*\tMX\t0\n",
    "a.jsonl": b'{"sequence": "ACGT", "label": 1, "text": "x", "a": {"text": "y"}}\n{"sequence": null, "label": 1.5}\n',
    "paper.jsonl": _PAPER,
    "a.vcf": _VCF,
    "answers.json": b"[" + b", ".join([_ANSWER] * 3) + b"]",
    "answers.jsonl": _ANSWER + b"\n" + _ANSWER,
    "recipe.toml": _RECIPE,
    "task.toml": _TASK,
    "report.json": b'{"title": "t", "model": {}, "results": [], "format": 2, "version": "1", "created": "x"}',
    "vocabulary.json": b'{"kind": "dna", "size": 5, "sources": []}',
    "pieces.json": b'{"model": {"merges": [["A", "C"], "G T"], "vocab": {"A": 0}}}',
    "a.txt": b"A gene.\n\nA protein <protein>MK</protein> folds.\n",
}
WORDS = (
    *(b">", b"@", b";", b"+", b"\n", b"\r", b"\r\n", b"\t", b",", b'"', b"'", b"{", b"}", b"[", b"]", b"\\", b"\x00"),
    *(b"//", b"ID   ", b"SQ   ", b"LOCUS ", b"ORIGIN", b"<entry>", b"</entry>", b"<!DOCTYPE a [", b"&amp;", b"&#0;"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\xe2\x80\xa8", b"\x1a", b"\x85"),
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 5000, b"null", b"true", b"0x10", b"[" * 3000, b'{"a":' * 3000),
    *(b"\xd9\xa3", b"\xc2\xb2", b"a" * 3000, b"\x1f\x8b", b"BZh9", b"PK\x03\x04", b"PAR1", b"1979-05-27", b"[[a]]\n"),
)
_PACKERS = (gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress)


def broken(draw: random.Random) -> tuple[str, bytes]:
    """A name and a content: a sample that something has happened to, or bytes that never were one."""
    name = draw.choice([*SAMPLES])
    content = bytearray(SAMPLES[name] if draw.random() < 0.95 else draw.randbytes(draw.randrange(300)))
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3, 8))):
        place, length = draw.randrange(len(content) + 1), draw.choice((1, 1, 2, 5, 20, 100))
        change = draw.randrange(6)
        if change == 0:
            content[place : place + length] = b""
        elif change == 1:
            content[place:place] = draw.choice(WORDS)
        elif change == 2:
            content[place : place + length] = draw.choice(WORDS)
        elif change == 3:
            content[place : place + length] = draw.randbytes(length)
        elif change == 4:
            content[place:place] = content[place : place + length] * draw.choice((1, 2, 50))
        else:
            other = SAMPLES[draw.choice([*SAMPLES])]
            start = draw.randrange(len(other))
            content[place:place] = other[start : start + length]
    if draw.random() < 0.05:
        content = bytearray(draw.choice(_PACKERS)(bytes(content)))
        del content[draw.choice((len(content), draw.randrange(len(content) + 1))) :]
    if draw.random() < 0.1:
        name = draw.choice([*SAMPLES])
    return name, bytes(content)


def fault(reader: str, name: str, content: bytes, folder: Path) -> str | None:
    """What `reader` does with a file that it should not: None for records, rejects and a `LlamaGeneError`."""
    path = folder / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        READERS[reader](path)
    except LlamaGeneError as error:
        if not error.problem.strip():
            return "an error that says nothing"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return f"{peak:,} bytes of memory" if peak > MOST_MEMORY else None


def main(seconds: float) -> int:
    """Break samples for so long; returns how many faults of different kinds there were."""
    seed = time.time_ns()
    draw, end, found, num = random.Random(seed), time.monotonic() + seconds, set(), 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            name, content = broken(draw)
            for reader in READERS:
                num += 1
                problem = fault(reader, name, content, Path(folder))
                if problem is not None and (reader, problem[:40]) not in found:
                    found.add((reader, problem[:40]))
                    print(f"{reader}: {problem}\n    ({name!r}, {content[:600]!r})", flush=True)
    print(f"{num:,} readings in {seconds:.0f} s, {len(found)} faults (seed {seed})")
    return len(found)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])) > 0)
