"""Variants scored by a model: how much more probable the alternative allele is than the reference's, in its place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llama_gene.errors import FormatError
from llama_gene.inference.likelihood import likelihoods
from llama_gene.inference.reading import SequenceReader, batches
from llama_gene.inference.rows import Cell, Column
from llama_gene.sequences.alphabet import DNA
from llama_gene.sequences.reference import Reference
from llama_gene.sequences.variants import Variant

COLUMNS = (
    Column("chrom", str),
    Column("pos", int),
    Column("id", str),
    Column("ref", str),
    Column("alt", str),
    Column("log_likelihood_ref", float),
    Column("log_likelihood_alt", float),
    Column("difference", float),
)


@dataclass
class ScoredVariants:
    """Rows of variants, made as they are asked for.

    The same letters stand around either allele. ``difference`` is the log-likelihood with the alternative less that
    with the reference, in nats: below 0 the model finds the alternative the less likely.

    Args:
        reader: A model that reads DNA.
        variants: Any number.
        reference: The genome they belong to.
        flank: Letters on each side.
    """

    reader: SequenceReader
    variants: Iterable[Variant]
    reference: Reference
    flank: int

    def __call__(self, skip: int) -> Iterator[list[list[Cell]]]:
        """The rows behind the first `skip`, some at a time.

        Raises:
            FormatError: With the line of the VCF: the reference has other letters there, or no such place.
        """
        for batch in batches(self.variants, skip):
            pairs = [self._alleles(variant) for variant in batch]
            found = likelihoods(self.reader, [sequence for pair in pairs for sequence in pair])
            rows: list[list[Cell]] = []
            for variant, one, other in zip(batch, found[::2], found[1::2], strict=True):
                before, after = round(one.log_likelihood, 6), round(other.log_likelihood, 6)
                named = [variant.record, variant.position, variant.id, variant.reference, variant.alternative]
                rows.append([*named, before, after, round(after - before, 6)])
            yield rows

    def _alleles(self, variant: Variant) -> tuple[str, str]:
        """The letters around the variant with either allele."""
        start = variant.position - 1
        stop = start + len(variant.reference)
        try:
            there = self.reference.fetch(variant.record, start, stop).upper()
        except FormatError as error:
            raise FormatError(error.problem, where=variant.where, hint=error.hint) from None
        if there != variant.reference:
            problem = (
                f"REF {variant.reference!r:.40}, but the reference has {there!r:.40} at {variant.record}:{start + 1}"
            )
            raise FormatError(problem, where=variant.where, hint="is it the assembly that the variants were called on?")
        left = self.reference.fetch(variant.record, start - self.flank, start)
        right = self.reference.fetch(variant.record, stop, stop + self.flank)
        # What is no letter of DNA at all, in a reference, is as unknown as N.
        one, other = (DNA.clean(left + allele + right, "mask") for allele in (variant.reference, variant.alternative))
        return one, other
