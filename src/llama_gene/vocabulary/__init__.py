"""Vocabularies: learn the pieces of DNA and protein, and extend the tokenizer of a language model with them.

Read this folder in this order:

- `train`: learn pieces, as merges over letters; `text`: the English tokenizer of a model from scratch;
- `normalizer`: the rules of a typed span, and its private code points;
- `extend`: a base tokenizer plus vocabularies is a new tokenizer, with every id of the base in its place; it stands on
  `base` (the base as transformers loads it), `sentencepiece` (a bare ``tokenizer.model``) and `draft` (the file in the
  making);
- `layout`: what an extended ``tokenizer.json`` says about its spans;
- `shared`: the paper's scheme instead, with all pieces in one `table`.

The functions are imported by their full path: ``from llama_gene.vocabulary.train import train``.
"""

from llama_gene.vocabulary.extend import Extension
from llama_gene.vocabulary.train import SequenceVocabulary

__all__ = ["Extension", "SequenceVocabulary"]
