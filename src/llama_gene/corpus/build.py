"""Build a corpus: one task for each file of each source, every one a pure function with an atomic result.

The plan (sources, files, their hashes, the tokenizer) is frozen first. A task that has left its done-marker is not
run again, so a killed build goes on where it stopped and ends in the same bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llama_gene.config import CorpusSettings, SourceSettings, find_files
from llama_gene.corpus.shards import ShardWriter
from llama_gene.corpus.source import Document, read_documents
from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.files import atomic_folder, hash_file, hash_value, read_json, write_json
from llama_gene.progress import progress
from llama_gene.sequences.read import Reject
from llama_gene.tokenizer import GeneTokenizer, Span

SPLITS = ("train", "validation")
_BATCH = 1024  # documents encoded at a time: enough for the encoder's threads, small in memory


@dataclass(frozen=True)
class BuildTask:
    """One file of one source."""

    name: str
    source: SourceSettings
    path: Path


def plan_tasks(settings: CorpusSettings, root: Path) -> list[BuildTask]:
    """Every file of every source, in a stable order."""
    return [
        BuildTask(f"{source.name}-{index:04d}", source, path)
        for source in settings.source
        for index, path in enumerate(find_files(source.files, root))
    ]


def build_corpus(settings: CorpusSettings, root: Path, tokenizer: GeneTokenizer, output: Path, *, seed: int) -> Any:
    """Encode all sources into shards under `output`, and write ``manifest.json`` last; returns the manifest.

    Raises:
        LlamaGeneError: A source yields no token at all.
    """
    tasks = plan_tasks(settings, root)
    plan = {
        "tokenizer": tokenizer.fingerprint,
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude={"source"}),
        "tasks": [
            {"name": task.name, "source": task.source.model_dump(mode="json"), "sha256": hash_file(task.path)}
            for task in tasks
        ],
    }
    plan_hash = hash_value(plan)
    parts = output / "parts"
    results = {}
    with progress("corpus", len(tasks)) as report:
        for index, task in enumerate(tasks):
            report(index, task.path.name)
            results[task.name] = _run_once(task, parts, plan_hash, settings, tokenizer, seed)
    for source in settings.source:
        total = sum(results[task.name]["train"]["tokens"] for task in tasks if task.source.name == source.name)
        if total == 0:
            hint = "see rejects.jsonl beside the shards for what was set aside, and why"
            raise LlamaGeneError(f"source {source.name!r} gave no training document", where=output, hint=hint)
    manifest = {"plan": plan, "plan_hash": plan_hash, "tasks": results}
    write_json(output / "manifest.json", manifest)
    return manifest


def _run_once(
    task: BuildTask, parts: Path, plan_hash: str, settings: CorpusSettings, tokenizer: GeneTokenizer, seed: int
) -> Any:
    folder = parts / task.name
    marker = folder / "done.json"
    if marker.exists() and read_json(marker)["plan_hash"] == plan_hash:
        return read_json(marker)
    with atomic_folder(folder) as draft:
        result = _encode_file(task, draft, settings, tokenizer, seed)
        write_json(draft / "done.json", result | {"plan_hash": plan_hash})
    return read_json(marker)


def _encode_file(
    task: BuildTask, folder: Path, settings: CorpusSettings, tokenizer: GeneTokenizer, seed: int
) -> dict[str, Any]:
    """Encode one file into a shard for each split; what is set aside goes to ``rejects.jsonl``."""
    num_rejects = num_tags = 0
    with (folder / "rejects.jsonl").open("w", encoding="utf-8") as rejects:

        def set_aside(reject: Reject) -> None:
            nonlocal num_rejects
            num_rejects += 1
            row = {"id": reject.id, "where": str(reject.where), "reason": reject.reason}
            rejects.write(json.dumps(row, ensure_ascii=False) + "\n")

        documents = read_documents(task.source, task.path, settings, set_aside)
        with ShardWriter(folder, "train") as train, ShardWriter(folder, "validation") as validation:
            while batch := list(islice(documents, _BATCH)):
                for document, ids in zip(batch, encode_documents(tokenizer, batch), strict=True):
                    num_tags += document.num_tags
                    held_out = _draw(f"{seed}:{task.source.name}:{document.origin}") < settings.validation
                    (validation if held_out else train).add(ids)
            counts = {
                name: {
                    "documents": writer.num_documents,
                    "tokens": writer.num_tokens,
                }
                for name, writer in zip(SPLITS, (train, validation), strict=True)
            }
    checksums = {
        f"{split}.{part}": hash_file(folder / f"{split}.{part}") for split in SPLITS for part in ("ids", "ends")
    }
    return {
        "source": task.source.name,
        "kind": task.source.kind,
        "file": task.path.name,
        "rejects": num_rejects,
        "neutralised_tags": num_tags,
        "checksums": checksums,
        **counts,
    }


def encode_documents(tokenizer: GeneTokenizer, documents: list[Document]) -> Iterator[list[int]]:
    """The ids of each document, with its tags and a closing end-of-sequence."""
    spans: dict[str, Iterator[list[int]]] = {}
    for kind in tokenizer.kinds:
        sequences = [d.content.sequence for d in documents if isinstance(d.content, Span) and d.content.kind == kind]
        spans[kind] = iter(tokenizer.encode_spans(kind, sequences))
    for document in documents:
        content = document.content
        if isinstance(content, str):
            yield [*tokenizer.encode(content), tokenizer.eos_id]
        elif content.kind in tokenizer.kinds:
            inside = next(spans[content.kind])
            yield [*tokenizer.opening(content.kind), *inside, *tokenizer.closing(content.kind), tokenizer.eos_id]
        else:
            hint = f"add a [vocabulary.{content.kind}] section, or leave the source out"
            raise LlamaGeneError(f"the tokenizer knows no {content.kind}", hint=hint)


def _draw(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone, so that a document's split does not depend on its neighbours."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def load_manifest(corpus: Path, tokenizer: GeneTokenizer) -> Any:
    """The manifest of a finished corpus.

    Raises:
        FormatError: The corpus is unfinished, or was encoded by another tokenizer.
    """
    path = corpus / "manifest.json"
    manifest = read_json(path)
    if manifest["plan"]["tokenizer"] != tokenizer.fingerprint:
        raise FormatError("this corpus was encoded by another tokenizer", where=path, hint="build it again")
    return manifest


def verify_shards(corpus: Path, manifest: Any) -> None:
    """Compare every shard with its checksum in the manifest.

    Raises:
        FormatError: A shard is missing or was damaged.
    """
    for name, task in manifest["tasks"].items():
        for part, checksum in task["checksums"].items():
            path = corpus / "parts" / name / part
            if not path.exists() or hash_file(path) != checksum:
                hint = f"remove {corpus} and build the corpus again"
                raise FormatError("this shard is missing or damaged", where=path, hint=hint)
