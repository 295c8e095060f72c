from __future__ import annotations
import typer
from pacifictool.cli.framework import command_app

app, command = command_app()


@command
def teardown(ctx: typer.Context) -> None:
    """x"""
    print(ctx.find_root().obj.flags)
