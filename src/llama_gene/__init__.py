"""Teach any open language model the languages of DNA and protein, and measure honestly what it learned.

The package is a pipeline; each stage is a module, and imports only what stands before it::

    FASTA, FASTQ, GenBank, CSV/TSV, JSONL        tables of labelled sequences
              |                                        |
          sequences  -- one validated Record --------->|
              |                                        |
          vocabulary  learn pieces, extend a base      tasks   one Task = one template + one judge
              |                                        |
          tokenizer   text with typed spans <-> ids <--+
              |                                        |
          corpus      mix, pack, shard                 |
              |                                        |
          model       load a base, grow it, LoRA, merge|
              |                                        |
          pretrain  ------>  finetune  <---------------+
                                |
                 evaluation  scores with error bars, baselines
                                |
                 inference   label scoring, generation

``pipeline`` runs a recipe through all of them; ``cli`` is the way in; ``doctor`` looks at the machine. Importing this
package loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from llama_gene.inference.model import Model

    __version__: str
else:

    def __getattr__(name: str) -> str:  # reading what is installed takes longer than all else that is imported here
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version("llama-gene")


def load(folder: Any = None) -> "Model":
    """Load a model to ask from Python; see `llama_gene.inference.model.Model` for all that it can do.

    Args:
        folder: A model folder, as text or path; the quickstart's here or the one in the package if not given.

    Returns:
        The model: ``predict``, ``score``, ``embed``, ``generate``, ``write``, ``chat``.

    Raises:
        ModelError: It is no model folder.

    >>> import llama_gene
    >>> llama_gene.load("runs/none")
    Traceback (most recent call last):
        ...
    llama_gene.errors.ModelError: runs/none: no such model folder
      make one with: llama-gene run RECIPE.toml
    """
    # Here, since the package itself must load nothing heavy.
    from llama_gene.inference.model import load as load_from

    return load_from(folder)
