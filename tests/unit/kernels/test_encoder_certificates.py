"""An encoder's certificate: measured beside torch, kept, made again, and held against bounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertPreTrainedModel,
)

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.encoder_certificate import EncoderCertificate, EncoderParity, HeadParity
from bestiary.garden.encoder_tolerance import EncoderTolerance
from bestiary.profile.models import EncoderEngine
from bestiary.progress import Silent
from deployments.kernels.certificate_file import write_certificate
from deployments.kernels.encoder import open_encoder, prepare_encoder_kernel
from deployments.kernels.encoder_certificate_file import (
    encoder_builds,
    read_encoder_certificate,
)
from deployments.kernels.encoder_probe import sentences
from deployments.kernels.encoder_runtime import encoder_precision, encoder_provider
from deployments.kernels.openvino import OPENVINO, machine_openvino_probe, why_no_bfloat16
from deployments.kernels.providers import CPU, CPU_ONLY, CUDA, ProviderChoice
from tests.unit.encoder.small_models import LONGEST, saved_model

EXACT = 1e-6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def installed(cls: type[BertPreTrainedModel], folder: Path, **card: object) -> InstalledModel:
    saved_model(cls, folder)
    fields: dict[str, object] = {
        "id": "small",
        "family": Family.ENCODER,
        "architecture": cls.__name__,
        "title": "Small",
        "parameters": 100_000,
        "context_length": LONGEST,
        "license": "MIT",
        "provenance": "a test",
        "sources": (Source(url="zoo://small"),),
    }
    return InstalledModel(ModelCard.model_validate(fields | card), folder, revision="r1")


def prepared(model: InstalledModel, home: Path, precision: str = "fp32") -> EncoderCertificate:
    engine = EncoderEngine.model_validate({"precision": precision})
    prepare_encoder_kernel(model, engine, home, Silent())
    by_precision = {build.precision: build for build in encoder_builds(home, model.revision)}
    found = by_precision[precision].certificate
    assert found is not None
    return found


def parity(certificate: EncoderCertificate) -> EncoderParity:
    assert certificate.parity is not None, certificate.not_certified
    return certificate.parity


def build_folder(home: Path) -> Path:
    return next(path.parent for path in home.rglob("certificate.json"))


def test_a_certificate_says_what_was_measured_and_where(tmp_path: Path, home: Path) -> None:
    found = prepared(installed(BertModel, tmp_path / "model"), home)
    assert parity(found).max_cosine_error < EXACT
    assert found.sentences == len(sentences()) > 20
    assert found.speed is not None
    assert min(found.speed.batch_1, found.speed.batch_32) > 0
    assert found.versions["onnxruntime-gpu"]
    assert found.host
    assert found.bytes > 0


@pytest.mark.parametrize(
    ("cls", "heads"),
    [
        (BertForPreTraining, {"word logits", "next logits"}),
        (BertForSequenceClassification, {"class logits"}),
        (BertForTokenClassification, {"token logits"}),
    ],
)
def test_every_head_is_measured(
    tmp_path: Path, home: Path, cls: type[BertPreTrainedModel], heads: set[str]
) -> None:
    found = parity(prepared(installed(cls, tmp_path / "model"), home))
    assert set(found.heads) == heads
    for head in found.heads.values():
        assert head.rows >= len(sentences()) - 1
        assert head.max_error < 1e-4
        assert head.mean_shift < 1e-5
        assert head.top1 == 1


def test_a_coarse_build_shows_its_error(tmp_path: Path, home: Path) -> None:
    found = parity(prepared(installed(BertForPreTraining, tmp_path / "model"), home, "w8a16"))
    assert EXACT < found.mean_cosine_error <= found.max_cosine_error
    assert found.heads["word logits"].max_error > 1e-3


def test_a_certificate_is_made_once(tmp_path: Path, home: Path) -> None:
    model = installed(BertModel, tmp_path / "model")
    prepared(model, home)
    path = build_folder(home) / "certificate.json"
    before = path.stat().st_mtime_ns
    prepared(model, home)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "stale", [{"cpu": "another"}, {"text_sha256": "0" * 64}, {"versions": {}}, {"format": 0}]
)
def test_one_that_was_made_elsewhere_or_otherwise_is_made_again(
    tmp_path: Path, home: Path, stale: dict[str, object]
) -> None:
    model = installed(BertModel, tmp_path / "model")
    first = prepared(model, home)
    write_certificate(build_folder(home), first.model_copy(update=stale))
    again = prepared(model, home)
    assert (again.cpu, again.text_sha256, again.format) == (first.cpu, first.text_sha256, 1)
    assert again.versions == first.versions


def test_a_damaged_certificate_is_none(tmp_path: Path, home: Path) -> None:
    prepared(installed(BertModel, tmp_path / "model"), home)
    folder = build_folder(home)
    (folder / "certificate.json").write_text("{")
    assert read_encoder_certificate(folder) is None


def test_a_build_outside_its_tolerance_is_refused_and_never_opens(
    tmp_path: Path, home: Path
) -> None:
    strict = {"w8a16": {"mean_cosine_error": 0, "max_cosine_error": 0, "head_shift": 0}}
    model = installed(BertModel, tmp_path / "model", encoder_tolerance=strict)
    engine = EncoderEngine(precision="w8a16")
    with pytest.raises(KernelError, match="outside its tolerance: its mean cosine error"):
        prepare_encoder_kernel(model, engine, home, Silent())
    with pytest.raises(KernelError, match="outside its tolerance"):
        open_encoder(model, engine, 1, home, Silent())


def test_a_model_without_a_tokenizer_is_let_through_with_the_reason(
    tmp_path: Path, home: Path
) -> None:
    model = installed(BertModel, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    found = prepared(model, home)
    assert found.parity is None
    assert "no tokenizer.json" in found.not_certified


def test_a_tokenizer_without_a_mask_leaves_words_unmeasured(tmp_path: Path, home: Path) -> None:
    model = installed(BertForPreTraining, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    path.write_text(path.read_text().replace("[MASK]", "[HOLE]"))
    assert Tokenizer.from_file(str(path)).token_to_id("[MASK]") is None
    assert set(parity(prepared(model, home)).heads) == {"next logits"}


def test_half_precision_needs_a_device(tmp_path: Path, home: Path) -> None:
    model = installed(BertModel, tmp_path / "model")
    with pytest.raises(KernelError, match="fp16 needs a GPU"):
        prepare_encoder_kernel(model, EncoderEngine(precision="fp16"), home, Silent())


def test_auto_is_something_that_runs_here(tmp_path: Path, home: Path) -> None:
    model = installed(BertModel, tmp_path / "model")
    prepare_encoder_kernel(model, EncoderEngine(precision="auto"), home, Silent())
    (build,) = encoder_builds(home, model.revision)
    assert build.precision in {"bf16mix", "w8a16", "int8"}


def test_builds_of_other_weights_are_not_shown(tmp_path: Path, home: Path) -> None:
    prepared(installed(BertModel, tmp_path / "model"), home)
    shutil.rmtree(tmp_path / "model")
    assert encoder_builds(home, "r2") == ()


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (EncoderParity(mean_cosine_error=0.02, max_cosine_error=0.02), "mean cosine error"),
        (EncoderParity(mean_cosine_error=0, max_cosine_error=0.2), "largest cosine error"),
        (
            EncoderParity(
                mean_cosine_error=0,
                max_cosine_error=0,
                heads={"next logits": HeadParity(rows=1, max_error=9, mean_shift=0.3, top1=0)},
            ),
            "next logits move by 0.3",
        ),
        (EncoderParity(mean_cosine_error=0.01, max_cosine_error=0.1), ""),
    ],
)
def test_what_is_outside_is_named(measured: EncoderParity, said: str) -> None:
    bounds = EncoderTolerance(mean_cosine_error=0.01, max_cosine_error=0.1, head_shift=0.1)
    found = measured.exceeds(bounds)
    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.skipif(
    bool(why_no_bfloat16(machine_openvino_probe())), reason="this CPU has no bfloat16"
)
def test_bfloat16_is_close_and_float32_is_exact_on_openvino(tmp_path: Path, home: Path) -> None:
    # Random weights are far from what the bounds were made for.
    wide = {"bf16mix": EncoderTolerance(mean_cosine_error=1, max_cosine_error=1, head_shift=1)}
    model = installed(BertForMaskedLM, tmp_path / "model", encoder_tolerance=wide)
    halves, floats = (prepared(model, home, precision) for precision in ("bf16mix", "fp32"))
    assert {halves.provider, floats.provider} == {OPENVINO}
    assert EXACT < parity(halves).mean_cosine_error < 1e-3
    assert parity(floats).max_cosine_error < EXACT


def test_without_bfloat16_it_is_refused_and_bytes_stay_onnx_runtimes() -> None:
    device = ProviderChoice((CUDA, CPU), "one CUDA device")
    with pytest.raises(KernelError, match="bf16mix does not run here"):
        encoder_precision("bf16mix", device)
    assert encoder_provider("fp32", device) == CUDA
    assert encoder_provider("w8row", CPU_ONLY) == CPU
