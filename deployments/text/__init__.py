"""The text family: decoder-only language models with continuous batching.

`tokenizer`, `prompts`, `intake`            a typed request -> token ids that fit the context
`prepared`, `sequence`, `generation`        one request under way, and its candidates
`decoder`, `rows`, `scheduler`, `engine`    who runs next and in which KV row, step by step
`sampling`, `penalties`, `biases`, `randomness`   logits -> the next token of each row
`logprobs`, `spelling`                      how likely tokens were, and what bytes they stand for
`grammars`, `constraints`, `obligations`    what answers have to match, as masks over tokens
`tools`                                     calls: asked for, held to a schema, read out of text
`detokenizer`, `stop_sequences`             token ids -> text that may be shown
`loop`, `mailbox`, `throughput`             the engine's thread, the event loop beside it
`opening`, `service`                        a card -> a running service, without Ray
`deployment`, `app`                         the Ray Serve deployment of it

Only `deployment` and `app` know Ray Serve; nothing here knows HTTP.
"""
