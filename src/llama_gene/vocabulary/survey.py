"""Measure several vocabularies on the same text: the content of a vocabulary report, as plain values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llama_gene.errors import SettingsError
from llama_gene.files import hash_file
from llama_gene.progress import Progress
from llama_gene.sequences.alphabet import ALPHABETS, Kind
from llama_gene.vocabulary.changes import Agreement, EnglishMeasure, agreement, measure_english, spelled
from llama_gene.vocabulary.held_out import SequenceSample, draw_lines, draw_sequences
from llama_gene.vocabulary.measure import CurvePoint, Encoded, SequenceMeasure
from llama_gene.vocabulary.subject import Form, Subject, open_base, open_subject, with_own
from llama_gene.vocabulary.train import SequenceVocabulary

NUM_SHOWN_COLLISIONS = 20


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What was measured on.

    Args:
        files: Their names.
        num_letters: Letters of sequences, or characters of English, that were drawn and measured.
        num_fit: Letters of the half that models were fitted on; 0 for English.
        num_other: Letters left out because they are ambiguity codes.
        num_repeated: Letters left out because the same stretch came before.
        num_rejected: Records set aside.
        letter_bits: Bits for a letter by Markov models of order 0 and up; nothing for English.
    """

    files: tuple[str, ...]
    num_letters: int
    num_fit: int = 0
    num_other: int = 0
    num_repeated: int = 0
    num_rejected: int = 0
    letter_bits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One vocabulary of a report.

    Args:
        name: What it is called on the page.
        form: What kind of folder it is.
        folder: Where it stands.
        kinds: The sequences it can cut.
        sequences: Its numbers, by kind of text.
        agreement: Whether it cuts as the vocabularies it was made of, by kind.
        curves: What its prefixes would give, by kind; for a whole sequence vocabulary alone.
        english: Its numbers on text.
        collisions: Pieces that two languages have in common: the two, how many, and some.
        learned_from: Files of the text that this vocabulary was learned from.
    """

    name: str
    form: Form
    folder: str
    kinds: tuple[Kind, ...]
    sequences: Mapping[Kind, SequenceMeasure] = field(default_factory=dict)
    agreement: Mapping[Kind, Agreement] = field(default_factory=dict)
    curves: Mapping[Kind, tuple[CurvePoint, ...]] = field(default_factory=dict)
    english: EnglishMeasure | None = None
    collisions: tuple[tuple[str, str, int, tuple[str, ...]], ...] = ()
    learned_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """What a vocabulary report says.

    Args:
        columns: The vocabularies, in the order given; prefixes after their whole.
        texts: What sequences were measured on.
        english: What text was measured on, if any.
        base: The folder that text is compared with, if any.
    """

    columns: tuple[Column, ...]
    texts: Mapping[Kind, TextFacts]
    english: TextFacts | None
    base: str | None


def survey(
    folders: Sequence[Path],
    files: Mapping[Kind, Sequence[Path]],
    english: Sequence[Path] = (),
    *,
    base: Path | None = None,
    sizes: Sequence[int] = (),
    sample: int,
    progress: Progress | None = None,
) -> Survey:
    """Measure the vocabularies of `folders` on the same text.

    Args:
        folders: What `open_subject` takes.
        files: Sequence files by kind; text that the vocabularies were not learned from.
        english: Text files.
        base: The tokenizer that text is compared with.
        sizes: Prefixes of the sequence vocabularies to measure beside the whole.
        sample: Draw about so many letters of each kind of text.
        progress: Told after each subject how many are finished.

    Raises:
        SettingsError: If there is no text, or an option that nothing fits.
        LlamaGeneError: For a folder or a file that is not what it has to be.
    """
    if not english and not any(files.values()):
        raise SettingsError("no text to measure on", hint="give --dna FILE, --protein FILE or --english FILE")
    if any(str(path) == "-" for paths in (*files.values(), english) for path in paths):
        raise SettingsError("standard input cannot be measured: files are read twice", hint="give a file")
    if sample < 1:
        raise SettingsError(f"a sample of {sample:,} letters", hint="give 1 or more; 20,000,000 is a good size")
    subjects = with_own([open_subject(folder) for folder in folders])
    _require_sizes(subjects, sizes)
    text_base = None if base is None else open_base(base)
    samples = {kind: draw_sequences(paths, kind, sample) for kind, paths in files.items() if paths}
    lines = draw_lines(english, sample) if english else []
    hashes = {hash_file(path): path.name for kind in samples for path in files[kind]}
    columns: list[Column] = []
    for number, (subject, name) in enumerate(zip(subjects, _names(folders), strict=True), start=1):
        column = Column(
            name=name,
            form=subject.form,
            folder=str(subject.folder),
            kinds=tuple(subject.cutters),
            english=measure_english(lines, subject.text, text_base) if subject.text is not None and lines else None,
            collisions=tuple(
                (*shared.between, len(shared.pieces), shared.pieces[:NUM_SHOWN_COLLISIONS])
                for shared in subject.collisions
            ),
            learned_from=_learned_from(subject, hashes),
        )
        columns += _filled(column, subject, samples, sizes)
        if progress is not None:
            progress(number, name)
    return Survey(
        columns=tuple(columns),
        texts={kind: _facts(drawn, files[kind]) for kind, drawn in samples.items()},
        english=TextFacts(_names(english), sum(map(len, lines))) if english else None,
        base=None if base is None else str(base),
    )


def _filled(
    column: Column, subject: Subject, samples: Mapping[Kind, SequenceSample], sizes: Sequence[int]
) -> Iterator[Column]:
    """The column of a subject with its numbers, then those of its prefixes."""
    encoded = {
        kind: Encoded.of(cutter.bulk, samples[kind], cutter.learned)
        for kind, cutter in subject.cutters.items()
        if kind in samples
    }
    yield replace(
        column,
        sequences={kind: text.measure() for kind, text in encoded.items()},
        agreement={
            kind: agreement(spelled(cutter.stock, samples[kind].lines), spelled(cutter.own, samples[kind].lines))
            for kind, cutter in subject.cutters.items()
            if kind in samples and cutter.stock is not None and cutter.own is not None
        },
        curves={kind: text.curve() for kind, text in encoded.items()} if subject.vocabulary is not None else {},
    )
    for size in sorted(set(sizes), reverse=True):
        if subject.vocabulary is not None and _fits(subject.vocabulary, size):
            measures = {kind: text.prefix(size).measure() for kind, text in encoded.items()}
            yield replace(column, name=f"{column.name}, first {size:,}", sequences=measures)


def _require_sizes(subjects: Sequence[Subject], sizes: Sequence[int]) -> None:
    vocabularies = [subject.vocabulary for subject in subjects if subject.vocabulary is not None]
    for size in sizes:
        if any(_fits(vocabulary, size) for vocabulary in vocabularies):
            continue
        known = ", ".join(f"{len(ALPHABETS[v.kind].letters)} to {v.size:,} of {v.kind}" for v in vocabularies)
        hint = f"there is {known}" if known else "only a folder of `vocabulary train` has prefixes; give one"
        raise SettingsError(f"--size {size:,}: no vocabulary has such a prefix", hint=hint)


def _fits(vocabulary: SequenceVocabulary, size: int) -> bool:
    return len(ALPHABETS[vocabulary.kind].letters) <= size <= vocabulary.size


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The own names of files or folders, or their paths where two have one name."""
    names = [path.name or path.resolve().name for path in paths]
    return tuple(name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True))


def _learned_from(subject: Subject, hashes: Mapping[str, str]) -> tuple[str, ...]:
    sources = () if subject.vocabulary is None else subject.vocabulary.sources
    return tuple(hashes[source["sha256"]] for source in sources if source.get("sha256") in hashes)


def _facts(sample: SequenceSample, paths: Sequence[Path]) -> TextFacts:
    return TextFacts(
        files=_names(paths),
        num_letters=sample.num_letters,
        num_fit=sum(map(len, sample.fit)),
        num_other=sample.num_other,
        num_repeated=sample.num_repeated,
        num_rejected=len(sample.rejects),
        letter_bits=tuple(sample.letter_bits),
    )
