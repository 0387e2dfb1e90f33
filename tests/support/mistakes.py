"""Typical mistakes, each a dbt model that cannot be built. `test_error_messages.py` keeps what dbt says of each."""

from __future__ import annotations

from dataclasses import dataclass, field

OPTIONS = {"provider": "triton", "endpoint": "{triton}", "model-name": "{upper}", "max-retries": "0"}
WITHOUT = None


@dataclass(frozen=True)
class Mistake:
    """A model with a mistake.

    Args:
        sql: the file of the model. ``{triton}`` and the other names of `Places` are filled in.
        said_by_dbt: the message is dbt's or DuckDB's own.
        properties: what YAML says of the model.
    """

    sql: str
    said_by_dbt: bool = False
    properties: dict[str, object] = field(default_factory=dict)


def creating(schema: str = "INPUT (review STRING) OUTPUT (shouted STRING)", **changes: str | None) -> Mistake:
    """Return an inference model with other options; ``batch_size`` is ``batch-size``, None leaves one out."""
    options = OPTIONS | {key.replace("_", "-"): value for key, value in changes.items()}
    written = ", ".join(f"'{key}' = '{value}'" for key, value in options.items() if value is not None)
    return statement(f"CREATE MODEL {{name}}\n{schema}\nWITH ({written})")


def statement(sql: str) -> Mistake:
    """Return an inference model of any text."""
    return Mistake("{{{{ config(materialized='inference_model') }}}}\n" + sql)


def predicting(call: str, select: str = "*", config: str = "", *, said_by_dbt: bool = False) -> Mistake:
    """Return a predicting model."""
    sql = f"{{{{{{{{ config(materialized='ml_predict'{config}) }}}}}}}}\nselect {select}\nfrom {call}"
    return Mistake(sql, said_by_dbt=said_by_dbt)


REVIEWS, GOOD = "TABLE {{{{ ref('reviews') }}}}", "MODEL {{{{ ref('good') }}}}"
CALL = f"ML_PREDICT({REVIEWS}, {GOOD}, DESCRIPTOR(review))"


def calling(options: str = "", *, table: str = REVIEWS, model: str = GOOD, descriptor: str = "(review)") -> Mistake:
    """Return a predicting model whose call has a mistake."""
    more = f", MAP[{options}]" if options else ""
    return predicting(f"ML_PREDICT({table}, {model}, DESCRIPTOR{descriptor}{more})")


ENDPOINT = {
    "endpoint without http": creating(endpoint="localhost:8000"),
    "endpoint that names the model": creating(endpoint="{triton}/v2/models/{upper}/infer"),
    "endpoint with a password": creating(endpoint="http://me:secret@localhost:8000"),
    "nobody listens there": creating(endpoint="{nowhere}"),
    "unknown host": creating(endpoint="http://triton.invalid:8000"),
    "https to a server without TLS": creating(endpoint="{triton_https}"),
    "a web page answers": creating(endpoint="{web_page}"),
    "the gateway wants a login": creating(endpoint="{login}"),
    "the gateway makes up metadata": creating(endpoint="{nonsense}"),
    "the server never answers": creating(endpoint="{silent}", timeout="200"),
}
SERVED = {
    "model that is not served": creating(model_name="no-such-model"),
    "version that is not served": creating(model_version="7"),
    "output that is not served": creating(
        "INPUT (price DOUBLE, quantity BIGINT) OUTPUT (total DOUBLE, is_cheap BOOLEAN)", model_name="{arithmetic}"
    ),
    "no column that is served": creating("INPUT (a DOUBLE, b BIGINT) OUTPUT (c DOUBLE)", model_name="{arithmetic}"),
    "no schema without asking": creating("", preflight="false"),
    "no OUTPUT of classes": creating("", model_name="{arithmetic}", classification="2"),
    "renamed input": creating("INPUT (prise DOUBLE, quantity BIGINT) OUTPUT (total DOUBLE)", model_name="{arithmetic}"),
    "input that is not declared": creating("INPUT (price DOUBLE) OUTPUT (total DOUBLE)", model_name="{arithmetic}"),
    "two columns for an input of one element": creating("INPUT (title STRING, review STRING) OUTPUT (shouted STRING)"),
    "tensor option with a typo": creating(**{"tensor.review": "INPUT_TXT"}),
    "tensor option of no column": creating(**{"tensor.reviw": "INPUT_TEXT"}),
    "wrong type": creating("INPUT (review BIGINT) OUTPUT (shouted STRING)"),
    "wrong type of the output": creating("INPUT (review STRING) OUTPUT (shouted DOUBLE)"),
    "batch-size above the server's": creating(batch_size="1000"),
    "sequence model without sequence-id": creating(
        "INPUT (amount BIGINT) OUTPUT (total BIGINT)", model_name="{running_total}"
    ),
}
OPTION = {
    "mask in place of a token": creating(auth_token="***"),  # noqa: S106 - of nothing
    "misspelt option": creating(batchsize="8"),
    "option with an underscore": statement(
        "CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING)\n"
        "WITH ('provider' = 'triton', 'endpoint' = '{triton}', 'model_name' = '{upper}')"
    ),
    "options of another system": creating(**{"api-key": "x", "json.path": "x"}),
    "provider that is not there": creating(provider="openai"),
    "no provider": creating(provider=WITHOUT),
    "no endpoint and no model-name": creating(endpoint=WITHOUT, model_name=WITHOUT),
    "several wrong values": creating(timeout="soon", max_retries="-1", priority="high", compression="zstd"),
    "secret that is not set": creating(auth_token="${{NO_SUCH_TOKEN}}"),  # noqa: S106
    "headers that are no map": creating(custom_headers="X-Team=reviews"),
    "header that is our own": creating(custom_headers='{{"Content-Type": "text/plain"}}'),
    "token twice": creating(auth_token="abc", custom_headers='{{"Authorization": "Bearer abc"}}'),  # noqa: S106
    "default-value with on-error fail": creating(default_value="unknown", on_error="fail"),
    "key and value swapped": creating(**{"s3cret-t0ken": "auth-token"}),
    "TLS file that is not there": creating(endpoint="{triton_https}", tls_ca="/no/such/ca.pem"),
    "TLS file for http": creating(tls_ca="/no/such/ca.pem"),
    "model-name with a slash": creating(model_name="team/upper"),
}
STATEMENT = {
    "name of another file": statement(
        "CREATE MODEL other INPUT (a STRING) OUTPUT (b STRING) WITH ('provider' = 'triton')"
    ),
    "name in single quotes": statement("CREATE MODEL '{name}' INPUT (a STRING) OUTPUT (b STRING) WITH ('a' = 'b')"),
    "option without quotes": statement(
        "CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING)\nWITH (provider = 'triton', endpoint = '{triton}')"
    ),
    "value in double quotes": statement(
        "CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING)\nWITH ('provider' = \"triton\")"
    ),
    "missing comma": statement(
        "CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING)\nWITH ('provider' = 'triton' 'model-name' = 'm')"
    ),
    "quote that is not closed": statement(
        "CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING) WITH ('provider' = 't"
    ),
    "SHOW MODELS as a model": statement("SHOW MODELS"),
    "INSERT INTO in a predicting model": Mistake(
        "{{{{ config(materialized='ml_predict') }}}}\nINSERT INTO shouted SELECT * FROM " + CALL
    ),
    "very many parentheses": predicting(f"{'(' * 1000}{CALL}{')' * 1000}"),
    "OUTPUT before INPUT": statement("CREATE MODEL {name} OUTPUT (b STRING) INPUT (a STRING) WITH ('k' = 'v')"),
    "no INPUT for a stub": statement("CREATE MODEL {name} OUTPUT (b STRING) WITH ('provider' = 'stub')"),
    "no WITH": statement("CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING)"),
    "column without a type": statement("CREATE MODEL {name} INPUT (a) OUTPUT (b STRING) WITH ('provider' = 'triton')"),
    "type that is not supported": creating("INPUT (review GEOMETRY) OUTPUT (shouted STRING)"),
    "column twice": creating("INPUT (review STRING, review STRING) OUTPUT (shouted STRING)"),
    "SELECT in an inference model": statement("select 1 as a"),
    "create_model without a definition": statement("{{{{ dbt_triton.create_model() }}}}"),
    "YAML without types": Mistake(
        "{{{{ dbt_triton.create_model() }}}}",
        properties={
            "config": {
                "materialized": "inference_model",
                "meta": {
                    "inference_model": {"input": ["review"], "output": {"shouted": "STRING"}, "provider": "triton"}
                },
            }
        },
    ),
}
CALLED = {
    "inference model that is not built": calling(model="MODEL {{{{ ref('never_built') }}}}"),
    "MODEL that is a table": calling(model="MODEL {{{{ ref('reviews') }}}}"),
    "MODEL that is a table of one row": calling(model="MODEL {{{{ ref('one_row') }}}}"),
    "MODEL that is a name without ref": calling(model="MODEL goood"),
    "MODEL in quotes": calling(model="MODEL 'good'"),
    "no TABLE": calling(table="{{{{ ref('reviews') }}}}"),
    "TABLE that is not there": calling(table="TABLE reviws /* built before: {{{{ ref('reviews') }}}} */"),
    "no DESCRIPTOR": predicting(f"ML_PREDICT({REVIEWS}, {GOOD})"),
    "misspelt DESCRIPTOR column": calling(descriptor="(reviw)"),
    "too many DESCRIPTOR columns": calling(descriptor="(id, review)"),
    "DESCRIPTOR without a declared INPUT": calling(model="MODEL {{{{ ref('as_served') }}}}"),
    "DESCRIPTOR column in single quotes": calling(descriptor="('review')"),
    "DESCRIPTOR of an expression": calling(descriptor="(upper(review))"),
    "DESCRIPTOR of a field": calling(descriptor="(review.text)"),
    "DESCRIPTOR of everything": calling(descriptor="(*)"),
    "TABLE with a condition": calling(table=f"{REVIEWS} where id > 1"),
    "TABLE with an alias": calling(table=f"{REVIEWS} as r"),
    "TABLE with a bare query": calling(table="TABLE select * from {{{{ ref('reviews') }}}}"),
    "LATERAL call beside its table": predicting(f"{{{{{{{{ ref('reviews') }}}}}}}} as r, LATERAL TABLE({CALL}) as p"),
    "function of Confluent Cloud": predicting(
        "{{{{ ref('reviews') }}}} as r, LATERAL TABLE(ML_PREDICT('good', review)) /* {{{{ ref('good') }}}} */"
    ),
    "misspelt option in MAP": calling("'time-out', '10'"),
    "MAP of an odd length": calling("'timeout'"),
    "batch-size in MAP above the server's": calling("'batch-size', '1000'"),
    "no call": predicting("{{{{ ref('reviews') }}}}"),
    "column that cannot be cast": calling(model="MODEL {{{{ ref('multiplying') }}}}", descriptor="(id, review)"),
    "value that cannot be cast": calling(
        table="TABLE (select 1 as id, '7' as review union all select 2, 'many')",
        model="MODEL {{{{ ref('multiplying') }}}}",
        descriptor="(id, review)",
    ),
    "MAP column for a STRING": calling(
        table="TABLE (select map(['text'], [review]) as review from {{{{ ref('reviews') }}}})"
    ),
    "misspelt output": predicting(CALL, "id, shoutd"),
    "contract that cannot hold": Mistake(
        predicting(CALL, "id, shouted").sql,
        said_by_dbt=True,
        properties={
            "config": {"contract": {"enforced": True}},
            "columns": [{"name": "id", "data_type": "varchar"}, {"name": "shouted", "data_type": "varchar"}],
        },
    ),
    "microbatch": predicting(CALL, config=", incremental_strategy='microbatch', event_time='id'"),
}
ROWS = {
    "rows that the model refuses": calling(table="TABLE {{{{ ref('refused') }}}}"),
    "too many failed rows": calling(
        "'on-error', 'null', 'max-error-ratio', '0.1'", table="TABLE {{{{ ref('refused') }}}}"
    ),
    "answers with missing rows": calling(model="MODEL {{{{ ref('forgetful') }}}}"),
    "answers longer than max-response-bytes": calling("'max-response-bytes', '10'"),
    "answers of another datatype": calling(model="MODEL {{{{ ref('mistyped') }}}}"),
    "default-value of another type": calling(
        "'on-error', 'null', 'default-value', 'many'", model="MODEL {{{{ ref('multiplying') }}}}", descriptor="(id, id)"
    ),
}
UNMARKED = {
    "CREATE MODEL in a view": Mistake(
        "CREATE MODEL {name} INPUT (a STRING) OUTPUT (b STRING) WITH ('provider' = 'triton')", said_by_dbt=True
    ),
    "ML_PREDICT of a query in a table": Mistake(
        "{{{{ config(materialized='table') }}}}\nselect *\nfrom ML_PREDICT((select * from {{{{ ref('reviews') }}}}), "
        "MODEL {{{{ ref('good') }}}}, DESCRIPTOR(review))",
        said_by_dbt=True,
    ),
    "macro in a table": Mistake(
        "{{{{ config(materialized='table') }}}}\nselect *\n"
        "from {{{{ dbt_triton.ml_predict(ref('reviews'), ref('good'), 'review') }}}}"
    ),
    "ML_PREDICT in a table": Mistake(
        f"{{{{{{{{ config(materialized='table') }}}}}}}}\nselect *\nfrom {CALL}", said_by_dbt=True
    ),
}
MISTAKES = ENDPOINT | SERVED | OPTION | STATEMENT | CALLED | ROWS | UNMARKED
