"""How a forecast is printed, for ``run --dry-run`` and ``model plan``."""

from typing import TYPE_CHECKING, Any

from llama_gene.cli.options import shown_bytes

if TYPE_CHECKING:
    from llama_gene.model.plan import TrainingPlan
    from llama_gene.pipeline.forecast import Forecast

_GIB = 1 << 30


def print_forecast(forecast: "Forecast") -> None:
    """Downloads, disk, tokens, memory and hours, stage by stage; then what will not work."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    _print_missing(console, forecast)
    if forecast.sources:
        console.print(_sources(forecast))
    console.print(_stages(forecast))
    console.print(f"disk in all: {shown_bytes(forecast.disk)}")
    _print_warnings(console, forecast)


def print_plan(forecast: "Forecast", *, utilisation: float) -> None:
    """Parameters, what trains, memory and FLOPs by part, tokens and hours of each training."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    console.print(_parameters(forecast))
    for stage in forecast.stages:
        if stage.training is None:
            continue
        plan = stage.training
        console.print(_trainable(stage.name, plan))
        console.print(_memory(stage.name, plan))
        console.print(_flops(stage.name, plan))
        one = "one" if plan.num_gpus == 1 else str(plan.num_gpus)
        console.print(
            f"{stage.name}: {plan.tokens:,} tokens in {plan.num_steps:,} steps of {plan.batch_tokens:,}; "
            f"{plan.flops_per_token * plan.tokens:.2e} FLOPs; {_hours(plan.hours)} on {one} {plan.gpu.name} at "
            f"{utilisation:.0%} of its peak ({plan.gpu.source})\n"
        )
    _print_warnings(console, forecast)


def _print_warnings(console: Any, forecast: "Forecast") -> None:
    for warning in forecast.warnings:
        console.print(f"warning: {warning}", markup=False)


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0)
    return table


def _print_missing(console: Any, forecast: "Forecast") -> None:
    """A line for each file to bring, and for each place that it comes from."""
    files: list[tuple[str, str, float, float]] = [
        (file.origin or "", file.path, file.size, file.letters) for file in forecast.missing
    ]
    if forecast.download:
        files.append(("the Hugging Face hub, when the run gets there", "the base's weights", forecast.download, 0))
    if not files:
        return
    console.print(f"not there yet: {len(files)} files, {shown_bytes(sum(file[2] for file in files))}")
    last = None
    for origin, path, size, letters in files:
        if origin != last:
            console.print(f"  from {origin}", markup=False)
        last = origin
        content = f"{_short(letters):>9} letters" if letters else ""
        console.print(f"    {path:<48} {shown_bytes(size):>9} {content}", markup=False)


def _sources(forecast: "Forecast") -> Any:
    table = _table("sources", "source", "kind", "letters", "tokens", "share", "epochs")
    for source in forecast.sources:
        counts = (_short(source.letters), _short(source.tokens), f"{source.share:.1%}", f"{source.epochs:.2f}")
        table.add_row(source.name, source.kind, *counts)
    return table


def _stages(forecast: "Forecast") -> Any:
    table = _table("stages", "stage", "tokens", "disk", "GiB a GPU", "time")
    for stage in forecast.stages:
        memory = ""
        if stage.training is not None:
            sizes = {name: sum(parts.values()) / _GIB for name, parts in stage.training.memory.items()}
            memory = ", ".join(f"{size:.0f}" if name == "one" else f"{name} {size:.0f}" for name, size in sizes.items())
        tokens = _short(stage.tokens) if stage.tokens else ""
        disk = shown_bytes(stage.disk) if stage.disk else ""
        table.add_row(stage.name, tokens, disk, memory, _hours(stage.hours) if stage.hours else "")
    return table


def _parameters(forecast: "Forecast") -> Any:
    shape = forecast.architecture
    title = f"{shape.model_type}: {shape.num_layers} layers, width {shape.hidden:,}, {shape.rows:,} rows "
    table = _table(title + f"({forecast.num_base_rows:,} of them the base's)", "part", "parameters", "share")
    matrices = shape.num_row_matrices
    rows = "embedding = head" if matrices == 1 else "embedding and head"
    parts = {
        f"{rows}, {shape.rows:,} x {shape.hidden:,}": shape.num_rows_parameters,
        "linear projections": shape.num_linear,
        "norms, biases, positions": shape.num_other,
        "all": shape.num_parameters,
    }
    for name, size in parts.items():
        table.add_row(name, f"{size:,}", f"{size / shape.num_parameters:.2%}")
    return table


def _trainable(name: str, plan: "TrainingPlan") -> Any:
    trains = plan.trainable
    title = f"{name}: {plan.share:.2%} trains"
    table = _table(title, "part", "trains", "of all")
    parts = {
        "adapters": trains.adapters,
        f"embedding and head, {trains.num_rows:,} rows": trains.rows,
        "linear projections": trains.linear,
        "norms, biases, positions": trains.other,
        "all that trains": trains.total,
    }
    for part, size in parts.items():
        if size:
            table.add_row(part, f"{size:,}", f"{size / plan.num_parameters:.2%}")
    return table


def _memory(name: str, plan: "TrainingPlan") -> Any:
    names = {"one": "one GPU"}
    table = _table(f"{name}: GiB on each GPU", "part", *(names.get(way, way) for way in plan.memory))
    parts = list(dict.fromkeys(part for sizes in plan.memory.values() for part in sizes))
    for part in parts:
        table.add_row(part, *(f"{sizes.get(part, 0) / _GIB:.2f}" for sizes in plan.memory.values()))
    table.add_row("all", *(f"{sum(sizes.values()) / _GIB:.2f}" for sizes in plan.memory.values()))
    fits = plan.fits()
    table.add_row(f"fits {plan.gpu.memory:.1f}", *("yes" if way in fits else "no" for way in plan.memory))
    return table


def _flops(name: str, plan: "TrainingPlan") -> Any:
    table = _table(f"{name}: FLOPs a token", "part", "forward", "backward", "again", "all")
    for part, flops in plan.flops.items():
        numbers = (flops.forward, flops.backward, flops.again, flops.total)
        table.add_row(part, *map(_short, numbers))
    table.add_row("all", "", "", "", _short(plan.flops_per_token))
    return table


def _short(number: float) -> str:
    for unit, limit in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= limit:
            return f"{number / limit:,.1f} {unit}"
    return f"{number:.0f}"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
