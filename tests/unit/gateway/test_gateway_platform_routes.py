"""Probes, the metrics page and the API's own documentation."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from gateway_fakes import RUNNING, gateway_args
from starlette.testclient import TestClient

from services.gateway.application import gateway_application
from services.gateway.exposition import merged
from services.gateway.metrics import FRESH_S, MetricsPage, discovered
from services.router.loads import DeploymentLoad, DeploymentState

PAGE = """# HELP python_info Python platform information
# TYPE python_info gauge
python_info{version="3.11"} 1.0
# HELP ray_bestiary_requests_total Requests
# TYPE ray_bestiary_requests_total counter
ray_bestiary_requests_total{NODE,model="a",otel_scope_name="x.y",otel_scope_version=""} 2.0
# HELP ray_node_mem_used Memory
# TYPE ray_node_mem_used gauge
ray_node_mem_used{NODE} 5.0
"""


def page_of(node: str) -> str:
    return PAGE.replace("NODE", f'Node="{node}"')


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
def test_operators_need_no_key(door, path):
    assert door.client.get(path, headers={"authorization": ""}).status_code == 200


def test_ready_tells_tiers_deployments_and_what_is_absent(door):
    report = door.client.get("/readyz").json()

    assert report["ready"] is True
    assert report["tiers"]["bison"] == {
        "deployment": "small",
        "model": "tiny-instruct",
        "ready": True,
    }
    assert report["deployments"]["vectors"]["state"] == "running"
    assert report["absent"] == {"large": "no installed card is large enough"}


@pytest.mark.parametrize("state", [DeploymentState.COLD, DeploymentState.LOST, None])
def test_not_ready_while_a_deployment_cannot_answer(door, state):
    loads = {"vectors": RUNNING["vectors"]}
    if state is not None:
        loads["small"] = DeploymentLoad(state, replicas=0)
    others = replace(door.others, loads=lambda: loads)

    with TestClient(gateway_application(gateway_args(), others)) as client:
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["tiers"]["gecko"]["ready"] is False
    assert response.json()["deployments"]["vectors"]["ready"] is True


def test_overload_is_still_ready(door):
    loads = {**RUNNING, "small": DeploymentLoad(DeploymentState.OVERLOADED)}
    others = replace(door.others, loads=lambda: loads)

    with TestClient(gateway_application(gateway_args(), others)) as client:
        assert client.get("/readyz").status_code == 200


def test_every_route_is_described(door):
    document = door.client.get("/openapi.json").json()

    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("description"), path
    for reference in {part.split('"')[0] for part in json.dumps(document).split('"$ref": "')[1:]}:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_cross_origin_requests_are_not_invited(door):
    headers = door.client.get("/v1/models", headers={"origin": "https://evil.example"}).headers

    assert "access-control-allow-origin" not in headers


def test_pages_of_several_agents_become_one():
    lines = merged([page_of("1"), page_of("2")]).splitlines()

    assert lines == [
        "# HELP bestiary_requests_total Requests",
        "# TYPE bestiary_requests_total counter",
        'bestiary_requests_total{Node="1",model="a"} 2.0',
        'bestiary_requests_total{Node="2",model="a"} 2.0',
        "# HELP ray_node_mem_used Memory",
        "# TYPE ray_node_mem_used gauge",
        'ray_node_mem_used{Node="1"} 5.0',
        'ray_node_mem_used{Node="2"} 5.0',
    ]


def test_no_agents_no_page():
    assert merged([]) == ""


@asynccontextmanager
async def agent(page: str):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = page.encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_agent_that_never_was_there_is_left_out():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{unused.getsockname()[1]}"
        async with agent(page_of("1")) as alive:

            async def targets():
                return (alive, dead)

            text = (await MetricsPage(targets).text()).decode()

    assert 'bestiary_requests_total{Node="1",model="a"} 2.0' in text
    assert "bestiary_metrics_targets 1\n" in text
    assert "bestiary_metrics_dead_fetches_total 0\n" in text


async def test_an_agent_that_stops_answering_is_counted():
    async with agent(page_of("1")) as alive:

        async def targets():
            return (alive,)

        page = MetricsPage(targets)
        await page.text()
    await asyncio.sleep(FRESH_S)
    text = (await page.text()).decode()

    assert "bestiary_metrics_targets 0\n" in text
    assert "bestiary_metrics_dead_fetches_total 1\n" in text


async def test_a_page_is_kept_for_a_moment():
    asked = []

    async def targets():
        asked.append(1)
        return ()

    page = MetricsPage(targets)
    await asyncio.gather(*(page.text() for _ in range(5)))

    assert len(asked) == 1


def test_targets_come_from_rays_discovery_file(tmp_path):
    file = tmp_path / "prom.json"
    assert discovered(file) == ()
    file.write_text('[{"labels": {"job": "ray"}, "targets": ["10.0.0.1:1", "10.0.0.2:2"]}]')

    assert discovered(file) == ("10.0.0.1:1", "10.0.0.2:2")
