"""Train on packed rows: the one place that touches ``transformers.Trainer``.

A dataset gives row ``i`` from ``i`` alone and is as long as the whole training, so the position in the data is the step
count, and a resumed training sees exactly the rows that are left.
"""

from llama_gene.training.log import TrainingLog
from llama_gene.training.loss import packed_loss
from llama_gene.training.train import Rows, Stopping, num_steps, train
from llama_gene.training.validation import HeldOut

__all__ = ["HeldOut", "Rows", "Stopping", "TrainingLog", "num_steps", "packed_loss", "train"]
