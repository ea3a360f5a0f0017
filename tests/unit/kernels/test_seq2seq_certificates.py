"""Certificates of encoder-decoders: measured once beside torch, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.tolerance import Tolerance
from bestiary.profile.models import Seq2SeqEngine
from bestiary.progress import Silent
from deployments.kernels.certificate_file import CERTIFICATE_FILE, read_certificate
from deployments.kernels.certificate_text import TEXT
from deployments.kernels.recurrent_reference import RecurrentReference
from deployments.kernels.seq2seq import build_seq2seq_once, open_seq2seq, prepare_seq2seq
from deployments.kernels.seq2seq_certify import seq2seq_builds
from tests.unit.kernels.small_seq2seqs import VOCABULARY, recurrent, t5

FP32 = Seq2SeqEngine(precision="fp32", max_target_tokens=32)
INT8 = Seq2SeqEngine(precision="int8", max_target_tokens=32)


def installed(folder: Path, architecture: str, **tolerance: Tolerance) -> InstalledModel:
    """With a tokenizer that has a token for each of the certificate text's first words."""
    words = dict.fromkeys(TEXT.split())
    names = {word: number + 3 for number, word in enumerate(list(words)[: VOCABULARY - 3])}
    tokenizer = Tokenizer(WordLevel(names | {"<unk>": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    card = ModelCard(
        id="small",
        family=Family.SEQ2SEQ,
        architecture=architecture,
        title="small",
        parameters=1000,
        context_length=64,
        license="none",
        provenance="random",
        sources=(Source(url=folder.as_uri()),),
        tolerance=tolerance,  # type: ignore[arg-type]  # by name
    )
    return InstalledModel(card=card, path=folder, revision="1" * 64)


def test_float32_is_certified_as_equal(tmp_path: Path) -> None:
    t5(tmp_path / "model")
    model = installed(tmp_path / "model", "T5ForConditionalGeneration")
    home = tmp_path / "home"
    prepare_seq2seq(model, FP32, home, Silent())
    (build,) = seq2seq_builds(home, model.revision)
    assert build.certificate is not None
    parity = build.certificate.parity
    assert parity is not None
    assert parity.kl < 1e-6
    assert parity.top1 == 1
    assert parity.perplexity == pytest.approx(parity.reference_perplexity, rel=1e-5)
    assert build.certificate.tokens == 8 * 24


def test_a_build_outside_its_cards_tolerance_is_refused(tmp_path: Path) -> None:
    t5(tmp_path / "model")
    strict = {"int8": Tolerance(max_kl=0, min_top1=1)}
    model = installed(tmp_path / "model", "T5ForConditionalGeneration", **strict)
    for use in (prepare_seq2seq, lambda m, e, h, p: open_seq2seq(m, e, 1, h, p)):
        with pytest.raises(KernelError, match="small in int8 is outside its tolerance"):
            use(model, INT8, tmp_path / "home", Silent())


def test_a_certificate_is_made_once(tmp_path: Path) -> None:
    t5(tmp_path / "model")
    model = installed(tmp_path / "model", "T5ForConditionalGeneration")
    folder = prepare_seq2seq(model, FP32, tmp_path / "home", Silent())
    first = (folder / CERTIFICATE_FILE).stat().st_mtime_ns
    prepare_seq2seq(model, FP32, tmp_path / "home", Silent())
    assert (folder / CERTIFICATE_FILE).stat().st_mtime_ns == first


@pytest.mark.parametrize("attention", [True, False])
def test_the_recurrent_one_is_certified_by_a_reference_of_its_own(
    attention: bool, tmp_path: Path
) -> None:
    recurrent(tmp_path / "model", attention=attention)
    model = installed(tmp_path / "model", "RecurrentSeq2Seq")
    certificate = read_certificate(prepare_seq2seq(model, FP32, tmp_path / "home", Silent()))
    assert certificate is not None
    assert certificate.parity is not None, certificate.not_certified
    assert certificate.parity.kl < 1e-6
    assert certificate.parity.top1 == 1


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_that_reference_computes_what_the_zoos_module_does(
    attention: bool, tied: bool, tmp_path: Path
) -> None:
    module = recurrent(tmp_path / "model", attention=attention, tied=tied)
    sources, lengths = np.array([[5, 9, 40, 2, 0], [7, 31, 12, 66, 2]]), np.array([4, 5])
    ids, logits = RecurrentReference(tmp_path / "model").written(sources, lengths, 6)
    given = (torch.from_numpy(part) for part in (sources, lengths, ids[:, :-1]))
    with torch.inference_mode():
        expected, _ = module(*given)
    np.testing.assert_allclose(logits, expected.numpy(), atol=2e-5)


def test_a_model_without_tokenizer_is_not_certified_and_still_opens(tmp_path: Path) -> None:
    recurrent(tmp_path / "model")
    model = installed(tmp_path / "model", "RecurrentSeq2Seq")
    (tmp_path / "model" / "tokenizer.json").unlink()
    certificate = read_certificate(prepare_seq2seq(model, INT8, tmp_path / "home", Silent()))
    assert certificate is not None
    assert certificate.parity is None
    assert "tokenizer.json" in certificate.not_certified
    assert certificate.speed is not None
    open_seq2seq(model, INT8, 1, tmp_path / "home", Silent())


def test_a_build_with_a_file_cut_off_is_built_again(tmp_path: Path) -> None:
    t5(tmp_path / "model")
    model = installed(tmp_path / "model", "T5ForConditionalGeneration")
    folder = build_seq2seq_once(model, "fp32", tmp_path / "home", Silent())
    weights = folder / "decoder" / "model.weights"
    whole = weights.stat().st_size
    weights.write_bytes(b"cut")
    build_seq2seq_once(model, "fp32", tmp_path / "home", Silent())
    assert weights.stat().st_size == whole
