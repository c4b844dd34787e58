"""Continued pre-training: a grown model learns to read the corpus, and is measured on held-out documents."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import Modality, PretrainSettings
from llama_gene.corpus.build import load_manifest, verify_shards
from llama_gene.corpus.pack import open_rows, validation_documents
from llama_gene.corpus.source import MODALITIES
from llama_gene.model.folder import load_base, save_folder
from llama_gene.model.lora import adapt
from llama_gene.model.merge import bring_home
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.training import num_steps, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_VALIDATION_TOKENS = 20_000  # a modality; enough that bits a letter are known to about one per cent
UNITS = {"dna": "bits per base", "protein": "bits per residue", "text": "bits per byte of English"}


def pretrain(
    base: Path, corpus: Path, settings: PretrainSettings, output: Path, checkpoints: Path, *, seed: int
) -> None:
    """Pre-train the model folder `base` on `corpus`; save the (merged) model and its log as `output`.

    Raises:
        LlamaGeneError: The corpus is damaged or was encoded by another tokenizer, or the training cannot go on.
    """
    model, tokenizer, record = load_base(base, settings)
    manifest = load_manifest(corpus, tokenizer)
    verify_shards(corpus, manifest)
    rows, epochs = open_rows(corpus, manifest, settings.block_size, settings.tokens, seed=seed)
    held_out = {kind: validation_documents(corpus, manifest, kind, _VALIDATION_TOKENS) for kind in MODALITIES}
    before = {kind: bits_per_letter(model, tokenizer, kind, documents) for kind, documents in held_out.items()}
    trained = adapt(model, settings, tokenizer.base_size, seed=seed)
    log = train(trained, rows, settings, checkpoints, seed=seed, title="pretrain")
    model = bring_home(trained, base, output, tokenizer.fingerprint)
    after = {kind: bits_per_letter(model, tokenizer, kind, documents) for kind, documents in held_out.items()}
    summary = {
        "steps": log.num_steps,
        "tokens": log.num_tokens,
        "trainable_parameters": log.num_trainable,
        "parameters": log.num_parameters,
        "train": settings.train,
        "seconds": round(log.seconds, 1),
        "losses": [list(point) for point in log.losses],
        "epochs_of_source": epochs,
        "bits": {kind: {"before": before[kind], "after": after[kind]} for kind in MODALITIES},
    }
    assert log.num_steps == num_steps(len(rows), settings)
    save_folder(model, base, output, {"base": record["base"], "pretrain": summary})


def bits_per_letter(
    model: "PreTrainedModel", tokenizer: GeneTokenizer, kind: Modality, documents: Sequence[NDArray[np.uint32]]
) -> float | None:
    """Bits per base, residue or byte over whole documents; None where there are none.

    Every vocabulary can be compared in this unit. Tags and the end of sequence do not count, and each document is
    cut to what the model can read at once.
    """
    import torch

    from llama_gene.model.head import find_head, hidden_states

    if not documents:
        return None
    letters, counts = tokenizer.letters_of(), tokenizer.tokens_of(kind)
    longest = int(model.config.max_position_embeddings)
    nats, num_letters = 0.0, 0
    model.eval()
    head = find_head(model)
    with torch.inference_mode():
        for document in documents:
            ids = document[:longest].astype(np.int64)
            counted = counts[ids] & (ids != tokenizer.eos_id)
            counted[0] = False  # nothing stands before it
            if not counted.any():
                continue
            inputs = torch.from_numpy(ids)[None].to(model.device)
            targets = inputs[0, 1:]
            if head is not None:
                losses = head.losses(hidden_states(model, input_ids=inputs)[0, :-1], targets)
            else:
                steps = model(input_ids=inputs, use_cache=False).logits[0, :-1].float().log_softmax(-1)
                losses = -steps.gather(-1, targets[:, None])[:, 0]
            nats += float(losses.double().cpu().numpy()[counted[1:]].sum())
            if kind == "text":
                num_letters += len(tokenizer.decode(ids[counted].tolist()).encode())
            else:
                num_letters += int(letters[ids[counted]].sum())
    return nats / math.log(2) / num_letters if num_letters else None
