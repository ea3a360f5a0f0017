"""The encoder application on a real Ray: started, called through a handle, failing typed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from bestiary.errors import ContextOverflow
from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import EncoderEngine, Queue, Resources, Scaling
from bestiary.progress import Silent
from bestiary.schemas.encoder import EmbeddingRequest
from deployments.encoder.app import build
from deployments.encoder.opening import prepare_encoder

pytestmark = pytest.mark.serve

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def home(installed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own, because kernels are built into it, with the models of the shared one."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(installed_home / "models")
    return home


@pytest.fixture(scope="module")
def handle(home: Path) -> Iterator[DeploymentHandle]:
    args = ReplicaArgs(
        deployment="minilm",
        card=Garden(home).card("all-minilm-l6-v2"),
        resources=Resources(cpus=0.2),
        scaling=Scaling(),
        queue=Queue(),
        encoder=EncoderEngine(),
    )
    prepare_encoder(args, home, Silent())
    with (
        # Its own cluster, never one that already runs; a short path, because sockets lie in it.
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            _temp_dir=folder,
            runtime_env={"env_vars": {"BESTIARY_HOME": str(home)}},
        ),
    ):
        serve.start(proxy_location="Disabled")
        try:
            yield serve.run(build(args.model_dump(mode="json")), name="minilm", route_prefix=None)
        finally:
            serve.shutdown()


def test_a_handle_answers_with_unit_vectors(handle: DeploymentHandle) -> None:
    request = EmbeddingRequest(request_id="r", inputs=("a guitar", "music"))
    result = handle.embed.remote(request).result(timeout_s=TIMEOUT_S)
    assert result.vectors.shape == (2, 384)
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), 1, atol=1e-5)
    assert handle.load.remote().result(timeout_s=TIMEOUT_S).running == 0


def test_an_error_keeps_its_type_on_the_way(handle: DeploymentHandle) -> None:
    request = EmbeddingRequest(request_id="r", inputs=("word " * 300,))
    with pytest.raises(RayTaskError) as raised:
        handle.embed.remote(request).result(timeout_s=TIMEOUT_S)
    assert isinstance(raised.value.cause, ContextOverflow)
    assert raised.value.cause.context_length == 256
