"""Scripts of rule nodes in JavaScript: the body of a function of `msg`, `metadata` and `msgType`.

Numbers arrive as JavaScript has them: 31.0 comes back as 31, and longs beyond 2^53 lose digits
(docs/servers/4.x.md#forwarding-to-kafka, row 5).
"""

from __future__ import annotations

import json
from typing import Any

import quickjs

from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused, first_line, limited_context, refuse_newer_syntax

_FRAME = """
(function (script) {
  const body = new Function('msg', 'metadata', 'msgType', script);
  return function (msg, metadata, type) {
    return JSON.stringify({result: body(JSON.parse(msg), JSON.parse(metadata), type)});
  };
})
"""


class JavaScript:
    """A compiled script. Raises ScriptRefused if the text is not JavaScript that the server's engine supports."""

    def __init__(self, text: str) -> None:
        refuse_newer_syntax(text)
        self._text = text
        self._compile()

    def _compile(self) -> None:
        self._context = limited_context()
        try:
            self._call = self._context.eval(_FRAME)(self._text)
        except quickjs.JSException as error:
            raise ScriptRefused(f"Can't compile script: {first_line(error)}") from None

    def run(self, data: Any, metadata: dict[str, str], message_type: str) -> Any:
        """What the script returns, as JSON values; None for nothing. Raises ScriptFailed."""
        try:
            text = self._call(json.dumps(data), json.dumps(metadata), message_type)
        except (quickjs.JSException, quickjs.StackOverflow) as error:
            reason = first_line(error)
            if reason.startswith("InternalError") or reason == "null":
                # The state of the script's engine must not fail every later message.
                self._compile()
            raise ScriptFailed(reason) from None
        return json.loads(text).get("result")
