"""Packed files that end too early, under every reader."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zstandard

from torture.process import llama_gene
from torture.world import World

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
_VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"
FILES: dict[str, tuple[str, str]] = {
    "FASTA": ("reads.fa", ">a\nACGTTGCA\nTTGA\n" * 40),
    "FASTQ": ("reads.fq", "@a\nACGTTGCA\n+\nIIIIIIII\n" * 40),
    "GenBank": ("reads.gb", "LOCUS       A 8 bp DNA\nORIGIN\n        1 acgttgca\n//\n" * 40),
    "UniProt": ("entry.dat", "ID   A_B Reviewed; 4 AA.\nAC   P1;\nSQ   SEQUENCE   4 AA;\n     MKVL\n//\n" * 40),
    "CSV": ("rows.csv", "sequence,label\n" + "ACGTTGCA,1\n" * 60),
    "JSONL": ("rows.jsonl", '{"sequence": "ACGTTGCA", "label": "1"}\n' * 60),
    "VCF": ("variants.vcf", _VCF + "".join(f"c\t{place}\t.\tA\tC\n" for place in range(1, 90))),
}


@dataclass(frozen=True)
class Cut:
    """A packed file that was cut, and how reading it ended."""

    packing: str
    format: str
    bytes_left: int
    fault: str | None


def cuts(world: World, num: int) -> Iterator[Cut]:
    """Cut every format in every packing at `num` places, and have it read to its end: only an error will do."""
    for packing, pack in PACKERS.items():
        for form, (name, text) in FILES.items():
            content = pack(text.encode())
            for turn in range(num):
                left = 1 + turn * (len(content) - 2) // max(1, num - 1)
                path = world.home / f"{name}.{packing}"
                path.write_bytes(content[:left])
                yield Cut(packing, form, left, _read(world, form, str(path)))
                path.unlink()


def _read(world: World, form: str, path: str) -> str | None:
    task, model = ["--task", "sim_promoter"], ["--model", str(world.run / "model")]
    if form == "VCF":
        words = ["score", path, "--reference", str(world.run / "data/corpus/dna/genome.fa"), *model]
    elif form == "UniProt":
        words = ["embed", path, "--kind", "protein", *model, "--output", str(world.home / "embedded.npy")]
    else:
        words = ["predict", path, *task, *model]
    ended = llama_gene(*words)
    if ended.fault() or ended.code != 2:
        return f"{ended.fault() or 'it ended as if nothing had been'}: {ended.said[-300:]}"
    return None
