"""The metastore: its databases, fields, blobs and the base of its tables."""

from __future__ import annotations

from aiqc_core.orm.store.fields import digest_of
from aiqc_core.orm.store.process_identity import is_alive, this_process, working_for
from aiqc_core.orm.store.signing import fingerprint

__all__ = ["digest_of", "fingerprint", "is_alive", "this_process", "working_for"]
