"""The model: load or make a base, grow its rows, adapt it with LoRA, merge, save.

``base`` finds, makes and loads; ``extend`` grows; ``lora`` adapts; ``merge`` brings an adapter home; ``folder`` saves
and checks that weights, tokenizer and record belong together.
"""
