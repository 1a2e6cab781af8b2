"""Algorithm: the functions that build, train and use a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from peewee import CharField

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import AlgorithmError
from aiqc_core.orm.store import signing
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import BlobField, JSONField, digest_of
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.operation import operation
from aiqc_core.stages.train.functions import capture
from aiqc_core.stages.train.outputs import STATABLE

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARIES = ("keras", "pytorch")
ANALYSIS_TYPES = tuple(each.value for each in AnalysisType)
ROLES = capture.ROLES
NO_SOURCE = "# The source text of this function was not available when Algorithm.make was called."


class Algorithm(BaseModel):
    """Functions captured by value, so that they run in other processes and years later.

    Attributes:
        outputs: the stated outputs of a classifier; None leaves them to its last activation.
    """

    library = CharField()
    analysis_type = CharField()
    fn_build = BlobField()
    fn_train = BlobField()
    fn_predict = BlobField()
    fn_lose = BlobField()
    fn_optimize = BlobField()
    sources = JSONField()
    outputs = CharField(null=True)

    @classmethod
    def make(
        cls,
        library: str,
        analysis_type: str,
        fn_build: Callable[..., object],
        fn_train: Callable[..., object],
        fn_predict: Callable[..., object] | None = None,
        fn_lose: Callable[..., object] | None = None,
        fn_optimize: Callable[..., object] | None = None,
        outputs: str | None = None,
    ) -> Algorithm:
        """Store functions as a trainable architecture.

        Args:
            library: `'keras'` or `'pytorch'`.
            analysis_type: `'classification_binary'`, `'classification_multi'` or `'regression'`.
            fn_build: `(features_shape, label_shape, **hp) -> model`.
            fn_train: `(model, loser, optimizer, train_features, train_label, eval_features,
                eval_label, **hp) -> model`, or `(history, model)` for PyTorch.
            fn_predict: `(model, features) -> predictions, probabilities` for classification
                (predictions are ordinal), `-> predictions` for regression.
            fn_lose: `(**hp) -> loser`. By default binary cross-entropy, cross-entropy, or mean
                absolute error.
            fn_optimize: `(**hp) -> optimizer`; for PyTorch `(model, **hp)`. By default Adamax
                with a learning rate of 0.01.
            outputs: of a classifier, `'probabilities'` or `'logits'`. By default the model's last
                activation decides: softmax and sigmoid give probabilities. Without a known one the
                loss and the values decide, and the Prediction notes that guess.

        What the functions use is stored with them by value, see `functions.capture`. A warning
        names a function with more than 10 MB of data, or an object with unreadable state.

        Raises:
            AlgorithmError: an unknown library, analysis type or kind of outputs, a function with
                the wrong arguments, or one that uses a name that cannot be found.
        """
        _refuse_unknown("library", library, LIBRARIES)
        _refuse_unknown("analysis_type", analysis_type, ANALYSIS_TYPES)
        if outputs is not None:
            _refuse_unknown("outputs", outputs, STATABLE)
            if analysis_type == AnalysisType.REGRESSION:
                raise AlgorithmError(
                    f"outputs: {outputs!r} is for classifications. Leave it out for 'regression'."
                )
        functions = zip(ROLES, (fn_build, fn_train, fn_predict, fn_lose, fn_optimize), strict=True)
        captured = {
            role: capture.capture(role, function)
            for role, function in functions
            if function is not None
        }
        with metastore.atomic():
            stored = {
                role: cls._meta.fields[role].store(signing.seal(part.payload))
                for role, part in captured.items()
            }
            return cls.create(
                library=library,
                analysis_type=analysis_type,
                sources={role: part.source for role, part in captured.items()},
                outputs=outputs,
                **stored,
            )

    @operation
    def get_code(self) -> dict[str, str | None]:
        """Return the source text of each function at the time of `make`.

        A function without source text (from a shell or `exec`) gives a comment that says so, a
        default one None.
        """
        return {
            role: None if digest_of(self, role) is None else self.sources.get(role) or NO_SOURCE
            for role in ROLES
        }

    @classmethod
    def text_of(cls, stored: bytes) -> str | None:
        """Return the source text of a stored function; None without one."""
        digest = hashlib.sha256(stored).hexdigest()
        for role in ROLES:
            row = cls.get_or_none(cls._meta.fields[role] == digest)
            if row is not None and row.sources.get(role):
                return row.sources[role]
        return None

    def payloads(self) -> dict[str, bytes | None]:
        """Return the captured functions, with their signatures checked."""
        found: dict[str, bytes | None] = dict.fromkeys(ROLES)
        for role in ROLES:
            if (sealed := getattr(self, role)) is not None:
                python = signing.made_with(sealed).get("python")
                found[role] = capture.StoredCode.of(signing.unseal(sealed), python)
        return found


def _refuse_unknown(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise AlgorithmError(f"{argument}: {value!r} is none of {list(known)}.")
