"""The masked word of a text: where it is, and the text with a word in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bestiary.errors import InvalidRequest
from bestiary.schemas.encoder import MaskCandidate
from deployments.encoder.heads import Words
from deployments.encoder.tokenization import USUAL_MASK, EncoderTokenizer, TokenizedInput

CONTINUATION = "##"  # WordPiece's mark of a token that goes on with the word before it


class MaskedTexts:
    """The texts of one request. Raises InvalidRequest where one has not exactly one mask,
    and what `EncoderTokenizer.encode` raises."""

    def __init__(self, tokenizer: EncoderTokenizer, texts: Sequence[str], truncate: bool) -> None:
        self._tokenizer = tokenizer
        self._texts = [text.replace(USUAL_MASK, tokenizer.mask) for text in texts]
        self.tokenized = [
            replace(one, asked=self._place(index, one))
            for index, one in enumerate(tokenizer.encode(self._texts, truncate))
        ]

    def candidates(self, answers: Sequence[Words], top_k: int) -> list[tuple[MaskCandidate, ...]]:
        """The `top_k` likeliest for each text, best first."""
        return [
            tuple(
                self._candidate(index, int(token_id), float(score))
                for token_id, score in zip(
                    words.ids[:top_k], words.probabilities[:top_k], strict=True
                )
            )
            for index, words in enumerate(answers)
        ]

    def _place(self, index: int, one: TokenizedInput) -> int:
        mask = self._tokenizer.mask_id
        if mask is None:
            raise InvalidRequest(f"the vocabulary has no {self._tokenizer.mask}", "model")
        places = [place for place, token in enumerate(one.ids) if token == mask]
        if len(places) != 1:
            cut = " within the model's length" if one.truncated else ""
            raise InvalidRequest(
                f"input {index} has {len(places)} masks{cut}; give exactly one "
                f"{self._tokenizer.mask}",
                "input",
            )
        return places[0]

    def _candidate(self, index: int, token_id: int, score: float) -> MaskCandidate:
        token = self._tokenizer.token(token_id)
        one = self.tokenized[index]
        start, end = one.offsets[one.asked]
        before, behind = self._texts[index][:start], self._texts[index][end:]
        if token.startswith(CONTINUATION):
            before = before.rstrip()
        sequence = before + token.removeprefix(CONTINUATION) + behind
        return MaskCandidate(token, token_id, score, sequence)
