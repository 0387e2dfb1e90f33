"""Statements about models that are an operation in dbt, and no model: an error says which one."""

from __future__ import annotations

from dbt_triton.ddl.tokens import Tokens
from dbt_triton.errors import SqlSyntaxError

_RUN = "run `dbt run-operation dbt_triton."
_DESCRIBE = f"{_RUN}describe_model --args '{{name: the_model}}'`, or `dbt-triton describe the_model`"
#: The statement's first words, and what to do in its place.
OPERATIONS: dict[str, str] = {
    "SHOW MODELS": f"{_RUN}show_models`",
    "SHOW CREATE MODEL": "the model's file is its CREATE MODEL; `dbt-triton describe the_model` says what it defines",
    "DESCRIBE MODEL": _DESCRIBE,
    "DESC MODEL": _DESCRIBE,
    "DROP MODEL": f"{_RUN}drop_model --args '{{name: the_model}}'`, and delete the model's file",
    "DROP TEMPORARY MODEL": f"{_RUN}drop_model --args '{{name: the_model}}'`, and delete the model's file",
    "ALTER MODEL": "change WITH (…), or the name, in the model's file, and run `dbt build`",
}
_CREATE_AS = "leave CREATE … AS away: the file's name is the table, and its SELECT the rows"
#: Statements of which a predicting model holds no more than the SELECT.
_NOT_PREDICTING = {
    "CREATE MODEL": "CREATE MODEL has a file of its own, with materialized='inference_model'",
    "CREATE OR REPLACE MODEL": "CREATE MODEL has a file of its own, with materialized='inference_model'",
    "CREATE TEMPORARY MODEL": "CREATE MODEL has a file of its own, with materialized='inference_model'",
    "INSERT INTO": "leave INSERT INTO away: the file's name is the table, and its SELECT the rows",
    "INSERT OVERWRITE": "leave INSERT OVERWRITE away: the file's name is the table, and its SELECT the rows",
    **{
        f"CREATE {words}{kind}": _CREATE_AS
        for words in ("", "OR REPLACE ", "TEMPORARY ", "TEMP ", "OR REPLACE TEMPORARY ", "OR REPLACE TEMP ")
        for kind in ("TABLE", "VIEW", "MATERIALIZED")
    },
    "EXPLAIN": "EXPLAIN is no model of dbt: `dbt build -s the_model --vars '{dbt_triton_dry_run: true}'` says what "
    "the model would send",
    "EXECUTE": "each INSERT INTO of a statement set is a model of its own",
    "BEGIN STATEMENT SET": "each INSERT INTO of a statement set is a model of its own",
    "SET": "leave SET away: a session's settings go into config(sql_header=…), and options of ML_PREDICT into MAP[…]",
    "USE": "leave USE away: ref() and source() say where a relation is",
}


def refuse_operations(tokens: Tokens) -> None:
    """Refuse a statement that is an operation in dbt.

    Raises:
        SqlSyntaxError: it is one; with the operation.
    """
    for words, instead in OPERATIONS.items():
        if _begins_with(tokens, words):
            raise SqlSyntaxError(f"{words} is no model of dbt: {instead}", tokens.line)


def refuse_other_statements(tokens: Tokens) -> None:
    """Refuse a statement that is no SELECT, where one with ML_PREDICT is wanted.

    Raises:
        SqlSyntaxError: it is another; with what to do.
    """
    refuse_operations(tokens)
    for words, instead in _NOT_PREDICTING.items():
        if _begins_with(tokens, words):
            raise SqlSyntaxError(instead, tokens.line)


def _begins_with(tokens: Tokens, words: str) -> bool:
    return all(tokens.is_word(word, ahead=ahead) for ahead, word in enumerate(words.split()))
