"""Headless Chromium, by the DevTools protocol over a pipe: what a page asks for, says, measures and looks like."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_SECONDS = 60


class Chromium:
    """A browser with one page.

    Args:
        folder: its own, for all that it writes.
    """

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        read_by_it, self._to = os.pipe()
        self._from, written_by_it = os.pipe()

        def as_three_and_four() -> None:
            """Give it the ends of the pipes as the numbers that it expects."""
            ends = os.dup(read_by_it), os.dup(written_by_it)  # neither may be 3 or 4 before the other is there
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
        self._process = subprocess.Popen(
            [PROGRAM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=as_three_and_four,  # noqa: PLW1509 - nothing else runs here yet
            env=environment,
        )
        os.close(read_by_it)
        os.close(written_by_it)
        self._number, self._rest = 0, b""
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, TimeoutError):
            self._session = None
            self("Browser.close")
        os.close(self._to)
        os.close(self._from)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
        raise AssertionError(method)

    def _messages(self) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + _SECONDS
        while True:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                message = json.loads(line)
                if "method" in message:
                    self._events.append(message)
                yield message
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            self._rest += os.read(self._from, 1 << 20)

    def show(self, file: Path, *, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Load a page in a window of a size, whatever the least width of a real one is.

        Args:
            file: the page.
            width: in CSS pixels.
            height: in CSS pixels.
            scheme: ``light`` or ``dark``, as the user's system has it.
            media: ``print``, or nothing for the screen.
        """
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self("Emulation.setEmulatedMedia", media=media, features=features)
        self._events.clear()
        self("Page.navigate", url=file.absolute().as_uri())
        if not any(event["method"] == "Page.loadEventFired" for event in self._events):
            for message in self._messages():
                if message.get("method") == "Page.loadEventFired":
                    break

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page. The page's own policy does not bind it."""
        result = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    @property
    def requested(self) -> list[str]:
        """The addresses that the page has asked for, itself among them."""
        sent = [event for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return [str(event["params"]["request"]["url"]) for event in sent]

    @property
    def complaints(self) -> list[str]:
        """What stands in the console."""
        entries = [event["params"]["entry"]["text"] for event in self._events if event["method"] == "Log.entryAdded"]
        return entries + [
            str(event["params"])
            for event in self._events
            if event["method"].startswith(("Runtime.console", "Runtime.exc"))
        ]

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """Write what is seen as a PNG; the whole page, or the window."""
        self._write(file, self("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole)))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self, file: Path) -> None:
        """Print it on A4 paper."""
        self._write(file, self("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True))

    @staticmethod
    def _write(file: Path, result: dict[str, Any]) -> None:
        file.write_bytes(base64.b64decode(result["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Run a browser while it is needed."""
    with Chromium(folder) as browser:
        yield browser
