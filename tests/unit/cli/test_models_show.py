"""`bestiary models show`: a card's builds, what they lost, and how fast they are here."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bestiary.cli.main import app
from bestiary.garden import Garden
from bestiary.garden.certificate import Certificate, Parity, Speed
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.certificate_file import write_certificate
from deployments.kernels.decoder_names import BUILD_VERSION

CARD = "smollm2-135m-instruct"
PARITY = Parity(kl=0.00412, top1=0.956, perplexity=42.4, reference_perplexity=42.6)
SPEED = Speed(decode_1=98.6, decode_16=706.2, prefill=1300.4)


@pytest.fixture
def home(installed_home: Path, tmp_path: Path) -> Path:
    """The installed models, and no builds yet."""
    (tmp_path / "models").symlink_to(installed_home / "models")
    return tmp_path


def _build(
    home: Path, precision: str, version: int = BUILD_VERSION, adapters: bool = False
) -> Path:
    options = [("positions", "8192"), *([("adapters", "read in place")] if adapters else [])]
    revision = Garden(home).installed(CARD).revision
    key = BuildKey("decoder", version, revision, precision, tuple(options))

    def write(folder: Path) -> None:
        (folder / "model.weights").write_bytes(bytes(3_000_000))

    return kernel_cache(home).get_or_build(key, write)


def _certificate(parity: Parity | None, reason: str = "") -> Certificate:
    return Certificate(
        format=1,
        card=CARD,
        revision="r",
        precision="int8",
        text_sha256="0" * 64,
        tokens=431,
        parity=parity,
        speed=SPEED,
        not_certified=reason,
        bytes=1,
        versions={},
        cpu="A Processor",
        provider="CPUExecutionProvider",
        made_at="2026-11-25T03:00:00+00:00",
    )


def _shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("BESTIARY_HOME", str(home))
    result = CliRunner().invoke(app, ["models", "show", CARD])
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.output.splitlines()]


def test_without_builds_it_says_how_they_come(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "builds none yet: bestiary setup makes them" in _shown(home, monkeypatch)


def test_each_build_is_shown_with_its_certificate(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificate(_build(home, "int8"), _certificate(PARITY))
    write_certificate(_build(home, "w8a16"), _certificate(None, "torch would need 9 GiB"))
    _build(home, "fp32", adapters=True)
    lines = _shown(home, monkeypatch)
    assert "int8 8192 3 0.00412 95.6% 42.40 (42.60) 99 706 1300 2026-11-25, A Processor" in lines
    assert "w8a16 8192 3 - - - 99 706 1300 not certified: torch would need 9 GiB" in lines
    uncertified = "- - - - - - not certified: bestiary setup measures it"
    assert f"fp32 + adapters 8192 3 {uncertified}" in lines


def test_builds_of_an_older_writer_are_not_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _build(home, "int8", version=BUILD_VERSION - 1)
    assert "builds none yet: bestiary setup makes them" in _shown(home, monkeypatch)
