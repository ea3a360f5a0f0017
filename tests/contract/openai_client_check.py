"""Runs the unmodified `openai` SDK against a gateway and prints one line per check.

    python openai_client_check.py --base-url http://127.0.0.1:8000 --key KEY

Needs only the SDK: run it from a virtual environment of its own. Exits with 1 where
a check failed. Says nothing of how good the answers are: any model may stand behind.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Callable
from itertools import pairwise

import openai

QUESTION = [{"role": "user", "content": "Say one short sentence about the sea."}]


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
        assert abs(total - sum(times.values())) <= 0.05 * total, raw.headers["server-timing"]
        receipt = raw.parse().model_extra["bestiary"]["receipt"]
        assert abs(receipt["total"] - total) <= 0.05 * total

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
        self._raises(openai.BadRequestError, lambda: create(**good, logprobs=True), "logprobs")
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
