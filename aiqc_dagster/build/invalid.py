"""A declaration that is wrong, as an asset that says so, while the other experiments load."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from aiqc_core.experiment.declaration import Fault
from aiqc_dagster.ui.markdown import plain

CHECK = "declaration"
MOST_LETTERS = 60
PLAIN_NAME = re.compile(rf"[A-Za-z0-9_]{{1,{MOST_LETTERS}}}")
OTHER = re.compile(r"[^A-Za-z0-9_]")
REMEDY = (
    "Mend the lines above and reload the code location. `aiqc check` prints the same, and the "
    "other experiments are not touched by it."
)


def key_of(path: Path, root: Path, document: int = 0) -> dg.AssetKey:
    """Return `<path>/faulty`, the key that shows the faults of a folder or a Python file.

    Dagster's names hold letters, digits and underscores. Another name of a user gets those, and a
    digest of itself, so that `iris copy` and `iris_copy` stay apart. `document` is the index in a
    YAML file.
    """
    parts = list(path.relative_to(root).parts or [root.name])
    parts[-1] = parts[-1].removesuffix(".py")
    last = "faulty" if document == 0 else f"faulty_{document + 1}"
    for i, part in enumerate(parts):
        if not PLAIN_NAME.fullmatch(part):
            digest = hashlib.sha256(part.encode(errors="surrogateescape")).hexdigest()
            parts[i] = f"{OTHER.sub('_', part)[:MOST_LETTERS]}_{digest[:6]}"
    return dg.AssetKey([*parts, last])


def build(key: dg.AssetKey, faults: Sequence[Fault]) -> dg.Definitions:
    """Return one asset that describes the faults; materialising it fails with them."""
    rows = "\n".join(f"| `{f.file.name}:{f.line or '-'}` | {plain(f.message)} |" for f in faults)
    described = (
        f"**This declaration has {len(faults)} fault(s), so nothing of it can run.**\n\n"
        f"| where | what is wrong, and what to do |\n|---|---|\n{rows}\n\n{REMEDY}"
    )
    shown = dg.MetadataValue.md(described)
    files = {str(f.file) for f in faults}
    check = dg.AssetCheckSpec(CHECK, asset=key, description="The declaration has no fault.")

    @dg.asset(
        key=key,
        group_name=key.path[0],
        description=described,
        kinds={"faulty"},
        metadata={"files": dg.MetadataValue.json(sorted(files)), "faults": len(faults)},
        check_specs=[check],
    )
    def faulty() -> Iterator[Any]:
        yield dg.AssetCheckResult(
            passed=False, check_name=CHECK, asset_key=key, metadata={"faults": shown}
        )
        raise dg.Failure(
            "\n".join([*map(str, faults), REMEDY]), {"faults": shown}, allow_retries=False
        )

    return dg.Definitions(assets=[faulty])
