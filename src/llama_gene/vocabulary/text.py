"""The English tokenizer of a model from scratch: byte-level BPE, as a plain Hugging Face folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llama_gene.errors import FormatError, TokenizerError
from llama_gene.files import atomic_folder, write_json

EOS = "<|endoftext|>"
PAD = "<|padding|>"
_NUM_BYTES = 256

# The pattern of Qwen and, but for digits in threes, of LLaMA 3. A digit is a token, so that numbers can be read and
# written place by place.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_text_tokenizer(texts: Iterable[str], size: int, output: Path) -> Path:
    """Learn a byte-level tokenizer of text, ready to be extended.

    Every text has an encoding, and every id sequence that encodes a text decodes to exactly that text. The same texts
    give the same file. Where they hold too few different pairs it comes out smaller than asked.

    Args:
        texts: Documents.
        size: Tokens in all: end of text, padding, 256 bytes, and what is learned.
        output: The folder to write: ``tokenizer.json``, ``tokenizer_config.json``.

    Returns:
        `output`.

    Raises:
        TokenizerError: If `size` leaves no room for the bytes.
        FormatError: If there is no text.
    """
    special = [AddedToken(content, special=True, normalized=False) for content in (EOS, PAD)]
    if size < _NUM_BYTES + len(special):
        raise TokenizerError(
            f"{size} text tokens", hint=f"{_NUM_BYTES + len(special)} is bytes alone; ask for that or more"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    documents = _Counted(texts)
    tokenizer.train_from_iterator(documents, trainer)
    if not documents.num_characters:
        raise FormatError("no text to learn a tokenizer from", where=output, hint="name at least one text source")
    with atomic_folder(output) as draft:
        tokenizer.save(str(draft / "tokenizer.json"))
        config = {"tokenizer_class": "TokenizersBackend", "eos_token": EOS, "pad_token": PAD}
        write_json(draft / "tokenizer_config.json", config | {"clean_up_tokenization_spaces": False})
    return output


class _Counted:
    """Texts that go by once, and how many characters they had."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.num_characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.num_characters += len(text)
            yield text
