"""English to French and German: one corpus, one tokenizer, one measure for three networks."""
