"""The SpamAssassin public corpus: subject and body as plain text, and whether it is spam.

Headers but the subject are left out: they name the mailing lists and machines that the corpus
was gathered with, which a classifier would learn instead.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import json
import re
from dataclasses import dataclass
from email.message import Message
from email.policy import compat32
from html import unescape

from zoo.data.packages import SPAM_ASSASSIN, archive_of, cache_folder, members

_TAG = re.compile(r"<(script|style).*?</\1>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)
_BLANKS = re.compile(r"[ \t]+")
MAX_BODY = 4000  # characters


@dataclass(frozen=True)
class Email:
    subject: str
    body: str
    spam: bool

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}"


def emails() -> list[Email]:
    """Those with a readable text, in the order of their files. Parsed once, then cached."""
    cached = cache_folder() / f"emails-{SPAM_ASSASSIN.sha256[:16]}.json"
    if not cached.exists():
        found = members(archive_of(SPAM_ASSASSIN), _is_mail)
        parsed = [read_email(content, spam="/spam-" in name) for name, content in sorted(found)]
        rows = [[one.subject, one.body, one.spam] for one in parsed if one.body]
        partial = cached.with_suffix(".partial")
        partial.write_text(json.dumps(rows), "utf-8")
        partial.replace(cached)
    return [Email(*row) for row in json.loads(cached.read_text("utf-8"))]


def read_email(content: bytes, *, spam: bool) -> Email:
    message = email.message_from_bytes(content, policy=compat32)
    subject = _decoded(str(message.get("Subject", "")))
    return Email(subject, plain_text(message)[:MAX_BODY], spam)


def plain_text(message: Message) -> str:
    """The first text part, without markup."""
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    parts.sort(key=lambda part: part.get_content_subtype() != "plain")
    for part in parts:
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue
        text = content.decode("utf-8", "replace") if _is_utf8(part) else content.decode("latin-1")
        if part.get_content_subtype() == "html":
            text = unescape(_TAG.sub(" ", text))
        tidy = "\n".join(_BLANKS.sub(" ", line).strip() for line in text.splitlines())
        if tidy.strip():
            return re.sub(r"\n{3,}", "\n\n", tidy).strip()
    return ""


def _is_mail(name: str) -> bool:
    return "/data/" in name and name.endswith(".txt")


def _is_utf8(part: Message) -> bool:
    return (part.get_content_charset() or "").replace("-", "") == "utf8"


def _decoded(header: str) -> str:
    try:
        pieces = email.header.decode_header(header)
    except (ValueError, email.errors.HeaderParseError):
        return header
    texts = (piece if isinstance(piece, str) else piece.decode("latin-1") for piece, _ in pieces)
    return " ".join("".join(texts).split())
