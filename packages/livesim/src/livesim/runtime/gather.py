"""From blocks of replications to their result."""

from __future__ import annotations

from typing import Any

import numpy as np

from livesim.measures import Ratio
from livesim.runs import Runs
from livesim.runtime.collector import Collector
from livesim.runtime.experiment import Experiment
from livesim.series import Course


def gather(experiment: Experiment, collector: Collector, warmup: float, status: str, seconds: float) -> Runs:
    """The result of what a collector has taken in."""
    blocks, paths = collector.blocks, tuple(collector.paths)
    columns = {path: at for at, path in enumerate(paths)}
    rows = np.full((collector.count, len(paths)), np.nan)
    for block in blocks:
        places = [[columns[path] for path in form] for form in block["paths"]]
        for replication, (form, values) in enumerate(zip(block["form"], block["values"], strict=True), block["first"]):
            if form >= 0:
                rows[replication, places[form]] = values
    return Runs(
        experiment,
        paths=paths,
        rows=rows,
        events=np.concatenate([np.empty(0, np.int64), *(block["events"] for block in blocks)]),
        errors=dict(collector.errors),
        warmup=warmup,
        course=course_of(blocks),
        status=status,
        reached=collector.reached if experiment.goals else None,
        seconds=seconds,
    )


def course_of(blocks: list[dict[str, Any]]) -> Course | None:
    """What was kept over time, (replication, interval, column); NaN where a replication failed or lacks a series."""
    forms = [{path: Ratio(*ratio) for path, ratio in form.items()} for block in blocks for form in block["ratios"]]
    shape = next((one.shape for block in blocks for one in block["courses"] if one is not None), None)
    if shape is None:
        return None
    start = max(block["course_start"] for block in blocks)
    if all(form == forms[0] for form in forms):  # always, for models of verbs
        blank = np.full(shape, np.nan)
        whole = [blank if one is None else one for block in blocks for one in block["courses"]]
        return Course(np.array(whole), start, forms[0])
    kinds = {path: ratio.below for form in forms for path, ratio in form.items()}
    ratios = {
        path: Ratio(2 * at + 1, below if below is None or below == 0 else 2 * at + 2)
        for at, (path, below) in enumerate(kinds.items())
    }
    rows = []
    for block in blocks:
        for form, one in zip(block["course_form"], block["courses"], strict=True):
            row = np.full((shape[0], 2 * len(kinds) + 1), np.nan)
            if one is not None:
                row[:, 0] = one[:, 0]
                for path, (above, below) in block["ratios"][form].items():
                    row[:, ratios[path].above] = one[:, above]
                    if below is not None:
                        row[:, ratios[path].above + 1] = one[:, below]
            rows.append(row)
    return Course(np.array(rows), start, ratios)
