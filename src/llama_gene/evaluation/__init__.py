"""Scores that can be believed: with error bars, beside baselines trained on the same rows, in one honest report.

- `evaluate`: a model on a task; `outcomes`: its answers row by row; `calibration`, `detail`: where they go wrong.
- `result`: `TaskResult` and `Report`, the plain values, and their JSON; `stored`: a report on disk with its rows.
- `report`, `markdown`: the same as an HTML page, a terminal table and Markdown, as `layout` orders it.
- `compare`, `comparison`: several reports side by side, and the page and table of it.
- `baselines`: what a score must beat; `features`: the k-mers they stand on.
"""

from llama_gene.evaluation.result import Report, TaskResult

__all__ = ["Report", "TaskResult"]
