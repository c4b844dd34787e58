"""The pre-training corpus: sources become documents, documents become encoded shards, shards become packed rows.

Read this folder in this order:

- `source`: a file of a source as documents, windowed, each with its coordinates;
- `plan`: the tasks of a corpus, frozen with the hashes of all that decides them; `contamination`: what is kept out;
- `encode`: one task, a pure function with an atomic result; `shards`: how documents lie on disk;
- `executors`: who does the tasks: this process, local processes, Ray;
- `select`: what only shows once all is encoded: duplicates, and what is held out;
- `build`: all of it in order, and `summary`: what came out;
- `mix` and `pack`: from shards to the rows of a training run.
"""
