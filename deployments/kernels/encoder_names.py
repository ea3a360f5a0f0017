"""What an encoder graph and the session that runs it agree on. Imports no library."""

from __future__ import annotations

from enum import StrEnum

# Counted up by whoever changes what any encoder writer writes: old builds are built again.
BUILD_VERSION = 2
ENCODER = "encoder"  # the kind of build

IDS = "input_ids"
SEGMENTS = "segment_ids"
LENGTHS = "lengths"
ROWS = "rows"  # which token's word is asked: (text, position) each

# Metadata of a graph.
POSITIONS = "positions"  # the longest input, in tokens
POOLING = "pooling"  # the model's own: an `Output`
CLASS_LABELS = "class_labels"  # JSON list
TOKEN_LABELS = "token_labels"  # noqa: S105 - JSON list, no secret
SEVERAL_LABELS = "several_labels"  # "1": a text may have several classes at once


class Output(StrEnum):
    """What a graph may give; which of them it has depends on the checkpoint."""

    MEAN = "mean"  # [B, width] of unit length
    CLS = "cls"  # [B, width] of unit length
    POOLER = "pooler"  # [B, width] of unit length
    HIDDEN = "hidden"  # [B, S, width]
    WORDS = "word_logits"  # [rows, vocabulary]
    NEXT = "next_logits"  # [B, 2]: the second text follows, or does not
    CLASSES = "class_logits"  # [B, labels]
    TOKENS = "token_logits"  # [B, S, labels]


def attention_output(layer: int) -> str:
    """[B, heads, S, S]; only graphs that were written to be looked into have it."""
    return f"attention.{layer}"
