"""Typed requests, results and stream chunks: one file per family.

These cross the Serve handle between gateway and replica. They know neither HTTP
nor tensors. Requests are frozen pydantic models (validated once, where they are
built); chunks are slotted dataclasses, because there is one per token.
"""
