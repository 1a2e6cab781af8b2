"""Redis, PostgreSQL, two Celery workers, webserver and daemon as ordinary processes.

    make up-celery      start what is not running yet, and say what to export
    make down-celery    end what was started here, and nothing else

Data, logs, passwords and process files are in one folder (`.celery`). PostgreSQL refuses to run as
root; there it runs as the user that Debian's package made.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis
from processes import (
    ROOT,
    Service,
    ServiceError,
    end,
    free_port,
    is_free,
    log_of,
    process_of,
    program,
    start,
    write_private,
)

BIN = Path(sys.executable).parent
PORTS = {"REDIS_PORT": 6380, "POSTGRES_PORT": 5433, "UI_PORT": 3000}
DATABASES = ("dagster", "aiqc")
USER = "aiqc"
QUEUES = ("default", "gpu")


@dataclass(frozen=True)
class Settings:
    """Where everything lies and listens.

    Args:
        folder: data, logs and process files.
        ports: by the name of the variable that sets it.
        password: of Redis and PostgreSQL alike.
    """

    folder: Path
    ports: dict[str, int]
    password: str

    @property
    def broker(self) -> str:
        """Return Redis's address."""
        return f"redis://:{self.password}@127.0.0.1:{self.ports['REDIS_PORT']}/0"

    def database(self, name: str, scheme: str = "postgresql") -> str:
        """Return the address of a database."""
        place = f"127.0.0.1:{self.ports['POSTGRES_PORT']}/{name}"
        return f"{scheme}://{USER}:{self.password}@{place}"

    def environment(self) -> dict[str, str]:
        """Return what every process of the deployment needs, the user's shell included."""
        own = {
            "AIQC_EXECUTOR": "celery",
            "AIQC_CELERY_BROKER": self.broker,
            "AIQC_DATABASE_URL": self.database("aiqc"),
            # dagster-postgres speaks to psycopg2; SQLAlchemy 2.1 would take psycopg 3 unnamed.
            "DAGSTER_POSTGRES_URL": self.database("dagster", "postgresql+psycopg2"),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "AIQC_HOME": str(self.folder / "aiqc"),
            "KERAS_HOME": str(self.folder / "keras"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        passed = ("AIQC_ARTIFACTS", "AIQC_S3_ENDPOINT", "AIQC_STORE_KEY", "AIQC_GPUS_PER_JOB")
        return own | {name: os.environ[name] for name in passed if os.environ.get(name)}


def load_settings(folder: Path) -> Settings:
    """Return the settings of an earlier start, else new ones, written down for the next.

    Raises:
        ServiceError: a variable names no port.
    """
    file = folder / "settings.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    ports = {name: _port(name, known.get(name), default) for name, default in PORTS.items()}
    password = known.get("password") or secrets.token_hex(16)
    folder.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps({**ports, "password": password}))
    return Settings(folder, ports, password)


def _port(name: str, known: int | None, default: int) -> int:
    given = os.environ.get(name)
    if given:
        if not given.isdecimal() or not 0 < int(given) < 2**16:
            message = f"{name}={given!r}: give a port, a whole number from 1 to 65535."
            raise ServiceError(message)
        return int(given)
    if known:
        return known
    return default if is_free(default) else free_port()


def database_user() -> str | None:
    """Return whom PostgreSQL runs as: None for the present user, who is not root then."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def services(settings: Settings) -> list[Service]:
    """Return the processes in the order in which they start."""
    return [_redis(settings), _postgres(settings), *_workers(settings), *_dagster(settings)]


def _redis(settings: Settings) -> Service:
    folder, port = settings.folder / "redis", settings.ports["REDIS_PORT"]
    folder.mkdir(exist_ok=True)
    # In a file, for a command line can be read by every user. What waits in a queue survives.
    lines = ["bind 127.0.0.1", f"port {port}", f"dir {folder}", "appendonly yes",
             f"requirepass {settings.password}"]  # fmt: skip
    write_private(folder / "redis.conf", "\n".join(lines) + "\n")
    client = redis.Redis(port=port, password=settings.password)

    def ready() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    return Service("redis", [program("redis-server"), str(folder / "redis.conf")], ready)


def _postgres(settings: Settings) -> Service:
    folder, port = settings.folder / "postgres", settings.ports["POSTGRES_PORT"]
    command = [program("postgres"), "-D", str(folder), "-p", str(port), "-h", "127.0.0.1",
               "-k", ""]  # fmt: skip

    def ready() -> bool:
        try:
            psycopg2.connect(settings.database("postgres")).close()
        except psycopg2.OperationalError:
            return False
        return True

    # SIGINT: open sessions are ended and everything is written.
    return Service("postgres", command, ready, user=database_user(), end=signal.SIGINT)


def _workers(settings: Settings) -> list[Service]:
    return [
        Service(
            f"worker-{queue}",
            [str(BIN / "celery"), "-A", "aiqc_dagster.executors.celery.app", "worker", "-Q", queue,
             "-n", f"{queue}@%h", "--concurrency", "1", "--loglevel", "INFO"],
            lambda queue=queue: _listens(settings, queue),
            environment=settings.environment(),
        )
        for queue in QUEUES
    ]  # fmt: skip


def _listens(settings: Settings, queue: str) -> bool:
    from celery import Celery  # noqa: PLC0415 - a second, which `down` need not wait

    with Celery(broker=settings.broker, set_as_current=False) as app:
        node = f"{queue}@{socket.gethostname()}"
        return bool(app.control.inspect(destination=[node], timeout=1).ping())


def _dagster(settings: Settings) -> list[Service]:
    workspace, port = str(ROOT / "workspace.yaml"), settings.ports["UI_PORT"]
    web = [str(BIN / "dagster-webserver"), "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    daemon = [str(BIN / "dagster-daemon"), "run", "-w", workspace]
    return [
        Service("webserver", web, lambda: _serves(port), environment=settings.environment()),
        Service("daemon", daemon, lambda: True, environment=settings.environment()),
    ]


def _serves(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def up(folder: Path) -> None:
    """Start what is not running.

    Raises:
        ServiceError: a program is missing, a port is taken, or a process does not come up.
    """
    settings = load_settings(folder)
    _prepare_dagster(settings)
    for service in services(settings):
        if service.name == "postgres":
            _make_cluster(settings)
        if process_of(folder, service.name):
            print(f"{service.name:15} runs already")
            continue
        _refuse_taken_port(settings, service.name)
        try:
            start(folder, service)
        except KeyboardInterrupt:  # what is half there is no deployment
            down(folder)
            raise
        print(f"{service.name:15} started, log: {log_of(folder, service.name)}")
        if service.name == "postgres":
            _make_databases(settings)
    _tell(settings)


def _prepare_dagster(settings: Settings) -> None:
    home = settings.folder / "dagster"
    home.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("dagster.yaml"), home)


def _make_cluster(settings: Settings) -> None:
    folder = settings.folder / "postgres"
    if (folder / "PG_VERSION").exists():
        return
    folder.mkdir(exist_ok=True)
    user = database_user()
    password = settings.folder / "postgres.password"
    write_private(password, settings.password)
    if user:
        shutil.chown(folder, user)
        shutil.chown(password, user)
    made = subprocess.run(
        [program("initdb"), "-D", str(folder), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8",
         "--locale", "C.UTF-8", "--pwfile", str(password)],
        user=user, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    password.unlink()
    if made.returncode:
        message = (
            f"initdb could not make {folder} as {user or 'the present user'}: "
            f"{made.stderr.strip()}. Name a folder that this user can enter: FOLDER=…"
        )
        raise ServiceError(message)


def _make_databases(settings: Settings) -> None:
    connection = psycopg2.connect(settings.database("postgres"))
    connection.autocommit = True  # a database is not made inside a transaction
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            there = {name for (name,) in cursor.fetchall()}
            for name in DATABASES:
                if name not in there:
                    cursor.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()


def _refuse_taken_port(settings: Settings, name: str) -> None:
    variable = {"redis": "REDIS_PORT", "postgres": "POSTGRES_PORT", "webserver": "UI_PORT"}.get(
        name
    )
    if variable and not is_free(settings.ports[variable]):
        message = (
            f"{name}: something else listens to port {settings.ports[variable]}. Choose another: "
            f"make up-celery {variable}=…"
        )
        raise ServiceError(message)


def down(folder: Path) -> None:
    """End what was started here, last first, with all that it started."""
    if not folder.exists():
        print("nothing was started here")
        return
    for service in reversed(services(load_settings(folder))):
        process = process_of(folder, service.name)
        if process is not None:
            end(process, service.end)
            print(f"{service.name:15} ended")
        (folder / f"{service.name}.pid").unlink(missing_ok=True)


def _tell(settings: Settings) -> None:
    lines = [f"export {name}='{value}'" for name, value in settings.environment().items()]
    file = settings.folder / "env"
    write_private(file, "\n".join(lines) + "\n")
    print(f"\nUI: http://127.0.0.1:{settings.ports['UI_PORT']}   then, in your shell:\n")
    print(f"  source .venv/bin/activate; source {os.path.relpath(file)}")
    print("  dagster job execute -m aiqc_dagster.definitions -j retrain_breast_cancer\n")


def main() -> int:
    """Run `up` or `down`; report a fault in one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--folder", type=Path, default=ROOT / ".celery")
    given = parser.parse_args()
    try:
        {"up": up, "down": down}[given.action](given.folder.resolve())
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
