"""Dataset: registered rows and columns, identified by their content."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from peewee import BooleanField, CharField, IntegerField

from aiqc_core import counts
from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import BlobField, JSONField, PickleField, digest_of
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.operation import LazyModule, operation
from aiqc_core.orm.tables import numbering
from aiqc_core.stages.ingest import arrays, content, external, images
from aiqc_core.stages.ingest.content import Content, Sealed, Source
from aiqc_core.stages.ingest.selection import checked_columns, listed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from aiqc_core.orm.lineage import row_usage

    # `Dataset.Sequence` hides the name of the abstract class inside the table.
    Names = Sequence[str]
    Positions = Sequence[int]
else:
    row_usage = LazyModule("aiqc_core.orm.lineage.row_usage")

logger = logging.getLogger(__name__)


class Dataset(BaseModel):
    """One content of one source.

    Datasets that share a `name` are its versions 1, 2, 3…; registering equal content again
    returns the row that is there.
    """

    typ = CharField(
        choices=[(kind, kind) for kind in (content.TABULAR, content.SEQUENCE, content.IMAGE)]
    )
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
            rename_columns: Names | None = None,
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
                IngestError: the frame cannot be stored exactly; the message names the column.
            """
            found = content.of_table(
                dataframe, "dataframe", rename_columns=rename_columns, retype=retype
            )
            return Dataset._register(found, name=name, description=description)

        @staticmethod
        def from_path(
            file_path: str | Path,
            ingest: bool = True,
            rename_columns: Names | None = None,
            retype: object = None,
            header: object = "infer",
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register a `.csv`, `.tsv` or `.parquet` file.

            In text files the words for blanks (`NA`, `null`, `nan`…) are blanks in columns of
            numbers and booleans, and words in columns of text; an empty field is a blank. Text
            stays as written, also with `retype` (`01234`). Suspicious files give a warning, see
            `aiqc_core.stages.ingest.delimited`.

            Args:
                file_path: the file; its ending, in any case, says its format. A path that fsspec
                    knows works too.
                ingest: copy the rows into the store; else each use reads them from the file, and
                    a file that changed is refused.
                rename_columns: as in `from_df`, like `retype`, `description` and `name`.
                header: `'infer'`, the number of a line, or None for a file without a header.

            Raises:
                IngestError: the file is missing, unreadable, of other separators than its ending
                    says, or cannot be stored exactly.
            """
            source = Source(content.TABULAR, str(file_path), header=header)
            found = content.read(
                source, rename_columns=rename_columns, retype=retype, keep_file=ingest
            )
            return Dataset._register(found, source, ingest, name=name, description=description)

    class Sequence:
        """Three dimensions, `(samples, rows, columns)`, of one dtype."""

        @staticmethod
        def from_numpy(
            arr3D_or_npyPath: NDArray[Any] | str | Path,
            ingest: bool | None = None,
            rename_columns: Names | None = None,
            retype: object = None,
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register an array, or a `.npy` file.

            Args:
                arr3D_or_npyPath: `(samples, rows, columns)`, or the path of such a file.
                ingest: copy the values into the store; an array always is, a file by default not.
                rename_columns: names along the last axis; `'0', '1', …` by default.
                retype: one dtype for all values.
                description: what is particular about these samples.
                name: makes this content a version of that name.

            Raises:
                IngestError: another number of axes, a dtype that cannot be stored, or no file.
            """
            return Dataset._from_numpy(
                content.SEQUENCE, arr3D_or_npyPath, ingest, rename_columns, retype,
                name=name, description=description,
            )  # fmt: skip

    class Image:
        """Four dimensions, `(samples, channels, rows, columns)`, of one dtype."""

        @staticmethod
        def from_numpy(
            arr4D_or_npyPath: NDArray[Any] | str | Path,
            ingest: bool | None = None,
            rename_columns: Names | None = None,
            retype: object = None,
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register an array, or a `.npy` file.

            Args:
                arr4D_or_npyPath: `(samples, channels, rows, columns)`, or such a file's path.
                ingest: see `Sequence.from_numpy`, as for all other arguments.
            """
            return Dataset._from_numpy(
                content.IMAGE, arr4D_or_npyPath, ingest, rename_columns, retype,
                name=name, description=description,
            )  # fmt: skip

        @staticmethod
        def from_folder(
            folder_path: str | Path,
            ingest: bool = False,
            rename_columns: Names | None = None,
            retype: object = None,
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register the images of a folder, in natural order of their names.

            Args:
                folder_path: holds images of one mode and size, and nothing else but hidden files.
                ingest: copy the pixels into the store; else each use reads them from the folder,
                    and images that changed are refused.
                rename_columns: as in `Sequence.from_numpy`, like all that follows.

            Raises:
                IngestError: it lists every file that is damaged or differs.
            """
            source = Source(content.IMAGE, str(folder_path))
            found = content.read(source, rename_columns=rename_columns, retype=retype)
            return Dataset._register(found, source, ingest, name=name, description=description)

        @staticmethod
        def from_urls(
            urls: Names,
            source_path: str | None = None,
            ingest: bool = False,
            rename_columns: Names | None = None,
            retype: object = None,
            description: str | None = None,
            name: str | None = None,
        ) -> Dataset:
            """Register images by http(s) urls, in the order given.

            Args:
                urls: of images of one mode and size.
                source_path: the place they share, for people; nothing reads it.
                ingest: see `from_folder`, as for all that follows.

            Raises:
                IngestError: it lists every url that failed, with its status.
            """
            source = Source(content.IMAGE, source_path, tuple(listed(urls) or ()))
            found = content.read(source, rename_columns=rename_columns, retype=retype)
            return Dataset._register(found, source, ingest, name=name, description=description)

    @classmethod
    def _from_numpy(
        cls,
        kind: str,
        array_or_path: NDArray[Any] | str | Path,
        ingest: bool | None,
        rename_columns: Names | None,
        retype: object,
        **labels: Any,
    ) -> Dataset:
        changes: dict[str, Any] = {"rename_columns": rename_columns, "retype": retype}
        if not isinstance(array_or_path, str | PurePath):
            if ingest is False:
                raise IngestError(
                    "ingest: False, but the array is held in memory and would be lost. Leave "
                    "ingest out, or save the array with numpy.save and give its path."
                )
            found = content.of_array(array_or_path, kind, "ndarray", **changes)
            return cls._register(found, **labels)
        source = Source(kind, str(array_or_path))
        return cls._register(content.read(source, **changes), source, ingest or False, **labels)

    @classmethod
    @counts.as_annotated
    def _register(
        cls,
        found: Content,
        source: Source | None = None,
        ingest: bool = True,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Dataset:
        with found.sealed(ingest=ingest) as sealed:
            data, address = sealed.stored.whole() if sealed.stored else (b"", None)
            blobs.send_ahead(data, address)
            with metastore.checkpoint_later(len(data)), metastore.atomic():
                same = cls._same_content(name, found.kind, sealed)
                if same is not None:
                    logger.info("Dataset %r has this already: version %s.", name, same.version)
                    return same
                blob = blobs.put(data, address) if ingest else None  # while the digest is taken
                return cls.create(
                    typ=found.kind, source_format=found.source_format,
                    source_path=source and source.place, urls=source and source.urls,
                    columns=found.columns, dtypes=found.dtypes, shape=found.shape,
                    sha256_hexdigest=sealed.sha256, memory_MB=found.memory_mb,
                    contains_nan=found.contains_nan, is_ingested=ingest, blob=blob,
                    header=cls.header.store(source and source.header),
                    name=name, description=description, version=numbering.next_version(cls, name),
                )  # fmt: skip

    @classmethod
    def _same_content(cls, name: str | None, typ: str, sealed: Sealed) -> Dataset | None:
        if name is None:
            return None
        versions = list(cls.select().where(cls.name == name).order_by(cls.version))
        other = next((v.typ for v in versions if v.typ != typ), None)
        if other is not None:
            raise IngestError(
                f"name: {name!r} names a Dataset of typ {other!r}, this one is {typ!r}. "
                "Give it another name."
            )
        return next((v for v in versions if v.sha256_hexdigest == sealed.sha256), None)

    @operation
    def set_info(self, name: str | None = None, description: str | None = None) -> None:
        """Set the description; the name is the key of the versions and stays.

        Raises:
            IngestError: another name for a Dataset that has versions.
        """
        if name is not None and name != self.name:
            raise IngestError(
                f"name: Dataset {self.id} is {self._called}; a name is given at registration, "
                "where its versions are counted. Register the data again with name=…."
            )
        super().set_info(description=description)

    @property
    def _called(self) -> str:
        return f"version {self.version} of {self.name!r}" if self.name else "without a name"

    @operation
    def to_df(self, columns: Names | None = None, samples: Positions | None = None) -> Any:
        """Return samples as a DataFrame under a default RangeIndex.

        Args:
            columns: which, in this order; all by default.
            samples: positions of samples, in this order; all by default.

        Returns:
            A DataFrame; for a sequence a list with one a sample, for images a list of lists with
            one a channel.

        Raises:
            SelectionError: a column or position that is not there.
        """
        values = self.load(columns, samples)
        if self.typ == content.TABULAR:
            return values
        return arrays.to_frames(values, self._checked_columns(columns))

    @operation
    def to_arr(
        self, columns: Names | None = None, samples: Positions | None = None
    ) -> NDArray[Any]:
        """Return samples as an array `(samples, …, columns)`; the arguments of `to_df`."""
        values = self.load(columns, samples)
        return values.to_numpy() if self.typ == content.TABULAR else values

    @operation
    def to_pillow(self, samples: Positions | None = None) -> list[Any]:
        """Return images as Pillow's, with the stored pixels.

        Args:
            samples: positions of images, in this order; all by default.

        Raises:
            SelectionError: the Dataset holds no images, or a position is not there.
        """
        if self.typ != content.IMAGE:
            message = f"to_pillow: Dataset {self.id} is {self.typ}; only images can be shown so."
            raise SelectionError(message)
        return images.to_pillow(self.load(None, samples))

    @operation
    def get_dtypes(self, columns: Names | None = None) -> dict[str, str]:
        """Return `{column: dtype}` for the columns asked for, all by default."""
        chosen = self._checked_columns(columns)
        if self.typ == content.TABULAR:
            return {column: self.dtypes[column] for column in chosen}
        dtype: str = self.dtypes
        return dict.fromkeys(chosen, dtype)

    seen = operation(row_usage.seen)

    def load(self, columns: Names | None, samples: Positions | None) -> Any:
        """Return the values of a selection: a DataFrame of a table, else an array."""
        chosen = self._checked_columns(columns)
        if self.is_ingested:
            values = content.from_bytes(self.typ, blobs.read(digest_of(self, "blob")), chosen)
            return content.take(values, self.columns, samples, chosen)
        urls = None if self.urls is None else tuple(self.urls)
        source = Source(self.typ, self.source_path, urls, self.header)
        return external.read_part(
            source, self.columns, self.dtypes, self.sha256_hexdigest,
            columns=chosen, samples=samples,
        )  # fmt: skip

    def _checked_columns(self, columns: Names | None) -> list[str]:
        return checked_columns("columns", columns, self.columns)
