"""Dataset: rows and columns that were registered, known by their content."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from peewee import BooleanField, CharField, IntegerField, fn

from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.ingest import digest, tabular
from aiqc_core.orm.base import BaseModel, rowmethod
from aiqc_core.orm.database import metastore
from aiqc_core.orm.fields import BlobField, JSONField, PickleField

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class Dataset(BaseModel):
    """One content of one source.

    Datasets that share a `name` are its versions 1, 2, 3…; registering equal content again
    returns the row that is there.
    """

    typ = CharField()
    source_format = CharField()
    source_path = CharField(null=True)
    urls = JSONField(null=True)
    columns = JSONField()
    dtypes = JSONField()
    shape = JSONField()
    sha256_hexdigest = CharField(index=True)
    memory_MB = IntegerField()
    contains_nan = BooleanField()
    header = PickleField()
    is_ingested = BooleanField()
    blob = BlobField()
    version = IntegerField(null=True)

    class Meta:
        indexes = ((("name", "version"), True),)

    class Tabular:
        """Two dimensions, `(samples, columns)`, each column with its own dtype."""

        @staticmethod
        def from_df(
            dataframe: pd.DataFrame,
            rename_columns: Sequence[str] | None = None,
            retype: object = None,
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register a DataFrame; its rows are copied into the store.

            Args:
                dataframe: rows under a default RangeIndex.
                rename_columns: new names, one for each column.
                retype: a dtype for all columns, or `{column: dtype}` by the new names.
                description: what is particular about these rows.
                name: makes this content a version of that name.

            Raises:
                IngestError: the frame cannot be kept exactly; the message names the column.
            """
            frame = tabular.conform(dataframe, rename_columns=rename_columns, retype=retype)
            return Dataset._register(frame, "dataframe", name=name, description=description)

        @staticmethod
        def from_path(
            file_path: str | Path,
            rename_columns: Sequence[str] | None = None,
            retype: object = None,
            header: object = "infer",
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register a `.csv`, `.tsv` or `.parquet` file; its rows are copied into the store.

            Args:
                file_path: the file; its ending, in any case, says its format.
                rename_columns: new names, one for each column.
                retype: a dtype for all columns, or `{column: dtype}` by the new names.
                header: what `pandas.read_csv` takes; `None` for a file without a header.
                description: what is particular about these rows.
                name: makes this content a version of that name.

            Raises:
                IngestError: the file is missing, unreadable, or cannot be kept exactly.
            """
            raw, source_format = tabular.read_table(file_path, header=header)
            frame = tabular.conform(raw, rename_columns=rename_columns, retype=retype)
            return Dataset._register(
                frame,
                source_format,
                source_path=str(file_path),
                header=header,
                name=name,
                description=description,
            )

    @classmethod
    def _register(
        cls,
        frame: pd.DataFrame,
        source_format: str,
        *,
        source_path: str | None = None,
        header: object = None,
        name: str | None = None,
        description: str | None = None,
    ) -> Dataset:
        about = tabular.describe(frame)
        sha256 = digest.frame_digest(frame)
        data = tabular.to_parquet(frame)
        with metastore.atomic():
            found = cls._same_content(name, "tabular", sha256)
            if found is not None:
                logger.info(
                    "Dataset %r has this content already: version %s.", name, found.version
                )
                return found
            return cls.create(
                typ="tabular",
                source_format=source_format,
                source_path=source_path,
                columns=about.columns,
                dtypes=about.dtypes,
                shape=about.shape,
                sha256_hexdigest=sha256,
                memory_MB=about.memory_mb,
                contains_nan=about.contains_nan,
                header=cls.header.store(header),
                is_ingested=True,
                blob=cls.blob.store(data),
                name=name,
                description=description,
                version=cls._next_version(name),
            )

    @classmethod
    def _same_content(cls, name: str | None, typ: str, sha256: str) -> Dataset | None:
        if name is None:
            return None
        versions = list(cls.select().where(cls.name == name).order_by(cls.version))
        other = next((v.typ for v in versions if v.typ != typ), None)
        if other is not None:
            message = (
                f"name: {name!r} names a Dataset of typ {other!r}, this one is {typ!r}. "
                "Give it another name."
            )
            raise IngestError(message)
        return next((v for v in versions if v.sha256_hexdigest == sha256), None)

    @classmethod
    def _next_version(cls, name: str | None) -> int | None:
        if name is None:
            return None
        newest = cls.select(fn.MAX(cls.version)).where(cls.name == name).scalar()
        return 1 + (newest or 0)

    @rowmethod
    def set_info(self, name: str | None = None, description: str | None = None) -> None:
        """Say what the Dataset is; its name is its versions' key and stays once it is set.

        Raises:
            IngestError: another name for a Dataset that has versions.
        """
        if name is not None and name != self.name:
            message = (
                f"name: Dataset {self.id} is {self._called}; a name is given at registration, "
                "where its versions are counted. Register the data again with name=…."
            )
            raise IngestError(message)
        super().set_info(description=description)

    @property
    def _called(self) -> str:
        return f"version {self.version} of {self.name!r}" if self.name else "without a name"

    @rowmethod
    def to_df(
        self, columns: Sequence[str] | None = None, samples: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """Return rows as a DataFrame under a default RangeIndex.

        Args:
            columns: which, in this order; all by default.
            samples: positions of rows, in this order; all by default.

        Raises:
            SelectionError: a column or position that is not there.
        """
        chosen = self._checked_columns(columns)
        return tabular.take(tabular.from_parquet(self.blob, chosen), samples, chosen)

    @rowmethod
    def to_arr(
        self, columns: Sequence[str] | None = None, samples: Sequence[int] | None = None
    ) -> NDArray[np.generic]:
        """Return rows as an array `(samples, columns)`; the arguments are those of `to_df`."""
        return self.to_df(columns=columns, samples=samples).to_numpy()

    @rowmethod
    def get_dtypes(self, columns: Sequence[str] | None = None) -> dict[str, str]:
        """Return `{column: dtype}` for the columns asked for, all by default."""
        return {column: self.dtypes[column] for column in self._checked_columns(columns)}

    def _checked_columns(self, columns: Sequence[str] | None) -> list[str]:
        return checked_columns("columns", columns, self.columns)


def checked_columns(
    argument: str, asked: Sequence[str] | str | None, available: Sequence[str]
) -> list[str]:
    """Return the columns asked for (all when None), or refuse what is not there.

    Raises:
        SelectionError: an empty list, an unknown column, or one named twice.
    """
    if asked is None:
        return list(available)
    names: list[Any] = [asked] if isinstance(asked, str) else list(asked)
    unknown = [name for name in names if name not in set(available)]
    twice = sorted({name for name in names if names.count(name) > 1}, key=str)
    if not names or unknown or twice:
        fault = (
            f"unknown {unknown}" if unknown else f"named twice {twice}" if twice else "none given"
        )
        message = f"{argument}: {fault}; the columns are {list(available)}."
        raise SelectionError(message)
    return names
