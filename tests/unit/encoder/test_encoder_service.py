"""Typed requests in, typed results out, on the real MiniLM; torch is the reference."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
import torch
from transformers import AutoModel, AutoTokenizer

from bestiary.errors import ContextOverflow, InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.profile.models import EncoderEngine as EngineOptions
from bestiary.progress import Silent
from bestiary.schemas.encoder import EmbeddingRequest
from bestiary.schemas.text import ChatMessage, CountTokensRequest
from deployments.encoder.batcher import BatcherLimits
from deployments.encoder.engine import EncoderEngine
from deployments.encoder.served import served_encoder
from deployments.encoder.service import EncoderService
from deployments.encoder.tokenization import load_tokenizer
from deployments.kernels.encoder import OpenEncoder, open_encoder

TEXTS = (
    "A man is playing a guitar on stage.",
    "Someone performs music with a guitar.",
    "The stock market fell sharply today.",
    "Word " * 200,
    "Short.",
)


@pytest.fixture(scope="module")
def encoder(minilm: InstalledModel, tmp_path_factory: pytest.TempPathFactory) -> OpenEncoder:
    home = tmp_path_factory.mktemp("home")
    return open_encoder(minilm, EngineOptions(), 2, home, Silent())


@pytest_asyncio.fixture
async def service(minilm: InstalledModel, encoder: OpenEncoder) -> AsyncIterator[EncoderService]:
    service = EncoderService(
        load_tokenizer(minilm.path, minilm.card.context_length),
        EncoderEngine(encoder, max_batch_tokens=512),
        served_encoder(minilm.card, encoder.session),
        BatcherLimits(max_batch_tokens=512, max_wait_s=0.0, max_requests=8),
    )
    service.start()
    yield service
    await service.stop()


def _request(*inputs: str | tuple[int, ...], **options: object) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"request_id": "r", "inputs": inputs, **options})


@pytest.fixture(scope="module")
def expected(minilm: InstalledModel) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(minilm.path)
    model = AutoModel.from_pretrained(minilm.path).eval()
    vectors = []
    with torch.no_grad():
        for text in TEXTS:
            ids = torch.tensor([tokenizer(text, padding=False, truncation=False).input_ids])
            mean = model(ids).last_hidden_state[0].mean(dim=0)
            vectors.append(torch.nn.functional.normalize(mean, dim=0).numpy())
    return np.stack(vectors)


async def test_embeddings_equal_those_of_torch(
    service: EncoderService, expected: np.ndarray
) -> None:
    result = await service.embed(_request(*TEXTS))
    np.testing.assert_allclose(result.vectors, expected, atol=1e-5)


async def test_a_batch_equals_its_inputs_alone(service: EncoderService) -> None:
    together = (await service.embed(_request(*TEXTS))).vectors
    alone = [(await service.embed(_request(text))).vectors[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)


async def test_token_ids_mean_the_same_as_their_text(service: EncoderService) -> None:
    ids = (await service.count_tokens(CountTokensRequest(text=TEXTS[0]))).token_ids
    result = await service.embed(_request(TEXTS[0], ids))
    np.testing.assert_allclose(result.vectors[0], result.vectors[1], atol=1e-6)
    assert result.prompt_tokens == (len(ids), len(ids))


async def test_fewer_dimensions_are_the_first_ones_of_unit_length(
    service: EncoderService, expected: np.ndarray
) -> None:
    result = await service.embed(_request(TEXTS[0], dimensions=64))
    first = expected[0, :64] / np.linalg.norm(expected[0, :64])
    np.testing.assert_allclose(result.vectors[0], first, atol=1e-5)


async def test_more_dimensions_than_there_are_is_refused(service: EncoderService) -> None:
    with pytest.raises(InvalidRequest, match="the model has 384") as refused:
        await service.embed(_request("a", dimensions=385))
    assert refused.value.param == "dimensions"


async def test_a_text_over_the_limit_is_refused_unless_cut(service: EncoderService) -> None:
    long = "word " * 300
    with pytest.raises(ContextOverflow):
        await service.embed(_request(long))
    result = await service.embed(_request(long, "short", truncate=True))
    assert result.truncated == (True, False)
    assert result.prompt_tokens[0] == 256


async def test_stages_are_within_the_measured_total(service: EncoderService) -> None:
    timings = (await service.embed(_request(*TEXTS))).timings
    assert timings.prefill_s > 0
    assert timings.decode_s == 0
    assert timings.queue_s + timings.prefill_s <= timings.total_s


async def test_messages_cannot_be_counted(service: EncoderService) -> None:
    messages = (ChatMessage(role="user", content="hi"),)
    with pytest.raises(InvalidRequest, match="chat template"):
        await service.count_tokens(CountTokensRequest(messages=messages))


async def test_a_running_service_is_healthy_and_idle(service: EncoderService) -> None:
    service.check()
    assert service.load().running == service.load().waiting == 0
