"""What an encoder graph and the session that runs it agree on. Imports nothing."""

from __future__ import annotations

# Counted up by whoever changes what any encoder writer writes: old builds are built again.
BUILD_VERSION = 1

IDS = "input_ids"
SEGMENTS = "segment_ids"
LENGTHS = "lengths"
EMBEDDINGS = "embeddings"
POSITIONS = "positions"  # metadata: the longest input, in tokens
