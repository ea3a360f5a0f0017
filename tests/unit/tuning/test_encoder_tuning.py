"""Encoders on small BERTs: what is learned, the way back to the base, what a replica answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertPreTrainedModel,
)

from bestiary.errors import InvalidRequest
from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import EncoderEngine, Queue, Resources, Scaling
from bestiary.schemas.encoder import ClassifyRequest, EmbeddingRequest, TokenClassifyRequest
from bestiary.schemas.tuning import Lora, Method
from deployments.encoder.opening import open_service
from deployments.encoder.service import EncoderService
from services.tuning.data.examples import Example, LabelledText, TaggedTokens, TextPair
from services.tuning.trainers.encoder.opening import TUNERS
from services.tuning.trainers.tuner import Assignment, Tuner
from tests.unit.encoder.small_models import saved_model, word_pieces
from tests.unit.tuning.small_assignments import assignment, installed, trained

WORDS = ("light", "house", "keeper", "ship", "storm", "home")
TEXTS = [
    LabelledText(f"the {noun} {verb} a {other}", "sea" if noun in ("ship", "storm") else "land")
    for noun in WORDS
    for verb in ("saw", "went")
    for other in ("light", "house", "keeper")
]
TAGGED = [
    TaggedTokens(
        ("the", "old", noun, "saw", f"{other}s"),
        ("O", "B-thing", "I-thing", "O", "B-thing" if other == "ship" else "O"),
    )
    for noun in WORDS
    for other in ("ship", "sea", "storm")
]
PAIRS = [
    TextPair(f"the old {noun}", f"a {noun} , home", f"the old {WORDS[at - 1]} and a {WORDS[at]}")
    for at, noun in enumerate(WORDS)
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def base(tmp_path: Path, home: Path) -> InstalledModel:
    return installed(saved_model(BertModel, tmp_path / "base", initializer_range=0.1), home)


def classification(base: InstalledModel, **options: object) -> tuple[Tuner, Assignment]:
    work = assignment(base, Method.CLASSIFICATION, TEXTS, TEXTS, **options)  # type: ignore[arg-type]
    return TUNERS[Method.CLASSIFICATION](work), work


def reopened(tuner: Tuner, home: Path, folder: Path) -> tuple[InstalledModel, EncoderService]:
    """Saved, added to the garden under a tuned model's name, and opened as a replica does."""
    tuner.save(folder)
    garden = Garden(home)
    card = garden.add(folder, card_id="ft:small-base:tuned:1")
    args = ReplicaArgs(
        deployment="small",
        card=card,
        resources=Resources(threads=1),
        scaling=Scaling(),
        queue=Queue(),
        encoder=EncoderEngine(max_wait_ms=0),
    )
    return garden.installed(card.id), open_service(args, home)


@pytest.mark.parametrize("full", [False, True])
async def test_classifier_learns_and_a_replica_answers_the_same(
    base: InstalledModel, home: Path, tmp_path: Path, full: bool
) -> None:
    tuner, work = classification(base, full=full)
    before = tuner.evaluate()
    assert before["loss"] > 0.5
    trained(tuner, work, tmp_path / "run")
    figures = tuner.evaluate()
    assert figures["loss"] < 0.1
    assert figures["accuracy"] == figures["macro_f1"] == figures["f1"] == 1.0
    assert figures["confusion/sea/sea"] == 12
    assert tuner.evaluate() == figures
    saved, service = reopened(tuner, home, tmp_path / "out")
    assert saved.card.architecture == "BertForSequenceClassification"
    service.start()
    try:
        texts = [one.text for one in TEXTS]
        answer = await service.classify(ClassifyRequest(request_id="r", inputs=tuple(texts)))
    finally:
        await service.stop()
    expected = probabilities(saved.path, texts)
    for row, scores in zip(answer.labels, expected, strict=True):
        served = {one.label: one.score for one in row}
        assert served == pytest.approx({"land": scores[0], "sea": scores[1]}, abs=1e-4)
    of_labels = [row[one.label == "sea"] for row, one in zip(expected, TEXTS, strict=True)]
    assert -np.log(of_labels).mean() == pytest.approx(figures["loss"], abs=1e-4)


def probabilities(folder: Path, texts: Sequence[str]) -> list[list[float]]:
    """What transformers says of the saved folder."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = word_pieces()
    with torch.no_grad():
        rows = [model(torch.tensor([tokenizer.encode(text).ids])).logits[0] for text in texts]
    return [row.softmax(-1).tolist() for row in rows]


@pytest.mark.parametrize("full", [False, True])
def test_as_base_the_first_weights_are_back_and_then_the_learned_ones(
    base: InstalledModel, tmp_path: Path, full: bool
) -> None:
    tuner, work = classification(base, full=full, steps=5)
    before = tuner.evaluate()
    trained(tuner, work, tmp_path / "run")
    after = tuner.evaluate()
    with tuner.as_base():
        assert tuner.evaluate() == before
    assert tuner.evaluate() == after
    assert tuner.general() is None


def test_killed_job_ends_in_the_weights_of_one_that_was_not(
    base: InstalledModel, tmp_path: Path
) -> None:
    whole, work = classification(base, steps=8)
    trained(whole, work, tmp_path / "whole")
    first, _ = classification(base, steps=8)
    trained(first, work, tmp_path / "parts", until=3)
    second, _ = classification(base, steps=8)
    trained(second, work, tmp_path / "parts", resume=True)
    for name, value in whole.trainee.model.state_dict().items():
        assert torch.equal(value, second.trainee.model.state_dict()[name]), name


def test_low_rank_leaves_the_weights_as_they_are_and_learns_the_head(
    base: InstalledModel, tmp_path: Path
) -> None:
    tuner, work = classification(base, steps=8)
    names = {name for name, one in tuner.trainee.model.named_parameters() if one.requires_grad}
    assert all("lora_" in name or "classifier" in name for name in names)
    assert any("pooler.dense.lora_A" in name for name in names)
    trained(tuner, work, tmp_path / "run")
    tuner.save(tmp_path / "out")
    saved = BertForSequenceClassification.from_pretrained(tmp_path / "out")
    first = BertModel.from_pretrained(base.path)
    assert torch.equal(
        saved.bert.embeddings.word_embeddings.weight, first.get_input_embeddings().weight
    )
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(saved.bert.state_dict()[query], first.state_dict()[query])


def test_head_of_the_same_labels_is_kept_and_another_is_drawn_anew(
    home: Path, tmp_path: Path
) -> None:
    labels = {"id2label": {0: "sea", 1: "land"}, "label2id": {"sea": 0, "land": 1}}
    folder = saved_model(BertForSequenceClassification, tmp_path / "classifier", **labels)
    base = installed(folder, home)
    head = BertForSequenceClassification.from_pretrained(folder).classifier.weight
    tuner, _ = classification(base, full=True)
    assert torch.equal(tuner.trainee.model.classifier.weight, head)
    assert tuner.trainee.model.config.id2label == {0: "sea", 1: "land"}
    three = [*TEXTS, LabelledText("the storm", "sky")]
    work = assignment(base, Method.CLASSIFICATION, three, three, full=True)
    drawn = TUNERS[Method.CLASSIFICATION](work).trainee.model
    assert drawn.classifier.weight.shape[0] == 3
    assert drawn.config.id2label == {0: "land", 1: "sea", 2: "sky"}
    again = TUNERS[Method.CLASSIFICATION](work).trainee.model
    assert torch.equal(drawn.classifier.weight, again.classifier.weight)


def test_pair_of_texts_is_told_apart_from_the_same_as_one(base: InstalledModel) -> None:
    one = [LabelledText("the sea", "a"), LabelledText("the ship", "b")]
    two = [LabelledText("the sea", "a", "a storm"), LabelledText("the ship", "b", "a storm")]
    losses = {
        TUNERS[Method.CLASSIFICATION](
            assignment(base, Method.CLASSIFICATION, examples, examples)
        ).evaluate()["loss"]
        for examples in (one, two)
    }
    assert len(losses) == 2


def test_tokens_of_a_batch_are_those_of_its_texts(base: InstalledModel) -> None:
    tuner, _ = classification(base, max_tokens=6)
    assert tuner.tokens_in(0) == 12 * 6  # cut, special tokens included


def test_one_label_is_no_classifier(base: InstalledModel) -> None:
    same = [LabelledText("the sea", "sea")] * 4
    with pytest.raises(InvalidRequest, match="needs two"):
        TUNERS[Method.CLASSIFICATION](assignment(base, Method.CLASSIFICATION, same, same))


@pytest.mark.parametrize("method", list(TUNERS))
def test_job_without_examples_is_refused(base: InstalledModel, method: Method) -> None:
    kinds: dict[Method, list[Example]] = {
        Method.CLASSIFICATION: list(TEXTS),
        Method.TOKEN_CLASSIFICATION: list(TAGGED),
        Method.EMBEDDING: list(PAIRS),
    }
    with pytest.raises(InvalidRequest, match="no examples are held out"):
        TUNERS[method](assignment(base, method, kinds[method], []))
    with pytest.raises(InvalidRequest, match="has no examples"):
        TUNERS[method](assignment(base, method, [], kinds[method]))


def test_unknown_target_of_low_rank_changes_is_named_with_the_known(base: InstalledModel) -> None:
    work = assignment(base, Method.CLASSIFICATION, TEXTS, TEXTS)
    chosen = work.spec.hyperparameters.model_copy(update={"lora": Lora(targets=("q_proj",))})
    spec = work.spec.model_copy(update={"hyperparameters": chosen})
    with pytest.raises(InvalidRequest, match="'q_proj'; there are: dense, key, query, value"):
        TUNERS[Method.CLASSIFICATION](Assignment(**{**vars(work), "spec": spec}))


async def test_tags_are_learned_and_a_replica_finds_the_spans(
    base: InstalledModel, home: Path, tmp_path: Path
) -> None:
    work = assignment(base, Method.TOKEN_CLASSIFICATION, TAGGED, TAGGED)
    tuner = TUNERS[Method.TOKEN_CLASSIFICATION](work)
    assert tuner.evaluate()["span_f1"] < 0.8
    trained(tuner, work, tmp_path / "run")
    figures = tuner.evaluate()
    assert figures["token_accuracy"] == figures["span_f1"] == 1.0
    saved, service = reopened(tuner, home, tmp_path / "out")
    assert saved.card.architecture == "BertForTokenClassification"
    service.start()
    try:
        request = TokenClassifyRequest(request_id="r", inputs=("the old keeper saw ships",))
        answer = await service.token_classify(request)
    finally:
        await service.stop()
    assert [(one.label, one.text) for one in answer.spans[0]] == [
        ("thing", "old keeper"),
        ("thing", "ships"),
    ]
    model = BertForTokenClassification.from_pretrained(saved.path).eval()
    with torch.no_grad():
        ids = torch.tensor([word_pieces().encode("the old keeper saw ships").ids])
        scores = model(ids).logits[0].softmax(-1).amax(-1)
    assert answer.spans[0][1].score == pytest.approx(float(scores[5]), abs=1e-4)


@pytest.mark.parametrize(("kind", "full"), [(BertModel, False), (BertForMaskedLM, True)])
async def test_embeddings_get_nearer_and_a_replica_gives_the_same(
    kind: type[BertPreTrainedModel], full: bool, home: Path, tmp_path: Path
) -> None:
    base = installed(saved_model(kind, tmp_path / "base", initializer_range=0.1), home)
    work = assignment(base, Method.EMBEDDING, PAIRS, PAIRS, full=full)
    tuner = TUNERS[Method.EMBEDDING](work)
    before = tuner.evaluate()
    trained(tuner, work, tmp_path / "run")
    figures = tuner.evaluate()
    assert figures["loss"] < before["loss"]
    assert figures["recall_at_1"] == figures["mrr"] == 1.0
    assert figures["cosine_gap"] > before["cosine_gap"]
    saved, service = reopened(tuner, home, tmp_path / "out")
    assert saved.card.architecture == "BertModel"
    service.start()
    try:
        texts = tuple(text for one in PAIRS for text in (one.anchor, one.positive))
        answer = await service.embed(EmbeddingRequest(request_id="r", inputs=texts))
    finally:
        await service.stop()
    near = np.einsum("ij,ij->i", answer.vectors[::2], answer.vectors[1::2])
    every = answer.vectors[::2] @ np.concatenate((answer.vectors[1::2], negatives(saved.path))).T
    gap = near.mean() - (every.sum() - near.sum()) / (every.size - near.size)
    assert gap == pytest.approx(figures["cosine_gap"], abs=1e-4)


def negatives(folder: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Vectors of the hard negatives, by transformers: the mean of tokens, of unit length."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    rows = []
    for one in PAIRS:
        with torch.no_grad():
            ids = torch.tensor([word_pieces().encode(str(one.negative)).ids])
            rows.append(
                torch.nn.functional.normalize(model(ids).last_hidden_state[0].mean(0), dim=0)
            )
    found: np.ndarray[tuple[int, int], np.dtype[np.float32]] = torch.stack(rows).numpy()
    return found


def test_pairs_need_others_in_their_batch(base: InstalledModel) -> None:
    pairs = [TextPair("the sea", "a sea"), TextPair("the ship", "a ship")]
    work = assignment(base, Method.EMBEDDING, pairs, pairs)
    plan = work.plan.model_copy(update={"micro_batch_size": 1})
    with pytest.raises(InvalidRequest, match="two or more"):
        TUNERS[Method.EMBEDDING](Assignment(**{**vars(work), "plan": plan}))
