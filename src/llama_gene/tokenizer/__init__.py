"""Text and sequences <-> ids: one tokenizer folder, for prompts and for gigabytes.

The folder is a plain ``tokenizer.json`` that any tool loads. What this package adds is speed, with the same ids:
sequences go straight to their BPE, and the fixed texts around them are encoded once.

`GeneTokenizer` is what all later stages work with; ``GeneTokenizer.load`` opens a folder of either scheme. How a
sequence stands in the text is the scheme's: in a typed span with pieces of its own (`typed`), or bare, with pieces that
all languages share, as in the paper (`shared`). `parts` is what they encode.
"""

from llama_gene.tokenizer.gene import GeneTokenizer
from llama_gene.tokenizer.parts import Span, neutralise, render

__all__ = ["GeneTokenizer", "Span", "neutralise", "render"]
