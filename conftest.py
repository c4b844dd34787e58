"""What doctests of `src` ask: the tuned nano model of the tests, as ``model``."""

import pytest

pytest_plugins = ["nano"]

_ASKED = "llama_gene.inference.model"


@pytest.fixture(autouse=True)
def _model_for_doctests(request: pytest.FixtureRequest, doctest_namespace: dict[str, object]) -> None:
    if isinstance(request.node, pytest.DoctestItem) and request.node.name.startswith(_ASKED):
        import llama_gene

        doctest_namespace["model"] = llama_gene.load(request.getfixturevalue("tuned_folder"))
