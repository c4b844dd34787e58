"""What docs/security.md promises: each promise there names its test, here or elsewhere."""

import ast
import bz2
import json
import lzma
import re
import shutil
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

import llama_gene
from llama_gene.errors import FormatError, LlamaGeneError, ModelError
from llama_gene.model.base import check_causal, load_model
from llama_gene.model.folder import RECORD, copy_file, load_folder
from llama_gene.sequences.compression import open_bytes
from llama_gene.tokenizer import GeneTokenizer

PACKAGE = Path(llama_gene.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
SOURCES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
# Modules that turn bytes into objects, and so into calls.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "yaml.load"}
SAFE_WITH = {"np.load": ("allow_pickle", False), "np.save": ("allow_pickle", False)}
# Whose folders may bring code; a tokenizer of `PreTrainedTokenizerFast` and an adapter cannot.
LOADERS = re.compile(r"Auto\w+\.from_pretrained")


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def constant(call: ast.Call, name: str) -> object:
    found = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def unsafe(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"import {name}" for name in names if name.partition(".")[0] in UNSAFE_MODULES]
    for name, call in calls(tree):
        keyword, value = SAFE_WITH.get(name, ("", None))
        if name in UNSAFE_CALLS or (keyword and constant(call, keyword) is not value):
            found.append(name)
        if constant(call, "shell") or constant(call, "trust_remote_code"):
            found.append(ast.unparse(call))
    return found


def test_no_code_comes_out_of_data() -> None:
    assert {name: found for name, tree in SOURCES.items() if (found := unsafe(tree))} == {}
    assert len(SOURCES) > 200


@pytest.mark.parametrize(
    "text",
    [
        *(
            "import pickle",
            "from joblib import load",
            "eval('1')",
            "torch.load(path)",
            "np.load(path)",
            "yaml.load(text)",
        ),
        *("subprocess.run('ls', shell=True)", "AutoModel.from_pretrained(a, trust_remote_code=True)"),
    ],
)
def test_what_would_be_found(text: str) -> None:
    assert unsafe(ast.parse(text)) != []


def test_no_folder_brings_code() -> None:
    options = {
        f"{file}:{call.lineno}": ast.unparse(call)
        for file, tree in SOURCES.items()
        for name, call in calls(tree)
        if LOADERS.fullmatch(name) and constant(call, "trust_remote_code") is not False
    }
    # These take it out of a dictionary, in which it is False.
    assert sorted(place.partition(":")[0] for place in options) == ["inference/stock.py", *["model/stock.py"] * 2]
    for file in ("inference/stock.py", "model/stock.py"):
        assert '"trust_remote_code": False' in (PACKAGE / file).read_text()
    # But where an export of our own architecture is checked, which brings the package's own file.
    assert "_bring_code(draft)" in (PACKAGE / "model/export.py").read_text()
    assert [file for file in SOURCES if '"trust_remote_code"] = True' in (PACKAGE / file).read_text()] == [
        "model/stock.py"
    ]


def test_pages_take_no_text_as_markup() -> None:
    made = [
        f"{file}:{call.lineno}"
        for file, tree in SOURCES.items()
        for name, call in calls(tree)
        if name == "Markup" and any(isinstance(part, ast.JoinedStr | ast.BinOp) for part in call.args)
    ]
    assert made == []
    pages = [*PACKAGE.rglob("*.html"), *PACKAGE.rglob("*.js")]
    assert len(pages) >= 7
    assert [
        path for path in pages if re.search(r"innerHTML|outerHTML|\|\s*safe|document\.write", path.read_text())
    ] == []


def read_all(path: Path) -> None:
    with open_bytes(path) as stream:
        while stream.read(1 << 20):
            pass


PACK: dict[str, Callable[[bytes], bytes]] = {
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": zstandard.compress,
}


@pytest.mark.parametrize("packing", PACK)
def test_a_small_file_that_becomes_a_large_one_is_refused_in_little_memory(packing: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.fa.{packing}"
    pack = PACK[packing]
    path.write_bytes(pack(b">a\n") + 30 * pack(b"A" * (10 << 20)))
    assert path.stat().st_size < 600_000
    tracemalloc.start()
    with pytest.raises(FormatError, match=rf"a\.fa\.{packing}: it unpacks to more than 500 times its size"):
        read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


# Model folders from strangers.


@pytest.fixture
def folder(nano_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nano_folder, tmp_path / "model"))


def test_code_in_a_model_folder_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('it ran')\n")
    automatic = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": automatic}))
    assert load_model(folder).config.model_type == "llama"  # by the code of transformers
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": automatic, "model_type": "evil"}))
    with pytest.raises(ModelError, match="needs code from its own folder, which is not run"):
        check_causal(folder)


@pytest.mark.parametrize("size", [1 << 62, 200_000_000, 3])
def test_a_header_of_weights_that_is_too_large(size: int, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", size) + b"{}" * 50)
    with pytest.raises(ModelError, match="the weights cannot be loaded"):
        load_model(folder)


def test_weights_that_can_run_code_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \*\.safetensors in this folder"):
        load_model(folder)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", 7, ""])
def test_an_index_that_leads_out(name: object, folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    with pytest.raises(ModelError, match="it names weights that are not in this folder"):
        load_model(folder)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"model": {"vocab": ' + "9" * 5000 + "}}", '{"model": 1}', '{"added_tokens": {}}', "[]"]
)
def test_a_tokenizer_that_is_a_bomb(text: str, folder: Path) -> None:
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(LlamaGeneError):
        GeneTokenizer.load(folder)


def test_a_link_that_leads_out_is_not_copied_into_what_is_shared(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (folder / "chat_template.jinja").symlink_to(secret)
    with pytest.raises(ModelError, match=r"chat_template\.jinja: a link that leads out of the model's folder"):
        copy_file(folder / "chat_template.jinja", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"  # as the hub's cache is
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "blobs").mkdir()
    shutil.copy(secret, snapshot.parents[1] / "blobs" / "abcd")
    (snapshot / "config.json").symlink_to("../../blobs/abcd")
    copy_file(snapshot / "config.json", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_of_another_model_is_found(name: str, folder: Path) -> None:
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert "files" in json.loads((folder / RECORD).read_text())
    with pytest.raises(ModelError, match=rf"{name}: not the file that this model was saved with"):
        load_folder(folder)


def test_the_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (DOCS / "security.md").read_text())
    assert len(named) >= 15
    for file, test in named:
        text = (DOCS.parent / file).read_text()
        assert not test or f"def {test}(" in text, f"{file}::{test}"
