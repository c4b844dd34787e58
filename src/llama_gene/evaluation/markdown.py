"""A `Report` as Markdown, for a repository: from its JSON alone, so that a page of results cannot drift from it."""

from collections.abc import Iterator

from llama_gene import page
from llama_gene.evaluation.layout import (
    SIMULATED,
    baseline_cells,
    baseline_columns,
    by_lenient_rule,
    by_row,
    counted,
    leaks,
    metric_name,
    ordered,
    row_means,
    summary,
    trained_on,
)
from llama_gene.evaluation.result import Report


def to_markdown(report: Report) -> str:
    """The report as Markdown; the best value of each row is bold, and ours carries its interval."""
    lines = [f"# {_cell(report.title)}", ""]
    if report.simulated:
        lines += [f"> **{SIMULATED}**", ""]
    lines += [summary(report), ""]
    lines += [f"- {_cell(name)}: {_cell(str(value))}" for name, value in report.model.items()]
    lines += [f"- made by llama-gene {report.version}, {report.created}", ""]
    lines += ["## The paper's rows", "", *_markdown_rows(report), ""]
    lines += ["## Every dataset", "", *_markdown_datasets(report), ""]
    lines += [
        "Ours with its 95 % bootstrap interval over the test rows; the best value is bold. *above*, *below*: the"
        " interval does not overlap that of the best baseline; else *within error*. Baselines are trained on the same"
        " rows as the model.",
        "",
    ]
    leaked = [f"{result.name}: {leaks(result)}" for result in ordered(report) if result.leaked and result.leaked.num]
    if leaked:
        lines += ["## Leaked from the training rows", "", *(f"- {_cell(line)}" for line in leaked), ""]
    lenient = [f"{result.name}: {words}" for result in ordered(report) if (words := by_lenient_rule(result))]
    if lenient:
        lines += ["## By a lenient rule", "", *(f"- {_cell(line)}" for line in lenient), ""]
    notes = [*report.notes, *(f"{result.name}: {result.note}" for result in ordered(report) if result.note)]
    if notes:
        lines += ["## Notes", "", *(f"- {_cell(note)}" for note in notes), ""]
    if report.english:
        lines += ["## Bits per byte of held-out English", "", "| after | bits |", "|---|---:|"]
        lines += [f"| {_cell(stage)} | {bits:.3f} |" for stage, bits in report.english.items()] + [""]
    lines += _markdown_other_words(report)
    if report.bits_per_letter:
        lines += ["## Bits per letter", "", "| corpus | bits |", "|---|---:|"]
        lines += [f"| {_cell(name)} | {bits:.3f} |" for name, bits in report.bits_per_letter.items()] + [""]
    return "\n".join(lines)


def _markdown_rows(report: Report) -> Iterator[str]:
    yield "| row | datasets | metric | ours, mean | best baseline, mean |"
    yield "|---|---:|---|---:|---:|"
    for row, results in by_row(report):
        for metric, num, ours, rival in row_means(results):
            cells = [row, str(num), metric_name(metric), page.format_number(ours), page.format_number(rival)]
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _markdown_datasets(report: Report) -> Iterator[str]:
    columns = baseline_columns(report)
    head = ["task", "test", "trained on", "metric", "ours", *columns, "best possible", "verdict"]
    yield f"| {' | '.join(_cell(cell) for cell in head)} |"
    yield "|---|---|---:|---|---:|" + "---:|" * len(columns) + "---:|---|"
    for result in ordered(report):
        rivals, best = baseline_cells(result), result.best_names
        ours = f"**{result.score}**" if "ours" in best else str(result.score)
        values = []
        for column in columns:
            name, score = rivals.get(column, ("", None))
            text = page.format_number(score.value if score else None)
            values.append(f"**{text}**" if name in best else text)
        cells = [result.name, f"{counted(result.n_test, result.n_test_available)} ({result.split})"]
        cells += [trained_on(result), metric_name(result.metric), ours, *values]
        cells += [page.format_number(result.best_possible_here), result.verdict]
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _markdown_other_words(report: Report) -> list[str]:
    asked = [(result, result.other_words) for result in ordered(report) if result.other_words]
    if not asked:
        return []
    lines = ["## Asked in other words", "", "| task | metric | rows | before | reworded | after | reworded |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for result, words in asked:
        scores = (words.before, words.before_reworded, words.after, words.after_reworded)
        cells = [
            result.name,
            metric_name(result.metric),
            f"{words.n:,}",
            *(page.format_number(s.value) for s in scores),
        ]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    """Text that cannot leave its cell or its line, or become HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
