"""A memory that begins with linear models: what it then says, and that it is made once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llama_gene.config import ModelSettings
from llama_gene.errors import SettingsError
from llama_gene.finetune import TaskRows, finetune
from llama_gene.finetune.remember import fill_memory
from llama_gene.finetune.store import ExampleStore
from llama_gene.model.create import create_from_scratch
from llama_gene.model.folder import load_folder
from llama_gene.tasks.task import Example, Task
from llama_gene.tasks.template import PromptEncoder, prompt_texts
from llama_gene.vocabulary.train import SequenceVocabulary
from nano import CONFORM, ENGLISH, STRENGTH, dna, finetune_settings, tree

PLACE = CONFORM.model_copy(update={"name": "place", "question": "Is the tenth a G?", "labels": {"0": "no", "1": "yes"}})
MOTIF = CONFORM.model_copy(update={"name": "motif", "question": "Is there GATTACA?", "labels": {"0": "no", "1": "yes"}})


def rows(num: int) -> list[Example]:
    """Every other sequence has the motif somewhere."""
    found = []
    for number in range(num):
        letters, place = dna(24, number), number % 17
        if number % 2:
            letters = letters[:place] + "GATTACA" + letters[place + 7 :]
        found.append(Example(str(number), (letters,), ("no", "yes")[number % 2]))
    return found


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remembering") / "model"
    letters = SequenceVocabulary("dna", ())
    settings = ModelSettings(size="gene-nano", text_vocabulary=330, context=160)
    create_from_scratch(settings, [letters], [*prompt_texts([MOTIF]), *ENGLISH], folder, seed=3)
    return folder


def test_the_mean_over_a_sequence_tells_what_a_linear_model_tells(remembering: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = load_folder(remembering)
    encoder, store = PromptEncoder(MOTIF, tokenizer, 120), ExampleStore(tmp_path / "store")
    store.add_task(encoder, rows(200), both_strands=False)
    store.close()
    kept = tmp_path / "memory.safetensors"
    fill_memory(model, store, [MOTIF], kept, seed=1)
    memory = model.get_decoder().ngrams
    # One task of two labels: one direction, so every row of the table is a multiple of one vector.
    _, sizes, directions = torch.linalg.svd(memory.table, full_matrices=False)
    assert sizes[1] < 1e-4 * sizes[0]
    new = rows(260)[200:]
    with torch.inference_mode():
        said = [
            float((memory(torch.tensor([row.prompt]))[0].sum(0) @ directions[0]).detach())
            for row in encoder.encode(new)
        ]
    has_motif = np.arange(60) % 2 == 1
    share = np.mean(np.array(said)[has_motif][:, None] > np.array(said)[~has_motif][None])
    assert max(share, 1 - share) > 0.9  # which way it points is the tuning's to find out
    # A tuning that goes on takes what is kept.
    before, written = memory.table.detach().clone(), kept.stat().st_mtime_ns
    fill_memory(model, store, [MOTIF], kept, seed=2)
    assert memory.table.equal(before)
    assert kept.stat().st_mtime_ns == written


def test_letters_at_their_places_count_where_that_helps(remembering: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = load_folder(remembering)
    memory = model.get_decoder().ngrams

    def share_of_places(task: Task, examples: list[Example]) -> float:
        store = ExampleStore(tmp_path / task.name)
        store.add_task(PromptEncoder(task, tokenizer, 120), examples, both_strands=False)
        store.close()
        fill_memory(model, store, [task], tmp_path / f"{task.name}.safetensors", seed=1)
        squares = memory.table.detach().square().sum(dim=1)
        return float(squares[memory.first_placed :].sum() / squares.sum())

    at_place = [dna(24, number) for number in range(200)]
    at_place = [letters[:9] + "CG"[number % 2] + letters[10:] for number, letters in enumerate(at_place)]
    examples = [Example(str(n), (letters,), ("no", "yes")[n % 2]) for n, letters in enumerate(at_place)]
    assert share_of_places(PLACE, examples) > 2 * share_of_places(MOTIF, rows(200))


def test_a_row_is_trained_on_with_what_is_said_by_models_that_never_saw_it(remembering: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = load_folder(remembering)
    memory, encoder, store = model.get_decoder().ngrams, PromptEncoder(MOTIF, tokenizer, 120), ExampleStore(tmp_path)
    # Labels that nothing tells: who answers right has learned them by heart.
    answers = np.random.default_rng(4).integers(0, 2, 300)
    examples = [Example(str(n), (dna(24, n),), ("no", "yes")[answer]) for n, answer in enumerate(answers)]
    store.add_task(encoder, examples, both_strands=False)
    store.close()
    fill_memory(model, store, [MOTIF], tmp_path / "memory.safetensors", seed=1)
    direction = torch.linalg.svd(memory.table, full_matrices=False)[2][0]

    def share_right() -> float:
        with torch.inference_mode():
            said = np.array(
                [float(memory(torch.tensor([row.prompt]))[0].sum(0) @ direction) for row in encoder.encode(examples)]
            )
        share = float(np.mean(said[answers == 1][:, None] > said[answers == 0][None]))
        return max(share, 1 - share)

    memory.eval()
    assert share_right() > 0.95
    memory.train()
    memory.fold_share = 1.0
    assert share_right() < 0.65


@pytest.mark.parametrize("task", ["labels", "numbers"])
def test_few_rows_are_learned_from_all_at_once(remembering: Path, tmp_path: Path, task: str) -> None:
    model, tokenizer, _ = load_folder(remembering)
    definition, answers = (MOTIF, ("no", "yes")) if task == "labels" else (STRENGTH, ("1.5", "2.5"))
    store = ExampleStore(tmp_path)
    examples = [Example(answer, (dna(24, 1),), answer) for answer in answers]  # one sequence, and so one fold
    store.add_task(PromptEncoder(definition, tokenizer, 120), examples, both_strands=False)
    store.close()
    fill_memory(model, store, [definition], tmp_path / "memory.safetensors", seed=1)
    assert torch.allclose(model.get_decoder().ngrams.folds, torch.zeros(()), atol=1e-6)


def test_both_strands_are_learned_from_where_the_task_has_two(remembering: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = load_folder(remembering)
    memory, store = model.get_decoder().ngrams, ExampleStore(tmp_path)
    encoder = PromptEncoder(MOTIF, tokenizer, 120)
    store.add_task(encoder, rows(200), both_strands=True)
    store.close()
    fill_memory(model, store, [MOTIF], tmp_path / "memory.safetensors", seed=1)

    def size(letters: str) -> float:
        (prompt,) = encoder.encode([Example("0", (letters,), "yes")])
        last = memory.find(torch.tensor([prompt.prompt]))[0, :, 1].max()  # the row of its only 6-mer
        return float(memory.table[last].detach().norm())

    assert size("GATTAC") == pytest.approx(size("GTAATC"), rel=0.2)


def test_a_tuning_with_it_is_repeated_to_the_byte(remembering: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        tasks = [TaskRows(MOTIF, rows(24), {})]
        settings = finetune_settings(fill_memory=True)
        finetune(remembering, tasks, settings, tmp_path / name, tmp_path / f"{name}-checkpoints", seed=5)
    one, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    assert one["model.safetensors"] == other["model.safetensors"]
    table = load_folder(tmp_path / "one")[0].get_decoder().ngrams.table
    assert int((table.abs().sum(dim=1) > 0).sum()) > 300  # also where the tuning itself read nothing


def test_a_memory_has_a_learning_rate_of_its_own(remembering: Path, tmp_path: Path) -> None:
    largest = {}
    for name, rate in (("as_all", None), ("slow", 1e-9)):
        settings = finetune_settings(learning_rate=1e-2, memory_learning_rate=rate)
        work = tmp_path / f"{name}-work"
        finetune(remembering, [TaskRows(MOTIF, rows(24), {})], settings, tmp_path / name, work, seed=5)
        largest[name] = float(load_folder(tmp_path / name)[0].get_decoder().ngrams.table.detach().abs().max())
    assert largest["as_all"] > 1e-3  # it was empty
    assert largest["slow"] < 1e-6


def test_a_model_without_a_memory_says_so(nano_folder: Path, tmp_path: Path) -> None:
    tasks = [TaskRows(MOTIF, rows(4), {})]
    with pytest.raises(SettingsError, match=r"the model has no memory of n-grams\n  take a size with a memory"):
        finetune(nano_folder, tasks, finetune_settings(fill_memory=True), tmp_path / "model", tmp_path / "work", seed=1)
