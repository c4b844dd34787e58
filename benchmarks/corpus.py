"""From plain FASTA to rows to train on: ours beside the paper's route, in one run, on one core.

Run: ``python benchmarks/corpus.py [--data ../shared/data] [--megabytes 70] [--theirs 10]``, with Hugging
Face `datasets` from ``pip install 'llama-gene[benchmark]'``. It prints a table.

- The text is the real DNA of the data folder, and after that its reverse complement. Both read the first megabytes of
  it; theirs fewer, since its rate does not depend on how many there are.
- Ours is what ``corpus build`` does with one process and 30,000 pieces of DNA in typed spans on LLaMA 2: read and clean
  FASTA, window, hash and drop duplicates, encode, checksum, draw what is held out. ``guarded`` also looks for the
  32-mers of the dev rows of the DNA tasks. Hashing the source before is in it.
- Theirs is the paper's (that of Chinese-LLaMA): ``datasets`` reads lines of text, ``map`` encodes them with LLaMA's
  tokenizer and 60,000 pieces merged into it, as many as it has here, and ``map`` joins and groups them by 512. Making
  lines of 1,000 bases out of FASTA is left out of it, and its tokenizer is the fast one of transformers 5, not the slow
  one of the paper's time.
- Each runs in a fresh process with one thread. Seconds are CPU seconds of the call (user and system, children too),
  without imports and without loading what both are given. The peak is that of the process.
"""

import argparse
import importlib.util
import json
import lzma
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import ratios

HERE = Path(__file__).resolve().parent
SIZE = 30_000
BLOCK = 512
WIDTH = 1000
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def write_texts(data: Path, work: Path, num_ours: int, num_theirs: int) -> None:
    """``ours/genome.fa`` and ``theirs/lines.txt`` of so many bases."""
    from llama_gene.sequences import reverse_complement

    records = []
    for path in sorted((data / "corpus" / "dna").glob("*.fa.xz")):
        for record in lzma.decompress(path.read_bytes()).decode().split(">")[1:]:
            name, _, letters = record.partition("\n")
            records.append((name.split()[0], "".join(letters.split()).upper()))
    records += [(f"{name}.other", reverse_complement(letters)) for name, letters in records]
    for folder, num in (("ours", num_ours), ("theirs", num_theirs)):
        (work / folder).mkdir(parents=True, exist_ok=True)
        with (work / folder / ("genome.fa" if folder == "ours" else "lines.txt")).open("w") as file:
            for name, letters in records:
                taken = letters[:num]
                num -= len(taken)
                if not taken:
                    break
                width = 60 if folder == "ours" else WIDTH
                if folder == "ours":
                    file.write(f">{name}\n")
                file.writelines(f"{taken[at : at + width]}\n" for at in range(0, len(taken), width))


def make_tokenizers(data: Path, work: Path) -> None:
    """``pieces``, learned from the text, and LLaMA 2 with them as ``typed`` and as ``shared``."""
    base = data / "base" / "llama2-tokenizer"
    proteins = sorted((data / "corpus" / "protein").glob("*.fa.xz"))
    for kind, files in (("dna", [work / "ours" / "genome.fa"]), ("protein", proteins)):
        command("vocabulary", "train", *files, "--kind", kind, "--size", SIZE, "--output", work / kind)
    for scheme in ("typed", "shared"):
        pieces = ("--dna", work / "dna", "--protein", work / "protein")
        command("vocabulary", "extend", "--base", base, *pieces, "--scheme", scheme, "--output", work / scheme)


def command(*words: object) -> None:
    code = "from llama_gene.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Seconds and megabytes of a call that returns the tokens it made."""
    before = time.process_time() + children_seconds()
    num_tokens = work()
    seconds = time.process_time() + children_seconds() - before
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "tokens": num_tokens}


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(work: Path, data: Path, *, guarded: bool) -> dict[str, float]:
    """FASTA to shards."""
    from llama_gene.config import CorpusSettings
    from llama_gene.corpus.build import build_corpus
    from llama_gene.corpus.plan import freeze, load_tokenizer

    tokenizer = load_tokenizer(work / "typed")
    values: dict[str, Any] = {"source": [{"name": "dna", "kind": "dna", "files": ["ours/genome.fa"]}], "workers": 1}
    if guarded:
        values["decontaminate"] = {"dna": [str(path) for path in sorted((data / "tasks" / "GUE").rglob("dev.csv*"))]}
    settings = CorpusSettings(**values)
    output = work / f"corpus-{guarded}"
    shutil.rmtree(output, ignore_errors=True)  # what is there already would not be done again

    def build() -> int:
        manifest = build_corpus(freeze(settings, work, tokenizer, output, seed=17), settings)
        return sum(task["tokens"] for task in manifest["tasks"].values())

    return measured(build)


def theirs(work: Path) -> dict[str, float]:
    """Lines to blocks, as run_clm_pt_with_peft.py of Chinese-LLaMA does."""
    from datasets import load_dataset
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(work / "shared"))

    def tokenize(rows: dict[str, list[str]]) -> Any:
        return tokenizer([text + tokenizer.eos_token for text in rows["text"]])

    def group(rows: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {key: list(chain(*values)) for key, values in rows.items()}
        length = len(next(iter(joined.values()))) // BLOCK * BLOCK
        blocks = {key: [ids[at : at + BLOCK] for at in range(0, length, BLOCK)] for key, ids in joined.items()}
        blocks["labels"] = blocks["input_ids"].copy()
        return blocks

    cache = str(work / "cache")
    shutil.rmtree(cache, ignore_errors=True)

    def build() -> int:
        lines = load_dataset("text", data_files=str(work / "theirs" / "lines.txt"), split="train", cache_dir=cache)
        encoded = lines.map(tokenize, batched=True, remove_columns=["text"])
        return len(encoded.map(group, batched=True)) * BLOCK

    return measured(build)


def in_a_child(name: str, work: Path, data: Path) -> dict[str, float]:
    """Measure in a fresh process."""
    words = [sys.executable, str(HERE / "corpus.py"), "--child", name, "--work", str(work), "--data", str(data)]
    done = subprocess.run(words, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, help="where the texts are made; a temporary folder if not given")
    parser.add_argument("--megabytes", type=float, default=70, help="bases for ours, in millions")
    parser.add_argument("--theirs", type=float, default=10, help="bases for theirs, in millions")
    ratios.add_option(parser)
    parser.add_argument("--child", choices=["ours", "guarded", "theirs"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        result = (
            theirs(given.work)
            if given.child == "theirs"
            else ours(given.work, given.data, guarded=given.child == "guarded")
        )
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        write_texts(given.data, work, round(given.megabytes * 1e6), round(given.theirs * 1e6))
        if not (work / "shared").is_dir():
            make_tokenizers(given.data, work)
        sizes = {"ours": work / "ours" / "genome.fa", "theirs": work / "theirs" / "lines.txt"}
        names = ["ours", "guarded"] + (["theirs"] if importlib.util.find_spec("datasets") else [])
        print("| route | MB | CPU s | MB/s | peak MB | tokens |\n|---|---:|---:|---:|---:|---:|")
        rates = {}
        for name in names:
            result = in_a_child(name, work, given.data.resolve())
            size = sizes["theirs" if name == "theirs" else "ours"].stat().st_size / 1e6
            rates[name] = size / result["seconds"]
            numbers = f"{size:.1f} | {result['seconds']:.1f} | {rates[name]:.2f} | {result['peak']:.0f}"
            print(f"| {name} | {numbers} | {result['tokens']:,} |", flush=True)
        ratios.write(given.ratios, {"guarded beside ours": rates["guarded"] / rates["ours"]})
        if "theirs" in rates:
            ratios.write(given.ratios, {"ours beside theirs": rates["ours"] / rates["theirs"]})
            print(f"\nours / theirs: {rates['ours'] / rates['theirs']:.1f} x")


if __name__ == "__main__":
    main()
