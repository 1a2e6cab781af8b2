"""An asset of your own behind a declared experiment: new patients, sorted by their risk.

    dagster dev -m aiqc_dagster.definitions -f examples/own_asset.py

It depends on `breast_cancer/champion`, so that Dagster shows it downstream of the model in use and
can materialise it whenever another model was promoted.
"""

from __future__ import annotations

import dagster as dg
from sklearn.datasets import load_breast_cancer

from aiqc_dagster.resources import CacheResource, MetastoreResource


@dg.asset(
    deps=[
        dg.AssetDep(
            dg.AssetKey(["breast_cancer", "champion"]), partition_mapping=dg.LastPartitionMapping()
        )
    ],
    group_name="clinic",
)
def triage(metastore: MetastoreResource, cache: CacheResource) -> dg.MaterializeResult:
    """Twenty patients, those first whose tumour is most likely malignant."""
    patients = load_breast_cancer(as_frame=True).data.sample(20, random_state=1)
    champion = metastore.champion("breast_cancer")
    said = champion.predictor.predict(patients)
    ranked = said.sort_values("probability_malignant", ascending=False)
    return dg.MaterializeResult(
        metadata={
            "predictor_id": champion.predictor.id,
            "cached_MB": cache.size_bytes() / 2**20,
            "patients": dg.MetadataValue.md(ranked.head(10).to_markdown()),
        }
    )


defs = dg.Definitions(
    assets=[triage], resources={"metastore": MetastoreResource(), "cache": CacheResource()}
)
