"""What came of the sources of a corpus, as numbers and as a tree to look at."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_gene.config import Modality
from llama_gene.corpus.mix import repeated_too_often
from llama_gene.corpus.source import MODALITIES

if TYPE_CHECKING:
    from rich.tree import Tree

_MOST_SHOWN = 20  # parts of a source
UNITS: dict[Modality, str] = {"dna": "bases", "protein": "residues", "text": "bytes"}


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one or more parts of a corpus.

    Attributes:
        documents: To train on.
        tokens: In these.
        letters: Bases, residues or bytes in these.
        held_out: Documents.
        held_out_letters: In these.
        rejects: Records set aside.
        duplicates: Documents equal to another one.
        contaminated: Documents that share a k-mer with what is kept out.
        tags: Literal tags made harmless.
    """

    documents: int
    tokens: int
    letters: int
    held_out: int
    held_out_letters: int
    rejects: int
    duplicates: int
    contaminated: int
    tags: int

    @classmethod
    def of(cls, tasks: Iterable[dict[str, Any]]) -> "Tally":
        """The sums over `tasks`, as the manifest has them."""
        rows = [
            (
                *(task["train"][name] for name in ("documents", "tokens", "letters")),
                *(task["validation"][name] for name in ("documents", "letters")),
                *(task[name] for name in ("rejects", "duplicates", "contaminated", "neutralised_tags")),
            )
            for task in tasks
        ]
        return cls(*(sum(column) for column in zip(*rows, strict=True)))

    def words(self, kind: Modality) -> str:
        """In a line; what is zero is left out, but for what there is to train on."""
        unit = UNITS[kind]
        parts = [f"{self.documents:,} documents, {self.tokens:,} tokens, {self.letters:,} {unit}"]
        if self.held_out:
            parts.append(f"held out {self.held_out:,} ({self.held_out_letters:,} {unit})")
        rest = (
            (self.rejects, "records set aside"),
            (self.duplicates, "duplicates"),
            (self.contaminated, "contaminated"),
            (self.tags, "literal tags made harmless"),
        )
        parts += [f"{number:,} {what}" for number, what in rest if number]
        return "; ".join(parts)


def epochs_of_sources(manifest: Any, num_tokens: int) -> dict[str, float]:
    """How often each source is seen in a training on `num_tokens`."""
    epochs = {}
    for source in manifest["plan"]["settings"]["source"]:
        tally = Tally.of(task for task in manifest["tasks"].values() if task["source"] == source["name"])
        epochs[source["name"]] = num_tokens * manifest["sources"][source["name"]]["share"] / tally.tokens
    return epochs


def warnings_of(manifest: Any, num_tokens: int | None = None) -> list[str]:
    """What somebody who trains on a corpus should know before.

    Args:
        manifest: That of the corpus.
        num_tokens: What is to be trained on, if that is known.
    """
    warnings = [f"{kind}: {note}" for kind, note in manifest["notes"].items()]
    for kind, guard in manifest["plan"]["held_out"].items():
        if guard["too_short"]:
            problem = f"{guard['too_short']:,} of {guard['sequences']:,} sequences to keep out are shorter than a "
            warnings.append(f"{kind}: {problem}{guard['k']}-mer, and are not kept out")
    if num_tokens is not None:
        warnings += repeated_too_often(epochs_of_sources(manifest, num_tokens))
    return warnings


def draw_tree(manifest: Any, title: str, num_tokens: int | None = None) -> "Tree":
    """The modalities, their sources, and the files of these.

    Args:
        manifest: That of the corpus.
        title: What stands at the root.
        num_tokens: The tokens that are to be trained on, to say how often each source is seen.
    """
    from rich.markup import escape
    from rich.tree import Tree

    epochs = epochs_of_sources(manifest, num_tokens) if num_tokens else {}
    planned = f", {num_tokens:,} tokens to train on" if num_tokens else ""
    tree = Tree(f"[bold]{escape(title)}[/bold]{planned}")
    tasks = list(manifest["tasks"].items())
    for kind in MODALITIES:
        names = [source["name"] for source in manifest["plan"]["settings"]["source"] if source["kind"] == kind]
        if not names:
            continue
        share = sum(manifest["sources"][name]["share"] for name in names)
        whole = Tally.of(task for _, task in tasks if task["kind"] == kind)
        branch = tree.add(f"[bold]{kind}[/bold]: {share:.1%} of the tokens; {whole.words(kind)}")
        for name in names:
            source, parts = manifest["sources"][name], [(part, task) for part, task in tasks if task["source"] == name]
            times = f", {epochs[name]:.2f} epochs" if epochs else ""
            head = f"{name} ({kind}), weight {source['weight']:g}, {source['share']:.1%} of the tokens{times}"
            twig = branch.add(f"{escape(head)}: {Tally.of(task for _, task in parts).words(kind)}")
            for part, task in parts[:_MOST_SHOWN]:
                # What the source itself says need not be said again.
                words = f"{task['file']}: {Tally.of([task]).words(kind)}" if len(parts) > 1 else task["file"]
                side = f" (see parts/{part}/rejects.jsonl)" if task["rejects"] else ""
                twig.add(escape(words + side))
            if len(parts) > _MOST_SHOWN:
                twig.add(f"and {len(parts) - _MOST_SHOWN:,} more parts")
    return tree
