"""One running candidate: its tokens, how it chooses the next, what of it may be shown.

Knows neither rows nor the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Collection

from bestiary.schemas.text import FinishReason, TextChunk, TextUsage, TokenLogprob
from deployments.text.detokenizer import DecodesIds, Detokenizer
from deployments.text.logprobs import HeldLogprobs, token_logprob
from deployments.text.prepared import PreparedRequest
from deployments.text.sampling import STUCK, RowSampler
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
        self.sampler = RowSampler.begin(
            request.sampling,
            request.seed,
            candidate,
            request.prompt,
            matcher=None if request.grammar is None else request.grammar.begin(),
            scored=request.ranked,
        )
        self.past = 0  # tokens in the KV row
        self.cached = 0  # of the prompt's tokens: taken from the prefix cache
        self.last_token = -1  # generated, not in the KV row yet
        self.generated = 0
        self.finish: FinishReason | None = None
        self._request = request
        self._end_ids = end_ids
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopBuffer(request.sampling.stop)
        self._unsaid: list[int] = []  # tokens whose text is still held back
        self._logprobs = HeldLogprobs()
        self._cumulative_logprob = 0.0
        self._began = False  # a chunk was made

    @property
    def left(self) -> int:
        """Tokens that may still be generated."""
        return self._request.max_tokens - self.generated

    def accept(self, token: int) -> TextChunk | None:
        """Takes the next token; a chunk where it makes text ready or ends the sequence.

        Every generated token is in one chunk's `token_ids`, an end token and those
        of a stop sequence too. Raises what is wrong for STUCK.
        """
        if token == STUCK:
            assert self.sampler.matcher is not None
            raise self.sampler.matcher.fault()
        if self._request.max_tokens == 0:  # only the prompt was asked about
            return self._finished(FinishReason.LENGTH, "")
        self.last_token = token
        self.generated += 1
        self.sampler.chose(token)
        self._unsaid.append(token)
        if token in self._end_ids:
            self._score(token, None)
            return self._at_end(FinishReason.STOP)
        text = self._detokenizer.push(token)
        self._score(token, len(text))
        released = self._stops.push(text)
        if released.stopped:
            return self._finished(FinishReason.STOP, released.text)
        if self.sampler.matcher is not None and self.sampler.matcher.complete:
            return self._at_end(FinishReason.STOP, released.text)
        if self.generated == self._request.max_tokens:
            return self._at_end(FinishReason.LENGTH, released.text)
        return self._chunk(released.text) if released.text else None

    def _score(self, token: int, characters: int | None) -> None:
        """`characters` that the token adds to the text; None: it is not part of the answer."""
        scores = self.sampler.scores
        if scores is None:
            return
        assert scores.token == token, "a token was accepted that was not chosen last"
        self._cumulative_logprob += scores.logprob
        if self._request.spells is not None and characters is not None:
            self._logprobs.add(token_logprob(scores, characters, self._request.spells))

    def _at_end(self, reason: FinishReason, text: str = "") -> TextChunk:
        """Says what was held back; its last bytes can complete a stop sequence too."""
        released = self._stops.push(self._detokenizer.flush())
        if released.stopped:
            return self._finished(FinishReason.STOP, text + released.text)
        text += released.text + self._stops.flush()
        return self._finished(reason, text, self._logprobs.rest())

    def _finished(
        self, reason: FinishReason, text: str, logprobs: tuple[TokenLogprob, ...] | None = None
    ) -> TextChunk:
        self.finish = reason
        return self._chunk(text, logprobs)

    def _chunk(self, text: str, logprobs: tuple[TokenLogprob, ...] | None = None) -> TextChunk:
        """`logprobs` are those of the tokens within `text`, unless they are given."""
        token_ids, self._unsaid = tuple(self._unsaid), []
        usage = cumulative_logprob = None
        if self.finish is not None:
            usage = TextUsage(len(self._request.prompt), self.generated, self.cached)
            cumulative_logprob = self._cumulative_logprob if self._request.ranked else None
        return TextChunk(
            self.candidate,
            text,
            token_ids,
            self.finish,
            usage,
            logprobs=self._logprobs.show(len(text)) if logprobs is None else logprobs,
            prompt_logprobs=self._prompt_logprobs(),
            cumulative_logprob=cumulative_logprob,
        )

    def _prompt_logprobs(self) -> tuple[TokenLogprob, ...]:
        """With the first chunk alone."""
        first, self._began = not self._began, True
        prompt = self._request.prompt_logprobs
        return () if prompt is None or not first else prompt.entries()
