"""Small real tokenizers: every byte is a token, as in GPT-2's vocabulary or as byte fallback."""

from __future__ import annotations

from collections.abc import Collection

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from deployments.text.constraints import GrammarCompiler
from deployments.text.tokenizer import TextTokenizer

END = "<|end|>"


def byte_tokenizer(
    words: Collection[str] = ("the", " sea", '{"', '":'),
    special: Collection[str] = (),
    added: Collection[str] = (),
    visible: Collection[str] = (),
) -> TextTokenizer:
    """256 bytes, then `words`, the end token, `special` tokens and `added` ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in words:
        spelt = byte_characters(word)
        for cut in range(2, len(spelt) + 1):
            if spelt[:cut] not in vocabulary:
                vocabulary[spelt[:cut]] = len(vocabulary)
                merges.append((spelt[: cut - 1], spelt[cut - 1]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(one, special=True) for one in (END, *special)])
    tokenizer.add_tokens([AddedToken(one, special=False) for one in added])
    return TextTokenizer(tokenizer, {}, frozenset({tokenizer.token_to_id(END)}), visible)


def byte_characters(text: str) -> str:
    """As GPT-2's vocabulary writes the text's bytes."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(
        text
    )
    return "".join(piece for piece, _ in pieces)


def fallback_tokenizer() -> TextTokenizer:
    """As Llama 2's and Mistral's: `▁` for a space, `<0xE4>` for a byte."""
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    entries += ["▁", "a", "b", "▁a"]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    model = models.BPE(vocabulary, [("▁", "a")], byte_fallback=True, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(one, special=True) for one in ("<s>", "</s>")])
    return TextTokenizer(tokenizer, {}, frozenset({2}))


def compiler_for(tokenizer: TextTokenizer, vocabulary: int = 0) -> GrammarCompiler:
    """`vocabulary` of the model's logits; 0: as the tokenizer's."""
    serialized = tokenizer.serialized()
    size = Tokenizer.from_str(serialized).get_vocab_size()
    return GrammarCompiler(serialized, vocabulary or size, tokenizer.end_ids)
