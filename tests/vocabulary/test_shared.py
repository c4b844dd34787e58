"""The paper's shared scheme, against SentencePiece itself."""

import json
import lzma
import random
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

import tiny
from llama_gene.config import load_recipe
from llama_gene.errors import SettingsError, TokenizerError
from llama_gene.inference.engine import Engine
from llama_gene.model.base import new_model
from llama_gene.sequences.alphabet import Kind
from llama_gene.sequences.read import read_records
from llama_gene.tasks.task import Example
from llama_gene.tokenizer import GeneTokenizer
from llama_gene.vocabulary.base import load_base
from llama_gene.vocabulary.extend import extend
from llama_gene.vocabulary.sentencepiece import convert
from llama_gene.vocabulary.shared import Collision, collisions, extend_shared, read_shared
from llama_gene.vocabulary.train import SequenceVocabulary, train

from .conftest import ENGLISH, rewrite, simulate

Vocabularies = dict[Kind, SequenceVocabulary]
FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


@pytest.fixture(scope="module")
def shared(
    sentencepiece_model: Path, vocabularies: Vocabularies, tmp_path_factory: pytest.TempPathFactory
) -> GeneTokenizer:
    output = tmp_path_factory.mktemp("shared") / "both"
    extend_shared(sentencepiece_model, list(vocabularies.values()), output)
    return GeneTokenizer.load(output)


def processor(folder: Path) -> Any:
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def proto(path: Path) -> Any:
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


# A base small enough to count: no tokenizer.model, eight characters, two learned pieces.

TINY = ["<unk>", "<s>", "</s>", "▁", "a", "A", "C", "G", "T", "M", "K", "MK", "TT"]


def tiny_spec() -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": TINY[index], **flags} for index in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": False,
            "vocab": {text: index for index, text in enumerate(TINY)},
            "merges": [["M", "K"], ["T", "T"]],
        },
    }


def write_tiny(folder: Path, spec: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    named = {"tokenizer_class": "TokenizersBackend", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


@pytest.fixture
def tiny_base(tmp_path: Path) -> Callable[..., Path]:
    def write(change: Callable[[dict[str, Any]], object] = lambda spec: None) -> Path:
        spec = tiny_spec()
        change(spec)
        return write_tiny(tmp_path / "tiny", spec)

    return write


TINY_DNA = SequenceVocabulary("dna", (("A", "C"), ("T", "T"), ("G", "T"), ("AC", "GT")))
TINY_PROTEIN = SequenceVocabulary("protein", (("M", "K"), ("A", "C"), ("K", "L")))


def test_where_everything_stands(tiny_base: Callable[..., Path], tmp_path: Path) -> None:
    result = extend_shared(tiny_base(), [TINY_DNA, TINY_PROTEIN], tmp_path / "out")
    missing = list("BDEFHIJLNOPQRSUVWXYZ")
    model = proto(tmp_path / "out" / "tokenizer.model")
    pieces = [piece.piece for piece in model.pieces]
    assert pieces == [*TINY, "<|pad|>", *missing, "AC", "GT", "ACGT", "KL"]
    assert (result.base_size, result.first_new, result.num_tokens, result.added_pad) == (13, 13, 38, True)
    assert result.kinds == ("dna", "protein")
    # Above the base, and each after what was there before it: 2^20 less 21 for the first merge.
    scores = {piece.piece: piece.score for piece in model.pieces}
    assert [scores[piece] for piece in ("MK", "TT", "AC", "GT", "ACGT", "KL")] == [
        *(-1, -2),
        *(1048576 - 21, 1048576 - 22, 1048576 - 23, 1048576 - 24),
    ]
    vocab = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).get_vocab()
    assert vocab == {text: index for index, text in enumerate(pieces)}


def test_what_languages_have_in_common(tiny_base: Callable[..., Path], tmp_path: Path) -> None:
    extend_shared(tiny_base(), [TINY_DNA, TINY_PROTEIN], tmp_path / "out")
    assert collisions(tmp_path / "out") == [
        Collision(("base", "dna"), ("TT",)),
        Collision(("base", "protein"), ("MK",)),
        Collision(("dna", "protein"), ("AC",)),
    ]
    with pytest.raises(TokenizerError, match=r"no merged table of pieces\n.*--scheme shared"):
        collisions(tmp_path / "tiny")


# Exactness.

REPEATS = SequenceVocabulary(
    "dna", (("A", "A"), ("A", "C"), ("AA", "AA"), ("T", "A"), ("TA", "TA"), ("AA", "A"), ("G", "TATA"), ("AC", "AC"))
)


@pytest.fixture(scope="module")
def letters_only(tmp_path_factory: pytest.TempPathFactory) -> GeneTokenizer:
    """DNA in a base that has single letters only."""
    folder = tmp_path_factory.mktemp("letters")
    spec = tiny_spec()
    spec["model"] |= {"vocab": {text: index for index, text in enumerate(TINY[:-2])}, "merges": []}
    write_tiny(folder / "base", spec)
    return GeneTokenizer.load(extend_shared(folder / "base", [REPEATS], folder / "out").folder)


few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
motifs = [*simulate("dna", 6, 24), *simulate("protein", 6, 24), "ACACACAC", "AAAAA", "TATATAT", "MKMKMK"]
texts = st.lists(
    st.one_of(
        st.sampled_from([*ENGLISH, *motifs, " ", "  ", "\n", "\t", "▁", "<dna>"]),
        st.text("ACGT", max_size=40),
        st.text("ACGTLMK nt\n", max_size=20),
        st.text(st.characters(blacklist_categories=("Cs",)), max_size=12),
    ),
    max_size=6,
).map("".join)


@few
@given(text=texts)
def test_ids_are_those_of_sentencepiece(shared: GeneTokenizer, text: str) -> None:
    assume("\0" not in text and not any(token in text for token in ("<s>", "</s>", "<unk>", "<|pad|>")))
    assert shared.encode(text) == processor(shared.folder).encode(text)


@few
@given(
    learned=st.lists(st.one_of(st.sampled_from(motifs), st.text("ACGT", max_size=20)), min_size=1).map("".join),
    size=st.integers(5, 24),
    text=st.one_of(st.text("ACGT ax", max_size=40), st.text("AC", max_size=40)),
)
def test_any_learned_vocabulary_is_exact(
    tmp_path_factory: pytest.TempPathFactory, learned: str, size: int, text: str
) -> None:
    """Of poly-A and short periods, where pieces can be cut in many ways."""
    vocabulary = train(["ACGT" + learned], "dna", size, min_count=1)
    folder = tmp_path_factory.mktemp("made-up")
    write_tiny(folder / "tiny", tiny_spec())
    extend_shared(folder / "tiny", [vocabulary], folder / "out")
    ours = GeneTokenizer.load(folder / "out")
    assert ours.encode(text) == processor(folder / "out").encode(text)


@few
@given(sequence=st.lists(st.one_of(st.sampled_from(motifs), st.text("ACGT", max_size=30))).map("".join))
def test_a_learned_vocabulary_keeps_its_order(letters_only: GeneTokenizer, sequence: str) -> None:
    """Where nothing of the base gets in between, a sequence is cut as by its own vocabulary."""
    sequence = "".join(letter for letter in sequence if letter in "ACGT")
    (ids,) = letters_only.encode_spans("dna", [sequence])
    spellings = letters_only.spellings()
    assert [spellings[index] for index in ids] == REPEATS.encode(sequence)


def test_a_base_with_a_json_alone_is_exact(tiny_base: Callable[..., Path], tmp_path: Path) -> None:
    extend_shared(tiny_base(), [TINY_DNA, TINY_PROTEIN], tmp_path / "out")
    ours, theirs = GeneTokenizer.load(tmp_path / "out"), processor(tmp_path / "out")
    rng = random.Random(7)
    for text in ("".join(rng.choices("ACGTMKLa é", k=30)) for _ in range(500)):
        assert ours.encode(text) == theirs.encode(text)
    pieces = [theirs.id_to_piece(index) for index in ours.encode("TTACGTMKL a")]
    assert pieces == ["▁", "TT", "ACGT", "M", "KL", "▁", "a"]


def lines_of(data: Path) -> dict[str, list[str]]:
    with lzma.open(data / "corpus" / "english" / "pubmed_sentences.txt.xz", "rt", encoding="utf-8") as handle:
        english = [line.rstrip("\n") for line in islice(handle, 600)]
    (record, *_) = read_records(data / "corpus" / "dna" / "phage_lambda.fa.xz", "dna")
    dna = [record.sequence[start : start + 600] for start in range(0, 48_000, 600)]
    proteins = islice(read_records(data / "corpus" / "protein" / "swissprot_sample.fa.xz", "protein"), 80)
    protein = [record.sequence for record in proteins]
    code = [
        line
        for file in (Path(__file__).parents[2] / "src").rglob("*.py")
        for line in file.read_text().splitlines()
        if "<" not in line
    ]
    mixed = [f"{words}\n{bases}, {residues}." for words, bases, residues in zip(english, dna, protein, strict=False)]
    return {"english": english, "dna": dna, "protein": protein, "code": code[:1000], "mixed": mixed}


def test_real_lines_on_a_real_base(shared_data: Path, vocabularies: Vocabularies, tmp_path: Path) -> None:
    extend_shared(shared_data / "base" / "llama2-tokenizer", list(vocabularies.values()), tmp_path / "out")
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32448}
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs, plain = processor(tmp_path / "out"), Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for name, lines in lines_of(shared_data).items():
        wanted = theirs.encode(lines)
        assert [e.ids for e in plain.encode_batch_fast(lines, add_special_tokens=False)] == wanted, name
        assert stock(lines, add_special_tokens=False)["input_ids"] == wanted, name
    assert len(stock) == plain.get_vocab_size()


# Published models: new pieces with one score.


def publish(base: Path, folder: Path, pieces: Sequence[str]) -> Path:
    """What ``merge_tokenizers.py`` writes."""
    model = proto(base / "tokenizer.model")
    known = {piece.piece for piece in model.pieces}
    for piece in pieces:
        if piece not in known:
            model.pieces.add(piece=piece, score=0)
            known.add(piece)
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    return folder


def test_a_published_model_opens_with_ties_by_place(
    sentencepiece_model: Path, vocabularies: Vocabularies, shared: GeneTokenizer, tmp_path: Path
) -> None:
    pieces = [piece for vocabulary in vocabularies.values() for piece in vocabulary.pieces]
    folder = publish(sentencepiece_model, tmp_path / "published", pieces)
    opened, theirs = Tokenizer.from_str(json.dumps(load_base(folder).spec)), processor(folder)
    lines = [*ENGLISH, *simulate("dna", 100, 400, seed=5), *simulate("protein", 100, 400, seed=5)]
    ours = [encoding.tokens for encoding in opened.encode_batch(lines, add_special_tokens=False)]
    # With a piece for padding in between, these are the pieces of our own scores.
    assert ours == [[shared._full.id_to_token(index) for index in shared.encode(line)] for line in lines]  # type: ignore[attr-defined]
    differ = [line for line, tokens in zip(lines, ours, strict=True) if tokens != theirs.encode(line, out_type=str)]
    # Not exact, and cannot be (see the next test): nearly all sequences, hardly any English.
    assert not set(ENGLISH) & set(differ)
    assert len(differ) > 190


def test_tied_scores_cannot_be_ranked(sentencepiece_model: Path, tmp_path: Path) -> None:
    """With AC and CA tied, the leftmost is made first. Any rank of the two gets one of these texts wrong."""
    theirs = processor(publish(sentencepiece_model, tmp_path / "published", ["A", "C", "AC", "CA"]))
    assert theirs.encode("\nACA", out_type=str)[-2:] == ["AC", "A"]
    assert theirs.encode("\nCAC", out_type=str)[-2:] == ["CA", "C"]


# Bases of every shape, and one after the other.


def test_one_after_the_other_is_both_at_once(
    sentencepiece_model: Path, vocabularies: Vocabularies, shared: GeneTokenizer, tmp_path: Path
) -> None:
    first = extend_shared(sentencepiece_model, [vocabularies["dna"]], tmp_path / "dna")
    (tmp_path / "dna" / "config.json").write_text('{"model_type": "llama", "vocab_size": 1024}')
    then = extend_shared(tmp_path / "dna", [vocabularies["protein"]], tmp_path / "then")
    assert [(tmp_path / "then" / file).read_bytes() for file in FILES] == [
        (shared.folder / file).read_bytes() for file in FILES
    ]
    assert (then.first_new, then.base_size, then.added_pad) == (first.num_tokens, first.base_size, False)


def test_every_token_of_the_base_is_in_its_place(sentencepiece_model: Path, shared: GeneTokenizer) -> None:
    base = convert(sentencepiece_model / "tokenizer.model")[0]["model"]["vocab"]
    vocab = shared._full.get_vocab()  # type: ignore[attr-defined]
    assert all(vocab[token] == index for token, index in base.items())
    assert sorted(vocab.values()) == list(range(shared.num_tokens))
    assert shared.base_size == len(base)
    assert shared.kinds == ("dna", "protein")


def test_tokens_beside_the_model_and_padded_rows_are_kept(
    sentencepiece_model: Path, vocabularies: Vocabularies, tmp_path: Path
) -> None:
    base = rewrite(sentencepiece_model, tmp_path / "base", lambda spec: None)
    shutil.copy(sentencepiece_model / "tokenizer.model", base)
    spec = json.loads((base / "tokenizer.json").read_text())
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    for index, (name, special) in enumerate({"<|im_start|>": True, "<think>": False}.items(), start=400):
        spec["model"]["vocab"][name] = index
        spec["added_tokens"].append({"id": index, "content": name, **flags, "special": special})
    (base / "tokenizer.json").write_text(json.dumps(spec))
    (base / "config.json").write_text('{"model_type": "llama", "vocab_size": 405}')
    result = extend_shared(base, list(vocabularies.values()), tmp_path / "out")
    assert (result.base_size, result.first_new) == (405, 405)
    ours = GeneTokenizer.load(tmp_path / "out")
    names = ["<|im_start|>", "<think>", "<|reserved_402|>", "<|reserved_404|>", "<|pad|>"]
    assert [ours._full.token_to_id(name) for name in names] == [400, 401, 402, 404, 405]  # type: ignore[attr-defined]
    assert ours.encode("<think>")[0] == 401


# What cannot be.


def test_refusals(
    tiny_base: Callable[..., Path],
    byte_level: Path,
    sentencepiece_model: Path,
    shared: GeneTokenizer,
    vocabularies: Vocabularies,
    tmp_path: Path,
) -> None:
    output = tmp_path / "out"

    def refuse(base: Path, match: str, learned: Sequence[SequenceVocabulary] = (TINY_DNA,)) -> None:
        with pytest.raises(TokenizerError, match=match):
            extend_shared(base, learned, output)
        assert not output.exists()

    refuse(byte_level, r"text_tokenizer|byte-level \(GPT-2, LLaMA 3, Qwen\), not SentencePiece\n.*LLaMA 1 or 2")
    refuse(sentencepiece_model, "cannot extend with no vocabulary", [])
    refuse(sentencepiece_model, "cannot extend with .'dna', 'dna'.", [TINY_DNA, TINY_DNA])
    refuse(shared.folder, "has dna pieces already")
    refuse(tmp_path / "none", "no such folder")
    typed = extend(sentencepiece_model, [TINY_DNA], tmp_path / "typed").folder
    refuse(typed, r"has typed spans already\n.*as it was before", [TINY_PROTEIN])
    with pytest.raises(TokenizerError, match="own extension"):
        extend_shared(sentencepiece_model, [TINY_DNA], sentencepiece_model)


def no_merge(spec: dict[str, Any]) -> None:
    spec["model"]["vocab"]["AC"] = 13


def word_piece(spec: dict[str, Any]) -> None:
    vocab = spec["model"]["vocab"]
    spec["model"] = {"type": "WordPiece", "unk_token": "<unk>", "vocab": vocab, "max_input_chars_per_word": 100}
    spec["model"]["continuing_subword_prefix"] = "##"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["model"].update(unk_token=None), "names no unknown token"),
        (lambda spec: spec.update(normalizer={"type": "NFC"}), "has the step NFC"),
        (lambda spec: spec.update(normalizer={"type": "Prepend", "prepend": "▁"}), "does not write spaces"),
        (no_merge, "piece 'AC' is made by no merge"),
        (word_piece, "its model is WordPiece, not BPE"),
    ],
)
def test_a_json_that_no_sentencepiece_model_can_say(
    tiny_base: Callable[..., Path], tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        extend_shared(tiny_base(change), [TINY_DNA], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(model.normalizer_spec, "remove_extra_whitespaces", True), "it strips white space"),
        (lambda model: setattr(model.pieces[300], "score", 2.0e6), "a piece of the base has a score above"),
    ],
)
def test_a_model_that_cannot_be_appended_to(
    sentencepiece_model: Path, tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    model = proto(sentencepiece_model / "tokenizer.model")
    change(model)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "tokenizer.model").write_bytes(model.SerializeToString())
    with pytest.raises(TokenizerError, match=message):
        extend_shared(tmp_path / "base", [TINY_DNA], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_json(sentencepiece_model: Path, tiny_base: Callable[..., Path], tmp_path: Path) -> None:
    base = tiny_base()
    shutil.copy(sentencepiece_model / "tokenizer.model", base)
    with pytest.raises(TokenizerError, match=r"has id \d+ here and .* in tokenizer.json"):
        extend_shared(base, [TINY_DNA], tmp_path / "out")


@pytest.mark.parametrize("entry", [[], {"kinds": {}}, {"kinds": {"dna": {}}, "order": ["dna"], "base_size": 1}])
def test_a_damaged_entry(entry: Any) -> None:
    with pytest.raises(TokenizerError, match=r"'shared_pieces' in tokenizer_config\.json is damaged"):
        read_shared({"shared_pieces": entry})
    assert read_shared({}) is None


# The whole product.


@pytest.fixture
def small_base(sentencepiece_model: Path, tmp_path: Path) -> Path:
    """A nano LLaMA of 400 rows with a SentencePiece tokenizer."""
    folder = tmp_path / "base"
    new_model("nano", 400, 256, {"bos_token_id": 1, "eos_token_id": 2}, seed=1).save_pretrained(folder)
    shutil.copy(sentencepiece_model / "tokenizer.model", folder)
    return folder


def test_a_run(small_base: Path, tmp_path: Path) -> None:
    overrides = (
        f'model.base="{small_base}"',
        "vocabulary.scheme=shared",
        "pretrain.tokens=3000",
        "finetune.epochs=0.5",
    )
    run = tmp_path / "run"
    assert tiny.go_on(run, *overrides) == list(tiny.STAGES)
    report = json.loads((run / "report" / "report.json").read_text())
    assert [result["n_test"] for result in report["results"]] == [20, 20, 20]
    bits = report["bits_per_letter"]
    assert 1 < bits["bits per base"] < 6
    assert 1 < bits["bits per residue"] < 10
    engine = Engine.load(run / "model")
    assert (engine.tokenizer.kinds, engine.tokenizer.opening("dna")) == (("dna", "protein"), [])
    (prediction,) = engine.predict(engine.task("sim_promoter"), [Example("x", ("ACGTTGCA" * 6,))])
    assert prediction.probabilities is not None
    assert sum(prediction.probabilities) == pytest.approx(1)
    # As the later tasks see it: the model's prompt is plain text with the sequence in it.
    encoder = engine.encoder(engine.task("sim_promoter"))
    (encoded,) = encoder.encode([Example("x", ("acgttgca",))])
    assert "\nACGTTGCA\nAnswer:" in engine.tokenizer.decode(encoded.prompt)


def test_a_scratch_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'"scratch" is byte-level: set model\.base'):
        load_recipe(tiny.write_recipe(tmp_path), ["vocabulary.scheme=shared"])


def test_the_command(
    sentencepiece_model: Path, byte_level: Path, vocabularies: Vocabularies, shared: GeneTokenizer, tmp_path: Path
) -> None:
    folders: list[str | Path] = []
    for kind, vocabulary in vocabularies.items():
        vocabulary.save(tmp_path / kind)
        folders += [f"--{kind}", tmp_path / kind]
    words = ("vocabulary", "extend", "--scheme", "shared", *folders, "--output", tmp_path / "out", "--base")
    done = tiny.llama_gene(*words, sentencepiece_model)
    assert done.returncode == 0, done.stderr
    assert f"{shared.num_tokens:,} tokens, 400 of them the base's" in done.stdout
    assert GeneTokenizer.load(tmp_path / "out").fingerprint == shared.fingerprint
    refused = tiny.llama_gene(*words, byte_level)
    assert refused.returncode == 2
    assert "byte-level (GPT-2, LLaMA 3, Qwen), not SentencePiece" in refused.stderr
    assert GeneTokenizer.load(tmp_path / "out").fingerprint == shared.fingerprint  # what stood there still does
