"""Tool calls: how models write them, and how they are read out of what a model writes.

`formats`                               the ways that models write calls, by name
`hermes`, `llama3_json`, `plain_json`   one of them each
`call_scanner`                          one call's JSON, character by character
`reader`                                an answer's chunks -> its text and its calls
`call_grammar`                          what calls have to match where they must be right
`in_words`                              tools for models whose chat template knows none

Formats are text; which token is which is the tokenizer's affair.
"""
