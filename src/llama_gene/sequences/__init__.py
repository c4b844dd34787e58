"""Sequences from files to validated records: the border of the package.

Read this folder in this order:

- `alphabet`: the letters of DNA and protein, and what happens to others;
- `record`: one named sequence, the only thing later stages see;
- `compression`: open a plain or compressed file, or standard input;
- `formats`, `uniprot`, `table`: what stands in FASTA, FASTQ, GenBank; in UniProt flat files; in CSV, TSV, JSONL;
- `read`: all of them behind one `read_records`; `text`, `papers`: plain language; `spans`: sequences inside it;
- `sections`: one large file for many readers; `kmers`: sequences as sets of numbers.

>>> DNA.clean("acguNN")
'ACGTNN'
"""

from llama_gene.sequences.alphabet import (
    ALPHABETS,
    DNA,
    PROTEIN,
    Alphabet,
    Kind,
    Policy,
    complement,
    reverse_complement,
    translate,
)
from llama_gene.sequences.compression import open_bytes, open_text
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.record import Record
from llama_gene.sequences.table import Row, read_rows, require_columns
from llama_gene.sequences.text import read_texts

__all__ = [
    "ALPHABETS",
    "DNA",
    "PROTEIN",
    "Alphabet",
    "Kind",
    "Policy",
    "Record",
    "Reject",
    "Row",
    "complement",
    "open_bytes",
    "open_text",
    "read_records",
    "read_rows",
    "read_texts",
    "require_columns",
    "reverse_complement",
    "translate",
]
