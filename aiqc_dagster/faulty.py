"""A declaration that is wrong, as an asset that says so, while the other experiments load."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from aiqc_core.declaration import Fault
from aiqc_dagster.inert import plain

CHECK = "declaration"
REMEDY = (
    "Mend the lines above and reload the code location. `aiqc check` prints the same, and the "
    "other experiments are not touched by it."
)


def key_of(folder: Path, root: Path) -> dg.AssetKey:
    """Return the key under which a folder's faults are shown, `<folder>/faulty`."""
    return dg.AssetKey([*(folder.relative_to(root).parts or [root.name]), "faulty"])


def build(key: dg.AssetKey, faults: Sequence[Fault]) -> dg.Definitions:
    """Return one asset that describes the faults; materialising it fails with them.

    Args:
        key: the asset's.
        faults: at least one.
    """
    rows = "\n".join(f"| `{f.file.name}:{f.line or '-'}` | {plain(f.message)} |" for f in faults)
    described = (
        f"**This declaration has {len(faults)} fault(s), so nothing of it can run.**\n\n"
        f"| where | what is wrong, and what to do |\n|---|---|\n{rows}\n\n{REMEDY}"
    )
    shown = dg.MetadataValue.md(described)
    files = {str(f.file) for f in faults}

    @dg.asset(
        key=key,
        group_name=key.path[0],
        description=described,
        kinds={"faulty"},
        metadata={"files": dg.MetadataValue.json(sorted(files)), "faults": len(faults)},
        check_specs=[
            dg.AssetCheckSpec(CHECK, asset=key, description="The declaration has no fault.")
        ],
    )
    def faulty() -> Iterator[Any]:
        yield dg.AssetCheckResult(
            passed=False, check_name=CHECK, asset_key=key, metadata={"faults": shown}
        )
        raise dg.Failure(
            "\n".join([*map(str, faults), REMEDY]), {"faults": shown}, allow_retries=False
        )

    return dg.Definitions(assets=[faulty])
