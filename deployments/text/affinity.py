"""Which replicas a prompt's beginning is at home on, so that their prefix caches know it.

Rendezvous hashing (Thaler and Ravishankar, 1998): every caller ranks the replicas the
same way without asking anybody, and a replica that comes or goes moves only its own
share. A beginning has two homes, so that one that everybody uses is not one replica's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bestiary.schemas.text import TextRequest

BEGINNING = 512  # characters that decide; a system prompt that is shared is mostly longer
TOKENS = 128
HOMES = 2


def beginning(request: TextRequest) -> bytes:
    """What requests with a common beginning have in common."""
    if request.token_ids is not None:
        return repr(request.token_ids[:TOKENS]).encode()
    if request.messages is not None:
        text = "\n".join(f"{one.role}:{one.content}" for one in request.messages)
    else:
        text = request.text or ""
    return text[:BEGINNING].encode("utf-8", "surrogatepass")


def ranked(key: bytes, replicas: Sequence[str]) -> list[str]:
    """The replicas' names, the key's homes first."""
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return sorted(
        replicas,
        key=lambda name: hashlib.blake2b(digest + name.encode(), digest_size=8).digest(),
        reverse=True,
    )
