"""What the trials say: whether other options are better than today's, by how much, and where the time goes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from dbt_triton.tune.search import REPEATS, Found
from dbt_triton.tune.trial_figures import Settings, Trial

#: A gain below this is none, however well it repeats.
WORTH_WRITING = 1.05
_MOST = 0.5


@dataclass(frozen=True)
class Rate:
    """Rows a second of some settings: the median of their trials, the least and the most."""

    median: float
    least: float
    most: float
    trials: int

    @property
    def spread(self) -> float:
        """How far the trials lie apart, as a part of their median."""
        return (self.most - self.least) / self.median if self.median else 0.0


def rate_of(found: Found, settings: Settings) -> Rate:
    """Return the rate of settings that were tried."""
    rates = [trial.rate for trial in found.compared(settings)]
    return Rate(median(rates), min(rates), max(rates), len(rates))


@dataclass(frozen=True)
class Verdict:
    """Today's options beside the best.

    Args:
        current: today's options, and ``today`` their rate.
        best: what to write, and ``then`` its rate; None where every trial failed.
        is_better: whether the best is better than today's by more than noise.
        failing: whether a run with today's options fails.
    """

    current: Settings
    today: Rate
    best: Settings | None
    then: Rate | None
    is_better: bool
    failing: bool = False

    @property
    def ratio(self) -> float:
        """How many times the rows a second of today's options; 0 where these have none."""
        return self.then.median / self.today.median if self.then and self.today.median else 0.0


def verdict(found: Found, current: Settings, best: Settings | None) -> Verdict:
    """Compare the best settings with today's.

    Better is what is more by a twentieth, each of whose trials was faster than every one of today's, by more than the
    trials of either lie apart: of settings that are alike, the faster of many is often above the others by chance.
    """
    today = rate_of(found, current)
    failing = not found.rate(current)
    if best is None:
        return Verdict(current, today, None, None, is_better=False, failing=failing)
    then = rate_of(found, best)
    is_better = best != current and (
        failing
        or (
            then.median >= WORTH_WRITING * today.median
            and then.least > today.most
            and then.median - today.median > max(then.most - then.least, today.most - today.least)
        )
    )
    return Verdict(current, today, best, then, is_better=is_better, failing=failing)


def said(result: Verdict) -> str:
    """Say in a sentence or two what the best options bring."""
    if result.best is None or result.then is None:
        return "No options were found with which every request is answered; see what failed above."
    today, then = result.today, result.then
    if result.failing and result.is_better:
        return f"{then.median:,.0f} rows a second, and no request failed; with today's options some did."
    if result.is_better:
        return (
            f"{result.ratio:.2g} times the rows a second of today's options: {then.median:,.0f} against "
            f"{today.median:,.0f} ({_spread(then)}; today's {_spread(today)})."
        )
    if result.best == result.current:
        return (
            f"Today's options are the best that were found, or as good: {today.median:,.0f} rows a second "
            f"({_spread(today)}). There is nothing to change."
        )
    return (
        f"Today's options are within noise of the best that was found: {today.median:,.0f} rows a second against "
        f"{then.median:,.0f} ({_spread(then)}; today's {_spread(today)}). There is nothing to change."
    )


def _spread(rate: Rate) -> str:
    if rate.trials < REPEATS:
        return f"{rate.trials} trial{'' if rate.trials == 1 else 's'} only"
    return f"{rate.least:,.0f} to {rate.most:,.0f} in {rate.trials} trials"


def where_time_goes(trial: Trial, *, generates: bool = False) -> list[str]:
    """Say what a request's time went to, and what that means: waiting or working."""
    if not trial.requests:
        return ["No request was answered."]
    latency, server = trial.latency_mean, trial.server
    if generates:
        return [f"{latency:,.1f} ms a request. For answers by generate_stream, Triton's statistics say no more."]
    if server is None or not server.requests:
        return [f"{latency:,.1f} ms a request. The server does not say what it spent them on (statistics extension)."]
    inside = server.queue + server.compute
    other = max(server.total - inside, 0.0)
    around = max(latency - max(server.total, inside), 0.0)
    parts = [f"{server.compute:,.1f} compute", f"{server.queue:,.1f} queue"]
    parts += [f"{other:,.1f} elsewhere in the server"] if other > latency / 20 else []
    lines = [f"Of {latency:,.1f} ms a request: {', '.join(parts)}, {around:,.1f} client and network."]
    if server.executions:
        lines.append(f"The server ran {server.rows_an_execution:,.1f} rows at once on average.")
    shares = {"queue": server.queue / latency, "compute": server.compute / latency, "around": around / latency}
    shares["other"] = other / latency
    lines += [text for part, text in _MEANING.items() if shares[part] >= _MOST]
    return lines


_MEANING = {
    "other": (
        "Of most of it the server does not say whether it waited or worked, as for an ensemble: the queues of the "
        "models that it is made of are in the server's own metrics."
    ),
    "queue": (
        "Waiting: the model's instances are busy, and more requests in flight only wait longer. Larger batches help "
        "where the model gains by them, else more instances (instance_group) or a faster model."
    ),
    "compute": "Working: the model itself is what takes the time.",
    "around": (
        "Neither waiting nor working in the server: the client, HTTP and the network take most of it. Larger batches "
        "share that among more rows."
    ),
}
