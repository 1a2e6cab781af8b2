"""The public path of `aiqc_core.experiment.declaration`: experiments declared in YAML."""

from aiqc_core.experiment.declaration import Fault, Found, discover, examine, load

__all__ = ["Fault", "Found", "discover", "examine", "load"]
