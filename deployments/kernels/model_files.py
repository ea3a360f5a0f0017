"""What the files of one build are called. Imports nothing."""

from __future__ import annotations

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.weights"
