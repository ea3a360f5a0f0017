"""Kernels: from a checkpoint to an ONNX graph that runs, with the execution provider it runs on.

- what every graph is written with: `checkpoint`, `graph_writer`, `precisions`, `rotary`;
- decoder-only language models: `decoder_graph`, `llama`, `gemma3`, `gpt2`, `decoder_build`;
  open, with a KV pool: `decoder_load`, `decoder_session`; all of it in one call: `decoder`;
- adapters, another one for each row: `adapter_graph` writes them into a graph, `adapter_table`
  sorts a batch by them, `adapter_files` reads them, `adapter_memory` is where they lie, `adapters`
  says which is in which slot;
- encoders, in the same way: `encoder_graph`, `bert`, `encoder_build`, `encoder_session`,
  `encoder`;
- encoder-decoders, two graphs each: `source_graph`, `target_graph`, `seq2seq_layers`, `t5`,
  `bart`, `recurrent`, `seq2seq_build`, `seq2seq_session`, `seq2seq`; certified by
  `seq2seq_certify` with `seq2seq_reference` and `seq2seq_measures`;
- which texts share a run of an encoder: `token_batches`;
- built once, content-addressed: `build_cache`;
- what a build lost, measured beside torch: `certify`, `certificate_*`, once (`certified_once`);
  whether it may be loaded all the same: `tolerated`;
- where a graph runs, and with which options: `providers`, `sessions`.

Kernels know tensors and ONNX Runtime. They know no request and no Ray, and no tokenizer but to
certify.
"""
