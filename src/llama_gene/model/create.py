"""Make the model that a run starts from: new, or a grown base."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from llama_gene.config import ModelSettings, Scheme
from llama_gene.errors import ModelError, TokenizerError
from llama_gene.model.base import check_causal, find_base, load_model, new_model
from llama_gene.model.extend import grow, num_rows
from llama_gene.model.folder import save_folder
from llama_gene.progress import progress
from llama_gene.sequences import ALPHABETS, Kind
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.tokenizer.gene import kind_code
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.shared import extend_shared
from llama_gene.vocabulary.text import train_text_tokenizer
from llama_gene.vocabulary.train import SequenceVocabulary

_MAX_TEXT = 30_000_000  # characters an English tokenizer is learned from: more changes few of a few thousand pieces


def create_from_scratch(
    settings: ModelSettings,
    vocabularies: Sequence[SequenceVocabulary],
    texts: Iterable[str],
    output: Path,
    *,
    seed: int,
) -> None:
    """A model with random weights, an English tokenizer learned from `texts`, and the vocabularies as typed spans.

    Raises:
        LlamaGeneError: There is no text, or no such size.
    """
    with tempfile.TemporaryDirectory() as temporary:
        english, typed = Path(temporary) / "english", Path(temporary) / "typed"
        train_text_tokenizer(_bounded(texts), settings.text_vocabulary, english)
        extend(english, vocabularies, typed)
        tokenizer = GeneTokenizer.load(typed)
        special = {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
        letters = letter_ids(tokenizer)
        model = new_model(settings.size, num_rows(tokenizer), settings.context, special, letters, seed=seed)
        save_folder(model, typed, output, {"base": f"scratch, {settings.size}"})


def continue_base(settings: ModelSettings, output: Path) -> None:
    """A base that knows sequences already, such as another run's model, as it is.

    Raises:
        LlamaGeneError: It is no causal language model, or was never extended.
    """
    folder = find_base(settings.base)
    check_causal(folder)
    try:
        save_folder(load_model(folder), folder, output, {"base": settings.base})
    except TokenizerError:
        hint = "say which pieces it is to learn, in [vocabulary.dna] or [vocabulary.protein]"
        raise ModelError("this base knows no DNA or protein yet", where=folder, hint=hint) from None


def letter_ids(tokenizer: GeneTokenizer) -> dict[Kind, list[int]]:
    """The ids of A, C, G and T, or of the twenty amino acids, of each kind of sequence that is spelled by letters."""
    spellings, kinds = tokenizer.spellings(), tokenizer.token_kinds()
    found: dict[Kind, list[int]] = {}
    for kind in tokenizer.kinds:
        ids = {text: index for index, text in spellings.items() if kinds[index] == kind_code(kind)}
        if all(len(text) == 1 for text in ids):
            found[kind] = [ids[letter] for letter in ALPHABETS[kind].letters]
    return found


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    """Texts until there are enough; what must not be left out comes first."""
    num_characters = 0
    with progress("English tokenizer", _MAX_TEXT) as report:
        for text in texts:
            yield text
            num_characters += len(text)
            report(num_characters)
            if num_characters >= _MAX_TEXT:
                return


def extend_base(
    settings: ModelSettings,
    vocabularies: Sequence[SequenceVocabulary],
    output: Path,
    *,
    seed: int,
    scheme: Scheme = "typed",
) -> None:
    """A Hugging Face base with the vocabularies as typed spans or in its own table, its rows grown for them.

    Raises:
        LlamaGeneError: The base is missing, gated, no causal language model, or cannot be extended.
    """
    folder = find_base(settings.base)
    check_causal(folder)
    model = load_model(folder)
    with tempfile.TemporaryDirectory() as temporary:
        grown = Path(temporary) / "grown"
        extension = (extend if scheme == "typed" else extend_shared)(folder, vocabularies, grown)
        tokenizer = GeneTokenizer.load(grown)
        rows = model.get_input_embeddings().weight.shape[0]
        if extension.first_new > rows:
            problem = f"its tokenizer has {extension.first_new:,} tokens and its model {rows:,} rows: they do not fit"
            hint = "give a folder in which the tokenizer and the weights belong together"
            raise ModelError(problem, where=folder, hint=hint)
        grow(model, tokenizer, extension.first_new, settings.rows, seed=seed, noise=settings.row_noise)
        save_folder(model, grown, output, {"base": settings.base})
