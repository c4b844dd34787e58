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

__version__ = "0.1.0"
