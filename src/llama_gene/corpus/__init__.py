"""The pre-training corpus: sources become documents, documents become encoded shards, shards become packed rows.

``source`` reads and windows, ``build`` encodes, ``shards`` stores, ``mix`` draws by weight, ``pack`` makes rows.
"""
