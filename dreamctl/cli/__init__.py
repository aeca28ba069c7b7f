"""The commands. Each file parses arguments, calls the library and prints; heavy packages are imported where used.

No `from __future__ import annotations` in these files: Typer would have to evaluate every annotation from its text,
which takes a twentieth of the time of `--help`.
"""

import io
import os
import sys
from typing import Annotated

import typer

from dreamctl import __version__
from dreamctl.cli import (
    compare,
    config,
    diff,
    doctor,
    eval,
    labels,
    ls,
    methods,
    move,
    open,
    plot,
    queue,
    report,
    run,
    show,
    sweep,
    sync,
    ui,
)
from dreamctl.cli.common import with_quiet
from dreamctl.errors import DreamctlError

app = typer.Typer(
    name="dreamctl",
    help="Train Dreamer from pixels and keep a record of every run.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # rich would double the time of --help
    pretty_exceptions_enable=False,
)
for command in (
    *(run.run, sweep.sweep, queue.status, eval.eval_, ls.ls, show.show, diff.diff, open.open_, queue.logs),
    *(compare.compare, report.report, methods.methods, config.config, labels.tag, labels.note, labels.rename),
    *(queue.stop, queue.pause, queue.resume, queue.retry, queue.rm),
    *(move.export, move.import_, sync.sync, ui.ui, doctor.doctor),
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(plot.app, name="plot")


def _version(asked: bool) -> None:
    if asked:
        print(f"dreamctl {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for registered in (*app.registered_commands, *plot.app.registered_commands):
    assert registered.callback is not None
    registered.callback = with_quiet(registered.callback)


def main() -> None:
    """Run a command. Errors that the user can act on are printed as one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that the locale (LC_ALL=C) lacks become \xb5
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a closed pipe is handled
        sys.exit(code)
    except DreamctlError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:  # an unknown command or option, a value that does not parse
        message = error.format_message().strip()
        if message.startswith("Usage:"):  # no command: the help itself
            print(message, file=sys.stderr)
            sys.exit(2)
        _fail(f"{' '.join(message.split())} (see dreamctl --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:  # `dreamctl ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush does not fail
        sys.exit(141)  # 128 + SIGPIPE, as in a shell
    except Exception as error:
        cause = getattr(error, "orig", None)  # an error of SQLAlchemy, which is not imported here
        if cause is None:
            raise
        why = " ".join(str(cause).split())
        if "malformed" in why or "not a database" in why or "no such" in why:
            hint = "it is damaged: restore a copy, or save what is left (sqlite3 dreamctl.db .recover)"
        else:
            hint = "is its disk full, or its server down?"
        _fail(f"the run database failed ({why}): {hint}", 2)


def _fail(message: str, code: int) -> None:
    from dreamctl.store.columns import printable

    print(f"dreamctl: {printable(message)}", file=sys.stderr)
    sys.exit(code)
