"""Rules are valid, alert when they should, and know the tiers' targets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bestiary.profile.load import load_profile

REPOSITORY = Path(__file__).resolve().parents[2]
RULES = REPOSITORY / "k8s" / "prometheus" / "rules.yaml"
TARGET = "bestiary:ttft_p95_target_seconds"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here: apt-get install prometheus"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_promtool
def test_the_rules_are_valid() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", str(Path(__file__).with_name("rules_test.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test() -> None:
    tested = Path(__file__).with_name("rules_test.yaml").read_text(encoding="utf-8")
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert [alert for alert in alerts if f"alertname: {alert}\n" not in tested] == []


def test_the_targets_are_those_of_the_gpu_profile() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found = {
        rule["labels"]["tier"]: rule["expr"]
        for group in groups
        for rule in group["rules"]
        if rule.get("record") == TARGET
    }
    expected = {
        str(tier): f"vector({binding.ttft_p95_target_ms / 1000:g})"
        for tier, binding in load_profile("gpu").tiers.items()
        if binding.ttft_p95_target_ms is not None
    }
    assert found == expected
