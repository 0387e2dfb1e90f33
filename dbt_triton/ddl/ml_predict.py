"""Finding the ML_PREDICT and ML_EVALUATE calls within a user's own SELECT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlglot.tokens import TokenType

from dbt_triton.ddl.arguments import (
    EVALUATE,
    FUNCTIONS,
    Function,
    columns_of,
    read_descriptor,
    read_map,
    read_model,
    read_task,
)
from dbt_triton.ddl.calls import Call, Cte, Scope, Span, Statement
from dbt_triton.ddl.evaluation import Evaluation, split
from dbt_triton.ddl.instead import refuse_query_without_parentheses, refuse_rest_of_table
from dbt_triton.ddl.lateral import refuse_cross_products
from dbt_triton.ddl.lexis import DUCKDB, Lexis
from dbt_triton.ddl.statements import refuse_other_statements
from dbt_triton.ddl.tokens import Tokens
from dbt_triton.errors import SqlSyntaxError

#: So many parentheses within one another; DuckDB itself takes no expression of more than 1,000.
MAX_DEPTH = 500
#: Each call is planned by itself, with the CTEs that it can see.
MAX_CALLS = 1_000
#: So many calls or WITH clauses within one another, each of which costs Python some frames of its stack.
_MAX_CALL_DEPTH = 150
#: How another function of Confluent Cloud is called here, by ours.
_OF_CONFLUENT = {
    "ML_PREDICT": "ML_PREDICT('model', column) is another function, of Confluent Cloud: write "
    "ML_PREDICT(TABLE …, MODEL …, DESCRIPTOR(column))",
    "ML_EVALUATE": "Confluent Cloud's ML_EVALUATE(model, label, column) FROM t is written "
    "ML_EVALUATE(TABLE t, MODEL model, DESCRIPTOR(label), DESCRIPTOR(column))",
}


def parse_ml_predict(text: str, lexis: Lexis = DUCKDB) -> Statement:
    """Find the ML_PREDICT and ML_EVALUATE calls of a statement.

    Comments, strings and quoted names that mention them are not calls. A trailing semicolon is dropped.

    Args:
        text: the statement.
        lexis: how the warehouse writes SQL.

    Raises:
        SqlSyntaxError: a call does not follow the grammar; with the line and what was expected.
    """
    tokens = Tokens(text, lexis)
    refuse_other_statements(tokens)
    scanner = _Scanner(tokens)
    try:
        scanner.group(())
    except RecursionError:  # whoever calls this stands deep in the stack already
        raise _too_deep(tokens) from None
    if tokens.peek():
        raise tokens.error("expected the rest of the statement: this parenthesis closes nothing")
    refuse_cross_products(tokens.all(), scanner.calls, scanner.scopes, text)
    end = scanner.statement_end
    statement = text if end is None else text[:end].rstrip()
    return Statement(statement, tuple(sorted(scanner.calls, key=lambda call: call.span.end)), lexis)


def _too_deep(tokens: Tokens) -> SqlSyntaxError:
    return SqlSyntaxError(
        "the statement is nested too deeply here; put a part of it into a model of its own", tokens.line
    )


class _Scanner:
    """Walks the tokens once, group by group, and collects calls and WITH clauses."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.calls: list[Call] = []
        self.scopes: list[Scope] = []
        self.statement_end: int | None = None
        self._depth = 0
        self._call_depth = 0

    def group(self, scopes: tuple[Scope, ...]) -> None:
        """Scan to the parenthesis that closes the current group, or to the end of the statement."""
        tokens = self.tokens
        outer: list[tuple[tuple[Scope, ...], int]] = []
        scopes = self._with_scope(scopes)
        while tokens.peek():
            if tokens.is_type(TokenType.R_PAREN):
                if not outer:
                    return
                scopes, _ = outer.pop()
                self._depth -= 1
                tokens.next()
            elif tokens.is_type(TokenType.L_PAREN):
                outer.append((scopes, tokens.line))
                self._open()
                scopes = self._with_scope(scopes)
            elif self._at_call():
                self._add(self._call(scopes))
            elif self._at_wrapped_call():
                self._add(self._wrapped_call(scopes))
            elif tokens.is_type(TokenType.SEMICOLON):
                self._semicolon()
            else:
                tokens.next()
        if outer:
            raise SqlSyntaxError("a parenthesis is never closed", outer[-1][1])

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        if len(self.calls) > MAX_CALLS:
            raise SqlSyntaxError(
                f"the statement has more than {MAX_CALLS:,} calls of ML_PREDICT; "
                "put some of them into a model of their own",
                call.line,
            )

    def _open(self) -> None:
        """Step over an opening parenthesis."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _too_deep(self.tokens)
        self.tokens.next()

    def _parenthesis(self, scopes: tuple[Scope, ...]) -> None:
        line = self.tokens.line
        self._open()
        self.group(scopes)
        if not self.tokens.accept_type(TokenType.R_PAREN):
            raise SqlSyntaxError("a parenthesis is never closed", line)
        self._depth -= 1

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._call_depth += 1
        if self._call_depth > _MAX_CALL_DEPTH:
            raise _too_deep(self.tokens)
        yield
        self._call_depth -= 1

    def _semicolon(self) -> None:
        start = self.tokens.next().start
        while self.tokens.accept_type(TokenType.SEMICOLON):
            pass
        if self.tokens.peek():
            raise self.tokens.error("expected one statement only")
        self.statement_end = start

    def _with_scope(self, outer: tuple[Scope, ...]) -> tuple[Scope, ...]:
        """Read the WITH clause at the cursor, if there is one. Returns the scopes that are seen behind it."""
        if not self.tokens.is_word("WITH"):
            return outer
        with self._deeper():
            return (*outer, self._with_clause(outer))

    def _with_clause(self, outer: tuple[Scope, ...]) -> Scope:
        tokens = self.tokens
        tokens.next()
        scope = Scope(recursive=tokens.accept_word("RECURSIVE"))
        self.scopes.append(scope)
        while True:
            name, start, _ = tokens.dotted_name("the name of a CTE")
            while tokens.peek() and not tokens.is_word("AS"):
                if tokens.is_type(TokenType.L_PAREN):
                    tokens.skip_group()
                else:
                    tokens.next()
            tokens.expect_word("AS")
            tokens.accept_word("NOT")
            tokens.accept_word("MATERIALIZED")
            if not tokens.is_type(TokenType.L_PAREN):
                raise tokens.error(f"expected ( and the query of {name[-1]}")
            self._parenthesis((*outer, scope))
            scope.add(Cte(name[-1], Span(start, tokens.previous_end)))
            if not tokens.accept_type(TokenType.COMMA):
                return scope

    def _at_call(self, ahead: int = 0) -> bool:
        tokens = self.tokens
        return (
            tokens.is_word(*(function.name for function in FUNCTIONS), ahead=ahead)
            and tokens.is_type(TokenType.L_PAREN, ahead=ahead + 1)
            and not tokens.is_type(TokenType.DOT, ahead=ahead - 1)
        )

    def _at_wrapped_call(self) -> bool:
        """Tell whether Flink's TABLE(ML_PREDICT(…)) stands at the cursor, with or without LATERAL."""
        words = 2 if self.tokens.is_word("LATERAL") else 1
        wrapped = self.tokens.is_word("TABLE", ahead=words - 1) and self.tokens.is_type(TokenType.L_PAREN, ahead=words)
        return wrapped and self._at_call(ahead=words + 1)

    def _wrapped_call(self, scopes: tuple[Scope, ...]) -> Call:
        start = self.tokens.next().start
        while not self._at_call():
            self.tokens.next()
        call = self._call(scopes)
        self.tokens.expect_type(TokenType.R_PAREN, f") after {call.function}(…), to close TABLE(")
        return replace(call, span=Span(start, self.tokens.previous_end))

    def _call(self, scopes: tuple[Scope, ...]) -> Call:
        within_options = self.tokens.in_options
        with self._deeper():
            call = self._read_call(scopes)
        self.tokens.in_options = within_options
        return call

    def _read_call(self, scopes: tuple[Scope, ...]) -> Call:
        tokens = self.tokens
        line = tokens.line
        first = tokens.next()
        function, start = next(one for one in FUNCTIONS if one.name == first.text.upper()), first.start
        tokens.next()
        read: dict[str, Any] = {}
        named = False
        while True:
            argument_line = tokens.line
            named, argument = self._argument_name(function, len(read), named=named)
            if argument in read:
                raise SqlSyntaxError(f"{argument} is given twice", argument_line)
            read[argument] = self._argument(function, argument, scopes)
            if tokens.accept_type(TokenType.R_PAREN):
                break
            if not tokens.accept_type(TokenType.COMMA):
                raise tokens.error(f"expected , or ) in {function.name}")
        if not set(function.written) <= set(read):
            wanted = [text for name, text in function.written.items() if name not in read]
            raise SqlSyntaxError(f"{function.name} needs {function.needs}; missing: " + ", ".join(wanted), line)
        return self._made(Span(start, tokens.previous_end), line, read, scopes)

    def _argument(self, function: Function, argument: str, scopes: tuple[Scope, ...]) -> Any:  # noqa: ANN401 - one of five
        """Read the value of an argument."""
        tokens = self.tokens
        if argument == "INPUT":
            return self._table(function, scopes)
        if argument == "MODEL":
            return read_model(tokens)
        if argument in {"LABEL", "ARGS"}:
            return read_descriptor(tokens)
        if argument == "TASK":
            return read_task(tokens)
        tokens.in_options = True  # to the end of the call: a quote that is wrong may end MAP[…] early
        return read_map(tokens)

    def _made(self, span: Span, line: int, read: dict[str, Any], scopes: tuple[Scope, ...]) -> Call:
        """Return the call of its arguments."""
        operand, relation = read["INPUT"]
        config, label, evaluation = read.get("CONFIG", {}), read.get("LABEL"), None
        if label is not None:
            config, own = split(config)
            (column,) = _one_label(columns_of(self.tokens, label, operand, relation), line)
            evaluation = Evaluation(column, read.get("TASK"), **own)
        columns = columns_of(self.tokens, read["ARGS"], operand, relation)
        return Call(span, line, operand, relation, read["MODEL"], columns, config, scopes, evaluation)

    def _argument_name(self, function: Function, position: int, *, named: bool) -> tuple[bool, str]:
        tokens = self.tokens
        if tokens.is_type(TokenType.FARROW, ahead=1):
            if not tokens.is_word(*function.names):
                *names, last = function.arguments
                raise tokens.error(f"expected {', '.join(names)} or {last} before =>")
            name = tokens.next().text.upper()
            tokens.next()
            return True, function.aliases.get(name, name)
        if named:
            raise tokens.error("expected a named argument (NAME => …) after a named one")
        if position >= len(function.arguments):
            raise tokens.error(f"{function.name} takes at most {function.most} arguments")
        name = function.arguments[position]
        # The task may be left out.
        return False, "CONFIG" if name == "TASK" and tokens.is_word("MAP") else name

    def _table(self, function: Function, scopes: tuple[Scope, ...]) -> tuple[Span, tuple[str, ...] | None]:
        """Read TABLE x, TABLE 'file', TABLE function(…), TABLE (query), (query) or another call."""
        tokens = self.tokens
        tabled = tokens.accept_word("TABLE")
        refuse_query_without_parentheses(tokens)
        token = tokens.peek()
        start = token.start if token else len(tokens.text)
        relation = self._operand(function, scopes, start, tabled=tabled)
        refuse_rest_of_table(tokens, start, function.name)
        return Span(start, tokens.previous_end), relation

    def _operand(
        self, function: Function, scopes: tuple[Scope, ...], start: int, *, tabled: bool
    ) -> tuple[str, ...] | None:
        """Read what stands after TABLE. Returns the parts of a relation's name, if it is one."""
        tokens = self.tokens
        if tokens.is_type(TokenType.L_PAREN):
            self._parenthesis(scopes)
        elif self._at_call():
            self._add(self._call(scopes))
        elif tabled and tokens.accept_type(TokenType.STRING):
            pass  # a file, as dbt-duckdb writes an external source
        elif tabled:
            parts, _, _ = tokens.dotted_name("a table after TABLE")
            if tokens.is_type(TokenType.L_PAREN):  # a table function, such as read_parquet('…')
                tokens.skip_group()
                return None
            hidden = len(parts) == 1 and self._is_cte(parts[0], start, scopes)
            return None if hidden else tuple(parts)
        else:
            expected = "expected TABLE and a relation, or TABLE and a query in parentheses"
            if tokens.is_type(TokenType.STRING) or function is EVALUATE:
                expected += f" ({_OF_CONFLUENT[function.name]})"
            raise tokens.error(expected)
        return None

    @staticmethod
    def _is_cte(name: str, position: int, scopes: tuple[Scope, ...]) -> bool:
        return any(scope.has(name, position) for scope in scopes)


def _one_label(names: tuple[str, ...], line: int) -> tuple[str, ...]:
    """Return the column of DESCRIPTOR(label).

    Raises:
        SqlSyntaxError: there are several.
    """
    if len(names) != 1:
        raise SqlSyntaxError(
            f"the label is one column, found DESCRIPTOR({', '.join(names)}); ML_EVALUATE takes DESCRIPTOR(label), "
            "and then DESCRIPTOR(features…)",
            line,
        )
    return names
