"""The one way in which every benchmark hands on its ratios: ``--ratios FILE``, JSON of name -> number.

A ratio says how many times as good something of ours is as what it stands beside: more is better, for memory and the
distance from a plan, too. What was not measured, since a rival is not installed, is not in the file.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--ratios FILE``."""
    parser.add_argument("--ratios", type=Path, help="write the ratios there, as JSON; more is better for all of them")


def write(path: Path | None, ratios: Mapping[str, float]) -> None:
    """Write them where that was asked for; a later call adds to what the file has."""
    if path is not None:
        there = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(there | dict(ratios), indent=2) + "\n")
