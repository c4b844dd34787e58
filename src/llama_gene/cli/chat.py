"""``chat``: talk with a model about sequences, in the terminal."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, cast

import typer

from llama_gene.cli.options import AskedModel, TopP

if TYPE_CHECKING:
    from llama_gene.inference.chat import Chat, Reply
    from llama_gene.sequences.alphabet import Kind

_HELP = """\
Ask about a sequence, in one line: Is there a promoter? ACGTTGCA...
A message that begins with '>' is FASTA, and ends with an empty line.
/load FILE [dna|protein]   talk about the sequences of a file
/forget                    forget the sequences
/tasks                     what the model was tuned on, and how to ask it
/history                   what was said
/help                      this
/quit                      or the end of input"""


def chat(
    model: AskedModel = None,
    temperature: Annotated[float, typer.Option(help="Of free text; 0 takes the most probable token each time.")] = 0.0,
    top_p: TopP = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of free text, at most so many tokens.")] = 200,
) -> None:
    """Talk with a model about sequences; /help says how. What it was tuned on comes with a probability."""
    from llama_gene.errors import LlamaGeneError
    from llama_gene.inference.chat import Chat
    from llama_gene.inference.decode import Sampling
    from llama_gene.inference.engine import Engine
    from llama_gene.inference.writing import check_sampling
    from llama_gene.model.default import default_model

    sampling = check_sampling(Sampling(temperature, top_p, seed))
    folder = model or default_model()
    conversation = Chat(Engine.load(folder), sampling, max_tokens)
    typer.echo(f"{folder}; /help says what can be asked", err=True)
    for message in _messages():
        if message in {"/quit", "/exit"}:
            break
        try:
            if message.startswith("/"):
                _obey(conversation, message)
            else:
                _show(conversation.ask(message))
        except LlamaGeneError as error:  # a mistake ends the answer, and not the conversation
            typer.echo(f"{error}", err=True)


def _messages() -> Iterator[str]:
    """What is typed, or piped in."""
    ask = ""
    if sys.stdin.isatty():
        import readline  # noqa: F401 - it gives `input` a history and keys to edit with

        ask = "> "
    lines: list[str] = []  # of FASTA that has not ended yet
    while True:
        try:
            line = input("" if lines else ask)
        except EOFError:
            if lines:
                yield "\n".join(lines) + "\n"
            return
        if lines and not line.strip():
            yield "\n".join(lines) + "\n"
            lines = []
        elif lines or line.startswith(">"):
            lines.append(line)
        elif line.strip():
            yield line.strip()


def _obey(conversation: "Chat", message: str) -> None:
    from llama_gene.errors import SettingsError

    command, *words = message.split()
    if command == "/help":
        typer.echo(_HELP)
    elif command == "/load" and words and words[1:] in ([], ["dna"], ["protein"]):
        num = conversation.load(words[0], cast("Kind", words[1]) if words[1:] else None)
        typer.echo(f"{num} {conversation.spans[0].kind} sequence{'s' if num != 1 else ''} loaded")
    elif command == "/forget":
        conversation.spans = ()
    elif command == "/tasks":
        for name in conversation.engine.task_names:
            task = conversation.engine.task(name)
            typer.echo(f"{name}: {task.question} ({' + '.join(part.kind for part in task.inputs)})")
    elif command == "/history":
        for turn in conversation.history:
            typer.echo(f"> {turn.asked.strip()}\n{turn.answered}")
    else:
        raise SettingsError(f"{message!r:.60} is no command", hint="/help lists them; /load takes FILE [dna|protein]")


def _show(reply: "Reply") -> None:
    if reply.match is None:
        near = "".join(f"; {one.task.name}: {one.task.question}" for one in reply.nearest)
        typer.echo(f"(no task of this model was clearly meant: it writes freely{near})")
    for piece in reply.text:
        typer.echo(piece, nl=False)
    typer.echo()
    if reply.match is not None and reply.prediction is not None:
        surest = reply.prediction.probability
        numeric = reply.prediction.value is not None or surest is None
        typer.echo(f"(task {reply.match.task.name}{'' if numeric else f', probability {surest:.3f}'})")
