"""Labelled sequences in all the forms they come in -> examples, instructions, and other forms.

A task's tables: `table` reads any table (`parquet` too); `gue` and `lucaone` say where those two layouts keep what a
task's definition does not name; `read` chooses between them and finds the file of a split; `labels` reads label names
that stand beside the tables.

What has no task: `labelled` takes rows out of tables, FASTA headers and UniProt; `instructions` out of Alpaca and chat
files (`json_objects` reads those); `write` writes any of them.
"""

from llama_gene.tasks.convert.labels import read_labels
from llama_gene.tasks.convert.read import find_split, read_examples, tables_folder

__all__ = ["find_split", "read_examples", "read_labels", "tables_folder"]
