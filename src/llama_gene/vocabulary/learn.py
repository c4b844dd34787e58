"""From files to a saved vocabulary: draw, learn, and record where it was learned."""

from collections.abc import Sequence
from pathlib import Path

from llama_gene.errors import SequenceError
from llama_gene.files import hash_file
from llama_gene.progress import progress
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.compression import open_bytes
from llama_gene.sequences.read import Reject
from llama_gene.vocabulary.memory import available_memory, require_memory
from llama_gene.vocabulary.sample import draw, share_out
from llama_gene.vocabulary.train import SequenceVocabulary, require_size, train

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
    rejects: list[Reject] = []
    shares = share_out(paths, kind, sample, on_reject=rejects.append)
    if rejects and not any(share.num_letters for share in shares):
        raise SequenceError(f"none of the records hold: {rejects[0].reason}", where=rejects[0].where)
    require_memory(shares, kind, both_strands=both_strands, available=available_memory())
    sources = [
        {"file": share.path.name, "sha256": hash_file(share.path), "letters": share.num_drawn} for share in shares
    ]
    num_drawn = sum(share.num_drawn for share in shares)
    with progress(f"vocabulary {kind}", 1.0) as report:
        vocabulary = train(
            draw(shares, kind, seed=seed),
            kind,
            size,
            both_strands=both_strands,
            num_threads=num_threads,
            sources=sources,
            on_read=lambda done: report(_READING * done / max(1, num_drawn), "reading"),
            on_merge=lambda done: report(_READING + (1 - _READING) * done / size, f"{done:,} merges"),
        )
    vocabulary.save(output)
    return vocabulary, rejects
