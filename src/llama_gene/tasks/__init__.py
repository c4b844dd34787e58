"""Tasks: one definition, one template and one set of answers for training, evaluation and prediction.

`task` holds the definition, `registry` finds it, `convert` reads its tables, `template` makes its prompts. The built-in
definitions are the TOML files in `builtin/`.
"""
