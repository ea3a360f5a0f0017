"""How matrices are stored and multiplied: one class per precision, picked by name.

- `precision.py`   what a precision writes;
- `plain.py`       fp32, fp16, bf16: matrices as they are;
- `mixed.py`       bf16mix: products in bfloat16, the rest in float32;
- `blocks.py`      int8, int4: a scale for every 32 weights of a row (MatMulNBits);
- `q41.py`         q41fast: the weights of a Q4_1 file as that file had them;
- `rows.py`        w8a16, w8row: one scale for each row, products of bytes;
- `registry.py`    the names.

A precision knows nothing of attention or of any architecture. Why these and not others:
docs/decisions/0003-precisions.md.
"""

from deployments.kernels.precisions.precision import Precision as Precision
from deployments.kernels.precisions.registry import PRECISIONS as PRECISIONS
from deployments.kernels.precisions.registry import precision as precision

__all__ = ["PRECISIONS", "Precision", "precision"]
