"""Ask a model: ``engine`` loads it and streams predictions, ``score`` scores candidates, ``generate`` writes text."""
