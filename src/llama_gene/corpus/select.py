"""What only shows once all parts are there: which documents are duplicates, and which are held out.

Both are functions of the plan and the parts alone. Memory: some 30 bytes a document and 50 a record of the largest
modality, and 24 for each of the hashes that duplicates are looked for among at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_gene.config import Modality
from llama_gene.corpus.plan import CorpusTask, Plan
from llama_gene.corpus.shards import DOCUMENTS, map_array, read_record_name

# 0.4 GB. More documents take more passes over their hashes, and no more memory.
_HASHES_AT_A_TIME = 1 << 24
# A record is held out as long as no more than this many times the share asked for are.
_MOST = 2

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Table:
    """What is known of the documents of a part.

    Args:
        draws: uint64[num_records], what decides whether a record is held out.
        record: int64[num_documents], the number of each document's record.
        start: int64[num_documents], the first place of each in its record, on either strand.
        letters: int64[num_documents]; 0 for those that do not count.
    """

    draws: NDArray[np.uint64]
    record: NDArray[np.int64]
    start: NDArray[np.int64]
    letters: NDArray[np.int64]

    @classmethod
    def load(cls, plan: Plan, task: CorpusTask, dropped: Mask) -> "Table":
        """Read that of a task, without the documents that are dropped."""
        part = plan.part(task)
        record, start, end = map_array(part / f"{DOCUMENTS}.places", "<i8").reshape(-1, 3).T
        letters = np.where(dropped, 0, abs(end - start))
        return cls(map_array(part / f"{DOCUMENTS}.draws", "<u8"), record, np.minimum(start, end), letters)

    def record_letters(self) -> NDArray[np.int64]:
        """int64[num_records]: the letters of each record."""
        return np.bincount(self.record, weights=self.letters, minlength=len(self.draws)).astype(np.int64)


def find_duplicates(plan: Plan) -> list[Mask]:
    """Of each task, in order, the documents that are equal to one before them: bool[num_documents]."""
    hashes = [map_array(plan.part(task) / f"{DOCUMENTS}.hashes", "<u8") for task in plan.tasks]
    duplicates = [np.zeros(len(of_part), dtype=np.bool_) for of_part in hashes]
    if not plan.settings.deduplicate:
        return duplicates
    ends = np.cumsum([len(of_part) for of_part in hashes])
    num_passes = max(1, -(-int(ends[-1]) // _HASHES_AT_A_TIME))
    for turn in range(num_passes):
        places = [np.flatnonzero(of_part % np.uint64(num_passes) == turn) for of_part in hashes]
        chosen = np.concatenate([of_part[where] for of_part, where in zip(hashes, places, strict=True)])
        # Stable, so that of equal ones the first in the order of the corpus stays first.
        order = np.argsort(chosen, kind="stable")
        again = np.zeros(len(chosen), dtype=np.bool_)
        again[order[1:]] = chosen[order[1:]] == chosen[order[:-1]]
        bounds = np.cumsum([len(where) for where in places])[:-1]
        for of_part, where, part in zip(duplicates, places, np.split(again, bounds), strict=True):
            of_part[where[part]] = True
    return duplicates


def find_held_out(plan: Plan, dropped: Sequence[Mask]) -> tuple[list[Mask], dict[Modality, str]]:
    """Of each task, in order, the documents that are held out: bool[num_documents].

    Held out are whole records. Each has a draw between 0 and 1 from its name; those with a draw below the share are
    held out in the order of their draws, as long as that takes no more than twice the share of the modality's letters
    and not all of a source. Where none of these can be, the first in the order of draws that can is. Where there is no
    such record, since each is too large, the end of the longest one is held out: windows do not overlap.

    Args:
        plan: The plan.
        dropped: Of each task the documents that do not count.

    Returns:
        The masks, and for each modality that was not held out by record what was done instead.
    """
    held_out = [np.zeros(len(of_part), dtype=np.bool_) for of_part in dropped]
    notes: dict[Modality, str] = {}
    kinds = {source.name: source.kind for source in plan.settings.source}
    for kind in dict.fromkeys(kinds.values()):
        places = [place for place, task in enumerate(plan.tasks) if kinds[task.source] == kind]
        tables = {place: Table.load(plan, plan.tasks[place], dropped[place]) for place in places}
        chosen = _choose(plan, tables)
        for place, table in tables.items():
            held_out[place] = np.isin(table.draws, chosen)[table.record] & ~dropped[place]
        if not len(chosen):
            notes[kind] = _cut_longest(plan, tables, held_out)
    return held_out, notes


def _choose(plan: Plan, tables: dict[int, Table]) -> NDArray[np.uint64]:
    """The draws of the records to hold out, in their order."""
    names = [source.name for source in plan.settings.source]
    sources = [
        np.full(len(table.draws), names.index(plan.tasks[place].source), dtype=np.int64)
        for place, table in tables.items()
    ]
    # Records of one source with one name have one draw: they go together.
    draws, where = np.unique(np.concatenate([table.draws for table in tables.values()]), return_inverse=True)
    letters = np.bincount(where, weights=np.concatenate([table.record_letters() for table in tables.values()]))
    source = np.zeros(len(draws), dtype=np.int64)
    source[where] = np.concatenate(sources)
    num_left = np.bincount(source[letters > 0], minlength=len(names))
    most = _MOST * plan.settings.validation * letters.sum()
    below = int(np.searchsorted(draws, np.uint64(plan.settings.validation * 2**64)))
    chosen: list[int] = []
    total = 0.0
    for place in range(len(draws)):
        if place >= below and chosen:
            break
        if 0 < letters[place] <= most - total and num_left[source[place]] > 1:
            chosen.append(place)
            total += letters[place]
            num_left[source[place]] -= 1
    return draws[chosen]


def _cut_longest(plan: Plan, tables: dict[int, Table], held_out: list[Mask]) -> str:
    """Hold out the end of the longest record; says what was done."""
    lengths = {place: table.record_letters() for place, table in tables.items() if len(table.draws)}
    place = max(lengths, key=lambda place: lengths[place].max(), default=None)
    if place is None:
        return "nothing is held out"
    table, record = tables[place], int(lengths[place].argmax())
    inside = np.flatnonzero((table.record == record) & (table.letters > 0))
    starts, where = np.unique(table.start[inside], return_inverse=True)
    letters = np.bincount(where, weights=table.letters[inside])
    wanted = plan.settings.validation * sum(float(of_part.sum()) for of_part in lengths.values())
    # From the end, until there is enough; the beginning always stays.
    num_windows = min(int(np.searchsorted(letters[::-1].cumsum(), wanted)) + 1, len(starts) - 1)
    if num_windows < 1:
        return "nothing is held out, since there is but one document"
    cut = int(starts[-num_windows])
    held_out[place][inside[table.start[inside] >= cut]] = True
    name = read_record_name(plan.part(plan.tasks[place]), record)
    return f"no record is short enough to be held out as a whole, so {name} is from letter {cut:,} on"
