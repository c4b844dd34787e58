"""What happens to bytes: a bit flips, the end is lost, a block is zero, another file has the name, or there is none."""

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], str]
"""Damages a file, and says how; empty if there was nothing to damage."""


def flip(path: Path, draw: random.Random) -> str:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    if not content:
        return ""
    place, bit = draw.randrange(len(content)), draw.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place} flipped"


def truncate(path: Path, draw: random.Random) -> str:
    """Lose the end."""
    content = path.read_bytes()
    if not content:
        return ""
    left = draw.randrange(len(content))
    path.write_bytes(content[:left])
    return f"cut after {left} of {len(content)} bytes"


def empty(path: Path, _: random.Random) -> str:
    """Lose all of it, as a journaling file system does where nobody waited for the bytes."""
    path.write_bytes(b"")
    return "emptied"


def zero(path: Path, draw: random.Random) -> str:
    """Fill a block with zeros."""
    content = bytearray(path.read_bytes())
    if not content:
        return ""
    start = draw.randrange(len(content))
    stop = min(len(content), start + draw.randint(1, 512))
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)
    return f"zeros from byte {start} to {stop}"


def swap(path: Path, draw: random.Random) -> str:
    """Put the content of another file of its kind, from anywhere in the run, in its place."""
    root = next(folder for folder in path.parents if folder.name == "run")
    own = path.read_bytes()
    others = [other for other in sorted(root.rglob(f"*{path.suffix}")) if other.is_file() and other.read_bytes() != own]
    if not others:
        return ""
    other = draw.choice(others)
    path.write_bytes(other.read_bytes())
    return f"swapped for {other.relative_to(root)}"


def remove(path: Path, _: random.Random) -> str:
    """Take it away."""
    path.unlink()
    return "removed"


def obstruct(path: Path, _: random.Random) -> str:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()
    return "a folder in its place"


KINDS: dict[str, Damage] = {
    "bit flip": flip,
    "truncated": truncate,
    "empty": empty,
    "zeros": zero,
    "swapped": swap,
    "missing": remove,
    "a folder": obstruct,
}
