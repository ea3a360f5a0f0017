"""The dashboard's JSON is what its generator writes, and asks only for metrics that exist."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

GRAFANA = Path(__file__).resolve().parents[2] / "k8s" / "grafana"
EXPORTED = {
    *(
        f"bestiary_{name}_{part}"
        for name in (
            "time_to_first_token_seconds",
            "inter_token_latency_seconds",
            "e2e_request_latency_seconds",
            *(
                f"request_{stage}_time_seconds"
                for stage in ("queue", "prefill", "decode", "gateway", "routing", "framework")
            ),
        )
        for part in ("bucket", "sum", "count")
    ),
    "bestiary_requests_total",
    "bestiary_prompt_tokens_total",
    "bestiary_generation_tokens_total",
    "bestiary_routes_total",
    "bestiary_num_requests_running",
    "bestiary_num_requests_waiting",
    "bestiary_kv_cache_usage_perc",
    "bestiary_prefix_cache_queries_total",
    "bestiary_prefix_cache_hits_total",
    "bestiary_drafted_tokens_total",
    "bestiary_accepted_tokens_total",
    "bestiary_preemptions_total",
    "bestiary_encoder_tokens_total",
    "bestiary_encoder_padding_tokens_total",
    "bestiary_images_total",
    "bestiary_image_images_total",
    "bestiary_image_cancelled_total",
    "bestiary_image_runs_total",
    "bestiary_image_evaluations_total",
    "bestiary_image_cached_steps_total",
    "ray_serve_deployment_replica_healthy",
}


def board() -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(
        (GRAFANA / "bestiary.json").read_text(encoding="utf-8")
    )
    return found


@pytest.mark.skipif(
    importlib.util.find_spec("grafana_foundation_sdk") is None,
    reason="the dashboard's generator needs grafana-foundation-sdk",
)
def test_the_json_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(GRAFANA / "build_dashboard.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_ask_only_for_metrics_that_are_exported() -> None:
    text = (GRAFANA / "bestiary.json").read_text(encoding="utf-8")
    asked = set(re.findall(r"\b(?:ray|bestiary)_[a-z0-9_]+", text))
    assert asked - EXPORTED == set()


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in board()["panels"]]
    assert len(ids) == len(set(ids))


def test_every_panel_says_why_it_is_there() -> None:
    panels = [panel for panel in board()["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in panels if not panel.get("description")] == []


def test_the_documented_metrics_are_those_that_are_exported() -> None:
    text = (GRAFANA.parents[1] / "docs" / "observability.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `bestiary_")]
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    exported = {re.sub(r"_(bucket|sum|count)$", "", name) for name in EXPORTED}
    assert documented == {name for name in exported if name.startswith("bestiary_")}
