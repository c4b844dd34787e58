"""Scores that can be believed: with error bars, beside baselines trained on the same rows, in one honest report.

- `result`: `TaskResult` and `Report`, the plain values, and their JSON.
- `report`: the same as an HTML page, Markdown and a terminal table; `write` writes all of them.
- `baselines`: what a score must beat; `features`: the k-mers they stand on.
"""

from llama_gene.evaluation.result import Report, TaskResult

__all__ = ["Report", "TaskResult"]
