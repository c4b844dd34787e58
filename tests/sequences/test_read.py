import bz2
import gzip
import io
import json
import lzma
import sys
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_gene.errors import FormatError, SequenceError, SettingsError
from llama_gene.sequences import formats
from llama_gene.sequences.read import Reject, read_records
from llama_gene.sequences.record import Record

GENBANK = """LOCUS       SCU49845                  12 bp    DNA     linear   PLN 14-JUL-2016
DEFINITION  Saccharomyces cerevisiae TCP1-beta gene, partial
            cds.
ACCESSION   U49845
VERSION     U49845.1  GI:1293613
FEATURES             Location/Qualifiers
     source          1..12
ORIGIN
        1 gatcctccat at
//
"""


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(records):
    return [(record.id, record.sequence) for record in records]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.fa", "ACGT\nACGT\n", FormatError, r"a\.fa:1: FASTA without a header\s+put a line such as '>name'"),
        ("a.fa", "\n\n ; note\nACGT\n", FormatError, r"a\.fa:3: FASTA without a header"),
        ("a.fa", ">x\nACGT\n>\nAC\n", FormatError, r"a\.fa:3: no name after '>'"),
        ("a.fa", ">x\nACGT\n>y\n>z\nAC", SequenceError, r"a\.fa:3: record 'y': the sequence is empty"),
        ("a.fa", ">x\nAC\n\n>y d\nAC-GE\n", SequenceError, r"a\.fa:4: record 'y': 2 letters outside the DNA alphabet"),
        ("a.fa", b">x\nAC\n\nG\xe4T\n", FormatError, r"a\.fa:4: not UTF-8"),
        ("a.fa", b">x \xe4\nAC\n", FormatError, r"a\.fa:1: not UTF-8"),
        ("a.fa", b">x\rACGT\r>y\rACGT", FormatError, "old Macs"),
        ("a.fa", "\n \n", FormatError, "only blank lines"),
        ("a.fa", "; only a note\n", FormatError, "no records"),
        ("a.fq", "@x\nACGT\n+\nIII\n", FormatError, r"a\.fq:1: record 'x': 4 letters but 3 qualities"),
        ("a.fq", "@x\nACGT\nACGT\n+\nIIIIIIII\n", FormatError, r"a\.fq:3: FASTQ: 'ACGT' stands where '\+' should"),
        ("a.fq", "@x\nAC\n+\nII\n@y\nAC\n", FormatError, r"a\.fq:5: FASTQ: the file ends inside a record"),
        ("a.fq", "@x\nAC\n+\nII\nx\nAC\n+\nII\n", FormatError, r"a\.fq:5: FASTQ: 'x' stands where '@name' should"),
        ("a.fq", "x\nAC\n+\nII\n", FormatError, r"a\.fq:1: FASTQ: 'x'"),
        ("a.fq", "@\nAC\n+\nII\n", FormatError, "no name after '@'"),
        ("a.gb", GENBANK[:-3], FormatError, r"a\.gb:1: GenBank: the record that begins here does not end"),
        ("a.gb", GENBANK[:-3] + GENBANK, FormatError, r"a\.gb:1: GenBank: .* does not end"),
        ("a.gb", GENBANK.replace("cat at", "cat"), FormatError, r"LOCUS says 12 letters, ORIGIN has 10"),
        ("a.gb", GENBANK.replace("        1 gat", "    gat"), FormatError, r"a\.gb:9: GenBank: 'gatcctccat' in ORIGIN"),
        (
            "a.gb",
            "LOCUS       X 12 bp\nCONTIG      join(A:1..9)\n//\n",
            FormatError,
            "a.gb:1: .*only a CONTIG line\\s+.*full",
        ),
        ("a.gb", "gene\n", FormatError, "without a LOCUS line"),
        ("a.csv", "id,sequnce\nx,AC\n", FormatError, r"no column 'sequence' or 'seq'\s+.*columns: id, sequnce"),
        ("a.csv", "id,seq\nx,\n", SequenceError, r"a\.csv:2: record 'x': the sequence is empty"),
        ("a.csv", "id,seq\nx,AC,1\n", FormatError, r"a\.csv:2: record 'row2': 3 cells"),
        ("a.jsonl", '{"seq": "AC"}\n{"sq": "AC"}\n', FormatError, r"a\.jsonl:2: no column"),
        ("a.txt", "hello\n", FormatError, r"a\.txt:1: the format is not known: it begins with 'hello'"),
    ],
)
def test_invalid_raises(tmp_path, name, content, error, message):
    path = write(tmp_path, name, content)
    with pytest.raises(error, match=message):
        list(read_records(path, "dna"))


def test_named_column_that_is_missing_has_a_nearest_match(tmp_path):
    path = write(tmp_path, "a.csv", "seq_a,seq_b,label\nAC,GT,1\n")
    with pytest.raises(FormatError, match=r"no column 'seqa'\s+did you mean 'seq_a'"):
        list(read_records(path, "dna", column="seqa"))
    assert pairs(read_records(path, "dna", column="seq_b")) == [("row2", "GT")]


def test_unknown_kind_and_truncated_file(tmp_path):
    path = write(tmp_path, "a.fa.gz", gzip.compress(b">x\n" + b"ACGGT" * 1000)[:-9])
    with pytest.raises(SettingsError, match="unknown kind 'rna'"):
        list(read_records(path, "rna"))
    with pytest.raises(FormatError, match=r"a\.fa\.gz: the compressed file is truncated"):
        list(read_records(path, "dna"))


@pytest.mark.parametrize("policy", ["refuse", "skip"])
def test_rejects_are_handed_over_and_reading_goes_on(tmp_path, policy):
    path = write(tmp_path, "a.fa", ">a\nACGT\n>b\nAC-T\n>c\n>\nAC\n>d\nGG\n")
    rejects = []
    assert pairs(read_records(path, "dna", policy=policy, on_reject=rejects.append)) == [("a", "ACGT"), ("d", "GG")]
    assert rejects == [
        Reject("b", f"{path}:3", "record 'b': 1 letter outside the DNA alphabet: '-' (1)"),
        Reject("c", f"{path}:5", "record 'c': the sequence is empty"),
        Reject("", f"{path}:6", "no name after '>'"),
    ]
    with pytest.raises(SequenceError, match="record 'b'"):
        list(read_records(path, "dna", policy=policy))


@pytest.mark.parametrize(
    ("name", "content", "num_rejects"),
    [
        ("a.csv", "id,seq\nx,AC\ny\nz,GT\n", 1),
        ("a.jsonl", '{"id": "x", "seq": "AC"}\n{"id": \n{"id": 1, "seq": []}\n{"id": "z", "seq": "GT"}\n', 2),
        ("a.fq", "@x\nAC\n+\nII\n@y\nAC\n+\nI\n@z\nGT\n+\n@@\n", 1),
        ("a.gb", "".join(GENBANK.replace("U49845.1", name).replace("gatcctccat at", s).replace("12 bp", "2 bp")
                         for name, s in [("x", "ac"), ("y", "acg"), ("z", "gt")]), 1),
    ],
)  # fmt: skip
def test_a_bad_record_of_any_format_can_be_set_aside(tmp_path, name, content, num_rejects):
    rejects = []
    records = list(read_records(write(tmp_path, name, content), "dna", on_reject=rejects.append))
    assert pairs(records) == [("x", "AC"), ("z", "GT")]
    assert len(rejects) == num_rejects


def test_fasta_literal(tmp_path):
    content = b"\xef\xbb\xbf; a note\n>x|1 first one\r\nac gu\r\n\r\nNN\r\n;note\r\n>y\tsecond\nAC"
    assert list(read_records(write(tmp_path, "a", content), "dna")) == [
        Record("x|1", "ACGTNN", "dna", "first one"),
        Record("y", "AC", "dna", "second"),
    ]


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8])
def test_fasta_does_not_depend_on_where_a_chunk_ends(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(formats, "_CHUNK", chunk)
    path = write(tmp_path, "a", b"\xef\xbb\xbf;n\n>x one\r\nAC\r\n;>no\r\nGT\n\n>y\nA\n>z\nC\n>last")
    rejects = []
    records = list(read_records(path, "dna", on_reject=rejects.append))
    assert records == [Record("x", "ACGT", "dna", "one"), Record("y", "A", "dna"), Record("z", "C", "dna")]
    assert [(reject.id, reject.where) for reject in rejects] == [("last", f"{path}:11")]


def test_drop_mask_and_protein(tmp_path):
    path = write(tmp_path, "a.faa", ">p\nMK-V*\n")
    assert pairs(read_records(path, "protein", policy="drop")) == [("p", "MKV")]
    assert pairs(read_records(path, "protein", policy="mask")) == [("p", "MKXV")]


def test_genbank_literal(tmp_path):
    path = write(tmp_path, "a.seq", "GenBank release\n\n" + GENBANK + "\n" + GENBANK.replace("VERSION", "COMMENT"))
    definition = "Saccharomyces cerevisiae TCP1-beta gene, partial cds."
    assert list(read_records(path, "dna")) == [
        Record("U49845.1", "GATCCTCCATAT", "dna", definition),
        Record("U49845", "GATCCTCCATAT", "dna", definition),
    ]


def test_fastq_literal(tmp_path):
    path = write(tmp_path, "a", "@x 1:N:0\nACGT\n+x\n@III\n\n@y\nGG\n+\nII")
    assert list(read_records(path, "dna")) == [Record("x", "ACGT", "dna", "1:N:0"), Record("y", "GG", "dna")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "seq_id,seq,label\nx,ACGT,1\n,GG,0\n"),
        ("a", "name\tsequence\nx\tACGT\n\tGG\n"),
        ("a.json", '{"id": "x", "sequence": "acgt"}\n{"sequence": "GG"}\n'),
    ],
)
def test_table_literal(tmp_path, name, content):
    line = 2 if name == "a.json" else 3
    assert pairs(read_records(write(tmp_path, name, content), "dna")) == [("x", "ACGT"), (f"row{line}", "GG")]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b">x\nACGT\n>y\n-\n"))))
    records = read_records("-", "dna")
    assert next(records).id == "x"
    with pytest.raises(SequenceError, match="standard input:3: record 'y'"):
        next(records)


@pytest.mark.parametrize("width", [60, 10**9])
def test_memory_is_about_the_longest_record(tmp_path, width):
    num = 12_000_000
    line = b"ACGT" * 15 + b"\n" if width == 60 else b"ACGT" * (num // 4) + b"\n"
    path = tmp_path / "a.fa"
    with path.open("wb") as handle:
        for _ in range(3):
            handle.write(b">x\n" + line * (num // (len(line) - 1)))
    tracemalloc.start()
    for record in read_records(path, "dna"):
        assert len(record) > num - 60
        del record
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * num + 8_000_000


PACK = [lambda data: data, gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
names = st.text(alphabet="abcXYZ019_|.:", min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names, st.text(alphabet="ACGTN", min_size=1, max_size=50)), min_size=1, max_size=5),
    st.integers(1, 60),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.sampled_from(PACK),
)
def test_fasta_round_trip(tmp_path_factory, records, width, end, pack):
    lines = []
    for name, sequence in records:
        lines += [f">{name}", *(sequence[start : start + width] for start in range(0, len(sequence), width))]
    path = tmp_path_factory.mktemp("fasta") / "a"
    path.write_bytes(pack(end.join(lines).encode()))
    assert pairs(read_records(path, "dna")) == records


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(names, st.text(alphabet="ACDEFGHIKLMNPQRSTVWYX", min_size=1)), min_size=1, max_size=4))
def test_all_formats_give_the_same(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("formats")
    texts = {
        "a.fq": "".join(f"@{name}\n{sequence}\n+\n{'@' * len(sequence)}\n" for name, sequence in records),
        "a.csv": "id,sequence\n" + "".join(f"{name},{sequence}\n" for name, sequence in records),
        "a.jsonl": "".join(json.dumps({"id": name, "seq": sequence}) + "\n" for name, sequence in records),
    }
    for name, text in texts.items():
        assert pairs(read_records(write(folder, name, text), "protein")) == records
