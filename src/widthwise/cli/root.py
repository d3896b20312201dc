"""The command line's root: its commands, in the order of the help, and `--version`."""

from __future__ import annotations

from typing import Annotated

import typer

from widthwise.cli.bound import bound
from widthwise.cli.commands import predict, verify
from widthwise.cli.phases import phases
from widthwise.cli.probe import probe
from widthwise.cli.reproduce import reproduce

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool | None) -> None:
    if asked:
        from widthwise import __version__

        typer.echo(f"widthwise {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version),
    ] = None,
) -> None:
    """What a Bayesian deep network of finite width will do, computed from its training data."""


for command in (predict, verify, phases, bound, probe, reproduce):
    app.command()(command)
