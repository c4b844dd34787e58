"""LucaOne's two layouts: one sequence or two in a row, each with its own id and its type, `gene` or `prot`."""

from llama_gene.sequences.alphabet import Kind
from llama_gene.tasks.convert.table import Columns

TYPE_NAMES: tuple[tuple[str, Kind], ...] = (("gene", "dna"), ("prot", "protein"))
SINGLE_COLUMNS = Columns(ids=("seq_id",), types=("seq_type",), type_names=TYPE_NAMES)
PAIR_COLUMNS = Columns(ids=("seq_id_a", "seq_id_b"), types=("seq_type_a", "seq_type_b"), type_names=TYPE_NAMES)
