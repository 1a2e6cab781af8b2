"""What a code location shows, as one page: asset keys, edges, partitions, checks, jobs, ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from aiqc_dagster.build.experiment import of_experiment, whole

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

from small_experiment import declare


def test_the_graph_of_an_experiment_is_this(snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    experiment = declare(schedule="0 6 * * *", source=tmp_path / "rows.csv")
    defs = whole(of_experiment(experiment))
    assert "\n".join(page(defs)) == snapshot


def page(defs: dg.Definitions) -> list[str]:
    """Return a line for each thing that there is."""
    graph = defs.resolve_asset_graph()
    lines: list[str] = []
    for key in sorted(graph.get_all_asset_keys(), key=str):
        node = graph.get(key)
        parents = ", ".join(sorted(parent.path[-1] for parent in node.parent_keys)) or "-"
        lines.append(f"asset {key.to_user_string()} <- {parents} [{_dimensions(node)}]")
    lines += sorted(
        f"check {k.asset_key.to_user_string()}/{k.name}"
        f"{' blocking' if graph.get_check_spec(k).blocking else ''}"
        for k in graph.asset_check_keys
    )
    repository = defs.get_repository_def()
    lines += sorted(f"job {name}" for name in repository.job_names if not name.startswith("__"))
    lines += [f"schedule {s.name} {s.cron_schedule}" for s in repository.schedule_defs]
    return [*lines, *sorted(f"sensor {s.name}" for s in repository.sensor_defs)]


def _dimensions(node: object) -> str:
    defined = node.partitions_def
    if isinstance(defined, dg.MultiPartitionsDefinition):
        return " x ".join(d.name for d in defined.partitions_defs)
    name = getattr(defined, "name", None)
    return name or f"{len(defined.get_partition_keys())} static keys"
