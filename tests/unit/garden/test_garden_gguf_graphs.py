"""A converted GGUF is what the kernels build a graph of: nothing is lost between the two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bestiary.garden.gguf.convert import Conversion
from bestiary.progress import Silent
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.garden.test_garden_gguf_conversion import MODELS, WriteGguf, logits, random_model


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_says_what_the_model_said_that_was_written(
    name: str, write_gguf: WriteGguf, tmp_path: Path
) -> None:
    model = random_model(name)
    Conversion(write_gguf(model)).write(tmp_path, Silent())
    built = tmp_path / "built"
    built.mkdir()
    build_decoder(tmp_path, built, "fp32", Writing(64))
    session = open_session(built / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
    decoder = DecoderSession(session, HostPool(pool_shape(session, 1, 64)))
    prompt = np.arange(0, 60, 3, dtype=np.int64)[np.newaxis]
    found = decoder.run(0, prompt, np.zeros(1, np.int32), every=True)
    np.testing.assert_allclose(found, logits(model)[0], atol=2e-4)
