"""Runs the unmodified Google SDK (`google-generativeai`, REST) against a gateway.

    python palm_client_check.py --base-url http://127.0.0.1:8000 --key KEY

Prints one line per check; exits with 1 where one failed. Run it from a virtual
environment of its own: the SDK and Ray want different protobufs. The package
dropped its PaLM helpers in 0.8 and kept the generated clients, which are what
those helpers called: they are used here, for all three versions.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from types import ModuleType

import google.ai.generativelanguage_v1beta as v1beta
import google.ai.generativelanguage_v1beta2 as v1beta2
import google.ai.generativelanguage_v1beta3 as v1beta3
import google.generativeai as genai
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions

VERSIONS: tuple[ModuleType, ...] = (v1beta2, v1beta3, v1beta)


class Checks:
    def __init__(self, base_url: str, key: str, text: str, chat: str, embedding: str) -> None:
        self.url = base_url.rstrip("/")
        self.key = key
        self.text, self.chat, self.embedding = (
            f"models/{name}" for name in (text, chat, embedding)
        )
        genai.configure(api_key=key, transport="rest", client_options={"api_endpoint": self.url})

    def check_list_models_through_the_package(self) -> None:
        models = {model.name: model for model in genai.list_models(page_size=3)}
        assert self.text in models, sorted(models)
        assert "generateText" in models[self.text].supported_generation_methods
        assert "embedText" in models[self.embedding].supported_generation_methods

    def check_get_model_through_the_package(self) -> None:
        model = genai.get_model(self.text)
        assert model.name == self.text
        assert model.input_token_limit > 0

    def check_generate_text(self) -> None:
        for api in VERSIONS:
            answer = self._texts(api).generate_text(
                api.GenerateTextRequest(
                    model=self.text,
                    prompt=api.TextPrompt(text="Say one short sentence about the sea."),
                    temperature=0.0,
                    max_output_tokens=16,
                    safety_settings=[
                        api.SafetySetting(
                            category=api.HarmCategory.HARM_CATEGORY_TOXICITY,
                            threshold=api.SafetySetting.HarmBlockThreshold.BLOCK_ONLY_HIGH,
                        )
                    ],
                )
            )
            assert answer.candidates[0].output, api.__name__

    def check_candidates_are_unique(self) -> None:
        answer = self._texts(v1beta2).generate_text(
            v1beta2.GenerateTextRequest(
                model=self.text,
                prompt=v1beta2.TextPrompt(text="Name an animal."),
                temperature=1.0,
                candidate_count=4,
                max_output_tokens=4,
            )
        )
        outputs = [candidate.output for candidate in answer.candidates]
        assert 1 <= len(outputs) == len(set(outputs)) <= 4, outputs

    def check_generate_message(self) -> None:
        for api in VERSIONS:
            answer = self._chats(api).generate_message(
                api.GenerateMessageRequest(
                    model=self.chat,
                    temperature=0.0,
                    prompt=api.MessagePrompt(
                        context="Answer briefly.",
                        examples=[
                            api.Example(
                                input=api.Message(content="Hi"), output=api.Message(content="Hello")
                            )
                        ],
                        messages=[api.Message(author="0", content="Who are you?")],
                    ),
                )
            )
            assert answer.candidates[0].author == "1"
            assert answer.candidates[0].content
            assert answer.messages[0].content == "Who are you?"

    def check_embeddings(self) -> None:
        for api in VERSIONS:
            client = self._texts(api)
            one = client.embed_text(api.EmbedTextRequest(model=self.embedding, text="the sea"))
            assert abs(sum(value * value for value in one.embedding.value) - 1) < 1e-3
            if api is v1beta2:  # it had no batches
                continue
            some = client.batch_embed_text(
                api.BatchEmbedTextRequest(model=self.embedding, texts=["the land", "the sea"])
            )
            gap = max(
                abs(a - b)
                for a, b in zip(one.embedding.value, some.embeddings[1].value, strict=True)
            )
            assert gap < 1e-4, gap

    def check_token_counts(self) -> None:
        for api in VERSIONS:
            message = self._chats(api).count_message_tokens(
                api.CountMessageTokensRequest(
                    model=self.chat,
                    prompt=api.MessagePrompt(messages=[api.Message(content="Who are you?")]),
                )
            )
            assert message.token_count > 0
            if api is v1beta2:  # it had no count of texts
                continue
            text = self._texts(api).count_text_tokens(
                api.CountTextTokensRequest(
                    model=self.text, prompt=api.TextPrompt(text="Who are you?")
                )
            )
            assert text.token_count > 0

    def check_errors_are_googles(self) -> None:
        def generate(client: object, **fields: object) -> None:
            asked = {"model": self.text, "prompt": v1beta2.TextPrompt(text="a"), **fields}
            client.generate_text(v1beta2.GenerateTextRequest(**asked))

        client = self._texts(v1beta2)
        self._raises(exceptions.NotFound, lambda: generate(client, model="models/no-such"))
        self._raises(exceptions.BadRequest, lambda: generate(client, temperature=-1.0))
        self._raises(
            exceptions.BadRequest,
            lambda: generate(client, prompt=v1beta2.TextPrompt(text="sea " * 20_000)),
        )
        stranger = self._texts(v1beta2, "bst-wrong")
        error = self._raises(exceptions.Unauthorized, lambda: generate(stranger))
        # Not `error.reason`: over REST it reads an attribute of what is a dict there.
        assert error.details[0]["reason"] == "INVALID_API_KEY", error.details

    def _texts(self, api: ModuleType, key: str | None = None) -> object:
        return self._client(api.TextServiceClient, key)

    def _chats(self, api: ModuleType) -> object:
        return self._client(api.DiscussServiceClient, None)

    def _client(self, cls: type, key: str | None) -> object:
        """As `google.generativeai.client` makes them."""
        options = ClientOptions(api_endpoint=self.url, api_key=key or self.key)
        return cls(transport="rest", client_options=options)

    @staticmethod
    def _raises(
        cls: type[exceptions.GoogleAPICallError], call: Callable[[], object]
    ) -> exceptions.GoogleAPICallError:
        try:
            call()
        except cls as error:
            return error
        raise AssertionError(f"{cls.__name__} was not raised")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True, help="for instance http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    parser.add_argument("--text-model", default="text-bison-001")
    parser.add_argument("--chat-model", default="chat-bison-001")
    parser.add_argument("--embedding-model", default="embedding-gecko-001")
    options = parser.parse_args()
    checks = Checks(
        options.base_url,
        options.key,
        options.text_model,
        options.chat_model,
        options.embedding_model,
    )
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
    print(f"google-generativeai {genai.__version__}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
