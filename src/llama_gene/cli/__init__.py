"""The command line. Each command lives in the module of its stage and imports what it needs when it is called.

A mistake of the user ends in one clear message and exit code 2; Ctrl-C in 130; anything else is a bug of ours, and
shows its traceback with exit code 1.
"""

import errno
import sys
from typing import NoReturn

import typer

from llama_gene.cli import (
    chat,
    corpus,
    data,
    doctor,
    embed,
    evaluate,
    generate,
    leakage,
    model,
    predict,
    report,
    run,
    score,
    serve,
    tasks,
    vocabulary,
)
from llama_gene.errors import EXIT_BAD_INPUT, EXIT_CRASH, EXIT_INTERRUPTED, LlamaGeneError

# What the machine or its owner has refused, and we cannot mend: no place, no right, a folder where a file is wanted.
_OF_THE_SYSTEM = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EISDIR,
    errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE,
}  # fmt: skip

app = typer.Typer(
    help="Teach any open language model the languages of DNA and protein, and measure honestly what it learned.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("quickstart")(run.quickstart)
app.command("run")(run.run)
app.add_typer(data.app, name="data", help="Public data by name: list it, fetch it.")
app.add_typer(vocabulary.app, name="vocabulary", help="Learn pieces of DNA or protein; compare; extend a base.")
app.add_typer(model.app, name="model", help="Grow a base model; plan its training; merge an adapter; export.")
app.add_typer(corpus.app, name="corpus", help="Encode a recipe's sources; show what came of them.")
app.command("pretrain")(run.pretrain)
app.add_typer(tasks.app, name="tasks", help="Built-in tasks; make one of a table; check and convert labelled rows.")
app.command("finetune")(run.finetune)
app.command("evaluate")(evaluate.evaluate)
app.command("leakage")(leakage.leakage)
app.command("split")(leakage.split)
app.add_typer(report.app, name="report", help="Show a report, put reports side by side, write one as Markdown.")
app.command("predict")(predict.predict)
app.command("generate")(generate.generate)
app.command("score")(score.score)
app.command("embed")(embed.embed)
app.command("chat")(chat.chat)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """The entry point of the ``llama-gene`` command."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:
            print("llama-gene: interrupted; a run goes on with the same command", file=sys.stderr)
        raise
    except LlamaGeneError as error:
        print(f"llama-gene: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except OSError as error:
        if error.errno not in _OF_THE_SYSTEM:
            _crash()
        place = "" if error.filename is None else f"{error.filename}: "
        print(f"llama-gene: {place}{error.strerror}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except Exception:  # noqa: BLE001 - a crash, too, should say what it is
        _crash()


def _crash() -> NoReturn:
    print("llama-gene: this is a bug of ours; please report it with what follows", file=sys.stderr)
    import traceback

    traceback.print_exc()
    sys.exit(EXIT_CRASH)
