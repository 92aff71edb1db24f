"""A real browser (Debian's chromium, headless), driven over its debugging pipe: messages of JSON that end in a zero."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.programs import program

# A browser on a busy machine takes its time, and no test measures it.
_SECONDS_MAX = 60.0
_LOOK_EVERY_SECONDS = 0.05


class Browser:
    """One page of one browser, from `with` to its end. Keeps what the page complained about in `complaints`."""

    def __init__(
        self,
        folder: Path,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        authorization: str | None = None,
        before: str = "",
    ) -> None:
        """`authorization` is what the user has typed into the browser's dialog, as the header that comes of it.

        `before` is JavaScript that runs in each page before anything of its own. Times of day are those of UTC.
        """
        self._folder = folder
        self._size = (width, height)
        self._dark = dark
        self._authorization = authorization
        self._before = before
        self._asked = 0
        self._buffer = b""
        self._session = ""
        self._loaded = False
        # Errors of scripts, breaches of the content security policy, files that could not be loaded.
        self.complaints: list[str] = []
        # Every address that was asked for.
        self.requested: list[str] = []

    def __enter__(self) -> Self:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        command = [
            program("chromium"),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={self._folder / 'profile'}",
            f"--window-size={self._size[0]},{self._size[1]}",
            "--remote-debugging-pipe",
        ]
        # The browser reads from its descriptor 3 and writes to its 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "browser", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            self._set_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _set_up(self) -> None:
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        theme = {"name": "prefers-color-scheme", "value": "dark" if self._dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[theme])
        self._ask("Emulation.setTimezoneOverride", timezoneId="UTC")
        width, height = self._size
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        if self._authorization is not None:
            self._ask("Network.setExtraHTTPHeaders", headers={"Authorization": self._authorization})
        if self._before:
            self._ask("Page.addScriptToEvaluateOnNewDocument", source=self._before)

    def _end(self) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, url: str) -> None:
        """Goes to `url` and waits until it and what it names are loaded."""
        self._loaded = False
        self._ask("Page.navigate", url=url)
        # The empty page that the browser begins with may be told of late.
        there = "location.protocol !== 'about:' && document.readyState === 'complete'"
        while not (self._loaded and self.evaluate(there)):
            self._note(self._next())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """The text of the first element that the CSS selector finds; fails where there is none."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that the CSS selector finds."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return list(self.evaluate(f"{found}.map((element) => element.textContent)"))

    def click(self, selector: str) -> None:
        """Clicks the first element that the CSS selector finds, which must be there to be seen.

        Not by its place on the screen: that may move while the page is drawn anew.
        """
        found = f"document.querySelector({json.dumps(selector)})"
        assert self.evaluate(f"{found}.checkVisibility()"), f"{selector} is hidden"
        self.evaluate(f"{found}.click()")

    def press(self, key: str) -> None:
        """A key of the keyboard by its name, such as `ArrowRight` or `Enter`, wherever the focus is."""
        text = {"text": "\r"} if key == "Enter" else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def fill(self, selector: str, value: str) -> None:
        """Puts a value into a field as typing does."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{found}.value = {json.dumps(value)}")
        self.evaluate(f"{found}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    def wait_for(self, expression: str) -> bool:
        """Whether the expression becomes true within a time that is long on any machine."""
        pause = threading.Event()
        deadline = time.monotonic() + _SECONDS_MAX
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                return False
            # Whoever looks all the time keeps the page from working.
            pause.wait(_LOOK_EVERY_SECONDS)
        return True

    def memory(self) -> tuple[int, int]:
        """Bytes of the page's JavaScript heap after its garbage is collected, and how many DOM nodes it holds."""
        for _ in range(2):
            self._ask("HeapProfiler.collectGarbage")
        heap, counted = self._ask("Runtime.getHeapUsage"), self._ask("Memory.getDOMCounters")
        return int(heap["usedSize"]), int(counted["nodes"])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._asked += 1
        message: dict[str, object] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._asked:
                assert "error" not in said, f"{method}: {said.get('error')}"
                result: dict[str, Any] = said["result"]
                return result
            self._note(said)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            readable, _, _ = select.select([self._read], [], [], _SECONDS_MAX)
            assert readable, "the browser says nothing"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser is gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        return said

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.complaints.append(f"{told['entry']['text']} ({told['entry'].get('url', '')})")
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "assert"):
                self.complaints.append(
                    str([argument.get("value", argument.get("description")) for argument in told["args"]])
                )
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
