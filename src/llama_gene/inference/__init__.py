"""Ask a model, wherever it is: all answer with the same `Prediction` (``predictor``).

``engine`` is a model that we tuned; ``stock`` any other causal language model, ``remote`` a server with one, both
asked in a prompt style by name. ``score`` scores candidate answers, ``generate`` writes text, both off a ``readout``;
``table`` reads what is to be predicted, and writes what was.
"""
