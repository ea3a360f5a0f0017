"""Replies of the native API, each as docs/api/native.md shows it."""

from __future__ import annotations

import base64
import json
import struct

from scripted_server import COMMENT, DONE, EXTENSION, Reply

SPAN = {"label": "CODE", "score": 0.93, "start": 4, "end": 11, "text": "os.path"}
LOOKED = {
    "source_tokens": ["hello", "</s>"],
    "target_tokens": ["bonjour", "</s>"],
    "source_token_ids": [812, 2],
    "target_token_ids": [401, 2],
    "weights": [[0.9, 0.1], [0.25, 0.75]],
}
VECTORS = (1.0, 0.0, 0.5, -0.5)  # of two tokens
ENTRIES: dict[str, dict[str, object]] = {
    "fill-mask": {
        "candidates": [
            {"token": "paris", "token_id": 3000, "score": 0.91, "sequence": "paris is old."},
            {"token": "rome", "token_id": 3001, "score": 0.05, "sequence": "rome is old."},
        ]
    },
    "next-sentence": {"probability": 0.97, "is_next": True},
    "classify": {
        "label": "spam",
        "score": 0.98,
        "labels": [{"label": "spam", "score": 0.98}, {"label": "ham", "score": 0.02}],
    },
    "token-classify": {"spans": [SPAN]},
    "token-embeddings": {
        "tokens": ["[CLS]", "hello"],
        "token_ids": [101, 7592],
        "offsets": [[0, 0], [0, 5]],
        "dimensions": 2,
        "embeddings": base64.b64encode(struct.pack("<4f", *VECTORS)).decode(),
    },
    "similarity": {"score": 0.83},
    "explain": {
        "tokens": ["[CLS]", "hello"],
        "token_ids": [101, 7592],
        "segment_ids": [0, 0],
        "position_ids": [0, 1],
        "attention": [[[[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [0, 1]]]],
    },
    "summarize": {"text": "A title", "finish_reason": "stop"},
    "translate": {"text": "bonjour", "finish_reason": "stop", "attention": LOOKED},
}


def task_reply(task: str, **fields: object) -> Reply:
    """One input's; `fields` replace those of its entry."""
    return listed({"index": 0, "truncated": False, **ENTRIES[task], **fields})


def listed(*entries: dict[str, object]) -> Reply:
    return _reply(data=entries)


def ranked(*scores: tuple[int, float], document: str | None = None) -> Reply:
    told = {} if document is None else {"document": {"text": document}}
    return _reply(
        results=[
            {"index": index, "relevance_score": score, "truncated": False, **told}
            for index, score in scores
        ]
    )


def _reply(**fields: object) -> Reply:
    usage = {"prompt_tokens": 12, "total_tokens": 12}
    head = {"id": "req-1", "object": "list", "model": "a-card", "usage": usage}
    return Reply(body={**head, "bestiary": EXTENSION, **fields})


def piece(text: str, index: int = 0, **fields: object) -> str:
    return _frame(index=index, text=text, **{"finish_reason": None, **fields})


def ending(text: str, index: int = 0, **fields: object) -> str:
    return piece(text, index, **{"finish_reason": "stop", "truncated": False, **fields})


def _frame(**fields: object) -> str:
    head = {"id": "req-1", "object": "summarize.chunk", "model": "a-card"}
    return f"data: {json.dumps({**head, **fields})}\n\n"


def rewrite_stream(*frames: str, pause_s: float = 0.0) -> Reply:
    usage = {"prompt_tokens": 80, "completion_tokens": 7, "total_tokens": 87}
    last = _frame(usage=usage, bestiary=EXTENSION)
    return Reply(frames=(*frames, last, COMMENT, DONE), pause_s=pause_s)
