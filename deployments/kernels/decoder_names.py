"""What a decoder graph and the session that runs it agree on. Imports nothing."""

from __future__ import annotations

from enum import StrEnum

# Counted up by whoever changes what any decoder writer writes: old builds are built again.
BUILD_VERSION = 7

IDS = "input_ids"
LENGTHS = "seqlens_k"
LONGEST = "total_sequence_length"
WANTED = "wanted_positions"
LOGITS = "logits"
PAST = "past_key_values"
PARTS = ("key", "value")
POSITIONS = "positions"  # metadata: how many tokens the tables of positions cover
# Of a graph that reads prompts with keys and values of its own, see `prompt_attention.py`.
PAST_LENGTHS = "past_lengths"
NEW = "new_key_values"
ADAPTER_MEMBERS = "adapter_members"
ADAPTER_FILLED = "adapter_filled"
ADAPTER_PLACES = "adapter_places"
ADAPTERS = "adapters"  # metadata: the products that adapters can change; begins their inputs


def past(layer: int, part: str) -> str:
    return f"{PAST}.{layer}.{part}"


def present(layer: int, part: str) -> str:
    return f"present.{layer}.{part}"


class Graph(StrEnum):
    """Which build of a model a run uses; all of them fill one KV pool."""

    DECODE = "decode"  # the model as it is served
    PREFILL = "prefill"  # reads prompts; may be of another precision
    DRAFT = "draft"  # guesses tokens that DECODE then checks
