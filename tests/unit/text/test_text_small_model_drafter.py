"""A smaller model guesses from its own rows, whatever becomes of the sequences'."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_engine import END_ID, TOKENIZER, VOCABULARY, Run, opened, small_llama
from text_fakes import Driver, FakeDecoder, GuessingWell, prepared, solo
from text_tokenizers import byte_tokenizer

from bestiary.errors import ProfileInvalid
from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Queue, Resources, Scaling, TextEngine
from bestiary.progress import Silent
from bestiary.schemas.text import Priority
from deployments.kernels.decoder_session import DecoderSession
from deployments.text.drafting import checking_engine, require_same_vocabulary
from deployments.text.engine import EngineOptions
from deployments.text.opening import open_model, prepare_model
from deployments.text.prepared import PreparedRequest
from deployments.text.small_model_drafter import SHORT, SmallModelDrafter
from deployments.text.speculation import RowSpeculation

SPECULATE = 4


def drafter(slots: int = 2, read_most: int = 1000, max_length: int = 64) -> SmallModelDrafter:
    return SmallModelDrafter(FakeDecoder(slots, max_length), 50, read_most)


def guesses(one: SmallModelDrafter, text: RowSpeculation, most: int = 3) -> list[int]:
    """After as many steps as it needs to have read the text."""
    for _ in range(100):
        one.begin_step()
        if found := one.draft(0, text, most):
            return found
    raise AssertionError("it guesses nothing")


def greedy(tokens: list[int], most: int = 3) -> list[int]:
    """What the fake says alone."""
    said = list(tokens)
    while len(said) < len(tokens) + most:
        said.append(int(FakeDecoder().logits_of(tuple(said)).argmax()))
    return said[len(tokens) :]


def test_it_guesses_what_its_model_would_say() -> None:
    for tokens in ([5], [1, 2, 3], list(range(40))):
        assert guesses(drafter(), RowSpeculation(tokens)) == greedy(tokens)


def test_wrong_guesses_are_forgotten() -> None:
    one, text = drafter(), RowSpeculation([1, 2, 3])
    for token in (7, 8, 9, *greedy([1, 2, 3, 7, 8, 9]), 4):
        guesses(one, text)
        text.append(token)
    assert guesses(one, text) == greedy(text.tokens)


def test_a_guess_that_was_right_is_not_read_again() -> None:
    decoder = FakeDecoder(1)
    one, text = SmallModelDrafter(decoder, 50, 1000), RowSpeculation(list(range(30)))
    for token in guesses(one, text):
        text.append(token)
    decoder.runs.clear()
    guesses(one, text)
    assert sum(tokens for _, _, tokens in decoder.runs) == 3  # the last guess, and two new ones


def test_a_prompt_is_read_a_bounded_part_in_each_step() -> None:
    one = drafter(read_most=10)
    texts = [RowSpeculation([number, *range(30)]) for number in range(2)]
    steps = []
    for _ in range(7):
        one.begin_step()
        steps.append([one.draft(row, text, 3) for row, text in enumerate(texts)])
    first, second = (greedy(text.tokens) for text in texts)
    # Thirty tokens of the first, thirty of the second, ten a step.
    assert steps == [[[], []]] * 3 + [[first, []]] * 3 + [[first, second]]


def test_what_was_said_while_nobody_guessed_is_read_first() -> None:
    one, text = drafter(), RowSpeculation([1, 2, 3])
    guesses(one, text)
    for token in range(2 * SHORT):
        text.append(token)
    one.begin_step()
    assert one.draft(0, text, 3) == []
    assert guesses(one, text) == greedy(text.tokens)


def test_more_texts_than_rows_take_them_from_each_other() -> None:
    one, texts = drafter(slots=2), [RowSpeculation([n, 1, 2]) for n in range(5)]
    for number in (0, 1, 2, 3, 4, 0, 4, 2, 2, 1):
        text = texts[number]
        assert guesses(one, text) == greedy(text.tokens)
        text.append(number)


def test_a_row_in_use_is_not_taken() -> None:
    one = drafter(slots=1)
    first, second = RowSpeculation([1, 2, 3]), RowSpeculation([4, 5, 6])
    for _ in range(5):
        one.begin_step()
        assert one.draft(0, first, 3) == greedy(first.tokens)
        assert one.draft(1, second, 3) == []
    assert guesses(one, second) == greedy(second.tokens)


def test_a_beginning_that_another_row_has_is_copied() -> None:
    decoder = FakeDecoder(2)
    one = SmallModelDrafter(decoder, 50, 1000)
    prompt = list(range(40))
    guesses(one, RowSpeculation([*prompt, 41]))
    decoder.runs.clear()
    candidate = RowSpeculation([*prompt, 42])
    assert guesses(one, candidate) == greedy(candidate.tokens)
    assert sum(tokens for _, _, tokens in decoder.runs) == 3


def test_texts_that_are_too_long_for_it_get_no_guess() -> None:
    one = drafter(max_length=8)
    assert len(guesses(one, RowSpeculation([1, 2, 3, 4, 5]))) == 3
    assert len(guesses(one, RowSpeculation([1, 2, 3, 4, 5, 6]))) == 2
    one.begin_step()
    assert one.draft(0, RowSpeculation(list(range(9))), 3) == []


def test_tokens_beyond_the_checking_models_vocabulary_are_not_guessed() -> None:
    padded = SmallModelDrafter(FakeDecoder(vocabulary=50), vocabulary=4, read_most=1000)
    assert max(guesses(padded, RowSpeculation([1, 2, 3]))) < 4


def test_a_run_of_it_that_fails_leaves_nothing_wrong_behind() -> None:
    decoder = FakeDecoder(1)
    one, text = SmallModelDrafter(decoder, 50, 1000), RowSpeculation([1, 2, 3])
    first = greedy(text.tokens)
    decoder.failing.add((1, 2, 3, first[0]))
    with pytest.raises(RuntimeError):
        guesses(one, text)
    decoder.failing.clear()
    text.append(9)
    assert guesses(one, text) == greedy(text.tokens)


def test_rows_that_gave_way_go_on_as_they_would_have() -> None:
    small = SmallModelDrafter(GuessingWell(1), 50, read_most=4)
    driver = Driver(FakeDecoder(1), speculate=SPECULATE, drafter=small, swap_bytes=10**6)
    batch = prepared((1, 2, 3), max_tokens=30, priority=Priority.BATCH)
    urgent = prepared((4, 5), max_tokens=10)
    driver.engine.submit(0, batch)
    driver.step(6)
    driver.engine.submit(1, urgent)
    driver.drain()
    assert driver.engine.counts().preemptions == 1
    assert driver.engine.counts().accepted_tokens > 0
    assert driver.tokens(0) == solo(batch, driver)
    assert driver.tokens(1) == solo(urgent, driver)


# Real kernels: two Llamas of different sizes, one vocabulary.


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tmp_path_factory.mktemp("large"), tmp_path_factory.mktemp("small")


def large(folders: tuple[Path, Path], slots: int = 8) -> DecoderSession:
    return opened(small_llama(layers=2), folders[0], slots)


def real_drafter(folders: tuple[Path, Path], slots: int = 8) -> SmallModelDrafter:
    """Of the large one's embedding and first layer, so that they agree now and then."""
    small = small_llama(layers=1)
    small.load_state_dict(small_llama(layers=2).state_dict(), strict=False)
    return SmallModelDrafter(opened(small, folders[1], slots), VOCABULARY, 64)


def run(folders: tuple[Path, Path], *, speculate: int, drafter_slots: int = 8) -> Run:
    """The clock stands still, so nothing is found not to pay."""
    options = EngineOptions(prefill_chunk=64, max_waiting=1000, speculate=speculate)
    small = real_drafter(folders, drafter_slots) if speculate else None
    return Run(large(folders), options, small, clock=lambda: 0.0)


def mixed_requests() -> list[PreparedRequest]:
    numbers = np.random.default_rng(3)
    return [
        prepared(
            numbers.integers(0, VOCABULARY - 1, int(length)).tolist(),
            max_tokens=40,
            seed=number,
            temperature=0.0 if number % 2 else 0.9,
            top_p=0.9,
            repetition_penalty=1.2 if number % 3 == 0 else 1.0,
        )
        for number, length in enumerate(numbers.integers(1, 120, 14))
    ]


@pytest.mark.parametrize("drafter_slots", [1, 8])
def test_greedy_and_drawn_answers_are_the_same_to_the_token(
    folders: tuple[Path, Path], drafter_slots: int
) -> None:
    plain = run(folders, speculate=0)
    fast = run(folders, speculate=SPECULATE, drafter_slots=drafter_slots)
    for one in (plain, fast):
        for ticket, request in enumerate(mixed_requests()):
            one.engine.submit(ticket, request)
        one.drain()
        assert one.errors == {}
        assert one.engine.holds_nothing
    counts = fast.engine.counts()
    assert 0 < counts.accepted_tokens < counts.drafted_tokens
    for ticket in range(14):
        assert fast.tokens(ticket) == plain.tokens(ticket)


def test_draws_have_the_models_distribution(folders: tuple[Path, Path]) -> None:
    """Pairs of tokens after the first, over 2,000 draws, against the model's own probabilities."""
    prompt, top_k, draws = [3, 1, 4, 1, 5], 3, 2000
    one = run(folders, speculate=2)
    for ticket in range(draws // 100):
        request = prepared(
            prompt, max_tokens=4, seed=1000 + ticket, candidates=100, temperature=1.5, top_k=top_k
        )
        one.engine.submit(ticket, request)
        one.drain()
    counts = one.engine.counts()
    assert 0 < counts.accepted_tokens < counts.drafted_tokens
    said = Counter(
        tuple(one.tokens(ticket, candidate)[:3])
        for ticket in range(draws // 100)
        for candidate in range(100)
    )
    wanted = {
        triple: draws * p for triple, p in likely(large(folders), prompt, 3, top_k, 1.5).items()
    }
    assert set(said) <= set(wanted)
    common = {triple: mean for triple, mean in wanted.items() if mean >= 5}
    chi_square = sum((said[triple] - mean) ** 2 / mean for triple, mean in common.items())
    freedom = len(common) - 1
    assert freedom > 5
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)  # four standard deviations


def likely(
    decoder: DecoderSession, prompt: list[int], length: int, top_k: int, temperature: float
) -> dict[tuple[int, ...], float]:
    """Every continuation and its probability; an end token ends it."""
    found: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(length):
        longer: dict[tuple[int, ...], float] = {}
        for said, p in found.items():
            if said and said[-1] == END_ID:
                longer[said] = p
                continue
            ids = np.array([[*prompt, *said]], np.int64)
            logits = decoder.run(0, ids, np.zeros(1, np.int32))[0].astype(np.float64)
            best = np.argsort(logits)[-top_k:]
            weights = np.exp((logits[best] - logits.max()) / temperature)
            for token, weight in zip(best.tolist(), weights / weights.sum(), strict=True):
                longer[*said, token] = p * float(weight)
        found = longer
    return found


# From a profile.


def saved(folder: Path, layers: int) -> Path:
    model = small_llama(layers=layers)
    model.generation_config.eos_token_id = END_ID
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text(TOKENIZER.serialized())
    return folder


def replica_args(home: Path, draft: str) -> ReplicaArgs:
    text = TextEngine(
        precision="fp32", slots=2, context=128, prefill_chunk=32, speculate=SPECULATE,
        draft_card=draft,
    )  # fmt: skip
    return ReplicaArgs(
        deployment="test",
        card=Garden(home).card("large"),
        resources=Resources(threads=1),
        scaling=Scaling(),
        queue=Queue(),
        text=text,
    )


def test_a_profile_names_the_card_that_guesses(tmp_path: Path) -> None:
    garden = Garden(tmp_path / "home")
    garden.add(saved(tmp_path / "large", layers=2), card_id="large")
    garden.add(saved(tmp_path / "small", layers=1), card_id="small")
    args = replica_args(tmp_path / "home", "small")
    prepare_model(args, tmp_path / "home", Silent())
    model = open_model(args, tmp_path / "home")
    assert isinstance(model.drafter, SmallModelDrafter)
    text = RowSpeculation([1, 2, 3])
    model.drafter.begin_step()
    assert len(model.drafter.draft(0, text, SPECULATE)) == SPECULATE
    assert model.decoder.slots == 2
    shutil.rmtree(tmp_path / "home")


def test_a_card_of_another_vocabulary_is_refused() -> None:
    other = byte_tokenizer(words=("the", " lake"))
    with pytest.raises(ProfileInvalid, match=r"small cannot guess for large.*absent"):
        require_same_vocabulary(TOKENIZER, other, "large", "small")
    require_same_vocabulary(TOKENIZER, byte_tokenizer(), "large", "small")


def test_the_precision_of_drafts_is_the_draft_cards_where_there_is_one() -> None:
    text = TextEngine(draft_card="small", draft_precision="int4")
    assert checking_engine(text).draft_precision is None
    assert checking_engine(text.model_copy(update={"draft_card": None})).draft_precision == "int4"
