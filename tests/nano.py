"""A world small enough to train in: a byte-level English, six pieces of DNA, two of protein, and a nano LLaMA.

The fixtures are known to all tests through ``conftest.py``; each is made once a session.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama_gene.config import FinetuneSettings, LoraSettings, ModelSettings, PretrainSettings
from llama_gene.finetune import TaskRows, finetune
from llama_gene.model.base import SIZES, Shape, new_model
from llama_gene.model.create import create_from_scratch, extend_base
from llama_gene.tasks.task import Example, Input, Task
from llama_gene.tasks.template import prompt_texts
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.text import train_text_tokenizer
from llama_gene.vocabulary.train import SequenceVocabulary

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test reaches the network

DNA = SequenceVocabulary("dna", (("A", "C"), ("G", "T"), ("AC", "GT"), ("T", "A"), ("TA", "TA"), ("C", "C")))
PROTEIN = SequenceVocabulary("protein", (("M", "K"), ("L", "L")))

# One name begins another, so that its end of sequence decides.
CONFORM = Task(
    name="conform",
    kind="classification",
    row="classification DNA",
    title="Does it conform",
    question="Does it conform?",
    inputs=(Input(role="sequence", kind="dna", column="sequence"),),
    layout="gue",
    data="conform",
    metric="mcc",
    labels={"0": "Conform not", "1": "Conform"},
)
STRENGTH = Task(
    name="strength",
    kind="regression",
    row="regression DNA",
    title="How strong is it",
    question="How strong?",
    inputs=(Input(role="sequence", kind="dna", column="sequence"),),
    layout="gue",
    data="strength",
    metric="spearman",
    decimals=1,
    minimum=-0.3,
    maximum=1.2,
)
PAIR = Task(
    name="pair",
    kind="classification",
    row="DNA+protein",
    title="Gene and protein",
    question="Does A code for B?",
    inputs=(
        Input(role="A", kind="dna", column="seq_a"),
        Input(role="B", kind="protein", column="seq_b"),
    ),
    layout="lucaone_pair",
    data="pair",
    metric="accuracy",
    labels={"0": "no", "1": "yes"},
)
FLAGS = Task(
    name="flags",
    kind="multilabel",
    row="function DNA",
    title="Where it is open",
    question="Where open?",
    inputs=(Input(role="sequence", kind="dna", column="sequence"),),
    layout="gue",
    data="flags",
    metric="micro_f1",
    labels={"0": "leaf", "1": "root"},
)
TASKS = (CONFORM, STRENGTH, PAIR, FLAGS)
ENGLISH = ["The promoter of the gene is open in the leaf.", "A protein of the root folds, and the gene is read."] * 5
LORA = LoraSettings(rank=2, alpha=16, dropout=0.2)


def dna(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def protein(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACDEFGHIKLMNPQRSTVWY", k=length))


def create(output: Path, vocabularies: Sequence[SequenceVocabulary] = (DNA, PROTEIN)) -> Path:
    settings = ModelSettings(size="nano", text_vocabulary=330, context=160)
    create_from_scratch(settings, vocabularies, [*prompt_texts(TASKS), *ENGLISH], output, seed=3)
    return output


def awake(model: Any) -> Any:
    """`model` with noise in all that begins at zero, so that every part of it has a say."""
    import torch

    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.copy_(torch.randn(weight.shape, generator=generator) * weight.shape[-1] ** -0.5)
    return model


def examples(task: Task, num: int, length: int = 20) -> list[Example]:
    """Rows whose answers go round."""
    rows = []
    for i in range(num):
        sequences = tuple((dna if part.kind == "dna" else protein)(length + i % 7, i) for part in task.inputs)
        if task.kind == "regression":
            value = -0.3 + 0.1 * (i % 16)
            rows.append(Example(f"row{i}", sequences, task.format_value(value), value))
        else:
            names = task.candidates or ("leaf", "leaf, root", "none")
            rows.append(Example(f"row{i}", sequences, names[i % len(names)]))
    return rows


def finetune_settings(**changes: Any) -> FinetuneSettings:
    values = {"block_size": 80, "batch_size": 2, "learning_rate": 1e-3, "epochs": 1.0, "checkpoint_every": 4}
    return FinetuneSettings(**values | changes)


def pretrain_settings(**changes: Any) -> PretrainSettings:
    values = {"block_size": 32, "batch_size": 2, "learning_rate": 1e-3, "checkpoint_every": 2}
    return PretrainSettings(**values | changes)


class RandomRows:
    """Packed rows of two documents each, with a number of targets that differs from row to row.

    Attributes:
        served: The indices asked for so far.
        fails_at: Asking for this one is like Ctrl-C.
    """

    def __init__(self, num: int, block_size: int = 32, num_tokens: int = 300) -> None:
        self._num, self._block_size, self._num_tokens = num, block_size, num_tokens
        self.served: list[int] = []
        self.fails_at: int | None = None

    def __len__(self) -> int:
        return self._num

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if index == self.fails_at:
            raise KeyboardInterrupt
        self.served.append(index)
        generator = np.random.default_rng(index)
        ids = generator.integers(2, self._num_tokens, self._block_size)
        cut = int(generator.integers(2, self._block_size - 1))
        positions = np.concatenate([np.arange(cut), np.arange(self._block_size - cut)])
        left_out = (positions == 0) | (np.arange(self._block_size) > 4 + 5 * (index % 6))
        return {"input_ids": ids, "labels": np.where(left_out, -100, ids), "position_ids": positions}


def parameters(model: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def logits_of(model: Any, ids: Sequence[int]) -> np.ndarray:
    import torch

    model.eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double().numpy()


def some_ids(tokenizer: GeneTokenizer) -> list[int]:
    return tokenizer.encode("The gene is <dna>ACGTTATACCGN</dna> and <protein>MKLLV</protein> open")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def failing(times: int, error: BaseException, real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, until its call number `times`, which raises."""
    calls: Iterator[int] = iter(range(times))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) == times - 1:
            raise error
        return real(*args, **kwargs)

    return call


@pytest.fixture(scope="session")
def nano_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A nano LLaMA that knows both kinds, its head tied to its embedding."""
    return create(tmp_path_factory.mktemp("nano") / "model")


@pytest.fixture(scope="session")
def untied_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but with a head of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "nano", Shape(64, 2, 4, 4, 176, tied=False))
        return create(tmp_path_factory.mktemp("untied") / "model")


@pytest.fixture(scope="session")
def nano_tokenizer(nano_folder: Path) -> GeneTokenizer:
    return GeneTokenizer.load(nano_folder)


@pytest.fixture(scope="session")
def tuned_folder(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano model, tuned for some steps on all tasks above."""
    folder = tmp_path_factory.mktemp("tuned")
    tasks = [TaskRows(task, examples(task, 8), {}) for task in TASKS]
    finetune(nano_folder, tasks, finetune_settings(), folder / "model", folder / "checkpoints", seed=5)
    return folder / "model"


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never saw our tasks: English bytes, a nano LLaMA, no typed spans."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    train_text_tokenizer([*ENGLISH, *(f"{task.question} {task.label_names}" for task in TASKS[:1])], 300, folder)
    new_model("nano", 300, 512, {"eos_token_id": 0, "pad_token_id": 1}, seed=4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def stories() -> Path:
    """A real LLaMA of 260,000 parameters with a SentencePiece tokenizer, as it was published."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("LLAMA_GENE_DATA", root.parent / "shared" / "data")) / "base" / "stories260K-hf"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set LLAMA_GENE_DATA to the folder of the real data")
    return folder


@pytest.fixture(scope="session")
def stories_genes(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """stories260K, extended by both kinds."""
    output = tmp_path_factory.mktemp("stories") / "genes"
    extend_base(ModelSettings(base=str(stories)), [DNA, PROTEIN], output, seed=3)
    return output
