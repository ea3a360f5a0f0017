"""A gateway that tunes: real files, jobs and data checks, a router without models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway_fakes import (
    RUNNING,
    FakeDispatcher,
    FakeSink,
    database_url,
    encoder_card,
    gateway_args,
    no_targets,
    text_card,
)
from starlette.testclient import TestClient

from bestiary.garden import Garden
from bestiary.garden.card import Family
from bestiary.profile.applications import GatewayArgs, ServedModel
from bestiary.profile.models import Deployment, EncoderEngine, TextEngine, Tuning
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.tuning.service import TuningService

TEXT_MODEL = "smollm2-135m-instruct"
ENCODER_MODEL = "all-minilm-l6-v2"
CHATS = [
    {
        "messages": [
            {"role": "user", "content": f"What is {number} and one?"},
            {"role": "assistant", "content": f"It is {number + 1}."},
        ]
    }
    for number in range(24)
]
MAX_FILE_MB = 1.0


def jsonl(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def tuning_args(tuning: Tuning | None) -> GatewayArgs:
    """The gecko and the encoder are models that are installed."""
    args = gateway_args()
    deployments = {
        **args.profile.deployments,
        "small": Deployment(card=TEXT_MODEL, text=TextEngine(context=256)),
        "vectors": Deployment(card=ENCODER_MODEL, encoder=EncoderEngine()),
    }
    aliases = {**args.profile.aliases, "embedding-gecko-001": ENCODER_MODEL}
    profile = args.profile.model_copy(
        update={"deployments": deployments, "tuning": tuning, "aliases": aliases}
    )
    encoder = encoder_card().model_copy(update={"id": ENCODER_MODEL})
    return GatewayArgs(
        profile=profile,
        served=(
            ServedModel(deployment="small", family=Family.TEXT, card=text_card(TEXT_MODEL)),
            ServedModel(deployment="vectors", family=Family.ENCODER, card=encoder),
        ),
        absent=args.absent,
    )


@dataclass
class TuningDoor:
    """Its client's key has the scope `tuning` and no other."""

    client: TestClient
    service: TuningService
    keys: Keys

    def as_admin(self) -> dict[str, str]:
        secret = self.keys.create("admin", scopes=[KeyScope.ADMIN]).secret
        return {"authorization": f"Bearer {secret}"}

    def upload(self, content: bytes, name: str = "train.jsonl", purpose: str = "fine-tune") -> dict:
        response = self.client.post(
            "/v1/files", data={"purpose": purpose}, files={"file": (name, content)}
        )
        assert response.status_code == 200, response.text
        return response.json()

    def train(self, **more: object) -> dict:
        """A job on `CHATS`."""
        training_file = self.upload(jsonl(CHATS))["id"]
        body = {"model": "gecko", "training_file": training_file, **more}
        response = self.client.post("/v1/fine_tuning/jobs", json=body)
        assert response.status_code == 200, response.text
        return response.json()


@contextmanager
def tuning_door(folder: Path, installed_home: Path) -> Iterator[TuningDoor]:
    upgrade(database_url(folder))
    database = Database(database_url(folder))
    keys = Keys(database)
    settings = Tuning(max_file_mb=MAX_FILE_MB, price_per_cpu_hour=0.5)
    service = TuningService(database, folder / "files", Garden(installed_home), settings)
    args = tuning_args(settings)
    others = Collaborators(
        FakeDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets, tuning=service
    )
    secret = keys.create("tests", scopes=[KeyScope.TUNING]).secret
    headers = {"authorization": f"Bearer {secret}"}
    with TestClient(gateway_application(args, others), headers=headers) as client:
        yield TuningDoor(client, service, keys)
    database.close()
