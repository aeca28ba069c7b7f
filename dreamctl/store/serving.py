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
_TRIED = 100  # ports tried
_PATIENCE = 120.0  # seconds within which a background server must answer


def check_unserved(store: Store) -> None:
    """Raises `BadInput` if MLflow is a separate server (DREAMCTL_MLFLOW)."""
    if uri(store).startswith("http"):
        raise BadInput(f"MLflow is served already (DREAMCTL_MLFLOW): open {shown(uri(store))}")


def page(store: Store, run: Run, port: int) -> str:
    """The URL of a run's page in the MLflow UI: in `dreamctl ui` at that port, or on a separate server.

    Raises `BadInput` if MLflow does not have the run yet.
    """
    there = store.mirrored(run.id).get("run")
    if there is None:
        raise BadInput(f"run {run.name} is not in MLflow yet: dreamctl sync copies it")
    experiment = open_client(store).get_run(there).info.experiment_id
    served = shown(uri(store)) if uri(store).startswith("http") else f"http://{LOCAL}:{port}"
    return f"{served}/{pages.place(experiment, there)}"


def free_port(host: str, wanted: int) -> int:
    """The first free port from `wanted` on. Raises `BadInput`."""
    for port in range(wanted, min(wanted + _TRIED, 65536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as the server does: a port in TIME_WAIT is free
            try:
                trial.bind((host, port))
            except PermissionError:
                raise BadInput(f"port {port} needs root: choose one above 1023 with --port") from None
            except OSError as error:
                if isinstance(error, socket.gaierror) or error.errno == 99:  # EADDRNOTAVAIL
                    raise BadInput(f"{host} is not an address of this machine; 0.0.0.0 means all of them") from None
                continue
            return port
    raise BadInput(f"no free port from {wanted} on: choose another with --port")


def serve(store: Store, host: str, port: int) -> int:
    """Run `mlflow server` on the home until it ends or Ctrl-C is pressed; returns its exit code."""
    # the server has its own session: we pass Ctrl-C, SIGTERM and a closed terminal on to all of its processes at once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    process = _start(store, host, port, None)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        return 0


def detach(store: Store, host: str, port: int) -> int:
    """Start `mlflow server` in the background, its output in HOME/ui.log; returns its process id once it answers.

    Raises `BadInput` if it does not.
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
    open_client(store)  # fails if the store is missing or of another version
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", artifacts_at(store.home / "mlartifacts"), "--serve-artifacts"]
    # against other sites' pages that send a visitor's browser here (DNS rebinding, cross-origin requests)
    command += ["--allowed-hosts", ",".join(f"{name}:{port}" for name in _names(host))]
    # not in the arguments, which all users can see: it may hold a password
    environment = {
        "MLFLOW_BACKEND_STORE_URI": uri(store),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it would start eight processes for language-model jobs
    }
    return subprocess.Popen(command, env=os.environ | environment, start_new_session=True, stdout=output, stderr=output)


def _names(host: str) -> list[str]:
    """The host names under which browsers may address the server."""
    if host == LOCAL:
        return [LOCAL, "localhost"]
    import psutil

    addresses = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
    own = {host} if host != "0.0.0.0" else {address for address in addresses if address.count(".") == 3}
    return sorted(own | {LOCAL, "localhost", socket.gethostname(), socket.getfqdn()})
