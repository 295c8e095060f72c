"""Writes docs/cli.md from the commands themselves (`make docs-reference`); with --check, only says if it is current.

The head is in HEAD below; everything else comes from the declarations, so that no option goes undocumented.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import typer
from generated_page import keep

from pacifictool.cli.app import COMMANDS, app
from pacifictool.cli.framework import GLOBAL_NAMES
from pacifictool.errors import ExitCode
from pacifictool.settings import ENVIRONMENT, FILE_KEYS

HEAD = """\
# The command line

<!-- Made by scripts/generate_cli_reference.py from the commands; change them, or the script, and run
     `make docs-reference`. -->

`pacifictool COMMAND [OPTIONS]`. Every command explains itself with `--help`, prints its result to standard output and
everything else (progress, notices, errors) to standard error. With `-o json` standard output holds exactly one JSON
document, for failures, too:

```json
{"ok": false, "error": {"kind": "not-found", "message": "There is no device 'X' at …", "hint": "Did you mean …",
                        "help": "docs/troubleshooting.md#not-found"}}
```

`kind` is stable, and `help` is its entry in [troubleshooting](troubleshooting.md); `details`, where there are any, are
facts for scripts. Without a terminal, progress is plain lines instead of bars.

Names and other text from servers are shown as data: characters that cannot be seen, or that a terminal would obey, as
escapes such as `\\x9b`. In JSON every text is exact.

Secrets are never options: give a password by variable, by file or on standard input. Ctrl-C, SIGTERM and SIGHUP end
every command within two seconds, and everything it started with it.
"""

EXIT_CODES = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "it failed; the message says why",
    ExitCode.USAGE: "wrong usage or configuration; nothing was done",
    ExitCode.INTERRUPTED: "interrupted",
}

COMPLETION = """\
`pacifictool --install-completion` makes bash, zsh or fish complete commands and options with Tab;
`--show-completion` prints what it would install.
"""

FURTHER_VARIABLES = {
    "PACIFICTOOL_OUTPUT": "`--output`",
    "PACIFICTOOL_TOKEN": "`simulate --token`",
    "MQTT_HOST": "host of `--mqtt`, when that is not given",
    "MQTT_PORT": "port of `--mqtt`, when that is not given",
    "PACIFICTOOL_CACHE": "folder for downloaded jars and archives of Java classes; the user's cache folder by default",
    "PACIFICTOOL_SPARK_SECRET": "what a standalone Spark cluster authenticates with (docs/clusters.md)",
    "PACIFICTOOL_STATE": "folder for checkpoints and the sandbox; the user's state folder by default",
    "JAVA_HOME": "the Java to use; then the first on `PATH`, then the one that comes with pacifictool",
    "NO_COLOR": "no colours, when set to anything",
}

WITHOUT_OPTION = {
    "password": "the password itself",
    "api_key": "the API key itself",
    "jars_mirror": "a Maven repository to fetch jars from, instead of the central one",
    "jars_folder": "a folder that holds the jars, for machines without a network",
}
"""Settings that have no option, with their meaning."""


def render() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="pacifictool")
    commands = list(_commands(root, context, "pacifictool"))
    anchors = "\n".join(f"- [`{path}`](#{_anchor(path)}): {_first_sentence(command)}" for path, command, _ in commands)
    sections = [
        HEAD,
        _exit_codes(),
        "## Options of every command\n\nBefore or after the command's name; what is given later wins.\n",
        _table(_records(root, context, everywhere=True), "Option"),
        COMPLETION,
        _configuration(),
        f"## Commands\n\n{anchors}\n",
        *(_section(path, command, inner) for path, command, inner in commands),
    ]
    return "\n".join(sections)


def _commands(group: Any, context: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every command that does something: its words, itself and its context."""
    names = COMMANDS if path == "pacifictool" else group.commands
    for name in names:
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from _commands(command, inner, f"{path} {name}")
        else:
            yield f"{path} {name}", command, inner


def _section(path: str, command: Any, context: Any) -> str:
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece)
    parts = [f"### {path}\n", f"    {path} {usage}\n", f"{_prose(command.help)}\n"]
    arguments = _records(command, context, kind="argument")
    if arguments:
        parts.append(f"{_table(arguments, 'Argument')}")
    options = _records(command, context, kind="option")
    if options:
        parts.append(f"{_table(options, 'Option')}")
    return "\n".join(parts)


def _records(command: Any, context: Any, *, kind: str = "option", everywhere: bool = False) -> list[tuple[str, str]]:
    """Name and meaning of the parameters of one kind: the command's own, or those of every command."""
    records = []
    for parameter in command.get_params(context):
        is_global = parameter.name in GLOBAL_NAMES | {"help", "version"}
        if parameter.param_type_name == kind and is_global is everywhere:
            record = parameter.get_help_record(context)
            if record is not None:
                name, meaning = record
                records.append((parameter.metavar if kind == "argument" else name, meaning))
    return records


def _table(records: list[tuple[str, str]], heading: str) -> str:
    lines = [f"| {heading} | Meaning |", "| --- | --- |"]
    lines += [f"| `{_cell(name)}` | {_cell(meaning)} |" for name, meaning in records]
    return "\n".join(lines) + "\n"


def _exit_codes() -> str:
    rows = "\n".join(f"| {int(code)} | {meaning} |" for code, meaning in EXIT_CODES.items())
    return f"## Exit codes\n\n| Code | Meaning |\n| --- | --- |\n{rows}\n"


def _configuration() -> str:
    """Precedence, environment variables and the keys of configuration files."""
    rows = []
    for setting, variables in ENVIRONMENT.items():
        option = f"`--{setting.replace('_', '-')}`" if setting in GLOBAL_NAMES else WITHOUT_OPTION[setting]
        rows += [f"| `{variable}` | {option} |" for variable in variables]
    rows += [f"| `{variable}` | {meaning} |" for variable, meaning in FURTHER_VARIABLES.items()]
    keys = ", ".join(f"`{key}`" for key in sorted(FILE_KEYS))
    table = "\n".join(rows)
    text = (
        f"Keys of a configuration file: {keys}; and the table `kafka_properties`, which is what `-X` gives. A path in"
        " it is meant from where the file stands. A password does not belong into it: name a file with"
        " `password_file`. The file of the current folder must not set all of these, nor decide where a secret of"
        " another source is sent: see [configuration files and trust](configuration.md)."
    )
    wrapped = textwrap.fill(text, 120, break_on_hyphens=False)
    return (
        "## Environment and configuration files\n\n"
        "Precedence: option > environment > `pacifictool.toml` in the current folder > `config.toml` in the user's\n"
        "configuration folder > default.\n\n"
        f"| Variable | Stands for |\n| --- | --- |\n{table}\n\n"
        f"{wrapped}\n"
    )


def _prose(text: str) -> str:
    """A docstring with its paragraphs, wrapped."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(textwrap.fill(paragraph, 120, break_on_hyphens=False) for paragraph in paragraphs)


def _first_sentence(command: Any) -> str:
    return " ".join(command.help.split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    sys.exit(keep("cli.md", render(), sys.argv[1:]))
