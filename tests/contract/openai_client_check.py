"""Runs the unmodified `openai` SDK against a gateway and prints one line per check.

    python openai_client_check.py --base-url http://127.0.0.1:8000 --key KEY

Needs only the SDK: run it from a virtual environment of its own. Exits with 1 where
a check failed. Says nothing of how good the answers are: any model may stand behind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import traceback
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import openai
from pydantic import BaseModel

QUESTION = [{"role": "user", "content": "Say one short sentence about the sea."}]


class Sea(BaseModel):
    """What an answer is held to. Bounded, so that it ends whatever the model is like."""

    mood: Literal["calm", "wild"]
    salty: bool


class Look(BaseModel):
    """Look in a direction"""

    direction: Literal["north", "south"]


LOOK = openai.pydantic_function_tool(Look)


class Checks:
    def __init__(self, base_url: str, key: str, model: str, embedding_model: str) -> None:
        self.base_url = base_url.rstrip("/") + "/v1"
        self.key = key
        self.model = model
        self.embedding_model = embedding_model
        self.client = self._client(key)

    def _client(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.base_url, api_key=key, max_retries=0, timeout=120)

    def check_models(self) -> None:
        names = [model.id for model in self.client.models.list()]
        assert self.model in names, names
        assert self.client.models.retrieve(self.model).id == self.model

    def check_chat(self) -> None:
        answer = self.client.chat.completions.create(
            model=self.model, messages=QUESTION, max_tokens=16, temperature=0
        )
        assert answer.choices[0].message.role == "assistant"
        assert answer.choices[0].message.content
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert answer.usage.total_tokens == (
            answer.usage.prompt_tokens + answer.usage.completion_tokens
        )

    def check_chat_choices(self) -> None:
        answer = self.client.chat.completions.create(
            model=self.model, messages=QUESTION, max_tokens=4, n=2, seed=7
        )
        assert [choice.index for choice in answer.choices] == [0, 1]

    def check_chat_history(self) -> None:
        first = self.client.chat.completions.create(
            model=self.model, messages=QUESTION, max_tokens=8
        )
        again = [*QUESTION, first.choices[0].message, {"role": "user", "content": "Go on."}]
        assert self.client.chat.completions.create(
            model=self.model, messages=again, max_tokens=8
        ).choices

    def check_stream_equals_whole(self) -> None:
        asked = {"model": self.model, "messages": QUESTION, "max_tokens": 24, "temperature": 0}
        whole = self.client.chat.completions.create(**asked)
        stream = self.client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert chunks[0].choices[0].delta.role == "assistant"
        said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert said == whole.choices[0].message.content, (said, whole)
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert reasons[-1] == whole.choices[0].finish_reason

    def check_stream_helper(self) -> None:
        with self.client.chat.completions.stream(
            model=self.model, messages=QUESTION, max_tokens=8
        ) as stream:
            said = "".join(event.delta for event in stream if event.type == "content.delta")
        assert said

    def check_stream_left_early(self) -> None:
        stream = self.client.chat.completions.create(
            model=self.model, messages=QUESTION, max_tokens=200, stream=True
        )
        next(iter(stream))
        stream.close()

    def check_stop_never_leaks(self) -> None:
        asked = {"model": self.model, "messages": QUESTION, "max_tokens": 16, "temperature": 0}
        said = self.client.chat.completions.create(**asked).choices[0].message.content
        stop = said.split()[1]
        cut = self.client.chat.completions.create(**asked, stop=[stop]).choices[0]
        assert stop not in cut.message.content
        assert cut.finish_reason == "stop"

    def check_completion(self) -> None:
        answer = self.client.completions.create(model=self.model, prompt="The sea is")
        assert answer.object == "text_completion"
        assert answer.usage.completion_tokens <= 16

    def check_completion_prompts_and_echo(self) -> None:
        answer = self.client.completions.create(
            model=self.model, prompt=["One", "Two"], n=2, max_tokens=3, echo=True
        )
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        starts = [choice.text[:3] for choice in answer.choices]
        assert starts == ["One", "One", "Two", "Two"], starts

    def check_completion_of_token_ids(self) -> None:
        tokens = self._tokenize({"text": "The sea is"})["tokens"]
        answer = self.client.completions.create(model=self.model, prompt=tokens, max_tokens=3)
        assert answer.usage.prompt_tokens >= len(tokens)

    def check_completion_stream(self) -> None:
        stream = self.client.completions.create(
            model=self.model, prompt="The sea is", max_tokens=4, stream=True
        )
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] in ("stop", "length")

    def check_chat_logprobs(self) -> None:
        asked = {"model": self.model, "messages": QUESTION, "max_tokens": 12, "temperature": 0}
        asked |= {"logprobs": True, "top_logprobs": 3}
        choice = self.client.chat.completions.create(**asked).choices[0]
        entries = choice.logprobs.content
        said = b"".join(bytes(entry.bytes or ()) for entry in entries)
        assert said == choice.message.content.encode(), (said, choice)
        assert all(entry.logprob <= 0 for entry in entries)
        assert all(len(entry.top_logprobs) == 3 for entry in entries)
        chunks = self.client.chat.completions.create(**asked, stream=True)
        streamed = [c.choices[0].logprobs.content for c in chunks if c.choices[0].logprobs]
        tokens = [entry.token for content in streamed for entry in content]
        assert tokens == [entry.token for entry in entries], tokens

    def check_completion_logprobs(self) -> None:
        choice = self.client.completions.create(
            model=self.model, prompt="The sea is", max_tokens=4, logprobs=2, temperature=0
        ).choices[0]
        lists = choice.logprobs
        assert "".join(lists.tokens) == choice.text, (lists, choice.text)
        assert all(2 <= len(top) <= 3 for top in lists.top_logprobs), lists.top_logprobs

    def check_prompt_logprobs(self) -> None:
        answer = self.client.completions.create(
            model=self.model, prompt="The sea is wide", max_tokens=0, logprobs=1, echo=True
        )
        lists = answer.choices[0].logprobs
        assert answer.usage.completion_tokens == 0
        assert lists.token_logprobs[0] is None
        assert all(number <= 0 for number in lists.token_logprobs[1:])
        for token, offset in zip(lists.tokens, lists.text_offset, strict=True):
            assert answer.choices[0].text[offset:].startswith(token), (token, offset)

    def check_parse_of_a_json_schema(self) -> None:
        answer = self.client.chat.completions.parse(
            model=self.model, messages=QUESTION, max_tokens=60, response_format=Sea
        )
        assert isinstance(answer.choices[0].message.parsed, Sea), answer
        assert answer.choices[0].finish_reason == "stop"

    def check_stream_of_a_json_schema(self) -> None:
        with self.client.chat.completions.stream(
            model=self.model, messages=QUESTION, max_tokens=60, response_format=Sea
        ) as stream:
            answer = stream.get_final_completion()
        assert isinstance(answer.choices[0].message.parsed, Sea), answer

    def check_a_schema_the_hugging_face_way(self) -> None:
        schema = Sea.model_json_schema() | {"additionalProperties": False}
        answer = self.client.chat.completions.create(
            model=self.model,
            messages=QUESTION,
            max_tokens=60,
            response_format={"type": "json_object", "value": schema},
        )
        assert Sea.model_validate_json(answer.choices[0].message.content)

    def check_regex(self) -> None:
        asked = {"model": self.model, "messages": QUESTION, "max_tokens": 8}
        answer = self.client.chat.completions.create(
            **asked, response_format={"type": "regex", "regex": "(yes|no)"}
        )
        assert answer.choices[0].message.content in ("yes", "no")
        self._raises(
            openai.BadRequestError,
            lambda: self.client.chat.completions.create(
                **asked, response_format={"type": "regex", "regex": "(yes"}
            ),
            param="response_format",
        )

    def check_tool_call_and_its_result(self) -> None:
        asked = {"model": self.model, "max_tokens": 100, "tools": [LOOK]}
        choice = self.client.chat.completions.create(
            **asked, messages=QUESTION, tool_choice="required", parallel_tool_calls=False
        ).choices[0]
        assert choice.finish_reason == "tool_calls", choice
        [call] = choice.message.tool_calls
        assert (call.type, call.function.name) == ("function", "Look")
        assert Look.model_validate_json(call.function.arguments)
        result = {"role": "tool", "tool_call_id": call.id, "content": "A ship."}
        again = self.client.chat.completions.create(
            **asked | {"max_tokens": 8}, messages=[*QUESTION, choice.message, result]
        )
        assert again.choices

    def check_parsed_tool_call(self) -> None:
        named = {"type": "function", "function": {"name": "Look"}}
        message = (
            self.client.chat.completions.parse(
                model=self.model,
                messages=QUESTION,
                max_tokens=60,
                tools=[LOOK],
                tool_choice=named,
            )
            .choices[0]
            .message
        )
        assert isinstance(message.tool_calls[0].function.parsed_arguments, Look), message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "A ship."}
        assert self.client.chat.completions.create(
            model=self.model, messages=[*QUESTION, message, result], max_tokens=8
        ).choices

    def check_streamed_tool_call(self) -> None:
        named = {"type": "function", "function": {"name": "Look"}}
        with self.client.chat.completions.stream(
            model=self.model, messages=QUESTION, max_tokens=60, tools=[LOOK], tool_choice=named
        ) as stream:
            done = [e for e in stream if e.type == "tool_calls.function.arguments.done"]
            choice = stream.get_final_completion().choices[0]
        assert [event.name for event in done] == ["Look"]
        assert json.loads(done[0].arguments) == json.loads(
            choice.message.tool_calls[0].function.arguments
        )
        assert choice.finish_reason == "tool_calls"

    def check_tools_that_need_not_be_called(self) -> None:
        for choice in ("auto", "none"):
            answer = self.client.chat.completions.create(
                model=self.model, messages=QUESTION, max_tokens=16, tools=[LOOK], tool_choice=choice
            ).choices[0]
            assert answer.message.content or answer.message.tool_calls, choice

    def check_best_of(self) -> None:
        answer = self.client.completions.create(
            model=self.model, prompt="The sea is", best_of=3, n=1, max_tokens=4, temperature=1
        )
        assert len(answer.choices) == 1
        assert answer.usage.completion_tokens > 4  # the others are counted too

    def check_logit_bias(self) -> None:
        asked = {"model": self.model, "prompt": "The sea is", "max_tokens": 2}
        assert self.client.completions.create(**asked, logit_bias={"5": -100, "6": 1}).choices
        for bad in ({"sea": 1}, {"5": 101}):
            error = self._raises(
                openai.BadRequestError,
                lambda bad=bad: self.client.completions.create(**asked, logit_bias=bad),
            )
            assert error.param.startswith("logit_bias"), error.param

    def check_embeddings(self) -> None:
        packed = self.client.embeddings.create(
            model=self.embedding_model, input=["the sea", "the land"]
        )
        floats = self.client.embeddings.create(
            model=self.embedding_model, input=["the sea", "the land"], encoding_format="float"
        )
        for one, other in zip(packed.data, floats.data, strict=True):
            assert abs(sum(value * value for value in one.embedding) - 1) < 1e-3
            gap = max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True))
            assert gap < 1e-4, gap

    def check_embedding_dimensions(self) -> None:
        [one] = self.client.embeddings.create(
            model=self.embedding_model, input="the sea", dimensions=4
        ).data
        assert len(one.embedding) == 4

    def check_tokenize(self) -> None:
        text = self._tokenize({"text": "The sea is wide."})
        chat = self._tokenize({"messages": QUESTION})
        assert text["count"] == len(text["tokens"]) > 0
        assert chat["count"] > 0

    def check_route_and_receipt_headers(self) -> None:
        raw = self.client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=QUESTION,
            max_tokens=8,
            extra_headers={"x-bestiary-receipt": "body"},
        )
        for name in ("x-request-id", "x-bestiary-model", "x-bestiary-route-reason"):
            assert raw.headers.get(name), name
        entries = (part.split(";dur=") for part in raw.headers["server-timing"].split(", "))
        times = {name: float(value) for name, value in entries}
        total = times.pop("total")
        # Of a fake's half millisecond, 5% is what reading a clock takes.
        missing = abs(total - sum(times.values()))
        assert missing <= max(0.1, 0.05 * total), raw.headers["server-timing"]
        receipt = raw.parse().model_extra["bestiary"]["receipt"]
        assert abs(receipt["total"] - total) <= max(0.1, 0.05 * total)

    def check_errors_are_the_sdks(self) -> None:
        create = self.client.chat.completions.create
        good = {"model": self.model, "messages": QUESTION, "max_tokens": 1}
        self._raises(openai.BadRequestError, lambda: create(**{**good, "n": 0}), param="n")
        self._raises(
            openai.BadRequestError, lambda: create(**{**good, "temperature": -1}), "temperature"
        )
        self._raises(openai.BadRequestError, lambda: create(**{**good, "messages": []}), "messages")
        self._raises(
            openai.BadRequestError, lambda: create(**good, extra_body={"colour": 1}), "colour"
        )
        self._raises(
            openai.BadRequestError, lambda: create(**good, functions=[{"name": "x"}]), "functions"
        )
        self._raises(openai.BadRequestError, lambda: create(**good, top_logprobs=2), "top_logprobs")
        unknown = self._raises(
            openai.NotFoundError, lambda: create(**{**good, "model": "no-such-model"})
        )
        assert unknown.code == "model_not_found"
        assert unknown.request_id
        stranger = self._client("bst-wrong")
        self._raises(openai.AuthenticationError, lambda: stranger.models.list())

    def check_context_overflow(self) -> None:
        long = [{"role": "user", "content": "sea " * 20_000}]
        error = self._raises(
            openai.BadRequestError,
            lambda: self.client.chat.completions.create(model=self.model, messages=long),
        )
        assert error.code == "context_length_exceeded", error.code

    def check_body_too_large(self) -> None:
        huge = [{"role": "user", "content": "x" * 10 * 2**20}]
        error = self._raises(
            openai.APIStatusError,
            lambda: self.client.chat.completions.create(model=self.model, messages=huge),
        )
        assert error.status_code == 413, error.status_code

    def check_async_streams_side_by_side(self) -> None:
        async def one(client: openai.AsyncOpenAI) -> str:
            stream = await client.chat.completions.create(
                model=self.model, messages=QUESTION, max_tokens=16, temperature=0, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        async def every() -> list[str]:
            async with openai.AsyncOpenAI(
                base_url=self.base_url, api_key=self.key, max_retries=2, timeout=120
            ) as client:
                return await asyncio.gather(*(one(client) for _ in range(8)))

        said = asyncio.run(every())
        assert said[0]
        assert all(a == b for a, b in pairwise(said)), said

    def _tokenize(self, asked: dict[str, object]) -> dict:
        return self.client.post(
            "/tokenize", body={"model": self.model, **asked}, cast_to=dict[str, object]
        )

    @staticmethod
    def _raises(
        cls: type[openai.APIStatusError], call: Callable[[], object], param: str | None = None
    ) -> openai.APIStatusError:
        raised: openai.APIStatusError | None = None
        try:
            call()
        except cls as error:
            raised = error
        assert raised is not None, f"{cls.__name__} was not raised"
        assert param is None or raised.param == param, (raised.param, param)
        return raised


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True, help="for instance http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="gecko")
    parser.add_argument("--embedding-model", default="textembedding-gecko-001")
    options = parser.parse_args()
    checks = Checks(options.base_url, options.key, options.model, options.embedding_model)
    failed = 0
    for name in [name for name in vars(Checks) if name.startswith("check_")]:
        title = name.removeprefix("check_").replace("_", " ")
        try:
            getattr(checks, name)()
        except Exception:  # noqa: BLE001  (every check runs, whatever became of the others)
            failed += 1
            print(f"FAILED  {title}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok      {title}", flush=True)
    print(f"openai {openai.__version__}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
