import pytest

from llama_gene.errors import FormatError, SequenceError, TaskError
from llama_gene.tasks.convert import find_split, read_examples, read_labels
from llama_gene.tasks.registry import load_task
from llama_gene.tasks.task import Example

PAIR_HEADER = "seq_id_a,seq_id_b,seq_type_a,seq_type_b,seq_a,seq_b,label\n"


def table(tmp_path, text, name="dev.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("task", "text", "error", "message"),
    [
        ("prom_core_all", "sequence,label\nACGT,1\nACGT,2\n", TaskError, r"dev.csv:3: unknown label '2'\n  known"),
        ("prom_core_all", "sequence,label\n,1\n", SequenceError, r"dev.csv:2: column 'sequence' is empty"),
        ("prom_core_all", "sequence,label\nACGE,1\n", SequenceError, r"dev.csv:2: column 'sequence': 1 letter outside"),
        ("prom_core_all", "sequnce,label\nACGT,1\n", FormatError, r"dev.csv:2: no column 'sequence'"),
        ("prom_core_all", "sequence\nACGT\n", FormatError, "no column 'label'"),
        ("prom_core_all", "sequence,label\nACGT\n", FormatError, "dev.csv:2: 1 cells"),
        ("prom_core_all", "sequence,label\n", FormatError, "without rows"),
        ("stability", "seq_id,seq_type,seq,label\na,prot,MKV,high\n", TaskError, "dev.csv:2: label 'high' is not a"),
        ("scop_class", "seq_id,seq_type,seq,label\na,gene,MKV,a\n", TaskError, "seq_type is 'gene'.* takes 'prot'"),
        ("scop_class", "seq_id,seq_type,seq,label\na,rna,MKV,a\n", TaskError, "unknown type 'rna'.*\n.*gene, prot"),
        ("scop_class", "seq_id,seq,label\na,MKV,a\n", FormatError, "no column 'seq_type'"),
        ("central_dogma", PAIR_HEADER + "a,b,gene,prot,ACGT,,1\n", SequenceError, "dev.csv:2: column 'seq_b' is empty"),
        ("enzyme_function", "id,sequence,function\na,MKV,\n", TaskError, "dev.csv:2: the answer is empty"),
    ],
)
def test_bad_rows_raise_with_their_place(tmp_path, task, text, error, message):
    with pytest.raises(error, match=message) as caught:
        list(read_examples(load_task(task), table(tmp_path, text)))
    assert len(str(caught.value).splitlines()) <= 2


def test_bad_rows_are_handed_over(tmp_path):
    path = table(tmp_path, "sequence,label\nACGT,1\nACGE,1\nACGT\nACGT,7\nTTTT,0\n")
    rejects = []
    rows = list(read_examples(load_task("prom_core_all"), path, on_reject=rejects.append))
    assert [(row.id, row.answer) for row in rows] == [("row2", "yes"), ("row6", "no")]
    assert [reject.where.rpartition(":")[2] for reject in rejects] == ["3", "4", "5"]
    assert [reject.id for reject in rejects] == ["row3", "", "row5"]
    assert rejects[2].reason == "unknown label '7'"


def test_a_missing_column_is_never_handed_over(tmp_path):
    with pytest.raises(FormatError, match="no column 'label'"):
        list(read_examples(load_task("prom_core_all"), table(tmp_path, "sequence\nACGT\n"), on_reject=print))


def test_the_layouts(tmp_path):
    gue = read_examples(load_task("tf_0"), table(tmp_path, "sequence,label\nac gt,1\n"))
    assert list(gue) == [Example("row2", ("ACGT",), "yes")]
    one = read_examples(load_task("stability"), table(tmp_path, "seq_id,seq_type,seq,label\np1,prot,mkv*,0.26\n"))
    assert list(one) == [Example("p1", ("MKV",), "0.3", 0.26)]
    pair = PAIR_HEADER + "r1,p1,gene,prot,ACGU,MKV,0\n"
    two = read_examples(load_task("rna_protein_RPI1807"), table(tmp_path, pair))
    assert list(two) == [Example("r1|p1", ("ACGT", "MKV"), "no")]
    text = read_examples(
        load_task("enzyme_function"), table(tmp_path, "id\tsequence\tfunction\nx\tMKV\tA  kinase.\n", "a.tsv")
    )
    assert list(text) == [Example("x", ("MKV",), "A kinase.")]


def test_policies(tmp_path):
    path = table(tmp_path, "sequence,label\nAC-GT,1\n")
    task = load_task("tf_0")
    assert [row.sequences for row in read_examples(task, path, policy="drop")] == [("ACGT",)]
    assert [row.sequences for row in read_examples(task, path, policy="mask")] == [("ACNGT",)]


def test_gaps_are_letters_of_an_alignment_only(tmp_path):
    path = table(tmp_path, PAIR_HEADER + "a,b,prot,prot,M-KV,M.K,1\n")
    assert [row.sequences for row in read_examples(load_task("influenza_antigenic"), path)] == [("MKV", "MK")]
    with pytest.raises(SequenceError, match="column 'seq_a': 1 letter outside"):
        list(read_examples(load_task("ppi_yeast_string"), path))


def test_rows_to_predict_need_only_their_sequences(tmp_path):
    path = table(tmp_path, "name,seq_a,seq_b\nx,ACGT,MKV\n")
    assert list(read_examples(load_task("central_dogma"), path, labelled=False)) == [Example("x", ("ACGT", "MKV"))]
    path = table(tmp_path, "sequence,label\nACGT,who knows\n")
    assert [row.answer for row in read_examples(load_task("tf_0"), path, labelled=False)] == [None]


def test_splits_are_found(tmp_path):
    task = load_task("tf_0")
    folder = tmp_path / "tasks" / "GUE" / "tf" / "0"
    folder.mkdir(parents=True)
    with pytest.raises(FormatError, match=r"GUE/tf/0: task 'tf_0' has no dev rows\n  set data.root=FOLDER"):
        find_split(task, tmp_path, "dev")
    (folder / "dev.csv.xz").touch()
    assert find_split(task, tmp_path, "dev") == folder / "dev.csv.xz"
    (folder / "dev.jsonl").touch()
    with pytest.raises(FormatError, match=r"dev.csv.xz and dev.jsonl are both"):
        find_split(task, str(tmp_path), "dev")


def test_a_split_may_lie_one_folder_deeper(tmp_path):
    task = load_task("ProtStab")
    folder = tmp_path / "tasks" / task.data / "dev"
    folder.mkdir(parents=True)
    (folder / "dev.csv").touch()
    assert find_split(task, tmp_path, "dev") == folder / "dev.csv"
    (folder.parent / "dev.tsv").touch()
    with pytest.raises(FormatError, match=r"dev.tsv and dev.csv are both"):
        find_split(task, tmp_path, "dev")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_told_with_the_way_out(tmp_path, encoding):
    path = tmp_path / "dev.csv"
    path.write_bytes("sequence,label\nACGT,é\n".encode(encoding))
    name = "LATIN1" if encoding == "latin-1" else "UTF-16"
    with pytest.raises(FormatError, match=rf"dev.csv:\d: not UTF-8 text\n  write it as UTF-8, .*iconv -f {name}"):
        list(read_examples(load_task("tf_0"), path, on_reject=print))


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "dev.parquet"
    columns = {"sequence": ["ACGT", "ACGE", "TT", None], "label": [1, 1, 0, 0], "odd": [0.25, 1.5, None, 2.0]}
    parquet.write_table(pyarrow.table(columns), path)
    rejects = []
    rows = list(read_examples(load_task("tf_0"), path, on_reject=rejects.append))
    assert [(row.id, row.sequences, row.answer) for row in rows] == [
        ("row1", ("ACGT",), "yes"),
        ("row3", ("TT",), "no"),
    ]
    assert [reject.where for reject in rejects] == [f"{path}:2", f"{path}:4"]
    parquet.write_table(pyarrow.table({"sequence": [["ACGT"]], "label": [1]}), path)
    with pytest.raises(FormatError, match=r"dev\.parquet:1: 'sequence' holds list"):
        list(read_examples(load_task("tf_0"), path))
    path.write_bytes(b"PAR1")
    with pytest.raises(FormatError, match=r"dev\.parquet: not a Parquet file"):
        list(read_examples(load_task("tf_0"), path))


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("llama_gene.tasks.convert.parquet.import_module", missing)
    with pytest.raises(FormatError, match=r"need the package pyarrow\n  pip install pyarrow, or .*to_csv"):
        list(read_examples(load_task("tf_0"), tmp_path / "dev.parquet"))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("acceptor\ndonor\n", {"0": "acceptor", "1": "donor"}),
        ("label\nacceptor\n\ndonor", {"0": "acceptor", "1": "donor"}),
        ("label,label_name\nb,beta\na,alpha\n", {"b": "beta", "a": "alpha"}),
        ('7\t"zinc, bound"\n', {"7": "zinc, bound"}),
    ],
)
def test_label_names_in_a_file(tmp_path, text, labels):
    found = read_labels(table(tmp_path, text, "labels.txt"), has_header=False)
    assert list(found.items()) == list(labels.items())


def test_a_first_line_that_must_be_a_header(tmp_path):
    assert read_labels(table(tmp_path, "anything\nalpha\n"), has_header=True) == {"0": "alpha"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,no\n0,yes\n", "labels.txt:2: label '0' is named twice"),
        ("0,no\n1,\n", "labels.txt:2: a label without a name"),
        ("x\n" * 10_001, "labels.txt:10001: more than 10,000 labels"),
    ],
)
def test_a_file_of_labels_that_does_not_hold(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read_labels(table(tmp_path, text, "labels.txt"), has_header=False)
