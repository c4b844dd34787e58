"""What is released: its facts agree with each other, and an installed wheel works where this tree is not."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

ROOT = Path(__file__).parents[1]
TOOLS, USERS = (ROOT / "build" / "release" / name / "bin" for name in ("tools", "users"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# One of each kind of file that is no Python module, and would be missed late.
SHIPPED = ("models/mini/model.safetensors", "tasks/builtin/scop_class.toml", "page/page.css", "page/page.html")
SHIPPED += ("evaluation/report.html", "serve/page/index.html", "fetch/catalogue.toml", "quickstart.toml", "py.typed")
PROMOTER = ">a\n" + "GGGCGGTATAAAAGGCGCGCC" * 3 + "\n"


def test_the_changelog_has_the_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    first, *released = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert first == "Unreleased"
    matches = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", heading) for heading in released]
    assert None not in matches, released
    order = [(Version(match[1]), match[2]) for match in matches if match]
    assert order == sorted(order, reverse=True)
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert sections == [kind for kind in kinds if kind in sections]


def test_the_citation_says_what_the_package_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # all that the format asks for
    assert (citation["cff-version"], citation["title"]) == ("1.2.0", PROJECT["name"])
    assert "version" not in citation  # the tag has it
    assert (citation["license"], citation["keywords"]) == (PROJECT["license"], PROJECT["keywords"])
    assert citation["authors"] == PROJECT["authors"]


def test_containers_are_pinned_and_nobody_is_root() -> None:
    text = (ROOT / "containers" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: dict[str, list[tuple[str, str]]] = {}
    for word, rest in lines:
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            assert image in stages or re.search(r":\d+\.\d+\.\d+", image), rest
            stages[name] = list(stages.get(image, []))
        stages[name].append((word, rest))
    for target in ("cpu", "cuda"):
        words = [word for word, _ in stages[target]]
        assert {"HEALTHCHECK", "ENTRYPOINT"} <= set(words)
        assert stages[target][-1] == ("USER", "1000")
        (installed,) = [rest for word, rest in stages[target] if word == "RUN" and "pip install" in rest]
        assert "--constraint /install/constraints.txt" in installed
    sent = (ROOT / "containers" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [rest.split()[0] for word, rest in lines if word == "COPY" and "--from" not in rest]
    assert sent == ["*", *(f"!{path}" for path in sorted(copied))]


def test_wheels_are_built_where_the_tags_are() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(jobs)
    assert all(step["with"]["fetch-depth"] == 0 for step in checkouts)
    assert any(re.fullmatch(r"pypa/cibuildwheel@v\d+\.\d+\.\d+", step.get("uses", "")) for step in steps)


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints that sees nothing of this tree."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LLAMA_GENE"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def released() -> tuple[Path, Path]:
    """The source distribution and the wheel that `make release` made, installed beside its tools."""
    done = subprocess.run(["make", "release", f"PYTHON={sys.executable}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (source,), (wheel,) = ((ROOT / "dist").glob(name) for name in ("*.tar.gz", "*.whl"))
    return source, wheel


@pytest.mark.slow
def test_both_hold_all_files_and_one_version(released: tuple[Path, Path]) -> None:
    source, wheel = released
    version = source.name.removeprefix("llama_gene-").removesuffix(".tar.gz")
    assert wheel.name.startswith(f"llama_gene-{version}-cp3")
    inside = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "llama_gene").rglob("*.py")}
    assert {f"llama_gene/{name}" for name in SHIPPED} | modules <= inside
    assert sum(name.startswith("llama_gene/_native.") and name.endswith((".so", ".pyd")) for name in inside) == 1
    assert {name.split("/")[0] for name in inside} == {"llama_gene", f"llama_gene-{version}.dist-info"}
    with tarfile.open(source) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert {name for name in tracked if not name.startswith((".ci/", ".github/"))} <= there
    assert not any(name.endswith(".so") for name in there)


@pytest.mark.slow
def test_the_wheel_answers_away_from_this_tree(released: tuple[Path, Path], tmp_path: Path) -> None:
    tool = USERS / "llama-gene"
    assert "Usage: llama-gene" in run(tool, "--help", folder=tmp_path)
    found = run(tool, "doctor", folder=tmp_path)
    assert "nothing that llama-gene needs is missing" in found
    assert str(ROOT / "src") not in found
    (tmp_path / "file.fa").write_text(PROMOTER)
    answers = run(tool, "predict", "file.fa", "--task", "prom_core_all", folder=tmp_path)
    header, answer = answers.splitlines()
    assert "label" in header
    assert answer.startswith("a\t")
    version = run(USERS / "python", "-c", "import llama_gene; print(llama_gene.__version__)", folder=tmp_path).strip()
    assert released[1].name.startswith(f"llama_gene-{version}-")
    run(USERS / "python", "-m", "pip", "check", folder=tmp_path)


@pytest.mark.slow
def test_the_version_is_the_tag(released: tuple[Path, Path], tmp_path: Path) -> None:
    def version() -> str:
        return run(TOOLS / "python", "-m", "setuptools_scm", folder=tmp_path).strip()

    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    assert version() == "0.1.0.dev0"  # an archive of the tree, without git
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    run(*git, "init", "--quiet", folder=tmp_path)
    run(*git, "add", ".", folder=tmp_path)
    run(*git, "commit", "--quiet", "--message=one", folder=tmp_path)
    assert re.fullmatch(r"0\.1\.0\.dev1\+g[0-9a-f]+", version())  # a clone without tags
    run(*git, "tag", "v4.5.6", folder=tmp_path)
    assert version() == "4.5.6"
    run(*git, "commit", "--quiet", "--allow-empty", "--message=two", folder=tmp_path)
    assert re.fullmatch(r"4\.5\.7\.dev1\+g[0-9a-f]+", version())


@pytest.mark.slow
def test_the_bill_of_materials_names_what_users_get(released: tuple[Path, Path]) -> None:
    subprocess.run(["make", "sbom", f"PYTHON={sys.executable}"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "dist" / "llama-gene.cdx.json").read_text())
    names = {component["name"].lower() for component in bill["components"]}
    wanted = {re.split(r"[>=]", name.lower())[0] for name in PROJECT["dependencies"]}
    assert wanted <= names
    assert bill["metadata"]["component"]["name"] == "llama-gene"
    assert not {"pytest", "twine", "build"} & names
