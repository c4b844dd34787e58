"""Runs that are killed at random moments, again and again, and started again."""

import random
import time
from dataclasses import dataclass

from torture.process import Command, llama_gene
from torture.world import World, contents, half_written


@dataclass(frozen=True)
class Life:
    """A run that was killed until it was done.

    Args:
        kills: How often it was killed.
        stages: In which stages, by their names.
        differing: Files that are not those of the run that was left alone.
        left: What it has left behind.
    """

    kills: int
    stages: tuple[str, ...]
    differing: tuple[str, ...]
    left: tuple[str, ...]


def live(world: World, draw: random.Random, *, longest: float, most: int) -> Life:
    """Start the run, kill -9 it at a random moment, start it again, and so on; the last start is left to end.

    Args:
        world: Where; the run there begins anew.
        draw: Decides the moments.
        longest: Seconds that a start lives at most.
        most: Kills, after which a start is left to end.
    """
    world.remove("run")
    stages: list[str] = []
    while len(stages) < most:
        command = Command(world.command("run"))
        time.sleep(draw.uniform(0, longest))
        if not command.is_running():
            assert command.wait().code == 0
            break
        command.kill()
        working = [line.split()[1] for line in command.wait().said.splitlines() if line.endswith("...")]
        stages.append(working[-1] if working else "the start")
    ended = llama_gene(*world.command("run"))
    assert ended.code == 0, ended.said
    killed, whole = contents(world.run), contents(world.home / "alone")
    differing = [name for name in sorted(killed.keys() | whole.keys()) if killed.get(name) != whole.get(name)]
    return Life(len(stages), tuple(stages), tuple(differing), tuple(half_written(world.run)))
