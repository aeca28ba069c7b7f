"""Serving the MLflow UI of a home."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

from dreamctl.errors import BadInput
from dreamctl.store import pages
from dreamctl.store.database import shown
from dreamctl.store.models import Run
from dreamctl.store.store import Store
from dreamctl.store.tracking import artifacts_at, open_client, uri

LOCAL = "127.0.0.1"
START = f"#/experiments{pages.VIEW}"
_TRIED = 100  # ports
_PATIENCE = 120.0  # seconds until a server in the background must answer


def check_unserved(store: Store) -> None:
    """Raises `BadInput` where MLflow is a server elsewhere."""
    if uri(store).startswith("http"):
        raise BadInput(f"MLflow is served already (DREAMCTL_MLFLOW): open {shown(uri(store))}")


def page(store: Store, run: Run, port: int) -> str:
    """The address of a run's page in the MLflow UI: `dreamctl ui` at that port, or a server elsewhere.

    Raises `BadInput` for a run that is not there yet.
    """
    there = store.mirrored(run.id).get("run")
    if there is None:
        raise BadInput(f"run {run.name} is not in MLflow yet: dreamctl sync copies it")
    experiment = open_client(store).get_run(there).info.experiment_id
    served = shown(uri(store)) if uri(store).startswith("http") else f"http://{LOCAL}:{port}"
    return f"{served}/{pages.place(experiment, there)}"


def free_port(host: str, wanted: int) -> int:
    """The first port from `wanted` on that can be listened at. Raises `BadInput`."""
    for port in range(wanted, min(wanted + _TRIED, 65536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as the server does: a port in TIME_WAIT is free
            try:
                trial.bind((host, port))
            except PermissionError:
                raise BadInput(f"port {port} is not for ordinary users: choose one above 1023 with --port") from None
            except OSError as error:
                if isinstance(error, socket.gaierror) or error.errno == 99:  # EADDRNOTAVAIL
                    raise BadInput(f"{host} is no address of this machine: --host 0.0.0.0 is all of them") from None
                continue
            return port
    raise BadInput(f"no free port from {wanted} on: choose another with --port")


def serve(store: Store, host: str, port: int) -> int:
    """Run `mlflow server` over the home until it ends or Ctrl-C; returns its exit code."""
    # a session of its own: Ctrl-C and SIGTERM are ours to pass on, to all of the server's processes at once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = _start(store, host, port, None)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        return 0


def detach(store: Store, host: str, port: int) -> int:
    """Start `mlflow server` in the background, its output in HOME/ui.log; returns its process id when it answers.

    Raises `BadInput` when it does not.
    """
    with open(store.place("ui.log"), "w") as log:
        process = _start(store, host, port, log.fileno())
    deadline = time.monotonic() + _PATIENCE
    here = LOCAL if host == "0.0.0.0" else host
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"http://{here}:{port}/health", timeout=5):
                return process.pid
        except (URLError, OSError):
            time.sleep(0.5)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    raise BadInput(f"the MLflow UI did not start: see {store.home / 'ui.log'}")


def _start(store: Store, host: str, port: int, output: int | None) -> subprocess.Popen[bytes]:
    open_client(store)  # it is there, and of our version
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", artifacts_at(store.home / "mlartifacts"), "--serve-artifacts"]
    # a page of another site may send its visitors' browsers here, under its own name or with requests across origins
    command += ["--allowed-hosts", ",".join(f"{name}:{port}" for name in _names(host))]
    # not among the arguments, which all users see: it may hold a password
    environment = {
        "MLFLOW_BACKEND_STORE_URI": uri(store),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for jobs of language models
    }
    return subprocess.Popen(command, env=os.environ | environment, start_new_session=True, stdout=output, stderr=output)


def _names(host: str) -> list[str]:
    """What the server may be called by a browser: this machine's names and addresses, if it listens at them."""
    if host == LOCAL:
        return [LOCAL, "localhost"]
    import psutil

    addresses = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
    own = {host} if host != "0.0.0.0" else {address for address in addresses if address.count(".") == 3}
    return sorted(own | {LOCAL, "localhost", socket.gethostname(), socket.getfqdn()})
