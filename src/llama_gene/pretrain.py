"""Continued pre-training: a grown model learns to read the corpus, and is measured on held-out documents."""

from pathlib import Path

from llama_gene.config import PretrainSettings
from llama_gene.corpus.build import load_manifest, verify_shards
from llama_gene.corpus.pack import open_rows, validation_documents
from llama_gene.corpus.source import MODALITIES
from llama_gene.model.folder import load_base, save_folder
from llama_gene.model.lora import adapt
from llama_gene.model.merge import bring_home
from llama_gene.training import num_steps, train
from llama_gene.training.curves import PAGE, write_page
from llama_gene.training.held_out import VALIDATION_TOKENS, hold_out
from llama_gene.training.parallel import rank


def pretrain(
    base: Path,
    corpus: Path,
    settings: PretrainSettings,
    output: Path,
    checkpoints: Path,
    *,
    seed: int,
    logs: Path | None = None,
) -> None:
    """Pre-train the model folder `base` on `corpus`; save the (merged) model and its log as `output`.

    Args:
        base: A model folder.
        corpus: What ``corpus.build`` made with its tokenizer.
        settings: How to train.
        output: The model folder to make, with the page of the training in it.
        checkpoints: A folder for this training alone; see `train`.
        seed: Decides the order of the documents, and what else is drawn.
        logs: A folder for the page while the training goes on, and for trackers; see `train`.

    Raises:
        LlamaGeneError: The corpus is damaged or was encoded by another tokenizer, or the training cannot go on.
    """
    model, tokenizer, record = load_base(base, settings)
    manifest = load_manifest(corpus, tokenizer)
    if rank() == 0:  # for all processes that train together
        verify_shards(corpus, manifest)
    rows, epochs = open_rows(corpus, manifest, settings.block_size, settings.tokens, seed=seed)
    longest = int(model.config.max_position_embeddings)
    sets = {
        kind: hold_out(tokenizer, kind, validation_documents(corpus, manifest, kind, VALIDATION_TOKENS), longest)
        for kind in MODALITIES
    }
    held_out = [one for one in sets.values() if one is not None]
    trained = adapt(model, settings, tokenizer.base_size, seed=seed)
    log = train(trained, rows, settings, checkpoints, seed=seed, title="pretrain", held_out=held_out, logs=logs)
    if rank() > 0:
        return
    model = bring_home(trained, base, output, tokenizer.fingerprint)
    bits = {kind: [value for _, value in log.bits(one.name)] if one else [None] for kind, one in sets.items()}
    summary = {
        **log.record(),
        "train": settings.train,
        "epochs_of_source": epochs,
        "bits": {kind: {"before": values[0], "after": values[-1]} for kind, values in bits.items()},
    }
    assert log.num_steps == num_steps(len(rows), settings)
    save_folder(model, base, output, {"base": record["base"], "pretrain": summary})
    write_page(log, settings, output / PAGE)
