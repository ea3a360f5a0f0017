"""The encoder-decoder family: texts in, texts out, on ONNX Runtime with continuous batching.

- text to ids and back: `source_tokenizer`, `marian_pieces`, `text_growth`;
- what a model does where a request does not say: `model_defaults`; both together: `plan`;
- how one input is decoded: `forbidden` tokens, then `drawing` (greedy and sampling) or
  `beams`, behind one `search`;
- many inputs in one step: `kernels/token_batches` for the encoder, `engine` for the rows,
  `loop` for the requests;
- `service` all of it without Ray; `opening`, `deployment` and `app` the Ray Serve side.
"""
