"""Certificates: made once by whoever prepares a model, beside torch; read by replicas."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.certificate import Certificate
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from deployments.kernels.adapter_memory import AdapterLimits
from deployments.kernels.build_cache import kernel_cache
from deployments.kernels.certificate_file import CERTIFICATE_FILE, decoder_builds
from deployments.kernels.certificate_reference import reference_of
from deployments.kernels.certificate_text import SHA256, TEXT
from deployments.kernels.decoder import open_decoder, prepare_decoder
from deployments.kernels.openvino import machine_openvino_probe, why_no_bfloat16
from tests.unit.kernels.certified_models import CHARACTERS, installed_model
from tests.unit.kernels.conftest import SmallModel
from tests.unit.kernels.rows import reference

INT8 = {"int8": {"max_kl": 0.05, "min_top1": 0.8}}

NO_BFLOAT16 = why_no_bfloat16(machine_openvino_probe())


@pytest.fixture(scope="module")
def prepared(
    llama: SmallModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[InstalledModel, Path]:
    """A home in which torch was asked already, which takes some seconds."""
    root = tmp_path_factory.mktemp("certified")
    model = installed_model(llama, root / "model", tolerance=INT8)
    prepare_decoder(model, _engine(), root / "home", Silent())
    return model, root / "home"


@pytest.fixture
def model(prepared: tuple[InstalledModel, Path]) -> InstalledModel:
    return prepared[0]


@pytest.fixture
def home(prepared: tuple[InstalledModel, Path], tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(prepared[1], tmp_path / "home")
    return tmp_path / "home"


def _engine(**fields: object) -> TextEngine:
    plain = {"precision": "int8", "prefill_precision": None, "slots": 2, "context": 128}
    return TextEngine.model_validate(plain | fields)


def _prepare(model: InstalledModel, home: Path, **engine: object) -> None:
    prepare_decoder(model, _engine(**engine), home, Silent())


def _with_card(model: InstalledModel, **card: object) -> InstalledModel:
    changed = model.card.model_dump() | card
    return InstalledModel(type(model.card).model_validate(changed), model.path, model.revision)


def _certificates(home: Path) -> dict[str, Certificate | None]:
    return {build.precision: build.certificate for build in decoder_builds(home, "r1")}


def _file(home: Path) -> Path:
    (found,) = (home / "cache" / "kernels").glob(f"*/{CERTIFICATE_FILE}")
    return found


def test_it_says_what_was_measured_on_what_with_what(home: Path) -> None:
    certificate = _certificates(home)["int8"]
    assert certificate is not None
    assert (certificate.card, certificate.revision, certificate.precision) == (
        "small",
        "r1",
        "int8",
    )
    assert (certificate.text_sha256, certificate.tokens) == (SHA256, 256)
    assert certificate.parity is not None
    assert 0 < certificate.parity.kl < 0.05
    assert certificate.parity.perplexity == pytest.approx(
        certificate.parity.reference_perplexity, rel=0.1
    )
    assert certificate.speed is not None
    assert certificate.speed.decode_16 > certificate.speed.decode_1 > 0
    assert certificate.bytes > 50_000
    assert {"torch", "transformers", "onnxruntime-gpu"} <= certificate.versions.keys()
    assert certificate.cpu
    assert certificate.provider == "CPUExecutionProvider"


def test_the_reference_is_what_torch_says_of_the_text(
    model: InstalledModel, llama: SmallModel, home: Path
) -> None:
    found = reference_of(model, kernel_cache(home))
    assert "".join(CHARACTERS[token] for token in found.ids) == TEXT[:256]
    expected = reference(llama.torch_model, found.ids.tolist())
    np.testing.assert_allclose(found.logits, expected, atol=1e-4)


def test_full_precision_has_no_divergence_and_all_first_choices(
    model: InstalledModel, home: Path
) -> None:
    _prepare(model, home, precision="fp32")
    certificate = _certificates(home)["fp32"]
    assert certificate is not None
    assert certificate.parity is not None
    assert certificate.parity.kl < 1e-8
    assert certificate.parity.top1 == 1


def test_it_is_written_once(model: InstalledModel, home: Path) -> None:
    before = _file(home).stat().st_mtime_ns
    _prepare(model, home)
    assert _file(home).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut short", "of another form", "gone"])
def test_a_damaged_one_is_made_again(model: InstalledModel, home: Path, damage: str) -> None:
    path = _file(home)
    if damage == "gone":
        path.unlink()
    else:
        text = path.read_text()
        path.write_text(text[:-20] if damage == "cut short" else text.replace("kl", "k1"))
    assert _certificates(home) == {"int8": None}
    _prepare(model, home)
    assert _certificates(home)["int8"] is not None


@pytest.mark.parametrize("stale", [{"cpu": "another"}, {"text_sha256": "0" * 64}, {"format": 0}])
def test_one_that_was_made_elsewhere_or_otherwise_is_made_again(
    model: InstalledModel, home: Path, stale: dict[str, object]
) -> None:
    path = _file(home)
    path.write_text(json.dumps(json.loads(path.read_text()) | stale))
    _prepare(model, home)
    made = json.loads(path.read_text())
    assert all(made[key] != value for key, value in stale.items())


def test_every_graph_of_a_mix_is_certified(model: InstalledModel, home: Path) -> None:
    _prepare(model, home, prefill_precision="w8a16", draft_precision="int4")
    found = _certificates(home)
    assert set(found) == {"int8", "w8a16", "int4"}
    assert all(certificate is not None for certificate in found.values())


@pytest.mark.skipif(bool(NO_BFLOAT16), reason=NO_BFLOAT16)
def test_a_graph_that_only_reads_prompts_is_certified_by_reading(
    model: InstalledModel, home: Path
) -> None:
    _prepare(model, home, prefill_precision="auto")
    certificate = _certificates(home)["bf16mix"]
    assert certificate is not None
    assert certificate.parity is not None
    assert certificate.parity.kl < 0.01
    assert certificate.speed is not None
    assert certificate.speed.decode_16 is None
    assert certificate.speed.prefill > 0
    strict = _with_card(model, tolerance={"bf16mix": {"max_kl": 0.0, "min_top1": 0.5}})
    with pytest.raises(KernelError, match="in bf16mix is outside its tolerance"):
        open_decoder(strict, _engine(prefill_precision="auto"), 1, home, Silent())


def test_a_build_outside_its_cards_tolerance_is_refused_with_the_numbers(
    model: InstalledModel, home: Path
) -> None:
    strict = _with_card(model, tolerance={"int8": {"max_kl": 1e-6, "min_top1": 0.5}})
    with pytest.raises(KernelError, match=r"KL is 0\.\d+ nats.*at most 1e-06 and 50\.0%.*fp32"):
        open_decoder(strict, _engine(), 1, home, Silent())
    choosy = _with_card(model, tolerance={"int8": {"max_kl": 1.0, "min_top1": 1.0}})
    with pytest.raises(KernelError, match=r"% of its first choices.*100\.0%"):
        _prepare(choosy, home)


def test_a_lossy_precision_has_to_be_allowed_by_the_card(model: InstalledModel, home: Path) -> None:
    with pytest.raises(KernelError, match=r"int4 is lossy.*its KL is .*tolerance: \{int4:"):
        _prepare(model, home, precision="int4")
    allowing = _with_card(model, tolerance={"int4": {"max_kl": 5, "min_top1": 0}})
    _prepare(allowing, home, precision="int4")
    assert open_decoder(allowing, _engine(precision="int4"), 1, home, Silent()).vocabulary == 160


def test_a_draft_may_be_lossy_because_it_is_checked(model: InstalledModel, home: Path) -> None:
    engine = _engine(draft_precision="int4")
    prepare_decoder(model, engine, home, Silent())
    assert open_decoder(model, engine, 1, home, Silent()).vocabulary == 160


def test_a_lossy_prefill_shows_and_is_refused(model: InstalledModel, home: Path) -> None:
    with pytest.raises(KernelError, match="w8row is lossy"):
        open_decoder(model, _engine(prefill_precision="w8row"), 1, home, Silent())


def test_a_build_that_nobody_measured_is_let_through_with_a_warning(
    model: InstalledModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        open_decoder(model, _engine(), 1, tmp_path, Silent())
    assert "small in int8 is not certified: `bestiary setup` measures it" in caplog.text
    assert _certificates(tmp_path) == {"int8": None}  # a replica measures nothing


def test_builds_with_adapters_are_certified_too(model: InstalledModel, home: Path) -> None:
    prepare_decoder(model, _engine(), home, Silent(), adapters=True)
    by_adapters = {"adapters" in build.options: build for build in decoder_builds(home, "r1")}
    plain, adapted = by_adapters[False].certificate, by_adapters[True].certificate
    assert plain is not None
    assert adapted is not None
    assert adapted.parity == plain.parity
    limits = AdapterLimits(1, 2)
    assert open_decoder(model, _engine(), 1, home, Silent(), adapters=limits).adapters is not None


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"parameters": 10**13}, r"torch would need \d+\.\d GiB in float32"),
        ({"architecture": "unknown"}, "torch cannot run it: .*unheard_of"),
        ({"title": "no tokenizer"}, "it has no tokenizer.json"),
    ],
)
def test_where_torch_cannot_compare_the_certificate_says_why(
    llama: SmallModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoilt: dict[str, object],
    reason: str,
) -> None:
    model = installed_model(llama, tmp_path / "model", **spoilt)
    if "architecture" in spoilt:
        config = model.path / "config.json"
        config.write_text(config.read_text().replace('"llama"', '"unheard_of"'))
    if spoilt.get("title") == "no tokenizer":
        (model.path / "tokenizer.json").unlink()
    with caplog.at_level(logging.WARNING):
        _prepare(model, tmp_path)
    certificate = _certificates(tmp_path)["int8"]
    assert certificate is not None
    assert certificate.parity is None
    assert certificate.speed is not None
    assert re.search(reason, certificate.not_certified)
    assert certificate.not_certified in caplog.text
    assert open_decoder(model, _engine(), 1, tmp_path, Silent()).slots == 2  # served all the same


def test_a_precision_for_devices_is_told_as_such(model: InstalledModel, home: Path) -> None:
    _prepare(model, home, precision="bf16")
    certificate = _certificates(home)["bf16"]
    assert certificate is not None
    assert certificate.not_certified.startswith("bf16 needs a GPU")
