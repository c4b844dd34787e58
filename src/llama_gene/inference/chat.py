"""A conversation with a model about sequences: what it was tuned on is answered with a probability, the rest is text.

Each question is answered alone, since models are tuned on single questions; the sequences that were given last stay,
so that one can ask on about them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from llama_gene.errors import SettingsError
from llama_gene.inference.answers import Answers
from llama_gene.inference.decode import Sampling
from llama_gene.inference.engine import Engine
from llama_gene.inference.matching import Match, clear_match, rank_tasks
from llama_gene.inference.predictor import Prediction
from llama_gene.inference.temperature import kept_temperature
from llama_gene.inference.writing import write_text
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.read import read_records
from llama_gene.sequences.spans import find_spans
from llama_gene.tasks.convert.instructions import Instruction, split_text
from llama_gene.tasks.task import Example
from llama_gene.tasks.template import InstructionEncoder
from llama_gene.tokenizer import Span
from llama_gene.tokenizer.chat import read_chat_frame


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        match: The task that the question was taken for; None: none, and the model wrote freely.
        prediction: Of that task, its probabilities calibrated where a temperature is kept.
        text: The answer as it comes; to be read once.
        nearest: Where no task was clearly meant, those that share words with the question, the nearest first.
    """

    match: Match | None
    prediction: Prediction | None
    text: Iterator[str]
    nearest: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said: a question, and its answer in words."""

    asked: str
    answered: str


@dataclass
class Chat:
    """A conversation.

    Args:
        engine: The model.
        sampling: How free text is drawn.
        max_tokens: At most so many tokens of it.

    Attributes:
        spans: The sequences that are talked about.
        history: What was said, the last turn last.
    """

    engine: Engine
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 200
    spans: tuple[Span, ...] = ()
    history: list[Turn] = field(default_factory=list)

    def load(self, path: str, kind: Kind | None = None) -> int:
        """Talk about the sequences of a file from here on; returns how many they are.

        Args:
            path: Any sequence file.
            kind: What they are; found by their letters if not given.

        Raises:
            LlamaGeneError: The file does not hold.
            SettingsError: Its letters could be either.
        """
        if kind is None:
            kind = self._kind_of(path)
        self.spans = tuple(Span(kind, record.sequence) for record in read_records(path, kind))
        return len(self.spans)

    def _kind_of(self, path: str) -> Kind:
        """By the first record, read as protein, whose alphabet holds the other."""
        first = next(iter(read_records(path, "protein", policy="mask")))
        found = find_spans(f">{first.id}\n{first.sequence}\n", min_dna=1, min_protein=1)
        if not found:
            raise SettingsError("neither surely DNA nor surely protein", where=path, hint="/load FILE dna, or protein")
        return found[0].kind

    def ask(self, message: str) -> Reply:
        """Answer a message; sequences in it are talked about from here on.

        Tags that stand in it around no sequence are made harmless, and so are the special tokens of the model.
        """
        parts = split_text(self._without_special(message))
        given = tuple(part for part in parts if isinstance(part, Span))
        self.spans = given or self.spans
        words = " ".join(part for part in parts if isinstance(part, str))
        tasks = [self.engine.task(name) for name in self.engine.task_names]
        ranked = rank_tasks(words, [span.kind for span in self.spans], tasks)
        match = clear_match(ranked)
        if match is not None:
            return self._predicted(message, match)
        said = parts if given else (words, *_listed(self.spans))
        return Reply(None, None, self._written(message, said), tuple(ranked[:3]))

    def _predicted(self, message: str, match: Match) -> Reply:
        example = Example("chat", tuple(span.sequence for span in self.spans))
        (prediction,) = self.engine.predict(match.task, [example])
        answers = Answers(match.task, kept_temperature(self.engine.folder, match.task.name))
        prediction = answers.calibrate(prediction)
        self.history.append(Turn(message, prediction.answer))
        return Reply(match, prediction, iter([prediction.answer]))

    def _written(self, message: str, parts: Sequence[str | Span]) -> Iterator[str]:
        limit = getattr(self.engine.model.config, "max_position_embeddings", None) or 1 << 20
        frame = read_chat_frame(self.engine.folder) if self.engine.record.get("prompts", {}).get("chat") else None
        encoder = InstructionEncoder(self.engine.tokenizer, limit, chat=frame)
        encoded = encoder.encode(Instruction("chat", tuple(parts), ""))
        if encoded is None:
            raise SettingsError("this is longer than the model's context", hint="give fewer or shorter sequences")
        ids, ends = encoded.prompt, encoded.answer[-1:]
        answer = ""
        for piece in write_text(self.engine, ids, max_tokens=self.max_tokens, sampling=self.sampling, ends=ends):
            answer += piece
            yield piece
        self.history.append(Turn(message, answer))

    def _without_special(self, text: str) -> str:
        """A special token written out, such as the end of a turn, is broken by a space behind its first letter."""
        for token in self.engine.tokenizer.special_texts():
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def _listed(spans: Sequence[Span]) -> Iterator[str | Span]:
    for span in spans:
        yield "\n"
        yield span
