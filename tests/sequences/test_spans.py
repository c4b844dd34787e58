import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_gene.errors import SettingsError
from llama_gene.sequences.spans import FoundSpan, find_spans

DNA = "GATTACAGATTACAGATTACA"
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIE"


def found(text, **limits):
    return [(span.kind, text[span.start : span.end]) for span in find_spans(text, **limits)]


@pytest.mark.parametrize("limits", [{"min_dna": 0}, {"min_protein": 0}])
def test_invalid_raises(limits):
    with pytest.raises(SettingsError, match="at least 1"):
        find_spans("ACGT", **limits)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "KRAS, TAG, ATG, SOFTWARE and GATTACA are words; so is CAT.",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "NNNNNNNNNNNNNNNNNNNNNNNNNNNNNN",
        "TATATATATATATATATATATATATATA",
        "GAUTACAGAUTACAGAUTACAGAT",  # T and U
        "GATTACAGATTacagattacagatt",  # two cases
        f"x_{DNA}",
        f"{DNA}1",
        f"ä{DNA}",
        "THEQUICKBROWNFOXJUMPSOVERTHELAZYDOG",  # O and U
        PROTEIN.lower(),
        PROTEIN[:24],
        "> a quoted line\nTAG\n",
        "DEADBEEFDEADBEEFDEADBEEFDEADBEEF",  # few residues
        "The TATAAA box, a CCAAT box and CANNTG are motifs; so is NNNNNNNNNNNNNNNN.",
        "WARNING: ALL CAPITALS, BUT WORDS OF A FEW LETTERS EACH, AS IN A TITLE.",
        "QUESTIONSABOUTBIOLOGYWRITTENWITHOUTSPACES",  # B, O and U
        "AACAACAACAACAACAACAACAACAAC",  # two bases
        "ACGTRYACGTKMACGTSWACGTBDHVACGT"[:24],  # too many ambiguity codes for DNA, and too few letters for a protein
        f"https://example.org/{DNA}x1",
        f"{DNA}_1 {DNA}-like"[:23],
    ],
)
def test_what_stays_text(text):
    assert find_spans(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Is {DNA} a promoter?", [("dna", DNA)]),
        (f"({DNA.lower()})", [("dna", DNA.lower())]),
        (DNA.replace("T", "U"), [("dna", DNA.replace("T", "U"))]),
        (f"{PROTEIN}* and {DNA}, KRAS", [("protein", PROTEIN + "*"), ("dna", DNA)]),
        (f">x\n{DNA}\n{DNA.lower()}\nAC\n\nText.", [("dna", f"{DNA}\n{DNA.lower()}\nAC")]),
        (f">x KRAS\r\n{PROTEIN[:10]}\r\n{PROTEIN[10:]}*\r\n", [("protein", f"{PROTEIN[:10]}\r\n{PROTEIN[10:]}*")]),
        (f"See\n>a\n{DNA}\n>b\n{DNA}RY", [("dna", DNA), ("dna", f"{DNA}RY")]),
        (f">x\n{DNA}\nThanks", [("dna", DNA)]),
        (f"> {DNA} in a header\nword", [("dna", DNA)]),
        (f"5'-{DNA}-3' and {DNA},{DNA}", [("dna", DNA)] * 3),
        (f"{DNA}NRY", [("dna", f"{DNA}NRY")]),
        (f"the RNA {'ACGU' * 6}, read as it is", [("dna", "ACGU" * 6)]),
        (f"KRAS_HUMAN {PROTEIN}", [("protein", PROTEIN)]),
        (f">a\n{PROTEIN[:-1]}U\nText", [("protein", f"{PROTEIN[:-1]}U")]),
    ],
)
def test_what_is_found(text, expected):
    assert found(text) == expected


def test_limits_can_be_set():
    assert found("GATTACA", min_dna=7) == [("dna", "GATTACA")]
    assert find_spans(f" {DNA}", min_dna=22) == []


@given(st.lists(st.sampled_from([DNA, PROTEIN, "\n", " ", ">x\n", "and", "KRAS", "*", "-", "AC"])).map("".join))
def test_spans_are_in_order_and_hold_sequences(text):
    spans = find_spans(text)
    assert all(isinstance(span, FoundSpan) and span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= two.start for one, two in itertools.pairwise(spans))
    assert all(len("".join(text[span.start : span.end].split())) >= 20 for span in spans)
