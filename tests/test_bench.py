"""`benchmarks/bench.py` on histories that were made up: what is worse, what is kept, and the page."""

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench

    return bench


MACHINE = {"cpu": "<a & b>", "cores": 2, "load_average": 0.5, "load_average_after": 1.5}


def entries(bench: ModuleType, *ratios: dict[str, dict[str, float]]) -> list:
    return [bench.Entry(f"v0.{n}.0", f"2026-01-0{n} UTC", MACHINE, one) for n, one in enumerate(ratios, start=1)]


def test_a_fifth_less_is_worse_and_what_is_near_it_is_not(bench: ModuleType) -> None:
    found = bench.changes({"a": {"x": 10.0, "y": 10.0, "gone": 1.0}, "b": {"z": 1.0}}, {"a": {"x": 7.99, "y": 8.01}})
    assert [(change.name, change.is_worse) for change in found] == [("x", True), ("y", False)]
    assert str(found[0]) == "a: x: 10 -> 7.99 (-20%)"
    assert bench.missing({"a": {"x": 10.0, "gone": 1.0}, "b": {"z": 1.0}}, {"a": {"x": 1.0}}) == ["a: gone"]


def test_what_is_worse_is_measured_once_more(bench: ModuleType) -> None:
    asked: list[str] = []
    answers = {"a": [{"x": 1.0}], "b": [{"y": 1.0, "z": 3.0}, {"y": 1.9, "z": 2.0}], "c": [{"w": 1.0}, {"w": 1.2}]}

    def measure(name: str) -> dict[str, float]:
        asked.append(name)
        return answers[name].pop(0)

    found = bench.check({"a": {"x": 1.0}, "b": {"y": 2.0, "z": 3.0}, "c": {"w": 2.0}}, ["a", "b", "c"], measure)
    assert asked == ["a", "b", "b", "c", "c"]
    assert [(change.name, change.now) for change in found] == [("x", 1.0), ("y", 1.9), ("z", 3.0), ("w", 1.2)]
    assert [change.name for change in found if change.is_worse] == ["w"]


def test_a_version_keeps_its_file_and_the_last_of_each_benchmark_stands(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "HISTORY", tmp_path)
    facts = {"started": "2026-01-09 UTC", "load_average": 0.5, "cpu": "c", "cores": 2}
    bench.keep({"a": {"x": 1.0}}, facts)
    bench.keep({"b": {"y": 2.0}}, facts)
    (entry,) = bench.kept(tmp_path)
    assert (entry.ratios, entry.when) == ({"a": {"x": 1.0}, "b": {"y": 2.0}}, "2026-01-09 UTC")
    assert entry.machine["load_average_after"] >= 0
    for made in entries(bench, {"a": {"x": 0.5}}):
        bench.write_json(tmp_path / f"{made.version}.json", dataclasses.asdict(made))
    assert [entry.when for entry in bench.kept(tmp_path)] == ["2026-01-01 UTC", "2026-01-09 UTC"]
    assert bench.standing(bench.kept(tmp_path)) == {"a": {"x": 1.0}, "b": {"y": 2.0}}


def test_the_page_draws_each_ratio_and_escapes(bench: ModuleType) -> None:
    drawn = bench.render(entries(bench, {"a": {"x": 3.0}}, {"a": {"x": 2.0, "<b>": 1.0}}))
    assert drawn.count("<svg") == 2
    assert "ratio, last 2" in drawn
    assert "-33&nbsp;%, worse" in drawn
    assert "&lt;a &amp; b&gt;" in drawn
    assert "<b>" not in drawn
    assert "0.5 to 1.5" in drawn


def test_a_benchmark_fails_loudly_and_one_without_its_data_is_left_out(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "DATA", tmp_path / "none")
    assert bench.measure("corpus") == {}
    assert "left out" in capsys.readouterr().err
    monkeypatch.setitem(bench.SHORT, "start", ("start.py", "--runs", "many"))
    with pytest.raises(SystemExit, match="start: failed"):
        bench.measure("start")


def test_every_short_command_is_one_of_its_script(bench: ModuleType) -> None:
    for script, *_ in bench.SHORT.values():
        text = (BENCHMARKS / script).read_text()
        assert "ratios.add_option(" in text
        assert "ratios.write(" in text
