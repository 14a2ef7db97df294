"""Drive headless Chromium over its own protocol, through two pipes: real clicks and keys, the size of a phone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

SECONDS = 120


def find_chromium() -> str:
    """The browser's command; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium is installed")


class Browser:
    """One page. `said` holds what came up on its console and its uncaught errors.

    Args:
        folder: For the browser's profile.
    """

    def __init__(self, folder: Path) -> None:
        command = [
            find_chromium(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={folder / 'profile'}",
            "--remote-debugging-pipe",
        ]
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()

        def as_3_and_4() -> None:  # where the browser looks for them
            kept = os.dup(theirs_out)
            os.dup2(theirs_in, 3)
            os.dup2(kept, 4)
            os.set_inheritable(3, True)  # as dup2 leaves it undone where the number was 3 before

        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=as_3_and_4,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, ""
        self._events: list[dict[str, Any]] = []
        self.said: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, "the browser does not answer"
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        kind, params = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.said.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
        elif kind == "Runtime.consoleAPICalled":
            self.said.append(str(params["args"]))
        elif kind == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        elif kind == "Page.loadEventFired":
            self._events.append(message)
        return message

    def open(self, path: Path | str, width: int = 1280, height: int = 900) -> None:
        """Load a page from disk, or of an address, in a window of this size in px; a narrow one is that of a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self._events.clear()
        self.call("Page.navigate", url=path if isinstance(path, str) else path.as_uri())
        deadline = time.monotonic() + SECONDS
        while not self._events:
            self._read(deadline)

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until a JavaScript expression is true."""
        self.ask(f"new Promise(done => {{ const ask = () => {expression} ? done() : setTimeout(ask, 20); ask(); }})")

    def click(self, selector: str) -> None:
        """A click of the mouse on the middle of an element, brought into view."""
        place = self.ask(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView("
            "{block: 'center'}); const box = one.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str, text: str = "") -> None:
        """One key, Tab or Enter for example; `text` is what it writes."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowDown": 40, "ArrowUp": 38, "ArrowRight": 39}
        key_code = {"windowsVirtualKeyCode": codes.get(key, ord(text[0].upper()) if text else 0)}
        kind = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text, **key_code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, **key_code)

    def screenshot(self, path: Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
