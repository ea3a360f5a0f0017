#!/usr/bin/env python3
"""Writes `bestiary.json`, the Grafana dashboard, out of `panels.py`.

    python k8s/grafana/build_dashboard.py           # writes it
    python k8s/grafana/build_dashboard.py --check   # fails where the file is not up to date

Needs `grafana-foundation-sdk==1769699379!11.6.0` (the epoch matters: a plain install
takes Grafana 10's). Knows Grafana's JSON, nothing of metrics.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from panels import Graph, Query, rows

OUTPUT = Path(__file__).with_name("bestiary.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GRAPH_HEIGHT = 8
NUMBER_HEIGHT = 4
VARIABLES = {"tier": "Tier", "model": "Model"}


def build() -> str:
    """The dashboard as JSON text."""
    board = (
        dashboard.Dashboard("Bestiary")
        .uid("bestiary")
        .description("Requests, latency, where the time goes, how full the engines are.")
        .tags(["bestiary", "genai", "ray"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Source").type("prometheus")
        )
    )
    for name, label in VARIABLES.items():
        board.with_variable(_variable(name, label))
    ids = itertools.count(1)  # links to a panel carry its id
    for row in rows():
        board.with_row(dashboard.Row(row.title).id(next(ids)))
        for graph in row.graphs:
            panel = _number(graph) if graph.number else _time_series(graph)
            board.with_panel(panel.id(next(ids)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _variable(name: str, label: str) -> dashboard.QueryVariable:
    """Values are those that requests carried."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(f"label_values(bestiary_requests_total, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )


def _number(graph: Graph) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(graph.title)
        .description(graph.why)
        .datasource(SOURCE)
        .unit(graph.unit)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(graph.width)
        .height(NUMBER_HEIGHT)
    )
    for index, query in enumerate(graph.queries):
        panel.with_target(_target(query, index))
    return panel


def _time_series(graph: Graph) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.why)
        .datasource(SOURCE)
        .unit(graph.unit)
        .min(0)
        .fill_opacity(40 if graph.stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .legend(legend)
        .span(graph.width)
        .height(GRAPH_HEIGHT)
    )
    if graph.stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for index, query in enumerate(graph.queries):
        panel.with_target(_target(query, index))
    return panel


def _target(query: Query, index: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .ref_id(chr(ord("A") + index))
        .expr(query.expression)
        .legend_format(query.legend)
        .range()
    )


def main(arguments: list[str]) -> int:
    text = build()
    if "--check" in arguments:
        if OUTPUT.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{OUTPUT} is not up to date: run {Path(__file__).name}\n")
            return 1
        return 0
    OUTPUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
