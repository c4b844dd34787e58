"""What benchmarks share: how they hand on ratios, ``--ratios FILE`` of name -> number, and the machine they ran on.

A ratio says how many times as good something of ours is as what it stands beside: more is better, for memory and the
distance from a plan, too. What was not measured, since a rival is not installed, is not in the file.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("llama-gene", "sentencepiece", "tokenizers", "tiktoken", "numpy")


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--ratios FILE``."""
    parser.add_argument("--ratios", type=Path, help="write the ratios there, as JSON; more is better for all of them")


def write(path: Path | None, ratios: Mapping[str, float]) -> None:
    """Write them where that was asked for; a later call adds to what the file has."""
    if path is not None:
        there = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(there | dict(ratios), indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    versions = {name: importlib.metadata.version(name) if installed(name) else None for name in PACKAGES}
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions,
        "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def installed(package: str) -> bool:
    """Whether a package can be imported; it is not loaded."""
    return importlib.util.find_spec(package.replace("-", "_")) is not None
