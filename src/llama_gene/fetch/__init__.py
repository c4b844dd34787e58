"""Public data by name: what there is (`catalogue`), how it comes (`web`, `hub`, `archive`), where it lies (`folder`).

`plan` puts them together: what is there already is verified, the rest is shown with its size before it is brought.
"""

from llama_gene.fetch.catalogue import PublicSet, Wanted, find_sets, load_catalogue, wanted_of_recipe, wanted_of_sets
from llama_gene.fetch.plan import Plan, bring, make_plan

__all__ = [
    "Plan",
    "PublicSet",
    "Wanted",
    "bring",
    "find_sets",
    "load_catalogue",
    "make_plan",
    "wanted_of_recipe",
    "wanted_of_sets",
]
