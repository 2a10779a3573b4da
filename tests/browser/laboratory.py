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

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM_OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 300.0
"""Seconds after which something hangs for sure, however busy the machine is."""
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
        # the page's messages to the kernel can be watched
        command += ["--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"]
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

    def add(self, name: str, cells: list[str], interface: str = "lab/tree") -> str:
        """Write a notebook; return its address in JupyterLab, or with "notebooks" in Jupyter Notebook."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        code = [nbformat.v4.new_code_cell(source.strip()) for source in cells]
        nbformat.write(nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel}), self.root / name)
        return f"http://127.0.0.1:{self._port}/{interface}/{urllib.parse.quote(name)}?token={self._token}&reset"

    def end_kernels(self) -> None:
        """End all kernels, so that the next notebook has the machine for itself."""
        for kernel in json.loads(self._ask("GET", "sessions")):
            self._ask("DELETE", f"sessions/{kernel['id']}")

    def _ask(self, method: str, path: str) -> bytes:
        address = f"http://127.0.0.1:{self._port}/api/{path}"
        headers = {"Authorization": f"token {self._token}"}
        with urllib.request.urlopen(
            urllib.request.Request(address, method=method, headers=headers), timeout=PATIENCE
        ) as reply:
            return reply.read()

    def _wait_for_answer(self, limit: float = PATIENCE) -> None:
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
KERNEL_IS_IDLE = """() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel
    && (document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')
        || (document.querySelector('.jp-NotebookKernelStatus')  // Jupyter Notebook has no status bar
            && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'))"""
# Widgets send what changed as messages; the kernel says it is idle after each, and its answers come before that.
WATCH_MESSAGES = """() => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    window.unanswered = new Set();
    window.countOfMessages = 0;
    kernel.anyMessage.connect((_, {msg, direction}) => {
        if (direction !== 'send' || msg.header.msg_type !== 'comm_msg') return;
        window.unanswered.add(msg.header.msg_id);
        window.countOfMessages += 1;
    });
    kernel.iopubMessage.connect((_, msg) => {  // comes when all before it is shown
        if (msg.header.msg_type === 'status' && msg.content.execution_state === 'idle')
            window.unanswered.delete(msg.parent_header.msg_id);
    });
}"""
ALL_IS_ANSWERED = """() => window.unanswered.size === 0
    && ![...document.querySelectorAll('.resilab-message')].some(each => each.textContent.includes('working'))"""


def run_all(page: Any, address: str) -> None:
    """Open a notebook that was never run, run all its cells; fail if a cell does or the kernel dies."""
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    page.wait_for_function(KERNEL_IS_IDLE)  # the toolbar says idle before there is a kernel
    page.evaluate(WATCH_MESSAGES)
    choose(page, "Run", "runmenu:run-all")
    state = page.wait_for_function(ALL_CELLS_RAN).json_value()
    assert state == "done", f"the kernel died: {state}"
    assert errors(page) == []


def settle(page: Any) -> None:
    """Wait until the kernel has answered all that the page has told it."""
    page.wait_for_function(ALL_IS_ANSWERED)


def choose(page: Any, menu: str, command: str) -> None:
    """Choose an entry of a menu of JupyterLab."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(f'.lm-Menu-item[data-command="{command}"]').click()


def errors(page: Any) -> list[str]:
    """Return the errors that cells show."""
    return page.evaluate(ERRORS)
