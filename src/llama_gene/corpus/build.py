"""Build a corpus: do the tasks of its plan, and put together what they made.

A task that is done is not done again, so a killed build goes on where it stopped, and ends in the same bytes.
"""

import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import CorpusSettings
from llama_gene.corpus.encode import do_task, read_result
from llama_gene.corpus.executors import Executor, LocalProcesses, RayCluster, ThisProcess
from llama_gene.corpus.mix import source_shares
from llama_gene.corpus.plan import MANIFEST, PARTS, SPLITS, CorpusTask, Plan
from llama_gene.corpus.select import find_duplicates, find_held_out
from llama_gene.corpus.shards import DOCUMENTS, Shard, map_array
from llama_gene.errors import FormatError, LlamaGeneError
from llama_gene.files import atomic_folder, hash_file, read_object, write_sealed
from llama_gene.progress import progress
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.bpe import num_cpus

# Below this a process takes longer to start than to do its work.
_BYTES_A_WORKER = 4_000_000


def build_corpus(plan: Plan, settings: CorpusSettings) -> Any:
    """Do all tasks of a frozen plan, put their results together, and write ``manifest.json`` last; returns it.

    Args:
        plan: The plan, see `corpus.plan.freeze`.
        settings: Who does the work.

    Raises:
        LlamaGeneError: A source gives no document to train on, a file has changed since the plan was made, or a task
            cannot be done.
    """
    do_tasks(plan, plan.tasks, choose_executor(plan, settings))
    return finish_corpus(plan)


def choose_executor(plan: Plan, settings: CorpusSettings) -> Executor:
    """Who does what is left of a plan: who the settings say, but no more processes than there is work for."""
    if settings.executor == "ray":
        return RayCluster(settings.workers)
    left = [task for task in plan.tasks if not plan.is_done(task)]
    worthwhile = sum(task.num_bytes for task in left) // _BYTES_A_WORKER
    num = min(settings.workers or min(num_cpus(), worthwhile), len(left))
    return LocalProcesses(num) if num > 1 else ThisProcess()


def do_tasks(plan: Plan, tasks: Iterable[CorpusTask], executor: Executor) -> None:
    """Do those of `tasks` that are not done.

    Raises:
        LlamaGeneError: A file or the tokenizer has changed since the plan was made, or a task cannot be done.
    """
    left = [task for task in tasks if not plan.is_done(task)]
    # A compressed file is one task, however large: begun last, it would keep all other workers waiting.
    left.sort(key=lambda task: -task.num_bytes)
    num_bytes = {task.name: task.num_bytes for task in left}
    done = 0
    with progress("corpus", sum(num_bytes.values())) as report:
        for name in executor.run(partial(do_task, plan.folder.absolute()), list(num_bytes)):
            done += num_bytes[name]
            report(done, name)


def finish_corpus(plan: Plan) -> Any:
    """Put the parts of a corpus together: duplicates, what is held out, and the manifest, which it returns.

    Raises:
        FormatError: A part is missing.
        LlamaGeneError: A source gives no document to train on.
    """
    results = {task.name: read_result(plan, task) for task in plan.tasks}
    _verify(
        {plan.part(task) / part: sum for task in plan.tasks for part, sum in results[task.name]["checksums"].items()}
    )
    for draft in (plan.folder / PARTS).glob(".*.part.*"):  # what a worker was writing when it was killed
        shutil.rmtree(draft)
    duplicates = find_duplicates(plan)
    held_out, notes = find_held_out(plan, duplicates)
    chosen: dict[str, NDArray[np.bool_]] = {}
    for task, again, apart in zip(plan.tasks, duplicates, held_out, strict=True):
        masks = {"train": ~again & ~apart, "validation": apart}
        chosen |= {f"{task.name}.{split}": mask for split, mask in masks.items()}
        counts = _Counts(plan, task)
        results[task.name] |= {"duplicates": int(again.sum())}
        results[task.name] |= {split: counts.of(mask) for split, mask in masks.items()}
    _require_every_source(plan, results)
    with atomic_folder(plan.folder / SPLITS) as draft:
        for name, mask in chosen.items():
            (draft / name).write_bytes(np.flatnonzero(mask).astype("<u4").tobytes())
        checksums = {name: hash_file(draft / name) for name in chosen}
    manifest = {
        "plan": plan.content,
        "plan_hash": plan.hash,
        "sources": {
            source.name: {"kind": source.kind, "weight": source.weight, "share": share}
            for source, share in zip(plan.settings.source, source_shares(plan.settings), strict=True)
        },
        "tasks": results,
        "splits": checksums,
        "notes": notes,
    }
    write_sealed(plan.folder / MANIFEST, manifest)
    return manifest


class _Counts:
    """Documents, tokens and letters of the documents of a part."""

    def __init__(self, plan: Plan, task: CorpusTask) -> None:
        part = plan.part(task)
        self._tokens = Shard(part).lengths
        places = map_array(part / f"{DOCUMENTS}.places", "<i8").reshape(-1, 3)
        self._letters = abs(places[:, 2] - places[:, 1])

    def of(self, mask: NDArray[np.bool_]) -> dict[str, int]:
        """Those of some of them."""
        return {
            "documents": int(mask.sum()),
            "tokens": int(self._tokens[mask].sum()),
            "letters": int(self._letters[mask].sum()),
        }


def _require_every_source(plan: Plan, results: dict[str, Any]) -> None:
    for source in plan.settings.source:
        of_source = [result for result in results.values() if result["source"] == source.name]
        if sum(result["train"]["tokens"] for result in of_source):
            continue
        why = ", ".join(
            f"{sum(result[name] for result in of_source):,} {words}"
            for name, words in (
                ("rejects", "records set aside"),
                ("duplicates", "duplicates of other documents"),
                ("contaminated", "documents kept out"),
            )
        )
        hint = f"{why}; see rejects.jsonl beside the shards for what was set aside, and why"
        raise LlamaGeneError(f"source {source.name!r} gave no training document", where=plan.folder, hint=hint)


def load_manifest(corpus: Path, tokenizer: GeneTokenizer) -> Any:
    """The manifest of a finished corpus.

    Raises:
        FormatError: The corpus is unfinished, or was encoded by another tokenizer.
    """
    path = corpus / MANIFEST
    manifest = read_object(path, "plan", "tasks", "splits", "sources")
    if manifest["plan"]["tokenizer"] != tokenizer.fingerprint:
        raise FormatError("this corpus was encoded by another tokenizer", where=path, hint="build it again")
    return manifest


def verify_shards(corpus: Path, manifest: Any) -> None:
    """Compare every shard with its checksum in the manifest.

    Raises:
        FormatError: A shard is missing or was damaged.
    """
    checksums = {corpus / SPLITS / name: checksum for name, checksum in manifest["splits"].items()}
    for name, task in manifest["tasks"].items():
        checksums |= {corpus / PARTS / name / part: checksum for part, checksum in task["checksums"].items()}
    _verify(checksums)


def _verify(checksums: Mapping[Path, str]) -> None:
    for path, checksum in checksums.items():
        if not path.is_file() or hash_file(path) != checksum:
            hint = f"remove the folder {path.parent} and build the corpus again"
            raise FormatError("this shard is missing or damaged", where=path, hint=hint)
