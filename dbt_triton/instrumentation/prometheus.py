"""A text file for Prometheus, which node_exporter's textfile collector reads. Imported where it is turned on.

dbt is a batch job: nobody can scrape it, since it has ended by then. So the file outlives the process, and what one run
counts is added to what stands there: counters and histograms go on from run to run, as ``rate`` and ``increase`` want
it. Several processes and threads may write one file: each reads, adds and replaces it under a lock, and a reader sees
a whole file always.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from dbt_triton.instrumentation.hooks import Call, CallObserver
from dbt_triton.instrumentation.measures import (
    METRICS,
    Attributes,
    Kind,
    MeasuredCall,
    Metric,
    prometheus_label,
    prometheus_name,
)

logger = logging.getLogger("dbt_triton.instrumentation")

#: While a call runs, the file is brought up to date so often, where nobody else writes it at that moment.
EVERY_SECONDS = 15.0
#: At the end of a call, others are waited for so long.
_LOCK_SECONDS = 10.0
#: node_exporter is another user, whatever the umask of this one is.
_MODE = 0o644
_MOST_KEPT = 256
_BY_NAME = {prometheus_name(metric): metric for metric in METRICS}
Labels = tuple[tuple[str, str], ...]


class PrometheusHook:
    """Measures calls, and keeps the file.

    Args:
        path: of the file; node_exporter reads those that end in ``.prom``.
    """

    def __init__(self, path: str) -> None:
        self._file = MetricsFile(Path(path).expanduser())

    def call(self, call: Call) -> CallObserver:
        """Begin to measure a call."""
        return MeasuredCall(call, self._file)

    def invocation_ended(self, invocation_id: str, *, succeeded: bool) -> None:
        """Nothing is measured of a run but its calls."""

    def flush(self, seconds: float) -> None:
        """Bring the file up to date."""
        self._file.write(seconds)

    def close(self) -> None:
        """Bring the file up to date."""
        self._file.write(_LOCK_SECONDS)


class Values:
    """Values of metrics, by metric and labels: a number, or for a histogram the counts of its buckets and the sum."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Metric, Labels], float] = {}
        self._buckets: dict[tuple[Metric, Labels], list[float]] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers or self._buckets)

    def take(self, metric: Metric, value: float, labels: Labels) -> None:
        """Take one value."""
        if metric.kind != Kind.HISTOGRAM:
            before = self._numbers.get((metric, labels), 0.0) if metric.kind == Kind.COUNTER else 0.0
            self._numbers[metric, labels] = before + value
            return
        buckets = self._of_histogram(metric, labels)
        buckets[bisect_left(metric.bounds, value)] += 1
        buckets[-1] += value

    def add(self, other: Values) -> None:
        """Add what another one has; gauges become what they are there."""
        for (metric, labels), value in other._numbers.items():
            self.take(metric, value, labels)
        for (metric, labels), counts in other._buckets.items():
            mine = self._of_histogram(metric, labels)
            mine[:] = [one + more for one, more in zip(mine, counts, strict=True)]

    def read(self, text: str) -> None:
        """Take what a file says.

        Raises:
            ValueError: it is no text format, or holds somebody else's metrics.
        """
        for family in text_string_to_metric_families(text):
            metric = _BY_NAME.get(family.name)
            if metric is None:
                if family.name.startswith("dbt_triton_"):
                    continue  # of another version
                raise ValueError("it holds metrics of something else")
            if metric.kind == Kind.HISTOGRAM:
                self._read_histogram(metric, family.samples)
            else:
                self._numbers |= {(metric, _labels(sample.labels)): sample.value for sample in family.samples}

    def collect(self) -> Iterator[Family]:
        """Return the families, as prometheus_client writes them."""
        for metric in METRICS:
            family = Family(prometheus_name(metric), metric.help, metric.kind.value)
            suffix = "_total" if metric.kind == Kind.COUNTER else ""
            for (of, labels), value in self._numbers.items():
                if of is metric:
                    family.add_sample(family.name + suffix, dict(labels), value)
            for (of, labels), counts in self._buckets.items():
                if of is metric:
                    self._add_histogram(family, metric, labels, counts)
            if family.samples:
                yield family

    def _of_histogram(self, metric: Metric, labels: Labels) -> list[float]:
        """Return the counts of the buckets, each without those below it, and the sum of the values."""
        return self._buckets.setdefault((metric, labels), [0.0] * (len(metric.bounds) + 2))

    def _read_histogram(self, metric: Metric, samples: list[Sample]) -> None:
        counts: dict[Labels, dict[str, float]] = {}
        sums: dict[Labels, float] = {}
        for sample in samples:
            labels = dict(sample.labels)
            bound = labels.pop("le", "")
            if sample.name.endswith("_bucket"):
                counts.setdefault(_labels(labels), {})[bound] = sample.value
            elif sample.name.endswith("_sum"):
                sums[_labels(labels)] = sample.value
        bounds = _bounds(metric)
        for key, found in counts.items():
            if set(found) != set(bounds):
                continue  # of another version
            upto = [found[bound] for bound in bounds]
            single = [after - before for before, after in zip([0.0, *upto], upto, strict=False)]
            self._buckets[metric, key] = [*single, sums.get(key, 0.0)]

    @staticmethod
    def _add_histogram(family: Family, metric: Metric, labels: Labels, counts: list[float]) -> None:
        upto = 0.0
        for bound, count in zip(_bounds(metric), counts, strict=False):
            upto += count
            family.add_sample(f"{family.name}_bucket", {**dict(labels), "le": bound}, upto)
        family.add_sample(f"{family.name}_count", dict(labels), upto)
        family.add_sample(f"{family.name}_sum", dict(labels), counts[-1])


def _refuse_link(path: Path) -> None:
    """Refuse a lock that is a link: older filelocks empty what it leads to, which somebody else may have chosen."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"{path} is a link")


def _refuse_link_of_another(path: Path) -> None:
    """Refuse a link that another user has put there: it may lead to any file of whoever runs dbt."""
    with suppress(FileNotFoundError):
        said = path.lstat()
        if stat.S_ISLNK(said.st_mode) and hasattr(os, "geteuid") and said.st_uid not in {0, os.geteuid()}:
            raise OSError(errno.EPERM, "it is a link of another user")


class MetricsFile:
    """The file, and what this process has counted since it was written last.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending = Values()
        self._of_pending = threading.Lock()
        self._written_at = time.monotonic()
        self._has_failed = False
        self._labels: dict[int, tuple[Attributes, Labels]] = {}

    def take(self, metric: Metric, value: float, attributes: Attributes) -> None:
        """Take one value; now and then, write the file."""
        with self._of_pending:
            self._pending.take(metric, value, self._labels_of(attributes))
        if time.monotonic() - self._written_at >= EVERY_SECONDS:
            self.write(0.0)

    def _labels_of(self, attributes: Attributes) -> Labels:
        """Return attributes as labels; those of attempts are the same ones again and again."""
        found = self._labels.get(id(attributes))
        if found is None:
            labels = _labels({prometheus_label(name): str(one) for name, one in attributes.items()})
            found = attributes, labels
            if len(self._labels) < _MOST_KEPT:
                self._labels[id(attributes)] = found  # with them, so that their id is nobody else's
        return found[1]

    def call_ended(self) -> None:
        """Write the file."""
        self.write(_LOCK_SECONDS)

    def write(self, seconds: float) -> None:
        """Add to the file what was counted since; a file that cannot be written is told once, and no error.

        Args:
            seconds: how long to wait for others that write it. What is not written stays for the next time.
        """
        self._written_at = time.monotonic()
        with self._of_pending:
            if not self._pending:
                return
            pending, self._pending = self._pending, Values()
        try:
            path = self._file()
            lock = path.with_name(f".{path.name}.lock")
            _refuse_link(lock)
            with FileLock(lock, timeout=seconds):
                self._add(pending, path)
        except (OSError, ValueError, Timeout) as error:
            with self._of_pending:
                pending.add(self._pending)
                self._pending = pending
            if seconds or not isinstance(error, Timeout):
                self._tell(error)

    def _file(self) -> Path:
        """Return the file itself, where the path is a link to it: the link stays, and all who follow it share a lock.

        Raises:
            OSError: no file can be there; says why.
        """
        _refuse_link_of_another(self._path)
        try:
            path = self._path.resolve()
        except RuntimeError:  # as Python 3.12 and before have it
            path = self._path
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link that leads to itself")
        if not path.parent.is_dir():  # which the lock would make
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
        if path.exists() and not path.is_file():  # /dev/null would be replaced, and a pipe never ends
            raise OSError(errno.EINVAL, "it is no file")
        return path

    @staticmethod
    def _add(pending: Values, path: Path) -> None:
        values = Values()
        with suppress(FileNotFoundError):
            values.read(path.read_text(encoding="utf-8"))
        values.add(pending)
        # Its name begins with a dot and does not end in .prom, so that no reader takes it for a file of metrics.
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(generate_latest(values))
            Path(name).chmod(_MODE)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _tell(self, error: Exception) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        of_system = error.strerror if isinstance(error, OSError) else str(error)
        why = "another process holds its lock" if isinstance(error, Timeout) else of_system
        logger.warning("the metrics of DBT_TRITON_PROMETHEUS_FILE are not written: %s: %s", self._path, why)


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _bounds(metric: Metric) -> list[str]:
    """Return the bounds of a histogram as labels."""
    return [str(floatToGoString(bound)) for bound in (*metric.bounds, float("inf"))]  # type: ignore[no-untyped-call]
