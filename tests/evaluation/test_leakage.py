import json
import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from llama_gene.cli import app
from llama_gene.config import CorpusSettings, LeakageSettings
from llama_gene.corpus.build import build_corpus
from llama_gene.corpus.plan import freeze
from llama_gene.errors import FormatError, LlamaGeneError, SettingsError
from llama_gene.evaluation.leakage import LEAK_KINDS, Leak, containment, find_leaks, find_leaks_of_parts, search
from llama_gene.evaluation.leakage.rows import RowReader, find_leaks_in_files, read_corpus
from llama_gene.sequences.alphabet import ALPHABETS, reverse_complement
from llama_gene.tasks.task import Example
from nano import dna, protein

SMALL = LeakageSettings(dna_k=3, protein_k=2, threshold=0.5)


def rows(*sequences, name="r"):
    return [Example(f"{name}{i}", (s,) if isinstance(s, str) else tuple(s)) for i, s in enumerate(sequences)]


def mutated(rng, sequence, rate):
    return "".join(rng.choice("ACGT") if rng.random() < rate else letter for letter in sequence)


# ---- the rule, by plain sets ----


@cache
def kmer_set(kind, sequence, k):
    windows = {sequence[i : i + k] for i in range(len(sequence) - k + 1)}
    whole = {window for window in windows if set(window) <= set(ALPHABETS[kind].letters)}
    return {min(window, reverse_complement(window)) for window in whole} if kind == "dna" else whole


def share_of(kind, test, train, rule):
    mine = kmer_set(kind, test, rule.k_of(kind))
    if not mine:
        return float(test == train or (kind == "dna" and test == reverse_complement(train)))
    share = len(mine & kmer_set(kind, train, rule.k_of(kind))) / len(mine)
    return share if share >= rule.threshold - 1e-12 else 0.0


def by_brute_force(test, train, kinds, rule):
    """For each leaked test row: kind, first training row, share."""
    found = {}
    symmetric = len(kinds) == 2 and kinds[0] == kinds[1]
    for number, mine in enumerate(test):
        best = None
        for other in train:
            for theirs in [other.sequences, other.sequences[::-1]] if symmetric else [other.sequences]:
                if mine.sequences == theirs:
                    level, share = 0, 1.0
                elif all(
                    a == b or (kind == "dna" and a == reverse_complement(b))
                    for kind, a, b in zip(kinds, mine.sequences, theirs, strict=True)
                ):
                    level, share = 1, 1.0
                else:
                    parts = zip(kinds, mine.sequences, theirs, strict=True)
                    level, share = 2, min(share_of(kind, a, b, rule) for kind, a, b in parts)
                if share > 0 and (best is None or level < best[0]):
                    best = level, other.id, share
        if best is not None:
            found[number] = (LEAK_KINDS[best[0]], best[1], pytest.approx(best[2]))
    return found


def as_found(result):
    return {leak.row: (leak.kind, leak.train_id, leak.share) for leak in result.leaks}


def sequences(kind):
    # Few letters and short, so that much is shared by chance; N and X, and sequences without any k-mer.
    return st.text("ACN" if kind == "dna" else "MKX", min_size=1, max_size=12)


@given(st.data(), st.lists(st.sampled_from(["dna", "protein"]), min_size=1, max_size=2), st.sampled_from([0.2, 0.5, 1]))
@settings(max_examples=150, deadline=None)
def test_it_finds_what_plain_sets_find(data, kinds, threshold):
    rule = LeakageSettings(dna_k=3, protein_k=2, threshold=threshold)
    table = st.lists(st.tuples(*map(sequences, kinds)), min_size=1, max_size=12)
    test, train = rows(*data.draw(table), name="test"), rows(*data.draw(table), name="train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containment, "_CHUNK", data.draw(st.integers(1, 40)))
        patch.setattr(search, "_FIRST_BLOCK", data.draw(st.integers(1, 40)))
        result = find_leaks(test, train, kinds, rule)
    assert as_found(result) == by_brute_force(test, train, kinds, rule)
    assert (result.num_test, result.num_train) == (len(test), len(train))
    short = [any(not kmer_set(k, s, rule.k_of(k)) for k, s in zip(kinds, r.sequences, strict=True)) for r in test]
    assert result.short == tuple(np.flatnonzero(short))


@pytest.mark.parametrize("kind", ["dna", "protein"])
def test_it_finds_what_plain_sets_find_in_families(kind):
    rng, letters = random.Random(3), ALPHABETS[kind].letters
    # A constant flank, as a construct has, and families of which some members share just about half.
    flank = "".join(rng.choices(letters, k=40))
    ancestors = [flank + "".join(rng.choices(letters, k=80)) for _ in range(12)]

    def family(num):
        made = []
        for _ in range(num):
            rate, ancestor = rng.choice([0.0, 0.05, 0.15, 0.3]), rng.choice(ancestors)
            made.append("".join(rng.choice(letters) if rng.random() < rate else letter for letter in ancestor))
        return made

    test, train = rows(*family(60)), rows(*family(60))
    rule = LeakageSettings()
    result = find_leaks(test, train, [kind], rule)
    assert as_found(result) == by_brute_force(test, train, [kind], rule)
    assert 10 < len(result.leaks) < 55


def test_a_planted_leak_is_found():
    rng = random.Random(0)
    train = ["".join(rng.choices("ACGT", k=300)) for _ in range(2000)]
    known = rng.sample(train, 150)
    planted = [*known[:50], *map(reverse_complement, known[50:100]), *(mutated(rng, one, 0.04) for one in known[100:])]
    fresh = ["".join(rng.choices("ACGT", k=300)) for _ in range(850)]
    test = rows(*planted, *fresh)
    result = find_leaks(test, rows(*train, name="t"), ["dna"], LeakageSettings())
    kinds = {leak.row: leak.kind for leak in result.leaks}
    assert all(kinds[row] == "exact" for row in range(50))
    assert all(kinds[row] == "reverse complement" for row in range(50, 100))
    # One letter in four is drawn again as it was: 3 % are mutated.
    rule = LeakageSettings()
    held = [row for row in range(100, 150) if share_of("dna", planted[row], known[row], rule)]
    assert len(held) > 35
    assert sorted(kinds) == [*range(100), *held]
    assert {leak.row: leak.train_id for leak in result.leaks} == {row: f"t{train.index(known[row])}" for row in kinds}
    assert result.is_leaked.sum() == len(kinds)


# ---- its parts, literally ----


def test_kinds_literally():
    train = rows("ACGTTTGCAC", "CCCCATTTTT", "GATTACAGAT", name="t")
    test = rows("GATTACAGAT", "GTGCAAACGT", "CCCCATGCGC", "GGAGGAGGAG")
    result = find_leaks(test, train, ["dna"], LeakageSettings(dna_k=4))
    # Of CCCC CCCA CCAT CATG ATGC TGCG GCGC the first three stand in t1; ATGC is GCAT, TGCG is CGCA.
    assert result.leaks == (Leak(0, "r0", "exact", "t2", 1.0), Leak(1, "r1", "reverse complement", "t0", 1.0))
    assert find_leaks(test, train, ["dna"], LeakageSettings(dna_k=4, threshold=3 / 7)).leaks[2] == Leak(
        2, "r2", "shared k-mers", "t1", 3 / 7
    )
    assert result.counts == {"exact": 1, "reverse complement": 1, "shared k-mers": 0}
    assert result.is_leaked.tolist() == [True, True, False, False]


def test_what_is_equal_outranks_what_came_first():
    train = rows("ACGTTTGCACA", "GTGCAAACGT", "ACGTTTGCAC", name="t")
    (leak,) = find_leaks(rows("ACGTTTGCAC"), train, ["dna"], SMALL).leaks
    assert (leak.kind, leak.train_id) == ("exact", "t2")
    (leak,) = find_leaks(rows("ACGTTTGCAC"), train[:2], ["dna"], SMALL).leaks
    assert (leak.kind, leak.train_id) == ("reverse complement", "t1")


def test_both_partners_of_one_row():
    train = rows(("MKVLAA", "WWFFYY"), ("GGHHII", "PPQQRR"), name="t")
    kinds = ["protein", "protein"]
    crossed = rows(("MKVLAA", "PPQQRR"))
    assert find_leaks(crossed, train, kinds, SMALL).leaks == ()
    turned = rows(("WWFFYY", "MKVLAA"))
    assert find_leaks(turned, train, kinds, SMALL).leaks[0].kind == "exact"
    near = rows(("MKVLAF", "WWFFYH"))
    (leak,) = find_leaks(near, train, kinds, SMALL).leaks
    assert (leak.kind, leak.train_id, leak.share) == ("shared k-mers", "t0", 0.8)
    mixed = find_leaks(rows(("ACGTTT", "MK")), rows(("AAACGT", "MK")), ["dna", "protein"], SMALL)
    assert mixed.leaks[0].kind == "reverse complement"


def test_the_parts_of_a_row_may_stand_in_two_documents():
    documents = {"dna": rows("CCACGTTTCC"), "protein": rows("GG", "AMKVLACG")}
    test = rows(("ACGTTT", "MKVLAA"), ("ACGTTT", "WWFFYY"))
    found = find_leaks_of_parts(test, documents.__getitem__, ["dna", "protein"], SMALL)
    assert found.leaks == (Leak(0, "r0", "shared k-mers", "r1", 0.8),)
    assert found.num_train == 3
    short = find_leaks_of_parts(rows(("AC", "MK"), ("ACG", "M")), documents.__getitem__, ["dna", "protein"], SMALL)
    assert (short.short, short.leaks) == ((0, 1), ())


def test_long_rows_of_a_sequence_file_are_compared_in_stretches(tmp_path):
    rng = random.Random(1)
    chromosome = "".join(rng.choices("ACGT", k=30_000))
    (tmp_path / "chr.fa").write_text(f">chr\n{chromosome}\n")
    starts = [0, 3777, 3990, 17_001, 29_700]
    parts = [chromosome[start : start + 300] for start in starts]
    (tmp_path / "test.fa").write_text("".join(f">{i}\n{part}\n" for i, part in enumerate([*parts, "ACGT" * 75])))
    found, _ = find_leaks_in_files(
        tmp_path / "chr.fa", tmp_path / "test.fa", RowReader(("dna",)), LeakageSettings(threshold=1), print
    )
    assert [leak.row for leak in found.leaks] == list(range(5))
    for leak, start in zip(found.leaks, starts, strict=True):
        first, last = map(int, leak.train_id.removeprefix("chr:").split("-"))
        assert first <= start
        assert start + 300 <= last <= first + 4000


def test_a_corpus_is_compared_by_what_it_trains_on(nano_tokenizer, tmp_path):
    (tmp_path / "genome.fa").write_text("".join(f">r{i}\n{dna(90, i)}\n" for i in range(12)))
    (tmp_path / "proteins.fa").write_text("".join(f">p{i}\n{protein(60, i)}\n" for i in range(12)))
    sources = [
        {"name": "genome", "kind": "dna", "files": ["genome.fa"]},
        {"name": "proteins", "kind": "protein", "files": ["proteins.fa"]},
    ]
    plan = freeze(CorpusSettings(source=sources, validation=0.1), tmp_path, nano_tokenizer, tmp_path / "corpus", seed=1)
    build_corpus(plan, plan.settings)
    documents = {kind: [row.sequences[0] for row in read_corpus(plan.folder, kind)] for kind in ("dna", "protein")}
    assert set(documents["dna"]) < {dna(90, i) for i in range(12)}
    held_out = next(dna(90, i) for i in range(12) if dna(90, i) not in documents["dna"])
    known, residues = documents["dna"][5], documents["protein"][2]
    test = [("a", reverse_complement(known[10:70]), residues), ("b", held_out, residues), ("c", known, "GGGGGGGG")]
    lines = "".join(",".join(cells) + "\n" for cells in test)
    (tmp_path / "test.csv").write_text("id,gene,product\n" + lines)
    reader = RowReader.of_columns([("gene", "dna"), ("product", "protein")])
    found, _ = find_leaks_in_files(plan.folder, tmp_path / "test.csv", reader, LeakageSettings(), print)
    assert found.leaks == (Leak(0, "a", "shared k-mers", "genome-0000, document 5", 1.0),)
    assert found.num_train == len(documents["dna"]) + len(documents["protein"])


@pytest.mark.parametrize("values", [{"threshold": 0}, {"threshold": 1.1}, {"dna_k": 33}, {"protein_k": 0}])
def test_a_rule_that_does_not_hold(values):
    with pytest.raises(ValueError):
        LeakageSettings(**values)


# ---- files, and the command ----


@pytest.fixture
def tables(tmp_path):
    train = ["ACGTTTGCACGGATTACAGATCCA", "GGGATTTCGCACCATATGTGCTAG", "TTTTTTTTTTTTTTTTTTTTTTTT"]
    test = [train[0], reverse_complement(train[1]), train[1][:20] + "CCCC", "CATCATCATGGTGGTGGTCAGCAG", "ACG", "AC!T"]
    for name, sequences in (("train", train), ("test", test)):
        lines = "".join(f"{sequence},1\n" for sequence in sequences)
        (tmp_path / f"{name}.csv").write_text(f"sequence,label\n{lines}")
    return tmp_path / "train.csv", tmp_path / "test.csv"


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command(tables, tmp_path):
    done = call("leakage", *tables, "--kind", "dna", "--output", tmp_path / "leaked.tsv")
    assert done.exit_code == 0, done.output
    for text in ("6 test rows against 3 training rows; k = 16 (DNA), threshold 0.5", "3 leaked (50.0%); 3 are clean"):
        assert text in done.output
    assert "2 rows have a sequence without a k-mer" in done.output
    lines = (tmp_path / "leaked.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["row", "id", "kind", "train_id", "share", "sequence"]
    assert [line.split("\t")[2:5] for line in lines[1:]] == [
        ["exact", "row2", "1.0000"],
        ["reverse complement", "row3", "1.0000"],
        ["shared k-mers", "row3", "0.6667"],
    ]


@pytest.mark.parametrize("words", [("--column", "sequence:dna"), ("--task", "tf_0"), ("--kind", "dna", "--k", "8")])
def test_the_command_as_json(tables, words):
    values = json.loads(call("leakage", *tables, "--json", *words).stdout)
    assert values["num_leaked"] == 3
    assert values["counts"] == {"exact": 1, "reverse complement": 1, "shared k-mers": 1}
    assert values["rule"]["dna_k"] == (8 if "--k" in words else 16)


def test_the_test_file_is_the_training_file(tables):
    train, test = tables
    reader = RowReader(("dna",))
    for words in (
        ("leakage", train, train, "--kind", "dna"),
        ("leakage", test, train.parent / "copy.csv", "--kind", "dna"),
    ):
        # Other bytes, the same rows: in another order, and in lower case.
        head, *lines = test.read_text().splitlines()
        (train.parent / "copy.csv").write_text("\n".join([head, *(line.lower() for line in lines[:2][::-1])]))
        done = call(*words)
        assert isinstance(done.exception, LlamaGeneError)
        assert "TEST is TRAIN" in str(done.exception)
        assert "llama-gene split" in str(done.exception)
    with pytest.raises(FormatError, match="no such file"):
        find_leaks_in_files(train, test.with_name("gone.csv"), reader, LeakageSettings(), print)
    with pytest.raises(FormatError, match="no finished corpus"):
        find_leaks_in_files(train.parent, test, reader, LeakageSettings(), print)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "what the sequences are was not said"),
        (("--kind", "dna", "--k", "x"), "--k 'x'"),
        (("--kind", "dna", "--k", "rna=5"), "--k 'rna=5'"),
        (("--kind", "dna", "--k", "40"), "dna_k"),
        (("--kind", "dna", "--threshold", "0"), "threshold"),
        (("--column", "sequence"), "--column 'sequence'"),
        (("--column", "sequnce:dna"), "did you mean 'sequence'?"),
        (("--task", "tf_0", "--kind", "dna"), "--task says"),
    ],
)
def test_wrong_words(tables, words, text):
    done = call("leakage", *tables, *words)
    assert isinstance(done.exception, SettingsError | FormatError)
    assert text in str(done.exception)


def test_the_same_twice():
    rng = np.random.default_rng(0)
    made = ["".join(rng.choice(list("AC"), size=40)) for _ in range(60)]
    first, second = (find_leaks(rows(*made[:20]), rows(*made[20:]), ["dna"], SMALL) for _ in range(2))
    assert first == second
    assert first.leaks
