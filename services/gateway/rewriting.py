"""The call to an encoder-decoder that answers one streaming request. Knows no wire."""

from __future__ import annotations

from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqOutput
from bestiary.schemas.text import EngineTimings
from services.gateway.dispatch import Call
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings
from services.gateway.task_call import TaskCall
from services.gateway.task_usage import TaskUsage, usage_of_outputs


class Rewriting(TaskCall[Seq2SeqChunk]):
    def __init__(self, exchange: Exchange, call: Call[Seq2SeqChunk], endings: Endings) -> None:
        super().__init__(exchange, call, endings)
        self._outputs: list[Seq2SeqOutput] = []

    @property
    def usage(self) -> TaskUsage:
        """Of the inputs that are done."""
        return usage_of_outputs(self._outputs, self._timings or EngineTimings())

    def _note(self, piece: Seq2SeqChunk) -> None:
        exchange = self._exchange
        exchange.tokens_came()
        if piece.output is not None:
            self._outputs.append(piece.output)
            exchange.prompt_tokens += piece.output.prompt_tokens
            exchange.generation_tokens += piece.output.completion_tokens
            longest = max(exchange.longest_generation, piece.output.completion_tokens)
            exchange.longest_generation = longest
