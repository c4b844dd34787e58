"""The documentation builds without a warning and a network, and its reference has everything that the code has."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import llama_gene

pytest.importorskip("mkdocs", reason="the documentation takes: pip install 'llama-gene[docs]'")

import figures
import reference
import scale
from docstrings import to_markdown
from llama_gene.tasks.task import Task

ROOT = Path(__file__).parents[1]


class Assets(HTMLParser):
    """Everything that a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag == "link" and (given.get("rel") or "") not in {"canonical", "prev", "next"}
        for name in ("src", "srcset", "href" if loads else "src"):
            if value := given.get(name):
                self.found.append(value)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of mkdocs is an error."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_no_page_loads_anything_from_elsewhere(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        assets = Assets()
        assets.feed(page)
        assert assets.found
        assert [one for one in assets.found if re.match(r"(?:https?:)?//", one)] == [], name


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_in_a_browser(site: Path, browser: Browser, width: int, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in ("index", "method-engineer", "formats/index", "tutorials/serve", "reference/commands", "scale"):
        page.goto((site / f"{name}.html").as_uri())
        # Wide tables and figures scroll by themselves: the page does not.
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        found = page.evaluate("document.body.getAttribute('data-md-color-scheme')")
        assert found == {"light": "default", "dark": "slate"}[scheme]
    context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_every_command_and_option_is_in_the_reference(pages: dict[str, str]) -> None:
    page = pages["reference/commands.html"]
    commands = dict(reference.commands())
    assert len(commands) > 30
    for name, command in commands.items():
        assert f">{name}<a" in page
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert f"<code>{parameter.opts[0]}" in page, (name, parameter.opts)


def test_every_recipe_key_is_in_the_reference_and_says_what_it_is(pages: dict[str, str]) -> None:
    keys = list(reference.recipe_keys())
    assert {"name", "corpus.source.kind", "pretrain.lora.rank", "evaluation.leakage.dna_k"} <= {
        key for key, _, _ in keys
    }
    page = pages["reference/recipe.html"]
    assert [key for key, _, _ in keys if f'id="{key}"' not in page] == []
    assert [key for key, model, name in keys if not model.model_fields[name].description] == []


def test_every_public_name_is_in_the_reference(pages: dict[str, str]) -> None:
    page = pages["reference/python.html"]
    for name in llama_gene.__all__:
        assert f">llama_gene.{name}<a" in page
    for name in ("predict", "score", "embed", "generate", "write", "chat"):
        assert f">Model.{name}<a" in page
    for key in Task.model_fields:
        assert f"<code>{key}</code>" in page


def test_figures_are_what_their_script_draws() -> None:
    for name, draw in figures.FIGURES.items():
        drawn = (figures.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn == draw(), "python docsite/figures.py draws them anew"


def test_the_page_on_scale_is_what_its_script_makes() -> None:
    cases = scale.load()
    assert (
        cases[0].main.num_parameters == 7_250_186_240
    )  # the paper's model and its adapters, as in tests/model/test_plan.py
    assert scale.PAGE.read_text(encoding="utf-8") == scale.page(cases), "python docsite/scale.py makes it anew"


def test_a_test_that_the_faq_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 15
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_a_docstring_becomes_markdown() -> None:
    text = "Add ``a`` <b>.\n\nArgs:\n    a: One\n        long.\n\nReturns:\n    A sum.\n\n>>> 1 + 1\n2"
    args, returns, example = "**Args**\n\n- `a`: One long.", "**Returns**\n\nA sum.", "```python\n>>> 1 + 1\n2\n```"
    assert to_markdown(text) == "\n\n".join(["Add `a` &lt;b>.", args, returns, example])
