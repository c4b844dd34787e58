"""All of the torture, and ``docs/faults.md`` of it: ``make torture``, some fifteen minutes on two cores."""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import tiny
from llama_gene.files import write_text
from torture import corruption, kills, packed, places
from torture.process import load_libraries
from torture.world import World, make_world

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
KILLS, LONGEST = 50, 3.0
ROUNDS = {"bit flip": 2, "truncated": 1, "empty": 1, "zeros": 1, "swapped": 1, "missing": 1, "a folder": 1}
DISKS = (0.3, 3.4)  # MB: the finished run has seven
CUTS = 3

HEAD = """# Faults

Written by `make torture`, which does to the tool what broken machines and strangers do to it: its code is in
`tests/torture`, and a short form of each part is in `make test`. Every command ends in the right result, or in an error
that names the file and what is wrong with it (exit code 2, no traceback), and leaves nothing half-written under a final
name. {verdict}
"""


def main() -> None:
    """Do it all, and write the page.

    Exits with 1 if anything went wrong; the page then says what.
    """
    os.environ.update(tiny.environment() | {"TOKENIZERS_PARALLELISM": "false"})
    begun = time.monotonic()
    load_libraries()
    with tempfile.TemporaryDirectory() as home:
        world = make_world(Path(home))
        corruption.make_states(world)
        sections, faults = [], []
        for part in (_corruption, _packed, _disks, _kills):
            section, found = part(world)
            sections.append(section)
            faults += found
            for fault in found:
                _say(fault)
            _write(sections, faults)
            _say(f"{part.__name__[1:]}: {len(found)} faults, {time.monotonic() - begun:.0f} s since the start")
    sys.exit(bool(faults))


def _write(sections: list[str], faults: list[str]) -> None:
    """Write the page of what is done: a driver that is stopped leaves that."""
    verdict = "Nothing else was found." if not faults else f"**{len(faults)} times it did not.**"
    wrong = ["## What went wrong\n\n" + "".join(f"- {fault}\n" for fault in faults)] if faults else []
    write_text(PAGE, "\n".join([HEAD.format(verdict=verdict), *sections, *wrong]))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def _kills(world: World) -> tuple[str, list[str]]:
    draw = random.Random(1)
    lives: list[kills.Life] = []
    while (left := KILLS - sum(life.kills for life in lives)) > 0:
        lives.append(kills.live(world, draw, longest=LONGEST, most=min(left, 25)))
        _say(f"a run that was killed {lives[-1].kills} times, and is done")
    faults = [f"run: another {name} after kills" for life in lives for name in life.differing]
    faults += [f"run: kills left {name} behind" for life in lives for name in life.left]
    stages = Counter(stage for life in lives for stage in life.stages)
    text = f"""## Killed

`run` of the tiny recipe, all of its seven stages: {len(lives)} runs, each begun anew, killed (-9) at random moments
within {LONGEST:.0f} seconds of its start, and started again until it was done; {sum(stages.values())} kills in all.
Each tree is byte for byte that of a run that was left alone, but for what a run says of its own time and speed.

"""
    names = [name for name in ("the start", *tiny.STAGES) if stages[name]]
    return text + _table(["killed in", *names], [["times", *(stages[name] for name in names)]]), faults


def _disks(world: World) -> tuple[str, list[str]]:
    mount = _can_mount(world.home / "small")
    found = [places.run_on_a_full_disk(world, int(size * 1e6), mount=mount) for size in DISKS]
    if not mount:
        found = [places.run_on_a_full_disk(world, int(size * 1e6 / 10), mount=False) for size in DISKS]
    world.restore("whole")
    small = world.home / "small"
    small.mkdir(exist_ok=True)
    found += places.refusals(world, small, "no file beyond 100 bytes", places.no_file_beyond(100))
    if mount:
        with places.small_disk(small, 4096):
            (small / "filler").write_bytes(bytes(4096))
            found += places.refusals(world, small, "a full disk")
        with places.read_only(small):
            found += places.refusals(world, small, "a read-only folder")
    (world.home / "file").write_text("in the way")
    found += places.refusals(world, world.home / "file", "a file where a folder should be")
    how = "small file systems (tmpfs)" if mount else "a bound on the size of a file, as nothing can be mounted here"
    text = f"""## No place to write

Full disks are {how}. A read-only folder is mounted so, since permissions do not bind root. A run that found its disk
full was given room, and started again.

"""
    rows = [[one.command, one.place, one.ended if one.fault is None else f"**{one.fault}**"] for one in found]
    return text + _table(["command", "place", "ended"], rows), [
        f"{one.command}, {one.place}: {one.fault}" for one in found if one.fault
    ]


def _can_mount(place: Path) -> bool:
    try:
        with places.small_disk(place, 4096):
            return True
    except PermissionError:
        return False


def _corruption(world: World) -> tuple[str, list[str]]:
    rows, faults, total = [], [], 0
    for artefact in corruption.ARTEFACTS:
        found = list(corruption.cases(world, artefact, ROUNDS))
        _say(f"{artefact.name}: {len(found)} cases, {sum(case.fault is not None for case in found)} faults")
        ends = Counter(case.ended for case in found)
        faults += [f"{case.artefact}, {case.detail}: {case.fault}" for case in found if case.fault]
        reader = " ".join(word for word in artefact.words.split()[:2] if "{" not in word)
        rows.append([artefact.name, f"`{reader}`", len(found), *(ends[how] or "" for how in corruption.ENDS)])
        total += len(found)
    text = f"""## Damaged

{total} cases: in each kind of artefact bits flip, the end or all of it is lost, a block is zero, another file of the
run has its name, it is missing, or a folder is in its place; then the command that reads it is asked. What people write
(recipes, tables, answers), and what may be left out, can end in another valid content; what llama-gene writes cannot.

"""
    return text + _table(["artefact", "read by", "cases", *corruption.ENDS], rows), faults


def _packed(world: World) -> tuple[str, list[str]]:
    found = list(packed.cuts(world, CUTS))
    faults = [f"{cut.format}.{cut.packing} cut after {cut.bytes_left} bytes: {cut.fault}" for cut in found if cut.fault]
    told = Counter((cut.packing, cut.format) for cut in found if not cut.fault)
    rows = [[packing, *(told[packing, form] for form in packed.FILES)] for packing in packed.PACKERS]
    text = f"""## Cut short

Packed files that end too early, cut at {CUTS} places from their first byte to their last but one: how many of the
{CUTS} end in a clear error.

"""
    return text + _table(["packing", *packed.FILES], rows), faults


if __name__ == "__main__":
    main()
