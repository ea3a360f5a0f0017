"""What the two graphs of an encoder-decoder and the session that runs them agree on.

Imports nothing.
"""

from __future__ import annotations

# Counted up by whoever changes what any writer of these graphs writes: old builds are built again.
BUILD_VERSION = 1

ENCODER, DECODER = "encoder", "decoder"  # folders of one build

IDS = "input_ids"
SOURCE_LENGTHS = "source_lengths"
LENGTHS = "seqlens_k"
LONGEST = "total_sequence_length"
LOGITS = "logits"
ATTENTION = "attention"

# What the encoder puts out and the decoder takes has the same name in both.
CROSS = "cross."
PAST = "past."
PRESENT = "present."

# Symbolic axes, by which the session knows what to size how.
SOURCE_AXIS = "source"
MAX_LENGTH_AXIS = "max_length"

# Metadata of both graphs: the longest source and target, in tokens; UNLIMITED: any.
POSITIONS = "positions"
UNLIMITED = 0


def past(name: str) -> str:
    return f"{PAST}{name}"


def present(name: str) -> str:
    return f"{PRESENT}{name}"


def cross(name: str) -> str:
    return f"{CROSS}{name}"
