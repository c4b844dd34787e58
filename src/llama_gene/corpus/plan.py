"""The plan of a corpus: all its tasks, frozen with the hashes of what decides them, before any is done.

``plan.json`` is the same wherever the data and the corpus lie. Where they lie on this machine stands in
``places.json``, so that a process on any machine which sees the same folders can do any task.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from llama_gene.config import CorpusSettings, Modality, SourceSettings, find_files
from llama_gene.corpus.contamination import Guard, HeldOutFile, collect
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.files import atomic_path, hash_file, hash_value, read_json, read_object, write_sealed
from llama_gene.progress import progress
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.compression import Section
from llama_gene.sequences.sections import find_sections, hash_section
from llama_gene.tokenizer import GeneTokenizer

PLAN = "plan.json"
MANIFEST = "manifest.json"
_PLACES = "places.json"
PARTS = "parts"
SPLITS = "splits"
_GUARDS = "held-out"
_PLAN_IT = "llama-gene corpus plan RECIPE"


@dataclass(frozen=True)
class CorpusTask:
    """A file of a source, or a section of it.

    Args:
        name: Its name, and that of the folder of its result.
        source: The name of its source.
        file: The file: relative to the data root where it lies below that.
        section: Which part of the file; None for all of it.
        num_bytes: How many bytes that is.
        sha256: Their hash.
        fingerprint: The hash of all that decides the result.
    """

    name: str
    source: str
    file: str
    section: Section | None
    num_bytes: int
    sha256: str
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        section = self.section
        place = None if section is None else [section.start, section.stop, section.lines]
        return {**self.__dict__, "section": place}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "CorpusTask":
        """The reverse of `to_json`."""
        return cls(**values | {"section": None if values["section"] is None else Section(*values["section"])})


@dataclass(frozen=True)
class Plan:
    """A frozen plan, and where it lies.

    Args:
        folder: The corpus.
        root: The folder that the files of the tasks are relative to.
        tokenizer_folder: The tokenizer.
        content: What ``plan.json`` holds.
    """

    folder: Path
    root: Path
    tokenizer_folder: Path
    content: dict[str, Any]

    @classmethod
    def load(cls, corpus: Path) -> "Plan":
        """The plan that was frozen in the folder `corpus`.

        Raises:
            FormatError: There is none.
        """
        if not (corpus / PLAN).is_file():
            hint = f"make one first: {_PLAN_IT}"
            raise FormatError("no plan of a corpus in it", where=corpus, hint=hint)
        places, content = read_object(corpus / _PLACES, "root", "tokenizer"), read_object(corpus / PLAN, "tasks")
        return cls(corpus, Path(places["root"]), Path(places["tokenizer"]), content)

    @cached_property
    def settings(self) -> CorpusSettings:
        """The settings it was made with."""
        return CorpusSettings.model_validate(self.content["settings"])

    @cached_property
    def tasks(self) -> tuple[CorpusTask, ...]:
        """All tasks, in the order of the corpus."""
        return tuple(map(CorpusTask.from_json, self.content["tasks"]))

    @cached_property
    def hash(self) -> str:
        """The hash of the whole plan."""
        return hash_value(self.content)

    def task(self, name: str) -> CorpusTask:
        """The task `name`."""
        return next(task for task in self.tasks if task.name == name)

    def tokenizer(self) -> GeneTokenizer:
        """The tokenizer it was made with.

        Raises:
            FormatError: Another one is there now.
        """
        tokenizer = load_tokenizer(self.tokenizer_folder)
        if tokenizer.fingerprint != self.content["tokenizer"]:
            problem, hint = "this is not the tokenizer that the corpus was planned with", f"plan it again: {_PLAN_IT}"
            raise FormatError(problem, where=self.tokenizer_folder, hint=hint)
        return tokenizer

    def source(self, task: CorpusTask) -> SourceSettings:
        """The source of a task."""
        return next(source for source in self.settings.source if source.name == task.source)

    def path(self, task: CorpusTask) -> Path:
        """The file of a task."""
        return self.root / task.file

    def part(self, task: CorpusTask) -> Path:
        """The folder of the result of a task."""
        return self.folder / PARTS / task.name

    def is_done(self, task: CorpusTask) -> bool:
        """Whether the result of a task is there."""
        marker = self.part(task) / "done.json"
        return marker.is_file() and read_object(marker, "fingerprint")["fingerprint"] == task.fingerprint

    def require_unchanged(self, task: CorpusTask) -> None:
        """Check that the file of a task is what it was when the plan was made.

        Raises:
            FormatError: It is not.
        """
        path = self.path(task)
        try:
            same = hash_section(path, task.section) == task.sha256
        except OSError as error:
            problem, hint = f"cannot be read ({error.strerror})", f"put it back, or plan the corpus again: {_PLAN_IT}"
            raise FormatError(problem, where=path, hint=hint) from None
        if not same:
            hint = f"put the old file back, or plan the corpus again: {_PLAN_IT}"
            raise FormatError("this file has changed since the corpus was planned", where=path, hint=hint)

    @cached_property
    def guards(self) -> dict[Modality, Guard]:
        """The k-mers that are kept out, by their kind.

        Raises:
            FormatError: They are missing or damaged.
        """
        return {kind: self._load_guard(kind) for kind in self.content["held_out"]}

    def _load_guard(self, kind: Kind) -> Guard:
        given = self.content["held_out"][kind]
        path = self.folder / _GUARDS / f"{kind}.npy"
        if not path.is_file() or hash_file(path) != given["sha256"]:
            raise FormatError("missing or damaged", where=path, hint=f"plan the corpus again: {_PLAN_IT}")
        return Guard(kind, given["k"], np.load(path, mmap_mode="r", allow_pickle=False))


def load_tokenizer(folder: Path) -> GeneTokenizer:
    """The tokenizer of `folder`; the one that was loaded last is kept, since it takes a second to load a large one."""
    file = folder / "tokenizer.json"
    return _load_tokenizer(folder.absolute(), hash_file(file) if file.is_file() else "")


@lru_cache(maxsize=1)
def _load_tokenizer(folder: Path, _: str) -> GeneTokenizer:
    return GeneTokenizer.load(folder)


def find_tasks(settings: CorpusSettings, root: Path) -> list[tuple[SourceSettings, Path]]:
    """Every file of every source, in a stable order.

    Raises:
        SettingsError: A pattern matches nothing.
    """
    return [(source, path) for source in settings.source for path in find_files(source.files, root)]


def freeze(
    settings: CorpusSettings,
    root: Path,
    tokenizer: GeneTokenizer,
    corpus: Path,
    *,
    seed: int,
    held_out: Sequence[HeldOutFile] = (),
) -> Plan:
    """Plan a corpus in the folder `corpus`; results of an older plan that hold for this one, too, are kept.

    Args:
        settings: What is in it.
        root: The folder that the files are relative to.
        tokenizer: What it is encoded with.
        corpus: Its folder.
        seed: Decides what is held out.
        held_out: Files to keep out, beside those of the settings; they count only if those ask for it.

    Raises:
        SettingsError: A pattern matches nothing, or there is nothing to keep out.
        LlamaGeneError: The tokenizer cannot spell a source.
    """
    for source in settings.source:
        if source.kind != "text" and source.kind not in tokenizer.kinds:
            hint = f"add a [vocabulary.{source.kind}] section, or leave the source {source.name!r} out"
            raise LlamaGeneError(f"the tokenizer knows no {source.kind}", hint=hint)
    guards = _freeze_guards(settings, root, corpus, held_out)
    content = {
        "tokenizer": tokenizer.fingerprint,
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "held_out": guards,
    }
    tasks = _list_tasks(settings, root, content)
    plan = Plan(corpus, root.absolute(), tokenizer.folder.absolute(), content | {"tasks": tasks})
    if not (corpus / PLAN).is_file() or read_json(corpus / PLAN) != plan.content:
        # What was made by another plan is no corpus any more.
        (corpus / MANIFEST).unlink(missing_ok=True)
        write_sealed(corpus / PLAN, plan.content)
    write_sealed(corpus / _PLACES, {"root": str(plan.root), "tokenizer": str(plan.tokenizer_folder)})
    known = {task.name for task in plan.tasks}
    for part in (corpus / PARTS).glob("*"):
        if part.name not in known:
            shutil.rmtree(part)
    return plan


def _list_tasks(settings: CorpusSettings, root: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of all sources, as JSON values."""
    files = find_tasks(settings, root)
    tasks: list[dict[str, Any]] = []
    numbers = {source.name: 0 for source in settings.source}
    with progress("reading the sources", len(files)) as report:
        for done, (source, path) in enumerate(files):
            report(done, path.name)
            file = str(path.relative_to(root)) if path.is_relative_to(root) else str(path.absolute())
            deciding = {
                "tokenizer": content["tokenizer"],
                "seed": content["seed"],
                "held_out": content["held_out"].get(source.kind),
                "source": source.model_dump(mode="json", exclude={"weight", "files"}),
                "settings": settings.model_dump(mode="json", include={"window", "min_length", "bad_letters"}),
                "file": path.name,
            }
            for section, sha256 in find_sections(path, settings.task_size, lines=source.kind == "text"):
                name = f"{source.name}-{numbers[source.name]:04d}"
                numbers[source.name] += 1
                num_bytes = section.stop - section.start if section else path.stat().st_size
                task = CorpusTask(name, source.name, file, section, num_bytes, sha256, "")
                values = task.to_json()
                values["fingerprint"] = hash_value(deciding | {"section": values["section"], "sha256": sha256})
                tasks.append(values)
    return tasks


def _freeze_guards(
    settings: CorpusSettings, root: Path, corpus: Path, held_out: Sequence[HeldOutFile]
) -> dict[str, Any]:
    """Write the k-mers to keep out; returns what the plan says of them, by kind."""
    asked = settings.decontaminate
    if asked is None:
        return {}
    guards: dict[str, Any] = {}
    by_kind: dict[Kind, tuple[list[str], int]] = {
        "dna": (asked.dna, asked.dna_k),
        "protein": (asked.protein, asked.protein_k),
    }
    for kind, (patterns, k) in by_kind.items():
        files = [HeldOutFile(path, kind) for path in find_files(patterns, root)]
        files += [file for file in held_out if asked.tasks and file.kind == kind]
        if not files:
            continue
        kept_out = collect(files, kind, k)
        path = corpus / _GUARDS / f"{kind}.npy"
        with atomic_path(path) as draft, draft.open("wb") as handle:
            np.save(handle, kept_out.guard.codes, allow_pickle=False)
        guards[kind] = {
            "k": k,
            "sha256": hash_file(path),
            "files": len(files),
            "sequences": kept_out.num_sequences,
            "too_short": kept_out.num_short,
            "kmers": len(kept_out.guard.codes),
        }
    if not guards:
        hint = "name files under corpus.decontaminate.dna or .protein, or give the recipe [tasks]"
        raise SettingsError("[corpus.decontaminate] names nothing to keep out", hint=hint)
    return guards
