"""Every task on small models of the classes that have it; transformers is the reference."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertPreTrainedModel,
)
from transformers.utils import ModelOutput

from bestiary.errors import ContextOverflow, InvalidRequest, KernelError, UnsupportedParameter
from bestiary.schemas.encoder import (
    MAX_TOKEN_VECTORS,
    ClassifyRequest,
    EmbeddingRequest,
    ExplainRequest,
    FillMaskRequest,
    NextSentenceRequest,
    Pooling,
    RerankRequest,
    SimilarityRequest,
    TokenClassifyRequest,
    TokenEmbeddingRequest,
)
from deployments.encoder.service import EncoderService
from tests.unit.encoder.small_models import (
    LONGEST,
    VOCABULARY,
    opened_service,
    saved_model,
    word_pieces,
)

EXACT = {"atol": 1e-5, "rtol": 1e-4}
TEXT = "The old keeper saw ships ."
PAIR = ("The old keeper", "went home with a light .")
R = {"request_id": "r"}

Serve = Callable[..., AbstractAsyncContextManager[EncoderService]]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A model of a class, and a home where it is built and certified, which takes seconds: once."""
    made: dict[str, Path] = {}

    def home_of(cls: type[BertPreTrainedModel], **options: object) -> Path:
        key = repr((cls.__name__, sorted(options.items())))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("served")
            saved_model(cls, made[key] / "model", **options)
        return made[key]

    return home_of


@pytest.fixture
def serve(homes: Callable[..., Path], tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def running(
        cls: type[BertPreTrainedModel], **options: object
    ) -> AsyncIterator[EncoderService]:
        card = {key: options.pop(key) for key in ("tasks",) if key in options}
        home = homes(cls, **options)
        (tmp_path / "model").symlink_to(home / "model")
        service = opened_service(home / "model", home, **card)
        service.start()
        try:
            yield service
        finally:
            await service.stop()

    return running


def torch_output(
    cls: type[BertPreTrainedModel], tmp_path: Path, *texts: str, **options: object
) -> ModelOutput:
    model = cls.from_pretrained(tmp_path / "model", **options).eval()
    encoded = word_pieces().encode(*texts)
    with torch.no_grad():
        return model(
            input_ids=torch.tensor([encoded.ids]),
            token_type_ids=torch.tensor([encoded.type_ids]),
            output_attentions="attn_implementation" in options,
        )


async def test_each_pooling_is_torchs(serve: Serve, tmp_path: Path) -> None:
    async with serve(BertModel) as service:
        found = {
            pooling: (await service.embed(EmbeddingRequest(**R, inputs=(TEXT,), pooling=pooling)))
            for pooling in (*Pooling, None)
        }
    given = torch_output(BertModel, tmp_path, TEXT)
    hidden = given.last_hidden_state[0]
    expected = {"mean": hidden.mean(dim=0), "cls": hidden[0], "pooler": given.pooler_output[0]}
    for pooling, vector in expected.items():
        unit = torch.nn.functional.normalize(vector, dim=0)
        np.testing.assert_allclose(found[Pooling(pooling)].vectors[0], unit, **EXACT)
    np.testing.assert_array_equal(found[None].vectors, found[Pooling.MEAN].vectors)


async def test_a_pooling_that_the_model_lacks_is_refused(serve: Serve) -> None:
    async with serve(BertForMaskedLM) as service:
        with pytest.raises(InvalidRequest, match="no pooler") as refused:
            await service.embed(EmbeddingRequest(**R, inputs=(TEXT,), pooling=Pooling.POOLER))
    assert refused.value.param == "pooling"


async def test_token_vectors_come_with_tokens_and_offsets(serve: Serve, tmp_path: Path) -> None:
    async with serve(BertModel) as service:
        request = TokenEmbeddingRequest(**R, inputs=(TEXT, "sea"))
        found, short = (await service.token_embed(request)).texts
    hidden = torch_output(BertModel, tmp_path, TEXT).last_hidden_state[0]
    np.testing.assert_allclose(found.vectors, hidden, **EXACT)
    assert found.tokens == ("[CLS]", "the", "old", "keeper", "saw", "ship", "##s", ".", "[SEP]")
    assert [TEXT[start:end] for start, end in found.offsets][4:8] == ["saw", "ship", "s", "."]
    assert short.vectors.shape == (3, 64)


async def test_too_many_token_vectors_are_refused(serve: Serve) -> None:
    inputs = ("sea " * 100,) * (MAX_TOKEN_VECTORS // 100)
    async with serve(BertModel) as service:
        with pytest.raises(InvalidRequest, match=f"takes {MAX_TOKEN_VECTORS}"):
            await service.token_embed(TokenEmbeddingRequest(**R, inputs=inputs))


async def test_masked_words_are_torchs_best(serve: Serve, tmp_path: Path) -> None:
    text = "The old [MASK] saw the sea ."
    async with serve(BertForMaskedLM) as service:
        request = FillMaskRequest(**R, inputs=(text, "a [MASK]"), top_k=4)
        result = await service.fill_mask(request)
    best, other = result.candidates
    shares = torch_output(BertForMaskedLM, tmp_path, text).logits[0, 3].softmax(dim=-1)
    expected = shares.topk(4)
    assert [one.token_id for one in best] == expected.indices.tolist()
    np.testing.assert_allclose([one.score for one in best], expected.values, **EXACT)
    assert [one.token for one in best] == [VOCABULARY[one.token_id] for one in best]
    for one in best:
        glued = one.token.startswith("##")
        word = one.token[2:] if glued else f" {one.token}"
        assert one.sequence == f"The old{word} saw the sea ."
    assert len(other) == 4
    assert result.usage.prompt_tokens == (9, 4)


async def test_the_whole_vocabulary_may_be_asked(serve: Serve) -> None:
    async with serve(BertForMaskedLM) as service:
        result = await service.fill_mask(FillMaskRequest(**R, inputs=("[MASK]",), top_k=100))
    assert len(result.candidates[0]) == len(VOCABULARY)
    assert sum(one.score for one in result.candidates[0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("text", "count"), [("the sea", 0), ("[MASK] the [MASK]", 2)])
async def test_another_number_of_masks_is_refused(serve: Serve, text: str, count: int) -> None:
    async with serve(BertForMaskedLM) as service:
        with pytest.raises(InvalidRequest, match=f"input 1 has {count} masks"):
            await service.fill_mask(FillMaskRequest(**R, inputs=("a [MASK]", text)))


async def test_a_mask_that_was_cut_off_is_missed(serve: Serve) -> None:
    long = "sea " * LONGEST + "[MASK]"
    async with serve(BertForMaskedLM) as service:
        with pytest.raises(InvalidRequest, match="0 masks within the model's length"):
            await service.fill_mask(FillMaskRequest(**R, inputs=(long,), truncate=True))


async def test_next_sentences_have_torchs_probability(serve: Serve, tmp_path: Path) -> None:
    async with serve(BertForNextSentencePrediction) as service:
        request = NextSentenceRequest(**R, pairs=(PAIR, (PAIR[1], PAIR[0])))
        first, second = (await service.next_sentence(request)).probabilities
    cls = BertForNextSentencePrediction
    for found, pair in ((first, PAIR), (second, (PAIR[1], PAIR[0]))):
        expected = torch_output(cls, tmp_path, *pair).logits[0].softmax(dim=-1)[0]
        assert found == pytest.approx(float(expected), abs=1e-5)
    assert first != second


async def test_classes_are_torchs_best_first(serve: Serve, tmp_path: Path) -> None:
    labels = {0: "ham", 1: "spam", 2: "news"}
    async with serve(BertForSequenceClassification, id2label=labels) as service:
        text, pair = (await service.classify(ClassifyRequest(**R, inputs=(TEXT, PAIR)))).labels
    for found, texts in ((text, (TEXT,)), (pair, PAIR)):
        given = torch_output(BertForSequenceClassification, tmp_path, *texts)
        shares = given.logits[0].softmax(dim=-1).tolist()
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        for one in found:
            place = list(labels.values()).index(one.label)
            assert one.score == pytest.approx(shares[place], abs=1e-5)


async def test_several_labels_are_scored_apart(serve: Serve, tmp_path: Path) -> None:
    problem = "multi_label_classification"
    async with serve(BertForSequenceClassification, problem_type=problem) as service:
        (found,) = (await service.classify(ClassifyRequest(**R, inputs=(TEXT,)))).labels
    shares = torch_output(BertForSequenceClassification, tmp_path, TEXT).logits[0].sigmoid()
    by_label = {one.label: one.score for one in found}
    expected = {f"LABEL_{place}": float(share) for place, share in enumerate(shares)}
    assert by_label == pytest.approx(expected, abs=1e-5)


async def test_labels_of_tokens_become_spans(serve: Serve, tmp_path: Path) -> None:
    labels = {0: "NOUN", 1: "VERB", 2: "X"}
    async with serve(BertForTokenClassification, id2label=labels) as service:
        request = TokenClassifyRequest(**R, inputs=(TEXT,))
        (spans,) = (await service.token_classify(request)).spans
    shares = torch_output(BertForTokenClassification, tmp_path, TEXT).logits[0].softmax(dim=-1)
    assert [span.text for span in spans] == ["The", "old", "keeper", "saw", "ships", "."]
    for place, span in zip((1, 2, 3, 4, 5, 7), spans, strict=True):
        assert span.label == labels[int(shares[place].argmax())]
        assert span.score == pytest.approx(float(shares[place].max()), abs=1e-5)
        assert TEXT[span.start : span.end] == span.text


async def test_an_embedder_ranks_by_cosine(serve: Serve) -> None:
    documents = ("the storm", "a ship went home", "the old keeper")
    async with serve(BertModel) as service:
        request = RerankRequest(**R, query="the old keeper", documents=documents, top_n=2)
        result = await service.rerank(request)
        everything = EmbeddingRequest(**R, inputs=("the old keeper", *documents))
        vectors = (await service.embed(everything)).vectors
    cosines = vectors[1:] @ vectors[0]
    assert [one.index for one in result.results] == np.argsort(-cosines)[:2].tolist()
    assert result.results[0].index == 2
    assert result.results[0].relevance_score == pytest.approx(1, abs=1e-5)
    assert result.usage.prompt_tokens == (4 + 5, 6, 5)


async def test_a_cross_encoder_reads_query_and_document_together(
    serve: Serve, tmp_path: Path
) -> None:
    documents = ("the storm", "a ship went home")
    cls = BertForSequenceClassification
    async with serve(cls, num_labels=1, tasks=["rerank"]) as service:
        request = RerankRequest(**R, query=TEXT, documents=documents)
        result = await service.rerank(request)
    for one in result.results:
        logit = torch_output(cls, tmp_path, TEXT, documents[one.index]).logits[0, 0]
        assert one.relevance_score == pytest.approx(float(logit.sigmoid()), abs=1e-5)
    scores = [one.relevance_score for one in result.results]
    assert scores == sorted(scores, reverse=True)


async def test_a_cross_encoder_cuts_documents_and_never_the_query(serve: Serve) -> None:
    long = "sea " * LONGEST
    cls = BertForSequenceClassification
    async with serve(cls, num_labels=1, tasks=["rerank"]) as service:
        cut = RerankRequest(**R, query=TEXT, documents=("sea", long), truncate=True)
        usage = (await service.rerank(cut)).usage
        assert usage.truncated == (False, True)
        assert usage.prompt_tokens[1] == LONGEST
        with pytest.raises(ContextOverflow, match="document 1 has"):
            await service.rerank(cut.model_copy(update={"truncate": False}))
        with pytest.raises(ContextOverflow, match="the query"):
            await service.rerank(RerankRequest(**R, query=long, documents=("a",), truncate=True))


async def test_a_reranker_with_several_labels_does_not_open(tmp_path: Path) -> None:
    folder = saved_model(BertForSequenceClassification, tmp_path / "model", num_labels=3)
    with pytest.raises(KernelError, match="3 labels"):
        opened_service(folder, tmp_path / "home", tasks=["rerank"])


async def test_a_card_that_promises_too_much_does_not_open(tmp_path: Path) -> None:
    folder = saved_model(BertModel, tmp_path / "model")
    with pytest.raises(KernelError, match="says fill-mask"):
        opened_service(folder, tmp_path / "home", tasks=["embed", "fill-mask"])


async def test_similarity_is_the_cosine_of_embeddings(serve: Serve) -> None:
    async with serve(BertModel) as service:
        pairs = (PAIR, (PAIR[0], PAIR[0]))
        result = await service.similarity(SimilarityRequest(**R, pairs=pairs))
        vectors = (await service.embed(EmbeddingRequest(**R, inputs=PAIR))).vectors
    assert result.scores == pytest.approx((float(vectors[0] @ vectors[1]), 1.0), abs=1e-5)
    assert result.usage.prompt_tokens == (5 + 8, 5 + 5)


async def test_explaining_shows_the_three_inputs_and_attention(
    serve: Serve, tmp_path: Path
) -> None:
    async with serve(BertModel) as service:
        result = await service.explain(ExplainRequest(**R, text=PAIR[0], text_pair=PAIR[1]))
    eager = torch_output(BertModel, tmp_path, *PAIR, attn_implementation="eager")
    np.testing.assert_allclose(result.attention, torch.cat(eager.attentions), **EXACT)
    assert result.attention.shape == (2, 4, 12, 12)
    assert result.segment_ids == (0,) * 5 + (1,) * 7
    assert result.position_ids == tuple(range(12))
    assert result.tokens[:5] == ("[CLS]", "the", "old", "keeper", "[SEP]")


async def test_explaining_is_bounded(serve: Serve) -> None:
    long = "sea " * 127
    async with serve(BertModel) as service:
        with pytest.raises(ContextOverflow, match="129 tokens; at most 128"):
            await service.explain(ExplainRequest(**R, text=long))
        result = await service.explain(ExplainRequest(**R, text=long, truncate=True))
    assert result.usage.truncated == (True,)
    assert len(result.tokens) == 128


async def test_a_task_that_the_model_lacks_names_those_it_has(serve: Serve) -> None:
    async with serve(BertForTokenClassification) as service:
        with pytest.raises(UnsupportedParameter, match="can do: token-classify, explain"):
            await service.embed(EmbeddingRequest(**R, inputs=(TEXT,)))


async def test_pretraining_can_do_all_that_its_heads_can(serve: Serve) -> None:
    async with serve(BertForPreTraining) as service:
        await service.embed(EmbeddingRequest(**R, inputs=(TEXT,)))
        await service.fill_mask(FillMaskRequest(**R, inputs=("a [MASK]",)))
        await service.next_sentence(NextSentenceRequest(**R, pairs=(PAIR,)))


@pytest.mark.parametrize("pair", [("", "a"), ("a", "")])
async def test_half_a_pair_is_refused(serve: Serve, pair: tuple[str, str]) -> None:
    async with serve(BertForPreTraining) as service:
        with pytest.raises(InvalidRequest, match="text of pair 0 is empty"):
            await service.next_sentence(NextSentenceRequest(**R, pairs=(pair,)))


async def test_padding_is_counted(serve: Serve) -> None:
    async with serve(BertModel) as service:
        await service.embed(EmbeddingRequest(**R, inputs=("sea", "the sea and the sea")))
        counts = service.counts()
    assert (counts.tokens, counts.padding_tokens) == (3 + 7, 4)
