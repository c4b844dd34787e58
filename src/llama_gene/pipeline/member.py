"""One of the processes that do a stage together: ``python -m llama_gene.pipeline.member RECIPE STAGE WORK``."""

import sys
from pathlib import Path

from llama_gene.config import Recipe
from llama_gene.files import read_json
from llama_gene.pipeline.stages import stages_of
from llama_gene.training.launch import member


def main() -> None:
    """Do the stage in the group of processes that `launch` has started."""
    with member():
        recipe, name, work = sys.argv[1:]
        (stage,) = [stage for stage in stages_of(Recipe.model_validate(read_json(Path(recipe)))) if stage.name == name]
        stage.make(Path(work))


if __name__ == "__main__":
    main()
