"""A JupyterLab server and a notebook open in it, for tests that look with a real browser."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM_OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not in the page
}


class Laboratory:
    """A JupyterLab server on a folder, reachable from this machine only; a context manager."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self._scratch = scratch
        self._token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    def __enter__(self) -> Laboratory:
        settings = self._scratch / "settings"
        for name, values in SETTINGS.items():
            path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={self._port}"]
        command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"]
        command += [f"--IdentityProvider.token={self._token}"]
        # should the tests be killed, kernels and server end of themselves
        command += ["--MappingKernelManager.cull_idle_timeout=600", "--ServerApp.shutdown_no_activity_timeout=900"]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        folders = {"JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTERLAB_SETTINGS_DIR": "settings"}
        environment = os.environ | {name: str(self._scratch / folder) for name, folder in folders.items()}
        self._log = self._scratch / "lab.log"
        with self._log.open("w") as log:
            self._server = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment
            )
        try:
            self._wait_for_answer()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def url(self, name: str, interface: str = "lab/tree") -> str:
        """Return the address of a notebook in JupyterLab, or with "notebooks" in Jupyter Notebook."""
        return f"http://127.0.0.1:{self._port}/{interface}/{urllib.parse.quote(name)}?token={self._token}&reset"

    def end_kernels(self) -> None:
        """End all kernels, so that the next notebook has the machine for itself."""
        for kernel in json.loads(self._ask("GET", "sessions")):
            self._ask("DELETE", f"sessions/{kernel['id']}")

    def _ask(self, method: str, path: str) -> bytes:
        address = f"http://127.0.0.1:{self._port}/api/{path}"
        headers = {"Authorization": f"token {self._token}"}
        with urllib.request.urlopen(
            urllib.request.Request(address, method=method, headers=headers), timeout=10
        ) as reply:
            return reply.read()

    def _wait_for_answer(self, limit: float = 60.0) -> None:
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self._server.poll() is not None:
                break
            try:
                self._ask("GET", "status")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read_text()[-2000:]}")

    def _stop(self) -> None:
        if self._server.poll() is not None:
            return
        os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(15)


ALL_CELLS_RAN = """() => {
    if (document.querySelector('.jp-Dialog')) return 'dialog: ' + document.querySelector('.jp-Dialog').textContent;
    const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')];
    const ran = cell => /\\d/.test(cell.querySelector('.jp-InputArea-prompt').textContent)
        || !(cell.querySelector('.cm-content')?.textContent.trim() ?? 'not shown yet');
    const indicator = document.querySelector('.jp-Notebook-ExecutionIndicator');
    const failed = cells.some(cell => cell.querySelector('[data-mime-type="application/vnd.jupyter.error"]'));
    return failed || (cells.length && cells.every(ran) && indicator?.dataset.status === 'idle') ? 'done' : '';
}"""
ERRORS = """() => [...document.querySelectorAll('.jp-OutputArea-output')].filter(each =>
    each.dataset.mimeType === 'application/vnd.jupyter.error'
    || (each.dataset.mimeType === 'application/vnd.jupyter.stderr' && each.textContent.includes('Traceback'))
).map(each => each.textContent)"""
KERNEL_IS_IDLE = """() => document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')
    || (document.querySelector('.jp-NotebookKernelStatus')  // Jupyter Notebook has no status bar
        && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle')"""


def run_all(page: Any, address: str, limit: float = 120.0) -> None:
    """Open a notebook, clear its outputs, run all its cells; fail if a cell does or the kernel dies."""
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
    page.wait_for_function(KERNEL_IS_IDLE, timeout=60_000)  # the toolbar says idle before there is a kernel
    choose(page, "Edit", "editmenu:clear-all")  # saved numbers would look like a finished run
    choose(page, "Run", "runmenu:run-all")
    state = page.wait_for_function(ALL_CELLS_RAN, timeout=1000 * limit).json_value()
    assert state == "done", f"the kernel died: {state}"
    assert errors(page) == []


def choose(page: Any, menu: str, command: str) -> None:
    """Choose an entry of a menu of JupyterLab."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(f'.lm-Menu-item[data-command="{command}"]').click()


def errors(page: Any) -> list[str]:
    """Return the errors that cells show."""
    return page.evaluate(ERRORS)
