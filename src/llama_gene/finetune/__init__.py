"""Instruction tuning: examples of all tasks, packed whole into rows, with the loss on the answers.

`store` keeps them encoded, `draw` chooses which are seen and how often, `rows` packs them, `tune` is the stage.
"""

from llama_gene.finetune.tune import InstructionRows, TaskRows, finetune

__all__ = ["InstructionRows", "TaskRows", "finetune"]
