"""Do one task of a plan: a file, or a section of it, becomes a shard. The same task gives the same bytes anywhere."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import Modality
from llama_gene.corpus.plan import CorpusTask, Plan
from llama_gene.corpus.shards import PART_FILES, PartWriter
from llama_gene.corpus.source import Document, read_documents
from llama_gene.errors import FormatError
from llama_gene.files import atomic_folder, hash_file, read_object, write_sealed
from llama_gene.sequences.read import Reject
from llama_gene.tokenizer import GeneTokenizer

# Letters and documents that are encoded at a time: what the native core takes as one piece of work, and a bound for
# short texts. A process so uses one core, and more of them are used by more processes.
_BATCH_LETTERS = 1 << 16
_BATCH_DOCUMENTS = 1024


def do_task(corpus: Path, name: str) -> None:
    """Do the task `name` of the plan in `corpus`, in this process, unless it is done.

    Raises:
        FormatError: Its file has changed since, or the tokenizer has.
    """
    plan = _load_plan(corpus, hash_file(corpus / "plan.json"))
    task = plan.task(name)
    if not plan.is_done(task):
        make_part(plan, task, plan.tokenizer())


def make_part(plan: Plan, task: CorpusTask, tokenizer: GeneTokenizer) -> None:
    """Encode the file of `task` into its folder: the shard, ``rejects.jsonl``, and ``done.json`` with all counts.

    Raises:
        FormatError: The file has changed since the plan was made.
    """
    plan.require_unchanged(task)
    before = plan.path(task).stat()
    with atomic_folder(plan.part(task)) as draft:
        result = _encode(plan, task, tokenizer, draft)
        after = plan.path(task).stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            plan.require_unchanged(task)
        write_sealed(draft / "done.json", result | {"fingerprint": task.fingerprint})


def read_result(plan: Plan, task: CorpusTask) -> dict[str, Any]:
    """What is written in the done-marker of a task.

    Raises:
        FormatError: The task is not done.
    """
    if not plan.is_done(task):
        hint = f"do it: llama-gene corpus work {plan.folder}"
        raise FormatError("this part of the corpus is missing", where=plan.part(task), hint=hint)
    return read_object(plan.part(task) / "done.json", "checksums")


@lru_cache(maxsize=1)
def _load_plan(corpus: Path, _: str) -> Plan:
    return Plan.load(corpus)


def _encode(plan: Plan, task: CorpusTask, tokenizer: GeneTokenizer, folder: Path) -> dict[str, Any]:
    """Write the shard of a task; returns its counts and checksums."""
    source, path = plan.source(task), plan.path(task)
    counts: Counter[str] = Counter()
    with PartWriter(folder) as writer, (folder / "rejects.jsonl").open("w", encoding="utf-8") as rejects:

        def set_aside(reject: Reject) -> None:
            counts["rejects"] += 1
            # Relative, so that the bytes do not depend on where the data lies.
            where = reject.where.removeprefix(f"{plan.root}/")
            row = {"id": reject.id, "where": where, "reason": reject.reason}
            rejects.write(json.dumps(row, ensure_ascii=False) + "\n")

        record, number = "", -1
        for batch in _batches(read_documents(source, path, task.section, plan.settings, set_aside)):
            counts["neutralised_tags"] += sum(document.num_tags for document in batch)
            kept = _clean(plan, source.kind, batch)
            counts["contaminated"] += len(batch) - len(kept)
            writer.extend(_encode_documents(tokenizer, source.kind, kept))
            places = []
            for document in kept:
                if document.record != record or number < 0:
                    record = document.record
                    number = writer.begin_record(record, _draw(plan.content["seed"], source.name, record))
                places.append((number, document.start, document.end))
            writer.describe(places, (_hash(source.kind, document.content) for document in kept))
        counts |= {"records": writer.num_records, "documents": writer.num_documents, "tokens": writer.num_tokens}
    names = ("records", "documents", "tokens", "rejects", "contaminated", "neutralised_tags")
    return {
        "source": source.name,
        "kind": source.kind,
        "file": path.name,
        **{name: counts[name] for name in names},
        "checksums": {name: hash_file(folder / name) for name in PART_FILES},
    }


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """The documents in order, so many at a time that encoding them is one piece of work."""
    batch: list[Document] = []
    num_letters = 0
    for document in documents:
        if batch and (num_letters + len(document.content) > _BATCH_LETTERS or len(batch) == _BATCH_DOCUMENTS):
            yield batch
            batch, num_letters = [], 0
        batch.append(document)
        num_letters += len(document.content)
    if batch:
        yield batch


def _clean(plan: Plan, kind: Modality, batch: list[Document]) -> list[Document]:
    """The documents of `batch` that hold nothing which is kept out."""
    guard = plan.guards.get(kind)
    if guard is None:
        return batch
    hits = guard.hits([document.content for document in batch])
    return [document for document, hit in zip(batch, hits, strict=True) if not hit]


def _encode_documents(tokenizer: GeneTokenizer, kind: Modality, batch: Sequence[Document]) -> list[NDArray[np.int32]]:
    """The ids of each document, with its tags and a closing end of sequence."""
    if kind == "text":
        return [np.array([*tokenizer.encode(document.content), tokenizer.eos_id], np.int32) for document in batch]
    opening = np.array(tokenizer.opening(kind), np.int32)
    closing = np.array([*tokenizer.closing(kind), tokenizer.eos_id], np.int32)
    spans = tokenizer.encode_bulk(kind, [document.content for document in batch])
    return [np.concatenate((opening, ids, closing)) for ids in spans]


def _hash(kind: str, content: str) -> bytes:
    """Eight bytes: among a hundred million documents two that differ share them once in 3,700 corpora."""
    return blake2b(content.encode(), digest_size=8, person=kind.encode()).digest()


def _draw(seed: int, source: str, record: str) -> int:
    """A number below 2**64 that depends on nothing but the record's name, so that its split depends on no other."""
    return int.from_bytes(blake2b(f"{seed}:{source}:{record}".encode(), digest_size=8).digest(), "big")
