"""From files to a saved vocabulary: draw, learn, and record where it was learned."""

from collections.abc import Sequence
from pathlib import Path

from llama_gene.files import hash_file
from llama_gene.progress import progress
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.compression import open_bytes
from llama_gene.sequences.read import Reject
from llama_gene.vocabulary.sample import sample_sequences
from llama_gene.vocabulary.train import SequenceVocabulary, train


def learn_vocabulary(
    paths: Sequence[Path], kind: Kind, size: int, output: Path, *, sample: int
) -> tuple[SequenceVocabulary, list[Reject]]:
    """Learn `size` pieces from about `sample` letters of `paths`, and save them as the folder `output`.

    Returns:
        The vocabulary, smaller than asked where the data has too few different pairs; and the records set aside.

    Raises:
        LlamaGeneError: There is nothing to learn from, or `size` is below the alphabet.
    """
    rejects: list[Reject] = []
    for path in paths:
        with open_bytes(path):  # one that is missing or empty is found before the work, and by name
            pass
    sources = [{"file": path.name, "sha256": hash_file(path)} for path in paths]
    with progress(f"vocabulary {kind}", sample) as report:
        drawn = sample_sequences(paths, kind, sample, rejects)
        vocabulary = train(drawn, kind, size, sources=sources, progress=report)
    vocabulary.save(output)
    return vocabulary, rejects
