"""A `.po` file -> its messages. Singular forms only; plurals and fuzzy entries are left out.

Format: https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_FIELD = re.compile(r'(msgid|msgid_plural|msgstr|msgctxt|msgstr\[\d\])\s+(".*")$')


def messages(text: str) -> Iterator[tuple[str, str]]:
    """(msgid, msgstr) of every translated entry, the header left out."""
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        current = None
        lines = block.splitlines()
        if any(line.startswith("#,") and "fuzzy" in line for line in lines):
            continue
        for line in lines:
            found = _FIELD.match(line)
            if found is not None:
                current, quoted = found.groups()
                fields[current] = ast.literal_eval(quoted)
            elif line.startswith('"') and current is not None:
                fields[current] += ast.literal_eval(line)
        source, target = fields.get("msgid"), fields.get("msgstr")
        if source and target:
            yield source, target
