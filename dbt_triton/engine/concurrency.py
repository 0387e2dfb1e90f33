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

from dbt_triton.client.client import MOST_STREAMS

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
#: Where the server puts requests together by itself, as language models do, each that is in flight makes all of them
#: slower, and the throughput still grows: by less and less, until the server is full. It takes hundreds or thousands.
MAX_SELF_BATCHING = MOST_STREAMS
#: Its requests take seconds or minutes. So a window has one answer for each request in flight, and a step is an eighth
#: of these.
_WINDOW_ANSWERS_SELF_BATCHING = 1
_STEP_SHARE = 8
#: Once latency has grown so much since the run began, its slowest requests stay within this part of the timeout. By
#: then load makes them slow; before, fewer in flight would not make them any faster.
_GROWN = 1.25
_SHARE_OF_TIMEOUT = 0.75
#: Windows to wait before another increase is tried: after one that was in vain, twice as many as the last time.
_HOLD, _HOLD_MAX = 8, 64


class ConcurrencyLimit:
    """The number of requests that may be in flight.

    Args:
        fixed: a number that never changes, or None to adapt.
        clock: seconds, never going back.
        start: what it begins with, where it adapts.
        most: what it never exceeds then. Engines that share a server share these.
        timeout: seconds for a request, where the server puts requests together by itself; else None.
    """

    def __init__(
        self,
        fixed: int | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        start: int = START,
        most: int = MAX,
        timeout: float | None = None,
    ) -> None:
        self.current = start if fixed is None else fixed
        self._most = most
        self._timeout = timeout
        self._window_answers = _WINDOW_ANSWERS if timeout is None else _WINDOW_ANSWERS_SELF_BATCHING
        #: How many were in flight when latency was least, and that latency.
        self._unloaded: tuple[int, float] | None = None
        self._slowest = 0.0
        self._adapts = fixed is None
        self._clock = clock
        self._doubling = True
        self._before: tuple[int, float] | None = None
        self._throughput = 0.0
        self._hold = 0
        self._next_hold = _HOLD
        self._answers = 0
        self._rows = 0
        self._slowest = 0.0
        self._decreased = False
        self._started = clock()

    def answered(self, rows: int, latency: float = 0.0) -> None:
        """Count an answer that took so many seconds, and judge the window when it is over."""
        if not self._adapts:
            return
        self._answers += 1
        self._rows += rows
        self._slowest = max(self._slowest, latency)
        if self._answers >= self._window_answers * self.current:
            seconds = self._clock() - self._started
            if seconds >= _WINDOW_SECONDS:
                # By Little's law; the first to be answered are the short ones, so that their own mean says less.
                self._latency = self.current * seconds / self._answers
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
        self._slowest = 0.0
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
        elif self.current < (most := self._bound()):
            self._before = (self.current, self._throughput)
            self._doubling = self._doubling and (self._timeout is None or 2 * self.current <= most)
            step = self.current if self._doubling else min(self.current, self._step)
            self.current = min(most, self.current + step)

    @property
    def _step(self) -> int:
        return _STEP if self._timeout is None else max(_STEP, self.current // _STEP_SHARE)

    def _bound(self) -> int:
        """Return what may be in flight: no more than are answered in time, if latency goes on growing as it did."""
        latency = self._latency
        if self._timeout is None or not self._slowest:
            return self._most
        if self._unloaded is None or latency < self._unloaded[1]:
            self._unloaded = (self.current, latency)
        few, least = self._unloaded
        if latency < _GROWN * least or self.current <= few:
            return self._most
        each = (latency - least) / (self.current - few)
        longer = latency * (_SHARE_OF_TIMEOUT * self._timeout / self._slowest - 1)
        return min(self._most, max(self.current + int(longer / each), 1))
