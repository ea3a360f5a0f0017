"""A task picks a model, or refuses one; and reaches the replica's method that does it."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
from router_fakes import FakeReply

from bestiary.errors import (
    CardNotInstalled,
    ModelNotFound,
    Overloaded,
    ReplicaLost,
    UnsupportedParameter,
)
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.profile.applications import ServedModel
from bestiary.profile.models import Profile
from bestiary.schemas.encoder import SimilarityRequest
from bestiary.schemas.image import SampleRequest
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.routing import RouteDecision, RouteRequest
from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqRequest
from services.router import replica_methods
from services.router.dispatcher import Dispatcher
from services.router.load_board import LoadBoard
from services.router.model_handle import ServeModelHandle
from services.router.policy import RoutingPolicy
from services.router.replica_methods import ReplicaMethod
from services.router.rules import FixedRules

# deployment -> its card's family, architecture and languages
MODELS = {
    "words": (Family.TEXT, "LlamaForCausalLM", ()),
    "vectors": (Family.ENCODER, "BertModel", ()),
    "own": (Family.ENCODER, "ModernBertModel", ()),  # nobody knows what it can
    "masks": (Family.ENCODER, "BertForPreTraining", ()),
    "french": (Family.SEQ2SEQ, "MarianMTModel", ("en-fr", "fr-en")),
    "german": (Family.SEQ2SEQ, "MarianMTModel", ("en-de",)),
}
PROFILE = Profile.model_validate(
    {
        "name": "test",
        "deployments": {name: {"card": f"{name}-card", f: {}} for name, (f, *_) in MODELS.items()}
        | {"masks-again": {"card": "masks-card", "encoder": {}}},
        "tiers": {"gecko": {"deployment": "words"}},
        "embedding": "vectors",
        "auto": {"otherwise": "gecko"},
        "aliases": {"masker": "masks-card", "whoever": "auto"},
    }
)
SIMILARITY = SimilarityRequest(request_id="r", pairs=(("a", "b"),))
TITLE = Seq2SeqRequest(request_id="r", task="translate", inputs=("a",))


def served(*deployments: str) -> tuple[ServedModel, ...]:
    found = []
    for name in deployments or tuple(PROFILE.deployments):
        family, architecture, languages = MODELS[name.removesuffix("-again")]
        card = ModelCard(
            id=str(PROFILE.deployments[name].card),
            family=family,
            architecture=architecture,
            languages=languages,
            title=name,
            parameters=1,
            context_length=128,
            license="MIT",
            provenance="this test",
            sources=(Source(url="zoo://x"),),
        )
        found.append(ServedModel(deployment=name, family=family, card=card))
    return tuple(found)


def route(
    task: str,
    model: str = "auto",
    family: str = "encoder",
    source: str | None = None,
    target: str | None = None,
) -> RouteRequest:
    return RouteRequest(
        model=model, family=family, task=task, source_language=source, target_language=target
    )


def resolved(asked: RouteRequest, *deployments: str) -> RouteDecision:
    absent = {"german": "it is not there"} if deployments else {}
    return RoutingPolicy(PROFILE, served(*deployments), absent).resolve(asked)


@pytest.mark.parametrize("name", ["auto", "", "whoever"])
def test_auto_is_the_first_model_that_can_do_the_task(name: str) -> None:
    assert resolved(route("fill-mask", name)).deployment == "masks"


def test_auto_says_so() -> None:
    decision = resolved(route("fill-mask"))
    assert (decision.reason, decision.tier, decision.model) == ("auto", None, "masks-card")


def test_auto_for_embeddings_is_the_profiles_own_choice() -> None:
    assert resolved(route("embed")).deployment == PROFILE.embedding


@pytest.mark.parametrize(
    ("source", "target", "deployment"),
    [
        (None, None, "french"),
        ("en", None, "french"),
        ("en", "de", "german"),
        (None, "de", "german"),
        ("fr", "en", "french"),
        ("en", "it", "french"),  # nobody has it: the first one says what it has
    ],
)
def test_languages_choose_among_translators(
    source: str | None, target: str | None, deployment: str
) -> None:
    asked = route("translate", family="seq2seq", source=source, target=target)
    assert resolved(asked).deployment == deployment


@pytest.mark.parametrize("name", ["masks-card", "masks", "masker"])
def test_a_model_by_its_name_does_what_it_can(name: str) -> None:
    assert resolved(route("next-sentence", name)).model == "masks-card"


@pytest.mark.parametrize("name", ["vectors", "french-card", "gecko", "words-card"])
def test_a_model_without_the_task_is_refused_with_those_that_can(name: str) -> None:
    with pytest.raises(UnsupportedParameter, match=r"that can do fill-mask: masks-card$") as caught:
        resolved(route("fill-mask", name))
    assert caught.value.param == "model"


def test_the_refusal_says_what_the_model_can_do_instead() -> None:
    with pytest.raises(UnsupportedParameter, match="it can do translate"):
        resolved(route("summarize", "french", "seq2seq"))


def test_of_an_unknown_architecture_the_replica_decides() -> None:
    assert resolved(route("fill-mask", "own")).deployment == "own"


def test_an_unknown_architecture_is_not_picked_by_itself() -> None:
    with pytest.raises(ModelNotFound, match="can do fill-mask"):
        resolved(route("fill-mask"), "words", "own")


def test_a_model_that_is_not_installed_says_so() -> None:
    with pytest.raises(CardNotInstalled, match="it is not there"):
        resolved(route("translate", "german", "seq2seq"), "words", "french")


class FakeCalls:
    """Streams each given step; an error is raised."""

    def __init__(self, *steps: Seq2SeqChunk | Exception) -> None:
        self._steps = list(steps)
        self.cancelled = False

    async def __anext__(self) -> Seq2SeqChunk:
        if not self._steps:
            raise StopAsyncIteration
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def cancel(self) -> None:
        self.cancelled = True


class FakeTaskModel:
    """Plays replies and streams in order; `asked` are the methods' names."""

    def __init__(self, *scripted: Any) -> None:
        self._scripted = list(scripted)
        self.asked: list[str] = []

    def ask(self, method: ReplicaMethod[Any, Any], request: object) -> FakeReply[Any]:
        self.asked.append(method.name)
        return self._scripted.pop(0)

    def stream(self, request: Seq2SeqRequest) -> FakeCalls:
        self.asked.append("stream")
        return self._scripted.pop(0)

    def load(self) -> FakeReply[ReplicaLoad]:
        return FakeReply(ReplicaLoad(running=0, waiting=0, slots=2))


async def dispatcher(
    models: dict[str, FakeTaskModel], replicas: int = 1
) -> tuple[Dispatcher, LoadBoard]:
    models = {name: FakeTaskModel() for name in PROFILE.deployments} | models

    async def counted() -> dict[str, int]:
        return dict.fromkeys(models, replicas)

    board = LoadBoard(PROFILE.deployments, tuple(models), models.__getitem__, counted)
    await board.refresh()
    rules = FixedRules(RoutingPolicy(PROFILE, served(), {}))
    return Dispatcher(rules, board, models.__getitem__), board


def in_flight(board: LoadBoard) -> int:
    return sum(load.in_flight for load in board.snapshot().values())


async def test_a_whole_answer_comes_from_the_methods_replica() -> None:
    model = FakeTaskModel(FakeReply("scores"))
    router, board = await dispatcher({"vectors": model})

    asked = route("similarity")
    result, record = await router.ask(asked, replica_methods.SIMILARITY, SIMILARITY)

    assert (result, model.asked, record.decision.model) == (
        "scores",
        ["similarity"],
        "vectors-card",
    )
    assert in_flight(board) == 0


async def test_a_full_deployment_sends_the_task_to_the_cards_other_one() -> None:
    full, free = FakeTaskModel(FakeReply(Overloaded("full"))), FakeTaskModel(FakeReply("words"))
    router, board = await dispatcher({"masks": full, "masks-again": free})

    result, record = await router.ask(route("fill-mask"), replica_methods.FILL_MASK, SIMILARITY)

    assert (result, record.decision.deployment) == ("words", "masks-again")
    assert in_flight(board) == 0


async def test_a_stream_is_begun_again_where_its_replica_died_before_the_first_piece() -> None:
    chunk = Seq2SeqChunk(0, "titre")
    model = FakeTaskModel(FakeCalls(ReplicaLost("died")), FakeCalls(chunk))
    router, board = await dispatcher({"french": model}, replicas=2)

    async with await router.stream(route("translate", family="seq2seq"), TITLE) as call:
        assert [piece async for piece in call] == [chunk]

    assert model.asked == ["stream", "stream"]
    assert in_flight(board) == 0


async def test_a_stream_that_is_left_is_cancelled() -> None:
    calls = FakeCalls(Seq2SeqChunk(0, "ti"), Seq2SeqChunk(0, "tre"))
    router, board = await dispatcher({"french": FakeTaskModel(calls)})

    call = await router.stream(route("translate", family="seq2seq"), TITLE)
    await call.aclose()

    assert calls.cancelled
    assert in_flight(board) == 0


class FakeServeHandle:
    """Notes which methods were asked of Serve, and how."""

    def __init__(self) -> None:
        self.resolved: list[tuple[str, bool]] = []
        self.sent: list[tuple[str, object]] = []

    def options(self, *, method_name: str, stream: bool) -> Any:
        self.resolved.append((method_name, stream))
        return SimpleNamespace(remote=lambda request: self.sent.append((method_name, request)))


def test_a_handle_resolves_a_method_once() -> None:
    serve_handle = FakeServeHandle()
    handle = ServeModelHandle(serve_handle)
    for _ in range(2):
        handle.ask(replica_methods.SIMILARITY, SIMILARITY)
    assert serve_handle.resolved.count(("similarity", False)) == 1
    assert serve_handle.sent == [("similarity", SIMILARITY)] * 2


def test_an_encoder_decoders_two_ways_of_answering_are_two_methods() -> None:
    """`generate` of a text model is a stream, that of an encoder-decoder is not."""
    serve_handle = FakeServeHandle()
    handle = ServeModelHandle(serve_handle)
    handle.stream(TITLE)
    handle.ask(replica_methods.GENERATE, TITLE)
    assert [name for name, _ in serve_handle.sent] == ["stream", "generate"]
    assert {("stream", True), ("generate", False), ("generate", True)} <= set(serve_handle.resolved)


def test_pictures_come_as_a_stream() -> None:
    serve_handle = FakeServeHandle()
    asked = SampleRequest(request_id="r")
    ServeModelHandle(serve_handle).generate_images(asked)
    assert ("generate_images", True) in serve_handle.resolved
    assert serve_handle.sent == [("generate_images", asked)]


METHODS = {
    name: method
    for name, method in vars(replica_methods).items()
    if isinstance(method, ReplicaMethod)
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_there_on_its_familys_replica(name: str) -> None:
    from deployments.encoder import deployment as encoder
    from deployments.image import deployment as image
    from deployments.seq2seq import deployment as seq2seq

    method = METHODS[name]
    of_module = {
        "bestiary.schemas.encoder": encoder.EncoderReplica,
        "bestiary.schemas.image": image.ImageReplica,
        "bestiary.schemas.seq2seq": seq2seq.Seq2SeqReplica,
    }
    replica = of_module[method.asked.__module__]
    function = getattr(replica, method.name)
    assert inspect.iscoroutinefunction(function)
    assert get_type_hints(function) == {"request": method.asked, "return": method.answered}
