"""What learning a vocabulary takes, told before it starts: an hour of reading should not end in a killed process."""

from collections.abc import Sequence
from pathlib import Path

from llama_gene.errors import SettingsError
from llama_gene.sequences.alphabet import Kind
from llama_gene.vocabulary.sample import Share

# Measured by `benchmarks/vocabulary.py scale`, rounded up: the program itself, and its peak for a letter learned from.
_BASE = 200 << 20
_BYTES_A_LETTER: dict[Kind, float] = {"dna": 2.6, "protein": 5.5}
# The record that is being read, as it stands in the file and cleaned.
_COPIES_OF_A_RECORD = 3
_CGROUP = Path("/sys/fs/cgroup")
_GIB = 1 << 30


def estimate_memory(shares: Sequence[Share], kind: Kind, *, both_strands: bool) -> int:
    """The peak, in bytes, of learning from what is drawn."""
    return round(_fixed(shares) + _a_letter(kind, both_strands) * sum(share.num_drawn for share in shares))


def available_memory() -> int:
    """Bytes that this process can still get: of the machine, and of its control group if it is in a limited one."""
    import psutil

    available: int = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        available = min(available, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no control group, or no limit ("max")
    return max(available, 0)


def num_letters_that_fit(shares: Sequence[Share], kind: Kind, *, both_strands: bool, available: int) -> int:
    """The letters that can be learned from in `available` bytes, if they are drawn as `shares` says or from less."""
    return max(0, int((available - _fixed(shares)) / _a_letter(kind, both_strands)))


def require_memory(shares: Sequence[Share], kind: Kind, *, both_strands: bool, available: int) -> None:
    """Check that learning fits into `available` bytes.

    Raises:
        SettingsError: If it does not; the hint names a sample that does.
    """
    needed = estimate_memory(shares, kind, both_strands=both_strands)
    if needed <= available:
        return
    num_drawn = sum(share.num_drawn for share in shares)
    fits = num_letters_that_fit(shares, kind, both_strands=both_strands, available=available)
    # Two digits are enough, and are easier to type.
    step = 10 ** max(0, len(str(fits)) - 2)
    raise SettingsError(
        f"learning from {num_drawn:,} letters takes about {needed / _GIB:.1f} GiB, and {available / _GIB:.1f} are free",
        hint=f"give --sample {fits // step * step}, or less" if fits >= 1000 else "use a machine with more memory",
    )


def _a_letter(kind: Kind, both_strands: bool) -> float:
    return _BYTES_A_LETTER[kind] * (1 + both_strands)


def _fixed(shares: Sequence[Share]) -> int:
    return _BASE + _COPIES_OF_A_RECORD * max((share.longest for share in shares), default=0)
