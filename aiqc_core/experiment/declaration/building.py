"""Plain values → what they name: encoders, functions, the source."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.experiment.declaration import names
from aiqc_core.experiment.declaration.faults import Fault, of_exception
from aiqc_core.stages.ingest.tabular import FORMATS
from aiqc_core.stages.train.functions.capture import SIGNATURES
from aiqc_core.wording import did_you_mean, dotted

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.experiment.declaration.text import Document
    from aiqc_core.wording import Place

NEEDED = ("fn_build", "fn_train")
IMPORT = "import"


@dataclass(slots=True)
class Builder:
    """Replace import paths by what they name, and note every fault on the way.

    Something harmless replaces what cannot be found, so that the rest can be checked.

    Attributes:
        file: the declaration's file; relative import paths and files are beside it.
        document: gives the lines.
        prefix: the place of the declaration in the document.
        faults: what is wrong.
    """

    file: Path
    document: Document
    prefix: Place = ()
    faults: list[Fault] = field(default_factory=list)

    def fault(self, place: Place, message: str, *, at_key: bool = True) -> None:
        """Note what is wrong at a place of the declaration."""
        where = f"{dotted(place)}: " if at_key and place else ""
        line = self.document.line((*self.prefix, *place))
        self.faults.append(Fault(self.file, line, f"{where}{message}"))

    def build(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of an Experiment; `data` is not changed."""
        built = dict(data)
        if "source" in built:
            built["source"] = self.source(built["source"])
        if isinstance(built.get("pipeline"), dict):
            built["pipeline"] = self._pipeline(built["pipeline"])
        if isinstance(built.get("training"), dict):
            built["training"] = self._training(built["training"])
        return built

    def source(self, path: Any) -> Any:
        """Return the function or the file that a source names."""
        place = ("source",)
        if not isinstance(path, str) or not path:
            message = f"{path!r}; give '.functions:source' or the path of a file."
            return self._instead(place, message, Path())
        if "://" in path:
            message = f"{path!r}; a url is read by a function: '.functions:source'."
            return self._instead(place, message, Path())
        if Path(path).suffix.lower() not in FORMATS:
            return self._function(place, path)
        file = self.file.parent / os.path.expanduser(path)  # noqa: PTH111 - leaves `~x.csv` as it is
        if not file.is_file():
            there = sorted(p.name for p in file.parent.glob("*") if p.suffix in FORMATS)
            hint = (
                did_you_mean(file.name, there) if there else "Put it there, or correct the path."
            )
            where = f"beside {self.file.name}" if file.parent == self.file.parent else f"at {file}"
            self.fault(place, f"no file {path!r} {where}. {hint}")
        return file

    def _pipeline(self, data: dict[str, Any]) -> dict[str, Any]:
        built = dict(data)
        described, place = built.get("label_encoder"), ("pipeline", "label_encoder")
        if described is not None:
            whole = described if isinstance(described, dict) else {"encoder": described}
            for key in whole.keys() - {"encoder", "args"}:
                hint = did_you_mean(key, ("encoder", "args"))
                self.fault((*place, key), f"no such key. {hint}")
            built["label_encoder"] = self._encoder(place, whole)
        coders = built.get("feature_encoders")
        if isinstance(coders, list):
            made = [{"encoder": coder} if isinstance(coder, str) else coder for coder in coders]
            for i, coder in enumerate(made):
                if isinstance(coder, dict) and "encoder" in coder:
                    encoder = self._encoder(("pipeline", "feature_encoders", i), coder)
                    rest = {key: value for key, value in coder.items() if key != "args"}
                    made[i] = rest | {"encoder": encoder}
            built["feature_encoders"] = made
        return built

    def _encoder(self, place: Place, described: dict[str, Any]) -> Any:
        """Return the instance that `encoder` and `args` describe."""
        named = described.get("encoder")
        if not isinstance(named, str):
            message = (
                f"{named!r}; give an import path such as sklearn.preprocessing.OneHotEncoder."
            )
            return self._instead(place, message, None)
        found = self._found(place, named)
        if found is None:
            return None
        arguments = described.get("args") or {}
        if not isinstance(arguments, dict):
            message = f"args: {arguments!r}; give a mapping of names to values."
            return self._instead((*place, "args"), message, None)
        arguments = {
            key: self._found((*place, "args", key), value[IMPORT])
            if isinstance(value, dict) and list(value) == [IMPORT]
            else value
            for key, value in arguments.items()
        }
        return self._called(place, named, found, arguments)

    def _called(self, place: Place, named: str, found: Any, arguments: dict[str, Any]) -> Any:
        if not inspect.isclass(found):
            message = (
                f"{named!r} is no class; give an encoder of sklearn.preprocessing, such as "
                "sklearn.preprocessing.StandardScaler."
            )
            return self._instead(place, message, None)
        try:
            return found(**arguments)
        except TypeError as error:
            known = list(inspect.signature(found).parameters)
            message = f"{named} with args {arguments}: {error}. Its arguments: {', '.join(known)}."
            return self._instead((*place, "args"), message, None)

    def _training(self, data: dict[str, Any]) -> dict[str, Any]:
        built = {key: value for key, value in data.items() if key != "functions"}
        for role in SIGNATURES:
            if built.get(role) is not None:
                built[role] = self._function(("training", role), built[role])
        for role, function in self._from_module(data.get("functions")).items():
            built.setdefault(role, function)
        for role in NEEDED:
            if role not in built:
                message = (
                    f"{role} is missing: define it in functions.py and name that file by "
                    "'functions: .functions'."
                )
                built[role] = self._instead(("training",), message, _nothing)
        return built

    def _from_module(self, named: Any) -> dict[str, Any]:
        """Return the functions that a module defines under the names of their roles."""
        place = ("training", "functions")
        if named is None:
            return {}
        if not isinstance(named, str):
            message = f"{named!r}; give the import path of a module, '.functions'."
            return self._instead(place, message, dict.fromkeys(NEEDED, _nothing))
        module = self._imported(place, lambda: names.module(named, self.file.parent))
        if module is None:
            return dict.fromkeys(NEEDED, _nothing)
        return {role: getattr(module, role) for role in SIGNATURES if hasattr(module, role)}

    def _function(self, place: Place, named: Any) -> Callable[..., Any]:
        if not isinstance(named, str):
            message = f"{named!r}; give an import path such as '.functions:{place[-1]}'."
            return self._instead(place, message, _nothing)
        found = self._found(place, named)
        if found is None:
            return _nothing
        if not callable(found):
            return self._instead(place, f"{named!r} is {found!r}, no function.", _nothing)
        return found

    def _found(self, place: Place, named: str) -> Any:
        return self._imported(place, lambda: names.resolve(str(named), self.file.parent))

    def _imported(self, place: Place, get: Callable[[], Any]) -> Any:
        try:
            return get()
        except names.UnknownNameError as error:
            self.fault(place, str(error))
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            self.fault(place, f"importing raised {type(error).__name__}, see the next fault.")
            self.faults.append(of_exception(error, self.file.parent, self.file))
        return None

    def _instead(self, place: Place, message: str, harmless: Any) -> Any:
        self.fault(place, message)
        return harmless


def _nothing(*_: Any, **__: Any) -> None:
    """Stand for a function that was not found; nothing runs where there are faults."""
