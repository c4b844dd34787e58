"""Scores with error bars: every number carries a 95 % bootstrap interval and the number of rows it stands on.

All metrics take the truth first and the model's guesses second, row by row, and return a `Score`. The intervals are
percentiles over `NUM_RESAMPLES` resamples of the rows with a fixed seed, so the same answers always give the same
report. What a metric says where its formula divides by zero is stated on the function.

An interval says how far the score would move on *other rows like these*; it knows nothing about another training run.
It is blind at the edges: a model that errs in none of ten rows gets ``1.000 [1.000, 1.000]``, so read n beside it.

Two models on the same rows share the luck of those rows, so they are compared in pairs: `difference` resamples the rows
for both at once, and `mcnemar` asks whether the rows that only one of them gets right could fall so by chance.

- `resample`: `Score`, `Metric` and the bootstrap; `paired`: two models, or many seeds of one, on the same rows.
- `classification`, `regression`, `text`: the metrics of each kind of answer.
"""

from llama_gene.metrics.classification import accuracy, auroc, ece, macro_f1, mcc, micro_f1
from llama_gene.metrics.paired import McNemar, difference, mcnemar, mean
from llama_gene.metrics.regression import mae, pearson, r2, spearman
from llama_gene.metrics.resample import CONFIDENCE, NUM_RESAMPLES, Metric, Score, Statistic
from llama_gene.metrics.text import ec_class_f1, ec_f1, enzyme_f1, exact_match, go_f1, rouge_l

__all__ = [
    "CONFIDENCE",
    "NUM_RESAMPLES",
    "McNemar",
    "Metric",
    "Score",
    "Statistic",
    "accuracy",
    "auroc",
    "difference",
    "ec_class_f1",
    "ec_f1",
    "ece",
    "enzyme_f1",
    "exact_match",
    "go_f1",
    "macro_f1",
    "mae",
    "mcc",
    "mcnemar",
    "mean",
    "micro_f1",
    "pearson",
    "r2",
    "rouge_l",
    "spearman",
]
