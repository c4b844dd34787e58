"""What mkdocs asks of us: generated pages, notebooks as pages, figures inside their pages, links between the docs."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import reference
from notebooks import to_markdown

ROOT = Path(__file__).parents[1]
_FIGURE = re.compile(r"!\[([^\]]*)\]\((?:\.\./)?(figures/[\w-]+\.svg)\)")
_MENTION = re.compile(r"`docs/([\w-]+\.md)`")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that ``nav`` does not name stand at the end of its last section, so that none is out of reach."""
    assert config.nav is not None
    named = [page for section in config.nav for pages in section.values() for page in pages]
    found = sorted(str(path.relative_to(config.docs_dir)) for path in Path(config.docs_dir).rglob("*.md"))
    (last,) = config.nav[-1].values()
    last += [page for page in found if page not in named]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds: the reference, the tutorials, the changelog."""
    pages = {
        "reference/commands.md": reference.commands_page(),
        "reference/recipe.md": reference.recipe_page(),
        "reference/python.md": reference.python_page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    }
    for notebook in sorted(Path(config.docs_dir).glob("tutorials/*.ipynb")):
        pages[f"tutorials/{notebook.stem}.md"] = to_markdown(notebook)
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Figures are put into the page itself, to follow its light or dark; a doc that is mentioned becomes a link."""
    up = "../" * page.file.src_uri.count("/")

    def figure(match: re.Match[str]) -> str:
        drawing = (Path(config.docs_dir) / match[2]).read_text(encoding="utf-8")
        return f'<figure role="img" aria-label="{match[1]}">{drawing}</figure>'

    def link(match: re.Match[str]) -> str:
        known = files.get_file_from_path(match[1])
        return f"[{match[0]}]({up}{match[1]})" if known and known.src_uri != page.file.src_uri else match[0]

    return _MENTION.sub(link, _FIGURE.sub(figure, markdown))
