"""How many requests are in flight: as many as the server bears, and no more.

Additive increase, multiplicative decrease, after a slow start (Chiu and Jain 1989; RFC 5681). What counts as congestion
is said by the server (429, 502, 503, 504, a timeout, a broken connection), or seen in the answers: more requests in
flight that bring no more rows a second only wait longer, since latency = requests in flight / throughput (Little's
law). That second signal is the idea of TCP Vegas (Brakmo and Peterson 1995), measured by throughput rather than by the
shortest latency, because a server with dynamic batching gets slower and better at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

START = 16
MAX = 256
#: A window is judged after this many times its limit in answers, and at least this many seconds.
_WINDOW_ANSWERS = 2
_WINDOW_SECONDS = 0.1
#: Doubling the requests in flight must bring a tenth more rows a second. After that so many are added at a time (as
#: many as there are, below that), which must bring a third of what they would bring if nothing waited. A step of one
#: could not be told from noise: it brings a hundredth where a hundred are in flight.
_WORTH_DOUBLING = 1.10
_STEP = 8
_WORTH_A_STEP = 1 / 3
_DECREASE = 0.5
#: Windows to wait before another increase is tried: after one that was in vain, twice as many as the last time.
_HOLD, _HOLD_MAX = 8, 64


class ConcurrencyLimit:
    """The number of requests that may be in flight.

    Args:
        fixed: a number that never changes, or None to adapt.
        clock: seconds, never going back.
        start: what it begins with, where it adapts.
        most: what it never exceeds then. Engines that share a server share these.
    """

    def __init__(
        self,
        fixed: int | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        start: int = START,
        most: int = MAX,
    ) -> None:
        self.current = start if fixed is None else fixed
        self._most = most
        self._adapts = fixed is None
        self._clock = clock
        self._doubling = True
        self._before: tuple[int, float] | None = None
        self._throughput = 0.0
        self._hold = 0
        self._next_hold = _HOLD
        self._answers = 0
        self._rows = 0
        self._decreased = False
        self._started = clock()

    def answered(self, rows: int) -> None:
        """Count an answer, and judge the window when it is over."""
        if not self._adapts:
            return
        self._answers += 1
        self._rows += rows
        if self._answers >= _WINDOW_ANSWERS * self.current:
            seconds = self._clock() - self._started
            if seconds >= _WINDOW_SECONDS:
                self._judge(self._rows / seconds)
                self._begin_window()

    def overloaded(self) -> None:
        """Halve the limit: the server sheds load, or does not answer. Once a window: its requests fail together."""
        if not self._adapts or self._decreased:
            return
        self.current = max(1, int(self.current * _DECREASE))
        self._doubling, self._before, self._throughput = False, None, 0.0
        self._hold = self._next_hold
        self._begin_window()
        self._decreased = True

    def _begin_window(self) -> None:
        self._answers = 0
        self._rows = 0
        self._decreased = False
        self._started = self._clock()

    def _judge(self, throughput: float) -> None:
        if self._before is not None:
            limit, rate = self._before
            self._before = None
            worth = _WORTH_DOUBLING if self._doubling else 1 + _WORTH_A_STEP * (self.current / limit - 1)
            if throughput < rate * worth:
                # In vain: the requests only wait longer.
                self.current = limit
                self._doubling = False
                self._hold, self._next_hold = self._next_hold, min(2 * self._next_hold, _HOLD_MAX)
                self._throughput = rate
                return
            self._throughput, self._next_hold = throughput, _HOLD
        # What a limit brings changes with time, and with noise.
        self._throughput = throughput if not self._throughput else 0.7 * self._throughput + 0.3 * throughput
        if self._hold:
            self._hold -= 1
        elif self.current < self._most:
            self._before = (self.current, self._throughput)
            self.current = min(
                self._most, self.current + (self.current if self._doubling else min(self.current, _STEP))
            )
