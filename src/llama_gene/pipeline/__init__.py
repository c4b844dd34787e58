"""Run a recipe: `stages` says what each stage reads and makes, `run` does them in order, skips and resumes."""

from llama_gene.pipeline.run import Run

__all__ = ["Run"]
