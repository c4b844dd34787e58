"""Run a recipe: its stages in order, skipping what is done and unchanged, resuming what was killed.

Each stage writes one folder of the run, whole or not at all. Its fingerprint covers its settings, its input files and
the fingerprints of the stages it stands on; a finished stage leaves a stamp with the fingerprint, and is skipped for
as long as the two agree.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import llama_gene
from llama_gene.config import Recipe, Settings
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.files import hash_file, hash_value, read_object, write_json, write_sealed
from llama_gene.pipeline.stages import Stage, stages_of
from llama_gene.training.launch import joined, launch
from llama_gene.training.parallel import num_processes, rank, world_size
from llama_gene.training.strategy import require_deepspeed
from llama_gene.training.trackers import require_trackers

Say = Callable[[str], None]

_STAMPS = "stages"


class Run:
    """A recipe in its folder.

    Args:
        recipe: The validated recipe.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.folder, self.stages = recipe, recipe.folder, stages_of(recipe)
        self._hashes = _FileHashes(self.folder / _STAMPS / "files.json")

    def fingerprint(self, stage: Stage) -> str:
        """What decides the result of `stage`.

        Raises:
            LlamaGeneError: An input file is missing.
        """
        before = {name: self.fingerprint(other) for other in self.stages for name in stage.after if other.name == name}
        return hash_value(
            {
                "stage": stage.name,
                "version": llama_gene.__version__,
                "settings": _plain(stage.settings),
                "after": before,
                "files": {str(path): self._hashes(path) for path in self._outside(stage.files())},
            }
        )

    def _outside(self, files: list[Path]) -> list[Path]:
        """The files that no stage made: simulated ones need no hash, the fingerprint of their stage says it all."""
        if not self.recipe.simulate:
            return files
        made = self.recipe.data_root.resolve()
        return [path for path in files if not path.resolve().is_relative_to(made)]

    def is_done(self, stage: Stage) -> bool:
        """Whether the result of `stage` is there, made from what it would be made from now."""
        stamp = self.folder / _STAMPS / f"{stage.name}.json"
        return (
            stage.output.exists()
            and stamp.exists()
            and read_object(stamp, "fingerprint")["fingerprint"] == self.fingerprint(stage)
        )

    def plan(self) -> Iterator[tuple[Stage, bool]]:
        """Each stage, and whether it would be skipped; nothing is written."""
        done = True
        for stage in self.stages:
            done = done and self.is_done(stage)
            yield stage, done

    def execute(self, say: Say, *, until: str | None = None) -> None:
        """Run all stages that are not done, up to `until`.

        Raises:
            SettingsError: The recipe has no stage `until`, or asks for what is not installed.
            LlamaGeneError: A stage failed, or another process works in the same folder.
        """
        names = [stage.name for stage in self.stages]
        if until is not None and until not in names:
            raise SettingsError(f"the recipe has no stage {until!r}", hint=f"its stages: {', '.join(names)}")
        if world_size() > 1:
            with joined():
                self._join(until, say)
        else:
            self._check_trainings()
            with _lock(self.folder):
                self._clear_up()
                self._check_inputs(names[: names.index(until) + 1] if until else names)
                for number, stage in enumerate(self.stages, start=1):
                    self._run(stage, f"[{number}/{len(names)}] {stage.name}", say)
                    if stage.name == until:
                        return

    def _check_trainings(self) -> None:
        """Find out whether this machine can train as the recipe says: better now than after hours of corpus."""
        for training in filter(None, (self.recipe.pretrain, self.recipe.finetune)):
            require_trackers(training.track)
            if training.processes is not None and training.processes > 1:
                training.shared_by(training.processes)
                require_deepspeed(training.strategy)

    def _clear_up(self) -> None:
        """Make the folder this run's own."""
        self._hashes.keep = True
        for draft in list(self.folder.rglob(".*.part.*")):  # what a killed run was writing, one maybe in another
            shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
        write_json(self.folder / "recipe.json", self.recipe.model_dump(mode="json"))

    def _join(self, until: str | None, say: Say) -> None:
        """Do one training as one of the processes that torchrun has started, here or on other machines.

        Raises:
            LlamaGeneError: It is no training, or the stages before it are not done.
        """
        place = next((place for place, stage in enumerate(self.stages) if stage.training and stage.name == until), None)
        if place is None:
            names = [stage.name for stage in self.stages if stage.training]
            problem = f"{world_size()} processes do one training together, and nothing else of a recipe"
            raise LlamaGeneError(problem, hint=f"start each of them like this: llama-gene {' or '.join(names)} RECIPE")
        stage = self.stages[place]
        for before in self.stages[:place]:
            if not self.is_done(before):
                problem = f"the stage {before.name!r} is not done, or something it reads has changed"
                last = [one.name for one in self.stages[:place] if not one.training][-1]
                way = f"start it first: llama-gene {before.name} RECIPE"
                hint = way if before.training else f"do it in one process first: llama-gene run RECIPE --until {last}"
                raise LlamaGeneError(problem, where=self.folder, hint=hint)
        if rank() == 0:
            with _lock(self.folder):
                self._clear_up()
                self._run(stage, f"[{place + 1}/{len(self.stages)}] {stage.name}", say)
        elif not self.is_done(stage):
            stage.make(self._work(stage, self.fingerprint(stage)))

    def _check_inputs(self, names: list[str]) -> None:
        """Find every input file of the stages `names`: a missing one is better told now than after hours."""
        if self.recipe.simulate:
            return  # the first stage makes them
        for stage in self.stages:
            if stage.name in names:
                self.fingerprint(stage)

    def _run(self, stage: Stage, title: str, say: Say) -> None:
        if self.is_done(stage):
            say(f"{title}: done before, and nothing has changed")
            return
        say(f"{title} ...")
        started = time.monotonic()
        fingerprint = self.fingerprint(stage)
        work = self._work(stage, fingerprint)
        if work.parent.exists():
            for other in work.parent.iterdir():  # what other settings left
                if other != work:
                    shutil.rmtree(other)
        processes = num_processes(stage.training) if stage.training else 1
        if processes > world_size():
            self._launch(stage, work, processes)
        else:
            stage.make(work)
        seconds = time.monotonic() - started
        write_sealed(
            self.folder / _STAMPS / f"{stage.name}.json", {"fingerprint": fingerprint, "seconds": round(seconds, 1)}
        )
        shutil.rmtree(work.parent, ignore_errors=True)
        say(f"{title}: {stage.output} in {seconds:.0f} s")

    def _work(self, stage: Stage, fingerprint: str) -> Path:
        """A folder for what `stage` keeps while it works, such as checkpoints."""
        return self.folder / "work" / stage.name / fingerprint[:16]

    def _launch(self, stage: Stage, work: Path, processes: int) -> None:
        """Do `stage` in several processes of this machine."""
        recipe = work / "recipe.json"
        write_json(recipe, _everything(self.recipe))
        launch([sys.executable, "-m", "llama_gene.pipeline.member", str(recipe), stage.name, str(work)], processes)


def _everything(settings: Any) -> Any:
    """Settings as JSON values, those too that are left out where settings are compared."""
    if isinstance(settings, Settings):
        return {name: _everything(value) for name, value in settings}
    if isinstance(settings, list):
        return [_everything(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


def _plain(settings: Any) -> Any:
    """Settings as JSON values."""
    if hasattr(settings, "model_dump"):
        return settings.model_dump(mode="json")
    if isinstance(settings, dict):
        return {key: _plain(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_plain(value) for value in settings]
    return settings


class _FileHashes:
    """Hashes of input files, kept by size and time of change, so that gigabytes are read once.

    Attributes:
        keep: Whether new ones are written down for the next time; a dry run writes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.keep = path, False
        self._known: dict[str, list[Any]] = {}
        with suppress(FormatError):  # none are known yet, or what was known is damaged
            self._known = read_object(path)

    def __call__(self, path: Path) -> str:
        stat = path.stat()
        key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        if self._known.get(key, [])[:2] != state:
            self._known[key] = [*state, hash_file(path)]
            if self.keep:
                write_sealed(self._path, self._known)
        return str(self._known[key][2])


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run's folder; the lock goes with the process, however it ends."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        hint = "choose another with output=FOLDER"
        raise LlamaGeneError(f"cannot write to the run's folder ({error.strerror})", where=folder, hint=hint) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            hint = "wait for it, or choose another folder with output=FOLDER"
            raise LlamaGeneError("another process is running in this folder", where=folder, hint=hint) from None
        yield
