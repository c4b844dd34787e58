"""GUE's layout: `sequence,label` and nothing else. The benchmark of DNABERT-2, and what its users have on disk."""

from llama_gene.tasks.convert.table import Columns

# The definition of a task fixes the names of the two columns (`task.py`), so there is nothing left to say here.
COLUMNS = Columns()
