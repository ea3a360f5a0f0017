"""The real gateway application on a loopback port; its router answers without models."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import uvicorn
from gateway_fakes import RUNNING, FakeDispatcher, FakeSink, database_url, no_targets
from native_fakes import NativeDispatcher, native_args

from bestiary.profile.applications import GatewayArgs
from bestiary.profile.models import Gateway, Limits
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.gateway.image_store import ImageStore

STARTS_WITHIN_S = 20


class LoopbackGateway:
    """`home` is a BESTIARY_HOME with the key of `url`."""

    def __init__(
        self,
        home: Path,
        args_of: Callable[[Gateway], GatewayArgs] = native_args,
        dispatcher: Callable[[GatewayArgs], FakeDispatcher] = NativeDispatcher,
    ) -> None:
        self.home = home
        upgrade(database_url(home))
        self._database = Database(database_url(home))
        keys = Keys(self._database)
        self.key = keys.create("tests", scopes=[KeyScope.INFERENCE]).secret
        (home / "key").write_text(self.key)
        args = args_of(Gateway(limits=Limits(requests_per_minute=100_000)))
        self.router = dispatcher(args)
        images = ImageStore(home / "images", max_bytes=10**7, max_age_s=60)
        others = Collaborators(
            self.router, lambda: RUNNING, keys.verify, FakeSink(), no_targets, images
        )
        config = uvicorn.Config(gateway_application(args, others), log_level="error")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> LoopbackGateway:
        self._thread.start()
        ends_at = time.monotonic() + STARTS_WITHIN_S
        while not self._server.started:
            assert time.monotonic() < ends_at
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._database.close()
