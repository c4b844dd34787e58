"""Simulated genomes, proteins, English and labelled tasks, each task with a known best possible score.

For the quickstart and for tests: nothing to download, and a score has something to be compared with. Every task is
drawn from a generative model with a likelihood, so the Bayes-optimal score can be computed; see
`write.Simulation.best_possible`.

- `motif`: position weight matrices; `dna` and `protein`: the models;
- `genome`, `english`: what to pre-train on; `write`: all of it as files.
"""

from llama_gene.simulate.write import simulate

__all__ = ["simulate"]
