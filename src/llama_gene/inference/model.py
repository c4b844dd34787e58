"""A model for Python and notebooks: everything the commands do, in a few words.

The examples below run in the tests, where ``model`` is a tiny model that was tuned for some steps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from llama_gene import page
from llama_gene.errors import SequenceError, SettingsError
from llama_gene.inference.answers import Answers
from llama_gene.inference.chat import Chat
from llama_gene.inference.decode import Sampling
from llama_gene.inference.embed import POOLS, Pool, pooled, states
from llama_gene.inference.engine import Engine
from llama_gene.inference.likelihood import Likelihood, likelihoods
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.reading import SequenceReader, batches
from llama_gene.inference.rows import Cell
from llama_gene.inference.stream import Asker, BatchSize, blocks_of, say
from llama_gene.inference.table import read_unlabelled
from llama_gene.inference.temperature import kept_temperature
from llama_gene.inference.writing import write_sequences, write_text
from llama_gene.model.default import default_model
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.sequences.record import Record
from llama_gene.tasks.task import Example, Task

Given = str | Record | tuple[str, ...]
"""One row: a sequence, a record, or as many sequences as the task takes."""

_BATCH_TOKENS = 16_384
_NUM_SHOWN = 20
_REPR = """
<h1>{{ title }}</h1>
<p>{{ subtitle }}</p>
{{ chart }}
<table><thead><tr>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table>
"""


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """What a model answered, row by row; in a notebook a table and a plot.

    Args:
        answers: The task, and how its predictions become rows.
        items: The predictions, calibrated where a temperature is kept.
    """

    answers: Answers
    items: tuple[Prediction, ...]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | slice) -> "Prediction | Predictions":
        return self.items[index] if isinstance(index, int) else Predictions(self.answers, self.items[index])

    @property
    def columns(self) -> list[str]:
        """The names of the cells of `rows`."""
        return [column.name for column in self.answers.columns]

    @property
    def rows(self) -> list[list[Cell]]:
        """The cells of each row, as `llama-gene predict` writes them: for a DataFrame, with `columns`."""
        bare = Answers(self.answers.task, None, self.answers.abstain_below)  # calibrated already
        return list(bare.rows(self.items))

    def __repr__(self) -> str:
        return f"<{len(self)} predictions of {self.answers.task.name}>"

    def _repr_html_(self) -> str:
        """For a notebook; in a frame, so that its styles stay apart from the notebook's."""
        rows = [[_shown(cell) for cell in row] for row in self[:_NUM_SHOWN].rows]
        body = page.render(
            _REPR,
            title=self.answers.task.title,
            subtitle=f"{len(self):,} predictions of {self.answers.task.name}"
            + (f", the first {_NUM_SHOWN} below" if len(self) > _NUM_SHOWN else ""),
            chart=self._chart() if self.items else "",
            names=self.columns,
            rows=rows,
        )
        whole = escape(page.render_page(self.answers.task.title, body), quote=True)
        return f'<iframe srcdoc="{whole}" style="width: 100%; height: 30em; border: 0"></iframe>'

    def _chart(self) -> object:
        if self.answers.task.kind == "regression":
            values = np.array([prediction.value for prediction in self.items], dtype=np.float64)
            counts, edges = np.histogram(values, bins=min(20, 1 + len(values)))
            labels = [f"{edge:.3g}" for edge in edges[:-1]]
            return page.bar_chart({"rows": counts.tolist()}, labels, title="Values", x_label="from", y_label="rows")
        found = Counter("held back" if row[1] is None else str(row[1]) for row in self.rows)
        names = [name for name, _ in found.most_common(_NUM_SHOWN)]
        heights = {"rows": [float(found[name]) for name in names]}
        return page.bar_chart(heights, names, title="Answers", x_label="answer", y_label="rows")


def _shown(cell: Cell) -> str:
    return "-" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else str(cell)


class Model:
    """A model and what it can be asked; `llama_gene.load` makes one.

    Args:
        engine: The loaded model.

    >>> model.tasks
    ['conform', 'flags', 'pair', 'strength']
    >>> model.predict("conform", ["ACGTACGT", "TTATACCG"]).columns
    ['id', 'label', 'probability', 'p(Conform not)', 'p(Conform)']
    >>> [len(sequence) <= 30 for sequence in model.generate("ACG", kind="dna", num=2, max_letters=30, seed=1)]
    [True, True]
    >>> model.embed(["ACGT", "TTATA"], kind="dna").shape
    (2, 64)
    >>> [score.letters for score in model.score(["ACGT", "TTATA"], kind="dna")]
    [4, 5]
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks that the model was tuned on."""
        return self.engine.task_names

    def __repr__(self) -> str:
        return f"<model {self.engine.folder}: {', '.join(self.tasks) or 'not tuned on any task'}>"

    def predict(
        self,
        task: str,
        records: Path | Iterable[Given],
        *,
        abstain_below: float | None = None,
        batch_tokens: int = _BATCH_TOKENS,
    ) -> Predictions:
        """Ask a task about sequences; probabilities are calibrated where a temperature is kept with the model.

        Args:
            task: One of `tasks`.
            records: The path of a file, as a `Path`; or sequences, records, or tuples of sequences.
            abstain_below: Hold back a label that is less probable.
            batch_tokens: Prompt tokens at a time.

        Raises:
            TaskError: No such task of this model, or another number of sequences than it takes.
            SequenceError: Letters outside the alphabet.

        >>> model.predict("pair", [("ACGT", "MKV")])[0].answer in ("no", "yes")
        True
        """
        definition = self.engine.task(task)
        answers = Answers(definition, kept_temperature(self.engine.folder, task), abstain_below)
        examples = (
            read_unlabelled(definition, str(records), "refuse", _ignore)
            if isinstance(records, Path)
            else (_example(definition, number, given) for number, given in enumerate(records, 1))
        )
        ask = Asker(self.engine, definition, batch_tokens, say)
        found = [answers.calibrate(one) for block in ask(blocks_of(examples)) for one in block]
        return Predictions(answers, tuple(found))

    def score(
        self, records: Iterable[str | Record], *, kind: Kind = "dna", batch_tokens: int = 4096
    ) -> list[Likelihood]:
        """How probable sequences are: their log-likelihood, and bits per letter.

        Args:
            records: Sequences or records.
            kind: What they are.
            batch_tokens: Tokens at a time.
        """
        reader = self._reader(kind, batch_tokens)
        letters = (_letters(kind, given) for given in records)
        return [found for batch in batches(letters) for found in likelihoods(reader, batch)]

    def embed(
        self,
        records: Iterable[str | Record],
        *,
        kind: Kind = "dna",
        pool: Pool = "mean",
        layer: int = -1,
        batch_tokens: int = 4096,
    ) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """The states of a layer.

        Args:
            records: Sequences or records.
            kind: What they are.
            pool: ``mean`` or ``last``: float32[num_records, width]; ``none``: float32[num_pieces, width] for each.
            layer: 0 is the embedding, -1 the last layer.
            batch_tokens: Tokens at a time.
        """
        if pool not in POOLS:
            raise SettingsError(f"pool {pool!r}", hint=f"one of: {', '.join(POOLS)}")
        reader = self._reader(kind, batch_tokens)
        found = batches(_letters(kind, given) for given in records)
        if pool == "none":
            return [vectors for batch in found for vectors in states(reader, batch, layer)]
        parts = [pooled(reader, batch, pool, layer) for batch in found]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def generate(
        self,
        prompt: str = "",
        *,
        kind: Kind,
        num: int = 1,
        max_tokens: int = 256,
        max_letters: int | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> list[str]:
        """Sequences that begin with `prompt`; see `inference.writing.write_sequences`."""
        sampling = Sampling(temperature, top_p, seed)
        return write_sequences(
            self.engine, kind, prompt, num=num, max_tokens=max_tokens, max_letters=max_letters, sampling=sampling
        )

    def write(
        self,
        prompt: str,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Text after `prompt`, as it comes; sequences stand between tags, and an open tag is gone on from.

        >>> text = "".join(model.write("The gene <dna>ACG", max_tokens=8))
        >>> set(text.partition("</dna>")[0]) <= set("ACGT")
        True
        """
        ids = self.engine.tokenizer.encode(prompt)
        return write_text(self.engine, ids, max_tokens=max_tokens, sampling=Sampling(temperature, top_p, seed))

    def chat(self) -> Chat:
        """A conversation; its `ask` answers a message.

        >>> reply = model.chat().ask("Does it conform? ACGTTGCATTACGGATACCA")
        >>> reply.match.task.name, reply.prediction.answer in ("Conform", "Conform not")
        ('conform', True)
        """
        return Chat(self.engine)

    def _reader(self, kind: Kind, batch_tokens: int) -> SequenceReader:
        return SequenceReader(self.engine, kind, BatchSize(batch_tokens, say))


def load(folder: str | Path | None = None) -> Model:
    """Load a model folder of ours; the default model if none is named.

    Raises:
        ModelError: It is no model folder.
    """
    return Model(Engine.load(default_model() if folder is None else Path(folder)))


def _example(task: Task, number: int, given: Given) -> Example:
    name = given.id if isinstance(given, Record) else str(number)
    sequences = (given.sequence,) if isinstance(given, Record) else (given,) if isinstance(given, str) else given
    if len(sequences) != len(task.inputs):
        problem = f"record {name!r} has {len(sequences)} sequences, task {task.name!r} takes {len(task.inputs)}"
        raise SequenceError(problem, hint="give a tuple with one for each")
    cleaned = (ALPHABETS[part.kind].clean(text) for part, text in zip(task.inputs, sequences, strict=True))
    return Example(name, tuple(cleaned))


def _letters(kind: Kind, given: str | Record) -> str:
    return given.sequence if isinstance(given, Record) else ALPHABETS[kind].clean(given)


def _ignore(_: object) -> None:
    """Nothing is set aside where bad letters are refused."""
