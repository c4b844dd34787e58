"""Write a whole data root of simulated tasks and text, each task with the best score that any model can expect."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from llama_gene.errors import LlamaGeneError, SettingsError
from llama_gene.files import atomic_folder
from llama_gene.simulate.dna import Promoter, PromoterStrength, Splice
from llama_gene.simulate.english import documents
from llama_gene.simulate.genome import chromosome, genes
from llama_gene.simulate.protein import CentralDogma, SignalPeptide

MARKER: Final = "simulated.json"  # the folder is ours, and may be replaced
_NUM_CHROMOSOMES = 3
_WIDTH = 80


class Classes(Protocol):
    """A generative model of labelled rows that knows its own posterior."""

    @property
    def names(self) -> Sequence[str]:
        """The label names, in the order of the label numbers."""

    def draw(self, rng: np.random.Generator, num: int) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
        """Rows and labels int64[num]."""

    def posterior(self, sequences: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        """Probability of each label, float64[num, classes]."""


@dataclass(frozen=True)
class Simulation:
    """A simulated task: its model, and what its definition says."""

    name: str
    model: Classes | PromoterStrength
    row: str
    title: str
    question: str
    inputs: tuple[tuple[str, str], ...]  # role and kind
    layout: str = "gue"
    extra: dict[str, float | int] = field(default_factory=dict)
    num_sampled: int = 20_000  # rows that the best possible score is computed from

    @property
    def metric(self) -> str:
        """The main metric, which is also that of the best possible score."""
        return "spearman" if isinstance(self.model, PromoterStrength) else "accuracy"

    @property
    def columns(self) -> list[str]:
        """The header of its tables."""
        return {
            "gue": ["sequence", "label"],
            "lucaone": ["seq_id", "seq_type", "seq", "label"],
            "lucaone_pair": ["seq_id_a", "seq_id_b", "seq_type_a", "seq_type_b", "seq_a", "seq_b", "label"],
        }[self.layout]

    def score(self, sequences: Sequence[tuple[str, ...]], labels: NDArray[np.int64] | NDArray[np.float64]) -> float:
        """The true model's score on these rows."""
        if isinstance(self.model, PromoterStrength):
            return spearman(self.model.expected(sequences), labels)
        return float((self.model.posterior(sequences).argmax(axis=1) == labels).mean())

    def best_possible(self, rng: np.random.Generator) -> float:
        """The best score that any model can expect, from fresh rows; standard error below 0.001.

        Choosing the likeliest label under the true model is right with that label's posterior probability, and no
        other rule is right more often: the mean of it is the best accuracy. For Spearman it is the noise-free value's.
        """
        sequences, labels = self.model.draw(rng, self.num_sampled)
        if isinstance(self.model, PromoterStrength):
            return self.score(sequences, labels)
        return float(self.model.posterior(sequences).max(axis=1).mean())


_DNA = (("sequence", "dna"),)
SIMULATIONS: Final = (
    Simulation("sim_promoter", Promoter(), "classification DNA", "Simulated promoter", "Is there a promoter?", _DNA),
    Simulation("sim_splice", Splice(), "structure DNA", "Simulated splice site", "Which splice site is it?", _DNA),
    Simulation(
        "sim_signal_peptide",
        SignalPeptide(),
        "classification protein",
        "Simulated signal peptide",
        "Is there a signal sequence?",
        (("protein", "protein"),),
        "lucaone",
    ),
    Simulation(
        "sim_central_dogma",
        CentralDogma(),
        "DNA+protein",
        "Simulated gene and protein",
        "Does this gene make this protein?",
        (("gene", "dna"), ("protein", "protein")),
        "lucaone_pair",
        num_sampled=1000,  # each row's posterior is 0 or 1, so more would only take time
    ),
    Simulation(
        "sim_promoter_strength",
        PromoterStrength(),
        "regression DNA",
        "Simulated promoter strength",
        "How strong is this promoter?",
        _DNA,
        # One digit: ten candidates to score, each a single token.
        extra={"decimals": 0, "minimum": 0.0, "maximum": 9.0},
    ),
)


def simulate(
    output: Path,
    *,
    seed: int = 0,
    num_train: int = 3000,
    num_dev: int = 500,
    num_test: int = 500,
    num_genes: int = 300,
    num_documents: int = 3000,
) -> dict[str, float]:
    """Write simulated tasks, genome, proteins and English to the folder `output`, laid out like a data root.

    `tasks/<name>/` gets train.csv, dev.csv, test.csv and task.toml; `corpus/dna`, `corpus/protein` and
    `corpus/english` one file each; `simulated.json` the best possible scores. The same arguments give the same bytes,
    and the rows of a split do not depend on the sizes of the others.

    Returns:
        The best possible score of each task, by name; its metric is in the task's definition.

    Raises:
        SettingsError: A size below 1, or a seed below 0.
        LlamaGeneError: `output` holds something that this function did not write.
    """
    sizes = {"num_train": num_train, "num_dev": num_dev, "num_test": num_test}
    for name, size in {**sizes, "num_genes": num_genes, "num_documents": num_documents}.items():
        if size < 1:
            raise SettingsError(f"{name} is {size}", hint="give 1 or more")
    if seed < 0:
        raise SettingsError(f"the seed is {seed}", hint="give 0 or more")
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / MARKER).is_file()):
        raise LlamaGeneError("there is something else here", where=output, hint="choose another --output")
    report = {}
    with atomic_folder(output) as folder:
        for place, simulation in enumerate(SIMULATIONS):
            report[simulation.name] = _write_task(folder, simulation, seed, place, sizes)
        _write_corpus(folder, seed, num_genes, num_documents)
        report_text = json.dumps({"seed": seed, **sizes, "tasks": report}, indent=2)
        (folder / MARKER).write_text(report_text + "\n", encoding="utf-8")
    return {name: scores["best_possible"] for name, scores in report.items()}


def spearman(a: NDArray[np.float64], b: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """Rank correlation of two arrays without ties.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 9.0, 10.0]))
    1.0
    """
    first, second = (values.argsort().argsort() for values in (a, b))
    differences = (first - second).astype(float)
    return float(1 - 6 * (differences**2).sum() / (len(a) * (len(a) ** 2 - 1)))


def _stream(seed: int, *keys: int) -> np.random.Generator:
    """An independent stream of random numbers for each part, so that no part's size changes another part."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=keys))


def _write_task(folder: Path, simulation: Simulation, seed: int, place: int, sizes: dict[str, int]) -> dict[str, float]:
    """Write a task's tables and definition; give its best possible score, and the true model's on each split."""
    home = folder / "tasks" / simulation.name
    home.mkdir(parents=True)
    scores = {"best_possible": round(simulation.best_possible(_stream(seed, place, 0)), 4)}
    for number, (split, num) in enumerate(zip(("train", "dev", "test"), sizes.values(), strict=True), start=1):
        sequences, labels = simulation.model.draw(_stream(seed, place, number), num)
        with (home / f"{split}.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(simulation.columns)
            for line, (row, label) in enumerate(zip(sequences, labels, strict=True)):
                writer.writerow(_cells(simulation, f"{split}_{line}", row, f"{label}"))
        if num > 1:
            scores[f"true_model_on_{split}"] = round(simulation.score(sequences, labels), 4)
    (home / "task.toml").write_text(definition(simulation, scores["best_possible"]), encoding="utf-8")
    return scores


def _cells(simulation: Simulation, name: str, sequences: tuple[str, ...], label: str) -> list[str]:
    if simulation.layout == "gue":
        return [*sequences, label]
    types = ["gene" if kind == "dna" else "prot" for _, kind in simulation.inputs]
    suffixes = ["_a", "_b"] if len(sequences) > 1 else [""]
    return [*(name + suffix for suffix in suffixes), *types, *sequences, label]


def definition(simulation: Simulation, best_possible: float) -> str:
    """The text of a task's task.toml, written by hand: this stage stands before the tasks and cannot import them."""
    values: dict[str, str | float | int] = {
        "name": simulation.name,
        "kind": "regression" if isinstance(simulation.model, PromoterStrength) else "classification",
        "row": simulation.row,
        "title": simulation.title,
        "question": simulation.question,
        "layout": simulation.layout,
        "data": ".",
        "metric": simulation.metric,
        **simulation.extra,
        "best_possible": best_possible,
        "best_possible_metric": simulation.metric,
        "source": "simulated by llama-gene",
    }
    lines = [
        "# Simulated. best_possible is the expected score of the model that made the rows, on fresh ones:",
        "# nothing that sees the sequence alone can expect a better one.",
        *(f"{key} = {json.dumps(value)}" for key, value in values.items()),
    ]
    columns = [column for column in simulation.columns if column.startswith("seq") and "_id" not in column]
    columns = [column for column in columns if "_type" not in column]
    for (role, kind), column in zip(simulation.inputs, columns, strict=True):
        lines += ["", "[[inputs]]", f'role = "{role}"', f'kind = "{kind}"', f'column = "{column}"']
    if not isinstance(simulation.model, PromoterStrength):
        lines += ["", "[labels]", *(f'{number} = "{name}"' for number, name in enumerate(simulation.model.names))]
    return "\n".join(lines) + "\n"


def _write_corpus(folder: Path, seed: int, num_genes: int, num_documents: int) -> None:
    rng = _stream(seed, len(SIMULATIONS))
    made = list(genes(rng, num_genes))
    share = -(-num_genes // _NUM_CHROMOSOMES)
    parts = [made[start : start + share] for start in range(0, num_genes, share)]
    chromosomes = [(f"chromosome_{number}", chromosome(rng, part)) for number, part in enumerate(parts, start=1)]
    proteins = [(f"protein_{n} {gene.description}", gene.protein) for n, gene in enumerate(made, start=1)]
    text = documents(_stream(seed, len(SIMULATIONS) + 1), num_documents)
    for name, content in (
        ("dna/genome.fa", _fasta(chromosomes)),
        ("protein/proteins.fa", _fasta(proteins)),
        ("english/biology.txt", "\n".join(text) + "\n"),
    ):
        path = folder / "corpus" / name
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")


def _fasta(records: Sequence[tuple[str, str]]) -> str:
    lines = []
    for name, sequence in records:
        lines.append(f">{name}")
        lines += [sequence[start : start + _WIDTH] for start in range(0, len(sequence), _WIDTH)]
    return "\n".join(lines) + "\n"
