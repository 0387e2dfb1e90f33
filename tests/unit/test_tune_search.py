"""The search for options, on servers that are formulas."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from dbt_triton.tune.search import REPEATS, Search, Space, StopSearchError
from dbt_triton.tune.trial_figures import ServerSide, Settings, Trial
from dbt_triton.tune.verdict import said, verdict, where_time_goes
from dbt_triton.tune.written import Places, changed, written

#: A formula: the rows a second of settings.
Server = Callable[[Settings], float]
CURRENT = Settings(8, 0)


def busy(instances: int, seconds: float = 0.02, per_row: float = 0.0) -> Server:
    """Return a model of so many instances, which takes a time for a request and for each row; ``auto`` finds enough."""

    def rate(settings: Settings) -> float:
        in_flight = min(settings.in_flight or 256, instances)
        return in_flight * settings.batch_size / (seconds + per_row * settings.batch_size)

    return rate


def found(
    server: Server, space: Space, *, noise: float = 0.0, most: int = 1_000, seed: int = 7
) -> tuple[Search, list[Settings]]:
    """Search on a formula, with noise, for so many trials at most."""
    tried: list[Settings] = []
    chance = random.Random(seed)  # noqa: S311 - noise

    async def measure(settings: Settings) -> Trial:
        if len(tried) == most:
            raise StopSearchError
        tried.append(settings)
        rate = server(settings) * (1 + noise * chance.uniform(-1, 1))
        return Trial(settings, 1.0, round(rate), 1_000, failures={} if rate else {"503": 3})

    search = Search(space, measure)
    asyncio.run(search.run())
    return search, tried


@pytest.mark.parametrize("most_rows", [1, 7, 64, 1_000])
@pytest.mark.parametrize("instances", [1, 4, 48])
def test_the_best_batch_is_found(most_rows: int, instances: int) -> None:
    """Where a request costs the same whatever its rows, the largest batch is best, with all instances busy."""
    server = busy(instances)
    search, tried = found(server, Space(replace(CURRENT, batch_size=1), most_rows))
    best = search.preferred()
    assert best is not None
    assert best.batch_size == most_rows
    assert server(best) >= 0.97 * most_rows * instances / 0.02
    assert len(tried) <= search._space.planned
    assert max(one.batch_size for one in tried) == most_rows
    assert search.is_complete


def test_a_batch_in_the_middle_is_found() -> None:
    """Where large batches are slower again, as in a cache that is too small, the best size between is found."""
    search, _ = found(lambda s: 1_000 - abs(s.batch_size - 32) * 10 + min(s.in_flight or 256, 4), Space(CURRENT, 256))
    best = search.preferred()
    assert best is not None
    assert best.batch_size == 32


def test_finalists_are_tried_in_turn() -> None:
    """Today's options and the best are measured several times, one after the other, and not each in a row."""
    search, tried = found(busy(4), Space(CURRENT, 64))
    best = search.preferred()
    assert best is not None
    assert len(search.found.trials[best]) == len(search.found.trials[CURRENT]) == 1 + REPEATS
    last = tried[-len(search.finalists) :]
    assert last == search.finalists
    assert {CURRENT, best} <= set(last)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_noise_is_no_gain(noise: float) -> None:
    """On a server that no option makes faster, nothing is recommended but by a rare chance, however loud the noise."""
    space, wrong = Space(Settings(64, 0), 64, has_lengths=True, bounds=(1_024,)), 0
    for seed in range(100):
        search, _ = found(lambda _: 10_000, space, noise=noise, seed=seed)
        result = verdict(search.found, space.current, search.preferred())
        wrong += result.is_better
        assert result.is_better or "There is nothing to change" in said(result)
    assert wrong <= 5


def test_what_is_better_is_told_with_its_figures() -> None:
    """A gain is told as a ratio, with both rates and their spread, and with the options that differ from today's."""
    space = Space(CURRENT, 64)
    search, _ = found(busy(4), space, noise=0.02)
    result = verdict(search.found, CURRENT, search.preferred())
    assert result.is_better
    assert 7.5 < result.ratio < 8.5
    assert "times the rows a second of today's options" in said(result)
    assert "in 3 trials" in said(result)
    assert result.best is not None
    assert changed(result.best, space) == {"batch-size": "64"}


def test_rows_by_length_are_judged() -> None:
    """Where rows as they come are faster, that is found, and written as batch-by."""
    space = Space(Settings(64, 0), 64, has_lengths=True)
    search, _ = found(lambda s: 2_000 if s.batch_by == "none" else 1_000, space)
    result = verdict(search.found, space.current, search.preferred())
    assert result.best is not None
    assert result.is_better
    assert changed(result.best, space) == {"batch-by": "none"}


def test_a_server_that_sheds_load_is_not_recommended() -> None:
    """Settings with which requests failed are never the best, and today's that fail are replaced."""
    search, _ = found(
        lambda s: 0 if s.batch_size > 16 or s.in_flight > 8 else s.batch_size * 100, Space(Settings(64, 0), 64)
    )
    result = verdict(search.found, search._space.current, search.preferred())
    assert result.failing
    assert result.is_better
    assert result.best is not None
    assert result.best.batch_size == 16
    nothing, _ = found(lambda _: 0, Space(CURRENT, 64))
    assert nothing.preferred() is None
    assert "No options were found" in said(verdict(nothing.found, CURRENT, None))


@pytest.mark.parametrize("most", [1, 2, 5, 9, 13])
def test_what_is_known_at_an_early_end_is_told(most: int) -> None:
    """Wherever a search ends early, there is a verdict on what was tried by then."""
    search, tried = found(busy(4), Space(CURRENT, 64), most=most)
    assert len(tried) == most
    assert not search.is_complete
    assert "rows a second" in said(verdict(search.found, CURRENT, search.preferred()))


def test_waiting_is_told_from_working() -> None:
    """A request's time is divided into compute, queue and the rest, and what is most of it is said in words."""
    trial = Trial(CURRENT, 1.0, 100, 100, attempts=100, latency_mean=12.3)
    server = ServerSide(requests=100, rows=800, executions=100, queue=3.0, compute_infer=8.1, total=11.1)
    (line, batch, working) = where_time_goes(replace(trial, server=server))
    assert line == "Of 12.3 ms a request: 8.1 compute, 3.0 queue, 1.2 client and network."
    assert batch == "The server ran 8.0 rows at once on average."
    assert working.startswith("Working")
    waiting = replace(server, queue=8.1, compute_infer=3.0)
    assert where_time_goes(replace(trial, server=waiting))[-1].startswith("Waiting")
    idle = replace(server, queue=0.1, compute_infer=0.2, total=0.3)
    assert where_time_goes(replace(trial, server=idle))[-1].startswith("Neither")
    ensemble = replace(server, queue=0.0, compute_infer=0.2, total=11.1)
    assert where_time_goes(replace(trial, server=ensemble))[-1].startswith("Of most of it the server does not say")
    assert "does not say" in where_time_goes(trial)[0]


@pytest.mark.parametrize(
    ("call", "meta", "is_yaml", "expected"),
    [
        ((), (), False, [("m.sql, in WITH (…)", ["'batch-size' = '64',", "'batch-by' = 'none',"])]),
        ((), (), True, [("m.sql, in meta.inference_model of m", ["batch-size: 64", "batch-by: none"])]),
        (
            ("batch-size",),
            ("batch-by",),
            False,
            [
                ("p.sql, in MAP[…] of the call", ["'batch-size', '64'"]),
                ("p.sql, in meta.ml_predict", ["'batch-by': 'none'"]),
            ],
        ),
    ],
)
def test_options_are_written_where_they_stand(
    call: tuple[str, ...], meta: tuple[str, ...], is_yaml: bool, expected: list[tuple[str, list[str]]]
) -> None:
    """An option is to be written where it wins today, in the form of that place; a new one with the inference model."""
    places = Places(frozenset(call), frozenset(meta), "p.sql", "m", "m.sql", is_yaml)
    lines = written({"batch-size": "64", "batch-by": "none"}, places)
    assert [(one.where, one.lines) for one in lines] == expected


def test_a_folders_options_are_not_written_in_a_model() -> None:
    """meta.ml_predict of a model replaces its folder's as a whole, so a key of the folder's stays in that YAML."""
    places = Places(frozenset(), frozenset({"batch-size"}), "p.sql", "m", "m.sql", is_yaml=False, own_meta=False)
    (place,) = written({"batch-size": "64"}, places)
    assert "p.sql" not in place.where
    assert "its folder's" in place.where
    assert place.lines == ["batch-size: 64"]
