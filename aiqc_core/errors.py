"""All errors that AIQC raises on purpose.

Each also subclasses the builtin that a caller would catch. A message names the argument,
what was given, what is allowed, and what to do.
"""

from __future__ import annotations


class AIQCError(Exception):
    """Base of all errors of this project."""

    __str__ = Exception.__str__  # KeyError would quote the message, OSError format its arguments


class IngestError(AIQCError, ValueError):
    """Data that cannot be registered as a Dataset."""


class SelectionError(AIQCError, ValueError, KeyError):
    """Columns or samples that were asked for and are not there."""


class PreprocessError(AIQCError, ValueError):
    """An interpolater, coder, window or shaper that cannot do what was asked."""


class SplitError(AIQCError, ValueError):
    """Splits or folds that cannot be cut from these samples."""


class AlgorithmError(AIQCError, ValueError, TypeError):
    """Functions or hyperparameters that cannot work."""


class DeclarationError(AIQCError, ValueError):
    """A file does not declare an experiment; the message lists all of its faults."""


class TrainingError(AIQCError, RuntimeError):
    """A Job that failed, or a Queue that cannot run."""


class ArgumentError(
    SelectionError, IngestError, PreprocessError, SplitError, AlgorithmError, TrainingError
):
    """An argument that is no such number, flag or text; caught as what the verb raises else."""


class MetastoreError(AIQCError, RuntimeError):
    """The store is damaged, too new, locked, or would be left inconsistent."""


class SettingError(MetastoreError, TrainingError):
    """A malformed variable of the environment; caught as what the verb raises else."""


class NotFoundError(MetastoreError, LookupError):
    """No row has this id or name."""


class TrustError(MetastoreError, PermissionError):
    """Bytes that this store's key did not sign are not unpickled."""


class UnreachableError(MetastoreError, ConnectionError):
    """The database of `AIQC_DATABASE_URL` is down, or went away in the middle."""


class ArtifactsError(MetastoreError, ConnectionError):
    """The object store of `AIQC_ARTIFACTS` cannot be reached, or holds other bytes than stored."""


class UnrecordedError(MetastoreError):
    """What was trained could not be recorded; it is kept in a file until it can."""
