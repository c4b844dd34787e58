"""Train on packed rows: the one place that touches ``transformers.Trainer``.

A dataset gives row ``i`` from ``i`` alone and is as long as the whole training, so the position in the data is the step
count, and a resumed training sees exactly the rows that are left.
"""

from llama_gene.training.loss import packed_loss
from llama_gene.training.train import Rows, TrainingLog, num_steps, train

__all__ = ["Rows", "TrainingLog", "num_steps", "packed_loss", "train"]
