"""A Rich console for which every string is data: nothing in it is markup, an emoji code or a control character.

Style comes from `styled` only. Modules that draw use these two instead of `rich.console` and `rich.text`, so that none
can forget to escape a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from pacifictool.display import block, one_line


class Console(rich.console.Console):
    """Prints strings as they are, each on one line, with what cannot be seen escaped."""

    def __init__(self, stream: TextIO, *, colour: bool, soft_wrap: bool = False, width: int | None = None) -> None:
        super().__init__(
            file=stream,
            no_color=not colour,
            soft_wrap=soft_wrap,
            width=width,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich turns every string into text here, before it measures it."""
        return super().render_str(one_line(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """A safety net for `Text` that was not made by `styled`: too late for its width, but nothing gets through."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else block(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)


def styled(*parts: str | Text | tuple[str, str], style: str = "", **layout: Any) -> Text:
    """Text in one line of parts that may each have a style; `layout` is for Rich, such as `no_wrap` or `overflow`."""
    result = Text(style=style, **layout)
    for part in parts:
        if isinstance(part, Text):
            result.append_text(part)
        elif isinstance(part, tuple):
            result.append(one_line(part[0]), style=part[1])
        else:
            result.append(one_line(part))
    return result
