"""Test rows that a model may know from training, and splits without any.

The rule: a test row is leaked if at least half of its distinct k-mers stand in *one* training row (DNA k = 16, on
either strand; protein k = 5). Of a pair both partners are, by the two partners of one training row; where both are of
one kind, their order does not matter.

- `leaks`: what is found; `search`: `find_leaks`; `containment`: the index that makes it fast;
- `clusters`: what must stay together, by the same rule; `split`: a table as train, dev and test;
- `rows`: tables, sequence files and corpora as rows to compare.
"""

from llama_gene.evaluation.leakage.leaks import LEAK_KINDS, Leak, Leakage, LeakKind
from llama_gene.evaluation.leakage.search import find_leaks, find_leaks_of_parts

__all__ = ["LEAK_KINDS", "Leak", "LeakKind", "Leakage", "find_leaks", "find_leaks_of_parts"]
