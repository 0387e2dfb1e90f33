"""What a call of ML_EVALUATE measures: which prediction is compared with the label, and as which task."""

from __future__ import annotations

from dbt_triton.ddl.evaluation import CLASSIFICATION, MEASURED, REGRESSION, TASKS, Evaluation
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.step.call_inputs import CallInputs
from dbt_triton.tensors.sql_types import INTEGER_BITS
from dbt_triton.warehouses import Dialect
from dbt_triton.warehouses.evaluation import Measured
from dbt_triton.warehouses.planned_call import PlannedCall

_INTEGERS = {*INTEGER_BITS, "HUGEINT", "UHUGEINT"}
_FRACTIONS = {"FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE", "DECIMAL"}
#: What is compared as it is. Of types that are none of these, the warehouse says whether it can.
_ALIKE = {
    **dict.fromkeys(_INTEGERS | _FRACTIONS, "a number"),
    **dict.fromkeys(("VARCHAR", "JSON"), "a text"),
    "BOOLEAN": "a boolean",
}
_IN_SQL = "ML_EVALUATE measures classification and regression; join the predictions with the truth, and measure in SQL"


def measured_by(planned: PlannedCall, inputs: CallInputs, dialect: Dialect) -> Measured | None:
    """Return what a call measures, as SQL of the columns that it predicts.

    Args:
        planned: the call, without what is measured.
        inputs: the columns of its input. What is wrong goes to their problems.
        dialect: of the warehouse.

    Returns:
        None where nothing can be measured; a problem says why.
    """
    evaluation = planned.call.evaluation
    if evaluation is None:
        return None
    found = _Evaluated(planned, evaluation, inputs, dialect)
    before = len(inputs.problems)
    measured = found.measured()
    return measured if len(inputs.problems) == before else None


class _Evaluated:
    """One call of ML_EVALUATE, and what it says."""

    def __init__(self, planned: PlannedCall, evaluation: Evaluation, inputs: CallInputs, dialect: Dialect) -> None:
        self._planned = planned
        self._evaluation = evaluation
        self._inputs = inputs
        self._dialect = dialect

    def measured(self) -> Measured | None:
        """Return what is measured; what is wrong goes to the problems."""
        label = self._inputs.column(self._evaluation.label, "label")
        predicted = self._predicted()
        if predicted is None or label not in self._inputs.types:
            return None
        label_kind, label_levels = self._dialect.source_kind(self._inputs.types[label])
        task = self._task(predicted, label_kind)
        if task is None:
            return None
        for name, kind, levels in (
            (f"the label {label}", label_kind, label_levels),
            (f"OUTPUT {predicted.name}", predicted.type.kind, len(predicted.type.dims)),
        ):
            if levels:
                self._say(f"{name} is an array; {_IN_SQL}")
            elif task == REGRESSION and _ALIKE.get(kind, "a number") != "a number":
                self._say(
                    f"{name} is {_ALIKE[kind]}, and a regression needs numbers; cast it in the input, or name the task"
                )
        same = _ALIKE.get(label_kind), _ALIKE.get(predicted.type.kind)
        if task == CLASSIFICATION and None not in same and same[0] != same[1]:
            self._say(
                f"the label {label} is {same[0]}, and OUTPUT {predicted.name} is {same[1]}; cast the label in a query "
                "that is the TABLE"
            )
        return self._of(task, label, predicted)

    def _of(self, task: str, label: str, predicted: TypedColumn) -> Measured:
        evaluation, quote = self._evaluation, self._dialect.quote
        score = None
        if evaluation.score is not None:
            score = self._output(evaluation.score, "score")
            if task != CLASSIFICATION:
                self._say("'score' is of a classification, and this is a regression")
            elif score is not None and (_ALIKE.get(score.type.kind) != "a number" or score.type.dims):
                self._say(f"'score' names OUTPUT {score.name}, which is {score.sql_type}, and no number")
        elif evaluation.positive is not None:
            self._say("'positive' is the class of 'score', which is missing")
        error = self._planned.error_name
        return Measured(
            task,
            quote(self._named(predicted)),
            quote(label),
            failed="false" if error is None else self._dialect.is_given(error),
            score=None if score is None else quote(self._named(score)),
            positive=None if evaluation.positive is None else self._dialect.text(evaluation.positive),
        )

    def _predicted(self) -> TypedColumn | None:
        """Return the OUTPUT column that is compared."""
        if self._evaluation.predicted is not None:
            return self._output(self._evaluation.predicted, "predicted")
        outputs = self._planned.model.outputs
        if len(outputs) != 1:
            names = ", ".join(column.name for column in outputs)
            self._say(f"{self._planned.model.name} has several OUTPUT columns ({names}): write MAP['predicted', '…']")
            return None
        return outputs[0]

    def _output(self, written: str, key: str) -> TypedColumn | None:
        outputs = self._planned.model.outputs
        found = next((column for column in outputs if column.name.lower() == written.lower()), None)
        if found is None:
            names = ", ".join(column.name for column in outputs)
            self._say(f"'{key}' is {written!r}, which is no OUTPUT of {self._planned.model.name}; it has {names}")
        return found

    def _named(self, column: TypedColumn) -> str:
        """Return the name of an OUTPUT column among those of the input."""
        places = [one.name for one in self._planned.model.outputs]
        return self._planned.output_names[places.index(column.name)]

    def _task(self, predicted: TypedColumn, label_kind: str) -> str | None:
        """Return the task: as the call says it, or the model, or as the types say."""
        said = self._evaluation.task or self._planned.model.options.task
        if said is None:
            kind = predicted.type.kind
            is_fraction = kind in _FRACTIONS or (kind in _INTEGERS and label_kind in _FRACTIONS)
            return REGRESSION if is_fraction else CLASSIFICATION
        task = said.strip().lower()
        if task not in TASKS:
            self._say(f"the task is {said!r}; write 'classification' or 'regression'")
            return None
        if task not in MEASURED:
            self._say(f"the task is {task}, which has no metrics here: {_IN_SQL}")
            return None
        return task

    def _say(self, problem: str) -> None:
        self._inputs.problems.append(f"{self._inputs.where}: {problem}")
