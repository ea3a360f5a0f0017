"""The encoder family: texts in, vectors out, on ONNX Runtime with dynamic batching.

`tokenization` text to ids; `engine` that, runs (`kernels/token_batches`) and a session;
`batcher` many requests on one engine; `deployment` and `app` the Ray Serve side.
"""
