"""Documents of one modality as a held-out set, measured in a unit in which every vocabulary can be compared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import Modality
from llama_gene.corpus.pack import IGNORE
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.training.curves import ENGLISH
from llama_gene.training.validation import HeldOut, summed_losses

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VALIDATION_TOKENS = 20_000  # a modality; enough that bits a letter are known to about one per cent
UNITS: dict[Modality, str] = {"dna": "bits per base", "protein": "bits per residue", "text": "bits per byte of English"}
_NAMES: dict[Modality, str] = {"dna": "DNA", "protein": "protein", "text": ENGLISH}
_BATCH_TOKENS = 2048


def hold_out(
    tokenizer: GeneTokenizer, kind: Modality, documents: Sequence[NDArray[np.uint32]], longest: int
) -> HeldOut | None:
    """Documents of one modality as a held-out set; None if nothing in them counts.

    Tags and the end of sequence do not count, nor does the first token, which nothing stands before.

    Args:
        tokenizer: It has encoded them.
        kind: Their modality.
        documents: Their ids.
        longest: Tokens that the model reads at once; documents are cut to that.
    """
    letters, counts = tokenizer.letters_of(), tokenizer.tokens_of(kind)
    all_ids, all_labels, num_letters = [], [], 0
    for document in documents:
        ids = document[:longest].astype(np.int64)
        counted = counts[ids] & (ids != tokenizer.eos_id)
        counted[0] = False
        if not counted.any():
            continue
        all_ids.append(ids)
        all_labels.append(np.where(counted, ids, IGNORE))
        if kind == "text":
            num_letters += len(tokenizer.decode(ids[counted].tolist()).encode())
        else:
            num_letters += int(letters[ids[counted]].sum())
    return HeldOut(_NAMES[kind], UNITS[kind], all_ids, all_labels, num_letters) if num_letters else None


def bits_per_letter(model: "PreTrainedModel", held_out: HeldOut) -> float:
    """Bits per base, residue or byte over whole documents: a unit in which every vocabulary can be compared."""
    from llama_gene.training.trainer import PackedModel

    nats: Any = summed_losses(PackedModel(model), [held_out], _BATCH_TOKENS, device=model.device)
    return held_out.figures(float(nats[0]))[f"{held_out.name}_bits"]
