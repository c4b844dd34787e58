"""Another server as the engine: template, tasks, chat and limits are ours, the tokens are its own.

The folder of the model is here, its weights are there: an exported folder under ``vllm serve``, on as many GPUs as that
takes. Nothing here loads torch.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from llama_gene.errors import ModelError
from llama_gene.files import read_json
from llama_gene.inference.by_ids import IdServer
from llama_gene.inference.client import Client, Refused
from llama_gene.inference.decode import Sampling
from llama_gene.inference.predictor import Prediction, predictions_of
from llama_gene.inference.probability import probabilities_of
from llama_gene.inference.trie import build_trie
from llama_gene.inference.tuned import TunedFolder
from llama_gene.model.folder import read_record
from llama_gene.serve.backend import TunedBackend
from llama_gene.serve.errors import RefusalError
from llama_gene.serve.writing import Finish, WriteJob, Written
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import Encoded, PromptEncoder

_AT_ONCE = 32  # requests under way there, of either kind


class RemoteFolder(TunedFolder):
    """A model folder whose weights are not loaded.

    Raises:
        ModelError: It is no model folder of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.record, self.tokenizer = read_record(folder)
        self.folder = folder


class RemoteBackend(TunedBackend):
    """A model of an OpenAI-compatible server that is given ids; see `Backend`.

    Args:
        folder: The folder that is served there.
        name: What clients call the model here.
        server: The model there.

    Raises:
        ModelError: The server has another model, or does not tell enough.
    """

    explains = False

    def __init__(self, folder: RemoteFolder, name: str, server: IdServer) -> None:
        server.require_tokens_of(folder.tokenizer)
        config = read_json(folder.folder / "config.json")
        limits = [limit for limit in (config.get("max_position_embeddings"), server.context) if limit]
        super().__init__(folder, name, min(limits, default=1 << 20))
        self._tuned, self._server = folder, server
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="backend")

    @classmethod
    def connect(cls, folder: Path, name: str, address: str, served: str | None) -> "RemoteBackend":
        """Find the model on its server.

        Args:
            folder: The folder that is served there.
            name: What clients call the model here.
            address: Where the server's API begins, as ``http://localhost:8001/v1``.
            served: The model's name there; None for the only one.

        Raises:
            SettingsError: No such address, or no such model.
            ModelError: As for the class; or the server does not answer.
        """
        return cls(RemoteFolder(folder), name, IdServer.find(Client(address, num_attempts=3, wait_s=0.2), served))

    def predict(self, task: Task, examples: Sequence[Example], batch_tokens: int) -> list[Prediction]:  # noqa: ARG002
        """Answers in the order of the examples; the server makes its own batches.

        Raises:
            RefusalError: It does not answer.
        """
        encoder = self._tuned.encoder(task)
        encoded = encoder.encode([Example(example.id, example.sequences) for example in examples])
        ask = self._scored if task.candidates else self._wrote
        answers = [
            self._pool.submit(ask, encoder, example.id, row) for example, row in zip(examples, encoded, strict=True)
        ]
        try:
            return [answer.result() for answer in answers]
        except (ModelError, Refused) as error:
            raise _as_refusal(error) from None
        finally:
            for answer in answers:
                answer.cancel()

    def _scored(self, encoder: PromptEncoder, name: str, row: Encoded) -> Prediction:
        trie = build_trie(encoder.candidate_ids)
        counted = [ids[:num] for ids, num in zip(encoder.candidate_ids, trie.num_tokens, strict=True)]
        scores = self._server.score(row.prompt, counted)
        return next(
            predictions_of(encoder.task, [name], probabilities_of(scores[None], trie.num_tokens), [row.num_cut])
        )

    def _wrote(self, encoder: PromptEncoder, name: str, row: Encoded) -> Prediction:
        pieces = self._server.stream(row.prompt, encoder.reserve, Sampling(), (), self._ends(encoder.end_ids))
        return Prediction(name, "".join(piece.text for piece in pieces).strip(), None, None, row.num_cut)

    def explain(self, task: Task, *_: object) -> NoReturn:
        """Refuse: explanations take gradients, which no such server tells."""
        problem = f"task {task.name!r} is not explained here: another server computes, and tells no gradients"
        hint = "on this machine: llama-gene predict --explain FOLDER"
        raise RefusalError(501, problem, hint=hint, code="not_explained")

    def writer(self, most: int, batch_tokens: int) -> "RemoteWriting":  # noqa: ARG002
        """What writes texts: at most `most` at a time."""
        return RemoteWriting(self._server, most, self._ends)

    def _ends(self, tokens: Iterable[int]) -> list[int]:
        """Those of `tokens` that do not end a text there anyway."""
        return sorted(set(tokens) - {self.tokenizer.eos_id})


class RemoteWriting:
    """Texts that another server writes, each in a thread that reads its stream; see `Writer`.

    Args:
        server: Who writes.
        most: Most texts at the same time.
        ends: Of the tokens that end a text, those that the server has to be told.
    """

    idle = True  # the threads do it all

    def __init__(self, server: IdServer, most: int, ends: Callable[[Iterable[int]], list[int]]) -> None:
        self._server, self._ends = server, ends
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="text")
        self._lock, self._num = threading.Lock(), 0

    def __len__(self) -> int:
        return self._num

    def take(self, jobs: Sequence[WriteJob]) -> None:
        """Put jobs at the end of the queue."""
        with self._lock:
            self._num += len(jobs)
        for job in jobs:
            self._pool.submit(self._write, job)

    def step(self) -> None:
        """Nothing."""

    def _write(self, job: WriteJob) -> None:
        try:
            if not job.cancelled:
                self._pass_on(job)
        except (ModelError, Refused) as error:
            job.on_piece(_as_refusal(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer of who asked
            job.on_piece(error)
        finally:
            with self._lock:
                self._num -= 1

    def _pass_on(self, job: WriteJob) -> None:
        told = self._server.stream(job.prompt, job.max_tokens, job.sampling, job.stop, self._ends(job.ends))
        with closing(told):  # so that the server hears it if nobody wants to know more
            for piece in told:
                if job.cancelled:
                    return
                job.num_new += len(piece.tokens)
                finish: Finish | None = (
                    None if piece.finish is None else "length" if piece.finish == "length" else "stop"
                )
                job.on_piece(Written(piece.text, job.num_new, piece.tokens, finish))
                if finish:
                    return
        raise ModelError("the server breaks off in the middle of a text", where=self._server.client.address)


def _as_refusal(error: ModelError | Refused) -> RefusalError:
    """What the other server does wrong is no mistake of who asks us; what it refuses may be."""
    if isinstance(error, Refused):
        return RefusalError(400, f"the model's server refuses it: {error}", code="refused_by_backend")
    problem = f"the model's server fails: {error.problem}"
    return RefusalError(503, problem, hint="ask again later", code="backend_failed", retry_after=5)
