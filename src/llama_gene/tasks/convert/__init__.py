"""Tables of labelled sequences -> examples.

`table` reads any table; `gue` and `lucaone` say where those two layouts keep what a task's definition does not name;
`read` chooses between them and finds the file of a split.
"""

from llama_gene.tasks.convert.read import find_split, read_examples

__all__ = ["find_split", "read_examples"]
