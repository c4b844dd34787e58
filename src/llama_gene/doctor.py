"""What this machine can do, what is missing, and what to type for it. Nothing heavy is loaded to find out."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["ok", "missing", "note"]

_GB = 1e9
_LEAST_MEMORY_GB, _LEAST_DISK_GB = 4, 5  # the quickstart runs in them
_PACKAGES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "safetensors", "numpy", "huggingface_hub")
# Extra -> (its package, what it is for).
_EXTRAS = {
    "ray": ("ray", "corpora on many machines"),
    "deepspeed": ("deepspeed", "ZeRO-2 and ZeRO-3 training"),
    "parquet": ("pyarrow", "Parquet tables"),
    "bigwig": ("pyBigWig", "bigWig tracks of scanned chromosomes"),
}
# Packages beside ours: name -> what it is for.
_BESIDE = {
    "bitsandbytes": "bases loaded in four bits",
    "wandb": "training logs at Weights & Biases",
    "trackio": "training logs in trackio",
}
_TOOLS = {
    "mmseqs": ("leakage and baselines by alignment", "conda install -c bioconda mmseqs2, or apt install mmseqs2"),
    "vllm": ("exported folders on many GPUs", "pip install vllm, in an environment of its own"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is.
        verdict: Whether it is there; a note is neither good nor bad.
        found: What was found, with units.
        remedy: What to type or change; empty where nothing is to be done.
    """

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def examine(folder: Path) -> list[Finding]:
    """Look at this machine.

    Args:
        folder: Where runs would be written: its disk is looked at.
    """
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _processor, _gpus, _packages, _extras, _tools)
    return [*(finding for part in parts for finding in part()), _disk(folder), _model()]


def _python() -> Iterator[Finding]:
    import llama_gene

    yield Finding("llama-gene", "ok", f"{llama_gene.__version__}, in {Path(llama_gene.__file__).parent}")
    yield Finding("Python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    there = util.find_spec("llama_gene._native") is not None
    remedy = "" if there else "pip install --force-reinstall llama-gene; building it needs a C++17 compiler"
    yield Finding("native core", "ok" if there else "missing", "built" if there else "not built", remedy)


def _processor() -> Iterator[Finding]:
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = _cpu_flags()
    wide = [
        name for flag, name in (("avx512_bf16", "bfloat16"), ("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags
    ]
    yield Finding("CPU", "ok", f"{usable} cores{', ' + ', '.join(wide) if wide else ''}")
    memory = psutil.virtual_memory()
    enough = memory.available >= _LEAST_MEMORY_GB * _GB
    remedy = "" if enough else f"the quickstart wants {_LEAST_MEMORY_GB} GB; end other programs, or lower batch_size"
    found = f"{memory.available / _GB:.1f} GB free of {memory.total / _GB:.1f} GB"
    yield Finding("memory", "ok" if enough else "note", found, remedy)


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def _gpus() -> Iterator[Finding]:
    names = _nvidia_gpus()
    build = _version("torch") or ""
    if not names:
        apple = sys.platform == "darwin" and platform.machine() == "arm64"
        yield Finding(
            "GPU", "note", "Apple GPU, not used by llama-gene" if apple else "none; everything runs on the CPU"
        )
        return
    for number, name in enumerate(names):
        yield Finding(f"GPU {number}", "ok", name)
    if build.endswith("+cpu"):
        remedy = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        yield Finding("torch for the GPU", "missing", f"torch {build} is built for CPUs", remedy)


def _nvidia_gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        version = _version(name)
        remedy = "" if version else f"pip install {name}"
        yield Finding(name, "ok" if version else "missing", version or "not installed", remedy)


def _extras() -> Iterator[Finding]:
    wanted = {name: (purpose, f"pip install 'llama-gene[{extra}]'") for extra, (name, purpose) in _EXTRAS.items()}
    wanted |= {name: (purpose, f"pip install {name}") for name, purpose in _BESIDE.items()}
    for name, (purpose, command) in wanted.items():
        version = _version(name)
        remedy = "" if version else f"for {purpose}: {command}"
        yield Finding(name, "ok" if version else "note", version or "not installed", remedy)


def _tools() -> Iterator[Finding]:
    for name, (purpose, command) in _TOOLS.items():
        place = shutil.which(name)
        yield Finding(
            name, "ok" if place else "note", place or "not installed", "" if place else f"for {purpose}: {command}"
        )


def _disk(folder: Path) -> Finding:
    # The folder may be made later: its disk is that of the nearest one there is.
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.is_dir())
    free = shutil.disk_usage(there).free / _GB
    enough = free >= _LEAST_DISK_GB
    remedy = "" if enough else "free some space, or write elsewhere: output=FOLDER"
    return Finding("disk", "ok" if enough else "note", f"{free:.1f} GB free in {there}", remedy)


def _model() -> Finding:
    from llama_gene.errors import ModelError
    from llama_gene.model.default import default_model

    try:
        return Finding("model", "ok", f"{default_model()}, where none is named")
    except ModelError as error:
        return Finding("model", "note", "none here, and none in the package", error.hint or "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
