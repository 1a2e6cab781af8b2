"""What `make up-celery` starts, `make down-celery` ends, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
import pytest
import redis
from places import ROOT
from programs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = ROOT / "deploy" / "celery"
SERVERS = ("redis", "postgres")


@pytest.fixture(scope="module")
def services() -> Iterator[Any]:
    """The script, as a module; what it imports lies beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SOURCE))
        spec = util.spec_from_file_location("services_of_celery", SOURCE / "services.py")
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def folder(services: Any) -> Iterator[Path]:
    """A folder that PostgreSQL's own user can enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="aiqc-up-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        services.down(folder)
        shutil.rmtree(folder)


@pytest.fixture
def free_ports(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in services.PORTS:
        monkeypatch.setenv(name, str(services.free_port()))


@pytest.mark.slow
def test_servers_are_started_once_and_ended_with_all_that_they_started(
    services: Any,
    folder: Path,
    free_ports: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for package in ("redis-server", "postgresql"):
        needed(package)
    everything = services.services
    monkeypatch.setattr(services, "services", lambda settings: everything(settings)[:2])
    services.up(folder)
    assert "redis           started" in capsys.readouterr().out
    settings = services.load_settings(folder)
    assert redis.Redis.from_url(settings.broker).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=settings.ports["REDIS_PORT"]).ping()
    for name in ("aiqc", "dagster"):
        psycopg2.connect(settings.database(name)).close()
    assert (folder / "env").stat().st_mode & 0o077 == 0
    started = [services.process_of(folder, name) for name in SERVERS]
    family = [*started, *started[1].children()]

    services.up(folder)
    assert capsys.readouterr().out.count("runs already") == 2
    assert [services.process_of(folder, name) for name in SERVERS] == started

    services.down(folder)
    assert not any(process.is_running() for process in family)
    assert [services.process_of(folder, name) for name in SERVERS] == [None, None]


def test_a_process_that_took_the_id_of_one_that_ended_is_left_alone(
    services: Any, folder: Path, free_ports: None
) -> None:
    started = psutil.Process().create_time() - 3600
    (folder / "redis.pid").write_text(json.dumps({"pid": os.getpid(), "started": started}))
    assert services.process_of(folder, "redis") is None
    services.down(folder)
    assert psutil.Process().is_running()


def test_a_port_that_is_taken_or_none_is_refused(
    services: Any, folder: Path, free_ports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("REDIS_PORT", str(taken.getsockname()[1]))
        with pytest.raises(services.ServiceError, match="Choose another: make up-celery REDIS_PO"):
            services.up(folder)
    monkeypatch.setenv("UI_PORT", "eighty")
    with pytest.raises(services.ServiceError, match="UI_PORT='eighty': give a port"):
        services.load_settings(folder)


def test_a_program_that_is_missing_is_reported_with_its_package(services: Any) -> None:
    with pytest.raises(services.ServiceError, match="apt-get install redis-server postgresql"):
        services.program("no-such-server")
