"""Programs of Debian that tests start: install them, or skip the tests that need them.

    python tests/support/programs.py    install what is missing, or say once what will be skipped

With `CI` set nothing is skipped: a program that is missing fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "chromium": "the browser of tests/e2e",
    "redis-server": "the broker of Celery's tests",
    "postgresql": "the database of tests/contracts",
}


def find(package: str) -> Path | None:
    """Return the program of a package, for PostgreSQL the server's; None where it is missing."""
    if package == "postgresql":
        versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
        newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
        on_path = shutil.which("postgres")
        return newest or (Path(on_path).resolve() if on_path else None)
    found = shutil.which(package)  # not resolved: redis-server is a link that acts by its name
    return Path(found) if found else None


def needed(package: str) -> Path:
    """Return the program of a package; without it the test is skipped, in CI it fails."""
    import pytest

    found = find(package)
    if found is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end(f"{package} is not installed; on Debian: apt-get install {package}")
    return found


def install() -> int:
    """Install what is missing, as root or by sudo without a password; return an exit code."""
    missing = [package for package in PACKAGES if find(package) is None]
    if not missing:
        return 0
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") and _runs([*root, "true"]):
        print(f"Installing Debian's {', '.join(missing)} for the tests.", flush=True)  # noqa: T201
        apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        _runs([*apt, "update", "-qq"])
        _runs([*apt, "install", "-y", "-qq", "--no-install-recommends", *missing])
        missing = [package for package in missing if find(package) is None]
    for package in missing:
        print(  # noqa: T201
            f"{package} is not installed and could not be: tests of {PACKAGES[package]} "
            f"are skipped. By hand: sudo apt-get install {package}"
        )
    return 1 if missing and os.environ.get("CI") else 0


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(install())
