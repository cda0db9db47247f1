"""How the docstrings of this code become Markdown: an extension of Griffe, which mkdocstrings reads the code with.

A line `num_envs: how many` within a paragraph explains a parameter or a field, and becomes an item of a list. So does
`kind:`, with the lines `  word  its meaning` below it as items of its own.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ITEM = re.compile(r"([a-z_*][\w*]*(?:, [a-z_*][\w*]*)*):(?: |$)")
VALUE = re.compile(r" +([\w-]+)  +(?=\S)")


class PlainDocstrings(griffe.Extension):
    """Rewrites every docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe calls this with each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = "\n\n".join(map(listed, re.split(r"\n\s*\n", obj.docstring.value)))


def listed(paragraph: str) -> str:
    """The paragraph, with what it says of names as a list."""
    lines = paragraph.splitlines()
    first = next((place for place, line in enumerate(lines) if ITEM.match(line)), None)
    if first is None:
        return paragraph
    return "\n".join([*lines[:first], *[""] * bool(first), *map(_item, lines[first:])])


def _item(line: str) -> str:
    if found := ITEM.match(line):
        return f"- `{found[1]}`: {line[found.end() :]}"
    if found := VALUE.match(line):
        return f"    - `{found[1]}`: {line[found.end() :]}"
    return line
