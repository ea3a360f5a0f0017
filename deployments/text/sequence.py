"""One running candidate: its tokens, how it chooses the next, what of it may be shown.

Knows neither rows nor the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Collection

from bestiary.schemas.text import FinishReason, TextChunk, TextUsage
from deployments.text.detokenizer import DecodesIds, Detokenizer
from deployments.text.prepared import PreparedRequest
from deployments.text.sampling import RowSampler
from deployments.text.stop_sequences import StopBuffer


class Sequence:
    """Candidate number `candidate` of a request."""

    def __init__(
        self,
        request: PreparedRequest,
        candidate: int,
        tokenizer: DecodesIds,
        end_ids: Collection[int],
    ) -> None:
        self.candidate = candidate
        self.sampler = RowSampler.begin(request.sampling, request.seed, candidate, request.prompt)
        self.past = 0  # tokens in the KV row
        self.last_token = -1  # generated, not in the KV row yet
        self.generated = 0
        self.finish: FinishReason | None = None
        self._request = request
        self._end_ids = end_ids
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopBuffer(request.sampling.stop)
        self._unsaid: list[int] = []  # tokens whose text is still held back

    def accept(self, token: int) -> TextChunk | None:
        """Takes the next token; a chunk where it makes text ready or ends the sequence.

        Every generated token is in one chunk's `token_ids`, an end token and those
        of a stop sequence too.
        """
        self.last_token = token
        self.generated += 1
        self.sampler.chose(token)
        self._unsaid.append(token)
        if token in self._end_ids:
            return self._finished(FinishReason.STOP, self._rest())
        released = self._stops.push(self._detokenizer.push(token))
        if released.stopped:
            return self._finished(FinishReason.STOP, released.text)
        if self.generated == self._request.max_tokens:
            return self._at_length(released.text)
        return self._chunk(released.text) if released.text else None

    def _at_length(self, text: str) -> TextChunk:
        """The last bytes can complete a stop sequence too."""
        released = self._stops.push(self._detokenizer.flush())
        if released.stopped:
            return self._finished(FinishReason.STOP, text + released.text)
        rest = released.text + self._stops.flush()
        return self._finished(FinishReason.LENGTH, text + rest)

    def _rest(self) -> str:
        """What was held back for a character or a stop sequence that did not come."""
        released = self._stops.push(self._detokenizer.flush())
        return released.text if released.stopped else released.text + self._stops.flush()

    def _finished(self, reason: FinishReason, text: str) -> TextChunk:
        self.finish = reason
        return self._chunk(text)

    def _chunk(self, text: str) -> TextChunk:
        token_ids, self._unsaid = tuple(self._unsaid), []
        usage = None
        if self.finish is not None:
            usage = TextUsage(len(self._request.prompt), self.generated)
        return TextChunk(self.candidate, text, token_ids, self.finish, usage)
