"""From files to a saved vocabulary: draw, learn, and record where it was learned."""

from collections.abc import Sequence
from pathlib import Path

from llama_gene.errors import SequenceError
from llama_gene.files import hash_file
from llama_gene.progress import progress
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.compression import open_bytes
from llama_gene.sequences.read import Reject
from llama_gene.vocabulary.bpe import PieceLearner
from llama_gene.vocabulary.memory import available_memory, num_letters_that_fit, require_memory
from llama_gene.vocabulary.sample import draw, share_out
from llama_gene.vocabulary.train import SequenceVocabulary, learn_from, require_size

_READING = 0.2  # of the time


def learn_vocabulary(
    paths: Sequence[Path],
    kind: Kind,
    size: int,
    output: Path,
    *,
    sample: int,
    seed: int = 0,
    both_strands: bool = False,
    num_threads: int | None = None,
) -> tuple[SequenceVocabulary, list[Reject]]:
    """Learn `size` pieces from at most `sample` letters of `paths`, and save them as the folder `output`.

    Args:
        paths: Sequence files; a sample is drawn evenly over them.
        kind: What their letters are.
        size: Canonical letters plus merges.
        output: The folder to make.
        sample: Letters to learn from.
        seed: Of the sample.
        both_strands: Learn a vocabulary that is closed under reverse complement.
        num_threads: None for all cores.

    Returns:
        The vocabulary, smaller than asked where the data has too few different pairs; and the records set aside.

    Raises:
        LlamaGeneError: There is nothing to learn from, `size` makes no sense, or the memory does not suffice.
    """
    require_size(kind, size)
    for path in paths:
        with open_bytes(path):  # one that is missing or empty is found before the work, and by name
            pass
    learner: PieceLearner | None = PieceLearner(kind, both_strands=both_strands, num_threads=num_threads)
    available = available_memory()
    most = min(sample, num_letters_that_fit((), kind, both_strands=both_strands, available=available))
    num_read = 0

    def add(sequence: str) -> None:
        """What fits is learned from as a whole: then one reading is all."""
        nonlocal learner, num_read
        num_read += len(sequence)
        if num_read > most:
            learner = None
        elif learner is not None:
            learner.add(sequence)

    rejects: list[Reject] = []
    with progress(f"vocabulary {kind}", 1.0) as report:
        report(0.0, "reading")
        shares = share_out(paths, kind, sample, on_reject=rejects.append, on_sequence=add)
        if rejects and not any(share.num_letters for share in shares):
            raise SequenceError(f"none of the records hold: {rejects[0].reason}", where=rejects[0].where)
        require_memory(shares, kind, both_strands=both_strands, available=available)
        sources = [
            {"file": share.path.name, "sha256": hash_file(share.path), "letters": share.num_drawn} for share in shares
        ]
        if learner is None:
            report(_READING / 2, "reading the sample")
            learner = PieceLearner(kind, both_strands=both_strands, num_threads=num_threads)
            for sequence in draw(shares, kind, seed=seed):
                learner.add(sequence)
        vocabulary = learn_from(
            learner,
            kind,
            size,
            sources=sources,
            on_merge=lambda done: report(_READING + (1 - _READING) * done / size, f"{done:,} merges"),
        )
    vocabulary.save(output)
    return vocabulary, rejects
