"""Keeps Serve's replica-to-replica port on loopback.

A Serve replica opens a gRPC port on every interface (`[::]:0`, Ray 2.60
`serve/_private/replica.py`). On a laptop nothing outside may reach it, so this
runs in each Ray worker before anything else (`worker_process_setup_hook`) and
narrows the address. Everything else of Ray follows its node address.
"""

from __future__ import annotations


def bind_to_loopback() -> None:
    """Replaces Ray's port opener by one that never leaves 127.0.0.1."""
    from ray._common import tls_utils

    opener = tls_utils.add_port_to_grpc_server

    def add_port_on_loopback(server: object, address: str) -> int:
        return int(opener(server, address.replace("[::]:", "127.0.0.1:")))

    tls_utils.add_port_to_grpc_server = add_port_on_loopback
