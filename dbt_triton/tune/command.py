"""The command `dbt-triton tune`."""

from __future__ import annotations

import json
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from dbt_triton.errors import DbtTritonError
from dbt_triton.foreign_text import harmless
from dbt_triton.project_run import PredictingModel, predicting_model, run_alone
from dbt_triton.standard_streams import tell
from dbt_triton.step.tune import tuning
from dbt_triton.tune.picture import check_picture, draw
from dbt_triton.tune.shown import as_json, print_tuned
from dbt_triton.tune.tuner import Bounds, TunedCall, Tuner
from dbt_triton.tune.written import Places, Written, changed, keys_of, written

#: The variable by which the macros do this in place of predicting.
VARIABLE = "dbt_triton_tune"


def tune(arguments: Namespace, dbt_arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Try out the options of a predicting model, and say which to write. Returns 1 when no options do."""
    if arguments.picture is not None:
        check_picture(arguments.picture)
    model = predicting_model(arguments.model, dbt_arguments)
    tuner = Tuner(Bounds(arguments.rows, arguments.seconds, arguments.max_requests), arguments.call, progress=_progress)
    with tuning(tuner), _interruptible(tuner):
        problem = run_alone(model, VARIABLE, dbt_arguments)
    if tuner.error is not None:
        raise tuner.error
    if problem is not None or not tuner.calls:
        raise DbtTritonError(problem or "dbt ran nothing")
    calls = [(call, _to_write(call, model)) for call in tuner.calls]
    if arguments.json:
        say(json.dumps(as_json(tuner, model.name, calls), indent=2))
    else:
        print_tuned(tuner, calls, sys.stdout)
    if arguments.picture is not None:
        draw(tuner.calls, model.name, arguments.picture)
        _progress(f"wrote {arguments.picture}")
    return 0 if all(call.verdict.best is not None for call in tuner.calls) else 1


def _progress(text: str) -> None:
    """Say how far it is, beside the result: a pipe has that alone."""
    tell(harmless(text))


def _to_write(call: TunedCall, model: PredictingModel) -> list[Written]:
    best = call.verdict.best
    if best is None or not call.verdict.is_better:
        return []
    node = model.inference_model(call.planned.call.model.rpartition(".")[2].strip('"`')) or model.inference_model(
        call.planned.model.name
    )
    meta = (node.config.meta or {}).get("inference_model") if node is not None else None
    in_yaml = node is not None and bool(meta)
    file = "the inference model" if node is None else str(node.original_file_path)
    if node is not None and in_yaml and node.patch_path:
        file = str(node.patch_path).partition("://")[2] or file
    places = Places(
        call=keys_of(call.planned.call.config),
        meta=keys_of(model.meta),
        file=model.file,
        model=call.planned.model.name,
        model_file=file,
        is_yaml=in_yaml,
        own_meta=model.has_own_meta,
    )
    return written(changed(best, call.space), places)


@contextmanager
def _interruptible(tuner: Tuner) -> Iterator[None]:
    """Let the first Ctrl-C end the trials with what is known; another one, or one before the trials, ends it all."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if tuner.is_measuring and not tuner.stop.is_set():
            tuner.stop.set()
            return
        tuner.stop.set()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
