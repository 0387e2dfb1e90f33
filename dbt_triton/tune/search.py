"""Which trials are made, and in which order: a search in a few directions, since a full grid would take hours.

First the batch size at a moderate number of requests in flight, then this number at the best sizes, then how rows are
put together. Today's options are tried first and last, and the finalists several times in turn, so that what the server
or a neighbour does meanwhile meets all of them alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median

from dbt_triton.engine.concurrency import MAX
from dbt_triton.tune.trial_figures import Settings, Trial

#: Requests in flight at each server while batch sizes are compared: enough to keep a few instances of a model busy.
MODERATE = 8
#: Each finalist is tried so often; only these trials are compared, since the first one may have chosen it by luck.
REPEATS = 3
#: A smaller size that has less than this part of the best rate ends the way down.
_HOPELESS = 0.5
#: Another size is worth its own search for the requests in flight when it has this part of the best rate.
_CLOSE = 0.85
#: More requests in flight must bring so much more; fewer, or ``auto``, may cost so much.
_WORTH_MORE = 1.05
_AS_GOOD = 0.97
#: A part of a short trial passes while ``auto`` finds its number; a run is longer.
_AUTO_AS_GOOD = 0.93
_STEP = 4


@dataclass(frozen=True)
class Space:
    """What may be tried.

    Args:
        current: today's options.
        most_rows: of a request; 1 where requests have one row each.
        has_lengths: whether rows differ in length, so that `batch_by` says something.
        most_in_flight: requests.
        bounds: values of batch_tokens to try.
        servers: that share the work.
    """

    current: Settings
    most_rows: int
    has_lengths: bool = False
    most_in_flight: int = MAX
    bounds: tuple[int, ...] = ()
    servers: int = 1

    @property
    def moderate(self) -> int:
        """Requests in flight while batch sizes are compared."""
        return MODERATE * self.servers

    @property
    def planned(self) -> int:
        """How many trials a search makes, about; the budget is shared among them."""
        sizes, size = 1, self.most_rows
        while size > 1:
            sizes, size = sizes + 1, size // _STEP
        return sizes + 3 + 9 + (1 if self.has_lengths else 0) + len(self.bounds) + 3 * REPEATS


@dataclass
class Found:
    """The trials so far, by their settings, each with its repeats, in the order of the first of each.

    ``finals`` are those of them that were made of the finalists in turn.
    """

    trials: dict[Settings, list[Trial]] = field(default_factory=dict)
    finals: dict[Settings, list[Trial]] = field(default_factory=dict)

    def add(self, trial: Trial, *, is_final: bool = False) -> None:
        """Keep a trial."""
        self.trials.setdefault(trial.settings, []).append(trial)
        if is_final:
            self.finals.setdefault(trial.settings, []).append(trial)

    def compared(self, settings: Settings) -> list[Trial]:
        """Return the trials by which settings are compared: the finals, where there are some."""
        return self.finals.get(settings) or self.trials.get(settings, [])

    def rate(self, settings: Settings) -> float:
        """Return the rows a second of settings, the median of their trials; 0 where a trial failed."""
        is_sound = all(one.is_sound for one in self.trials.get(settings, []))
        rates = [trial.rate for trial in self.compared(settings)]
        return median(rates) if rates and is_sound else 0.0

    def best(self, *left_out: Settings) -> Settings | None:
        """Return the settings with the most rows a second; None where every trial failed."""
        rated = [(self.rate(one), one) for one in self.trials if one not in left_out]
        rate, found = max(rated, key=lambda pair: pair[0], default=(0.0, None))
        return found if rate else None

    @property
    def others(self) -> int:
        """Requests of somebody else that the server counted meanwhile."""
        return sum(trial.others for trials in self.trials.values() for trial in trials)


class Search:
    """Searches by trials.

    Args:
        space: what may be tried.
        measure: makes a trial. It raises `StopSearchError` where no more are to be made; what is known by then stays.
    """

    def __init__(self, space: Space, measure: Callable[[Settings], Awaitable[Trial]]) -> None:
        self.found = Found()
        self.is_complete = False
        self.finalists: list[Settings] = []
        self._space = space
        self._measure = measure

    async def run(self) -> Found:
        """Make the trials."""
        try:
            await self._try(self._space.current)
            await self._sizes()
            await self._in_flight()
            await self._batches()
            await self._finals()
            self.is_complete = True
        except StopSearchError:
            pass
        return self.found

    async def _try(self, settings: Settings, *, again: bool = False) -> float:
        """Try settings, unless they were tried; return their rows a second."""
        if again or settings not in self.found.trials:
            self.found.add(await self._measure(settings), is_final=again)
        return self.found.rate(settings)

    def _base(self, size: int, in_flight: int) -> Settings:
        return replace(self._space.current, batch_size=size, in_flight=min(in_flight, self._space.most_in_flight))

    async def _sizes(self) -> None:
        """Go down from the largest batch by fours, then look beside the best."""
        if self._space.most_rows == 1:
            await self._try(self._base(1, self._space.moderate))
            return
        best, rates = 0.0, dict[int, float]()
        for size in [*_down(self._space.most_rows), self._space.current.batch_size]:
            if size not in rates:
                rates[size] = await self._try(self._base(size, self._space.moderate))
            best = max(best, rates[size])
            if rates[size] < _HOPELESS * best and size < self._space.current.batch_size:
                break
        top = max(rates, key=lambda size: rates[size])
        for beside in (top * 2, top // 2):
            if 1 <= beside <= self._space.most_rows and beside not in rates:
                await self._try(self._base(beside, self._space.moderate))

    async def _in_flight(self) -> None:
        """At the best sizes, double and halve the requests in flight while that brings something."""
        first = self.found.best()
        if first is None:
            return
        others = [one for one in self.found.trials if one.batch_size != first.batch_size]
        second = max(others, key=self.found.rate, default=None)
        sizes = [first.batch_size]
        if second is not None and self.found.rate(second) >= _CLOSE * self.found.rate(first):
            sizes.append(second.batch_size)
        for size in sizes:
            await self._try(self._base(size, 0))
            rate, in_flight = await self._try(self._base(size, self._space.moderate)), self._space.moderate
            start = rate
            while in_flight * 2 <= self._space.most_in_flight:
                in_flight *= 2
                more = await self._try(self._base(size, in_flight))
                if more < _WORTH_MORE * rate:
                    break
                rate = more
            if rate > start * _WORTH_MORE:
                continue  # fewer would be slower still
            in_flight = self._space.moderate
            while in_flight > 1:
                in_flight //= 2
                if await self._try(self._base(size, in_flight)) < _AS_GOOD * max(start, rate):
                    break

    async def _batches(self) -> None:
        """At the best settings, put rows together in the other way, and bound their tokens."""
        if (best := self.found.best()) is None or self._space.most_rows == 1:
            return
        if self._space.has_lengths:
            await self._try(replace(best, batch_by="none" if best.batch_by == "length" else "length"))
        for bound in self._space.bounds:
            most = replace(best, batch_size=self._space.most_rows, batch_by="length", batch_tokens=bound)
            await self._try(most)

    async def _finals(self) -> None:
        """Try today's options, the best, and the one after it, in turn."""
        current = self._space.current
        best = self.preferred()
        if best is None:
            return
        finalists = list(dict.fromkeys([current, best, self.found.best(current, best) or best]))
        for _ in range(REPEATS):
            for settings in finalists:
                await self._try(settings, again=True)
        self.finalists = finalists

    def preferred(self) -> Settings | None:
        """Return the settings to write: the fastest, or what is about as fast and easier to live with.

        Today's options come first, then ``auto``, which follows what the server bears, then fewer requests in flight.
        Once the finalists are known it is one of them: others were tried once, and may have been lucky.
        """
        among = self.finalists or list(self.found.trials)
        best = max(among, key=self.found.rate, default=None)
        if best is None or not self.found.rate(best):
            return None
        rate = self.found.rate(best)
        as_good = [
            one for one in among if self.found.rate(one) >= (_AS_GOOD if one.in_flight else _AUTO_AS_GOOD) * rate
        ]
        current = self._space.current
        if self.found.rate(current) >= _AS_GOOD * rate:
            return current
        return min(as_good, key=lambda one: (one.in_flight, -self.found.rate(one)))


class StopSearchError(Exception):
    """No more trials: the budget is used up, or the user wants no more."""


def _down(most: int) -> Iterator[int]:
    """Return powers of two by fours from the most rows down to 1; the most itself first, whatever it is."""
    yield most
    size = 1 << (most.bit_length() - 1)
    size = size if size < most else size // _STEP
    while size > 1:
        yield size
        size //= _STEP
    if most > 1:
        yield 1
