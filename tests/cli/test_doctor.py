"""The doctor says what is there and what to type for what is not, and loads nothing heavy to find out."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tiny
from cli.conftest import Cli
from llama_gene import doctor
from llama_gene.doctor import Finding, examine

SMI = "NVIDIA H100 80GB HBM3, 81559 MiB, 550.54\nNVIDIA H100 80GB HBM3, 81559 MiB, 550.54\n"


def found(subject: str, folder: Path) -> Finding | None:
    return next((finding for finding in examine(folder) if finding.subject == subject), None)


def test_what_is_installed_has_its_version(tmp_path: Path) -> None:
    assert found("torch", tmp_path) == Finding("torch", "ok", metadata.version("torch"))
    disk = found("disk", tmp_path / "not" / "made" / "yet")
    assert disk is not None
    assert disk.found.endswith(f" GB free in {tmp_path}")


def test_what_is_missing_has_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert found("peft", tmp_path) == Finding("peft", "missing", "not installed", "pip install peft")
    assert found("ray", tmp_path) == Finding(
        "ray", "note", "not installed", "for corpora on many machines: pip install 'llama-gene[ray]'"
    )


@pytest.mark.parametrize(("build", "wrong"), [("2.13.0+cpu", True), ("2.13.0+cu128", False)])
def test_gpus_are_named_and_a_torch_that_cannot_use_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str, wrong: bool
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: build)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        doctor.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=SMI)
    )
    assert found("GPU 1", tmp_path) == Finding("GPU 1", "ok", "NVIDIA H100 80GB HBM3, 81559 MiB, 550.54")
    told = found("torch for the GPU", tmp_path)
    assert (told is not None) == wrong
    if told is not None:
        assert told.verdict == "missing"
        assert "pip install --force-reinstall torch" in told.remedy


def test_a_driver_that_does_not_answer_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 20)

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.subprocess, "run", fails)
    assert found("GPU", tmp_path) == Finding("GPU", "note", "none; everything runs on the CPU")


def test_the_command_prints_the_same_as_a_table_and_as_json(cli: Cli, tmp_path: Path) -> None:
    shown, raw = cli("doctor", "--folder", tmp_path), cli("doctor", "--folder", tmp_path, "--json")
    assert (shown.code, raw.code) == (0, 0)
    values = json.loads(raw.out)
    assert [value["subject"] in shown.out for value in values] == [True] * len(values)
    assert shown.out.endswith("nothing that llama-gene needs is missing\n")


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys; from llama_gene.doctor import examine; from pathlib import Path; examine(Path()); "
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=tiny.environment())
    assert done.stdout == "[]\n", done.stderr
