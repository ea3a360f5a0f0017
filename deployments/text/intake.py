"""A typed request -> a request that the engine can run, or the reason why it cannot.

Renders, tokenises, checks lengths, compiles constraints and resolves defaults. Knows
no rows, no threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import ContextOverflow, InvalidRequest
from bestiary.schemas.text import ChatMessage, CountTokensRequest, TextRequest, Tool
from deployments.text.detokenizer import Detokenizer
from deployments.text.logprobs import PromptLogprobs
from deployments.text.obligations import Obligations
from deployments.text.prepared import PreparedRequest
from deployments.text.prompts import ChatTemplate
from deployments.text.randomness import random_seed
from deployments.text.sampling import is_greedy
from deployments.text.tokenizer import TextTokenizer

LONGEST_WAIT_S = 600.0  # for requests that name no deadline


class Intake:
    """`context`: tokens that one sequence can hold, prompt and completion together."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        template: ChatTemplate | None,
        context: int,
        vocabulary: int,
        obligations: Obligations | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._context = context
        self._vocabulary = vocabulary
        self._obligations = obligations or Obligations(None)

    def prepare(self, request: TextRequest, arrived_s: float) -> PreparedRequest:
        """Raises InvalidRequest and ContextOverflow."""
        text, ids = self._prompt(request)
        param = _prompt_param(request)
        if not ids:
            raise InvalidRequest("the prompt is empty", param)
        max_tokens = self._fitting(len(ids), request.sampling.max_tokens, param)
        prompt = self._in_vocabulary(ids)
        self._check_biases(request.sampling.logit_bias)
        seed = request.sampling.seed
        echo = (self._tokenizer.decode(ids) if text is None else text) if request.echo else ""
        return PreparedRequest(
            prompt=prompt,
            sampling=request.sampling,
            max_tokens=max_tokens,
            seed=random_seed() if seed is None else seed,
            candidates=request.candidates,
            arrived_s=arrived_s,
            deadline_s=arrived_s + (request.deadline_s or LONGEST_WAIT_S),
            echo=echo,
            priority=request.priority,
            tenant=request.tenant,
            reproducible=seed is not None or is_greedy(request.sampling),
            grammar=self._obligations.grammar(request),
            spells=None if request.sampling.logprobs is None else self._tokenizer,
            prompt_logprobs=self._prompt_logprobs(request, prompt),
            ranked=request.ranked,
            tools=self._obligations.tool_reading(request),
        )

    def count(self, request: CountTokensRequest) -> tuple[int, ...]:
        """The prompt's token ids as `prepare` would make them; no limit applies."""
        if (request.messages is None) == (request.text is None):
            raise InvalidRequest("give exactly one of messages and text")
        if request.tool_use is not None and request.messages is None:
            raise InvalidRequest("tools need messages", "tools")
        if request.messages is not None:
            text = self._render(request.messages, _tools(request))
            return tuple(self._tokenizer.encode(text, as_prompt=False))
        return tuple(self._tokenizer.encode(request.text or "", as_prompt=True))

    def _prompt(self, request: TextRequest) -> tuple[str | None, list[int]]:
        """The prompt's text, where it was one, and its ids."""
        if request.token_ids is not None:
            return None, list(request.token_ids)
        if request.messages is not None:
            # A template writes BOS itself where the model wants one.
            text = self._render(request.messages, _tools(request))
            return text, self._tokenizer.encode(text, as_prompt=False)
        text = request.text or ""
        return text, self._tokenizer.encode(text, as_prompt=True) if text else []

    def _render(self, messages: tuple[ChatMessage, ...], tools: tuple[Tool, ...] = ()) -> str:
        if self._template is None:
            raise InvalidRequest("this model has no chat template: send a text", "messages")
        return self._template.render(messages, tools)

    def _prompt_logprobs(
        self, request: TextRequest, prompt: NDArray[np.int64]
    ) -> PromptLogprobs | None:
        """An echo of the prompt brings its logprobs too, where some are asked for."""
        top = request.sampling.logprobs
        if not request.echo or top is None:
            return None
        detokenizer = Detokenizer(self._tokenizer)
        characters = [len(detokenizer.push(token)) for token in prompt.tolist()]
        return PromptLogprobs(prompt, characters, top, self._tokenizer)

    def _fitting(self, prompt: int, asked: int | None, param: str) -> int:
        """How many tokens may be generated."""
        room = self._context - prompt
        if asked == 0 and room == 0:
            return 0  # only the prompt is asked about
        if room < 1:
            message = (
                f"the prompt has {prompt} tokens; this model's context is {self._context} tokens, "
                "and one must be left for the completion"
            )
            raise ContextOverflow(message, param, prompt, self._context)
        if asked is not None and asked > room:
            message = (
                f"the prompt has {prompt} tokens and max_tokens is {asked}: {prompt + asked} "
                f"are over this model's context of {self._context} tokens"
            )
            raise ContextOverflow(message, "max_tokens", prompt, self._context)
        return room if asked is None else asked

    def _in_vocabulary(self, ids: list[int]) -> NDArray[np.int64]:
        if min(ids) < 0 or max(ids) >= self._vocabulary:
            message = f"token ids must be from 0 to {self._vocabulary - 1}"
            raise InvalidRequest(message, "token_ids")
        return np.array(ids, np.int64)

    def _check_biases(self, biases: dict[int, float]) -> None:
        if biases and max(biases) >= self._vocabulary:
            message = f"token ids must be from 0 to {self._vocabulary - 1}"
            raise InvalidRequest(message, "logit_bias")


def _tools(request: TextRequest | CountTokensRequest) -> tuple[Tool, ...]:
    """What the template is told of."""
    return () if request.tool_use is None else request.tool_use.tools


def _prompt_param(request: TextRequest) -> str:
    if request.messages is not None:
        return "messages"
    return "text" if request.text is not None else "token_ids"
