from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dbt_triton.credentials import MASK, is_masked, mask_options, mask_text, request_headers
from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import shown
from dbt_triton.options import Options, parse_options

SECRET = "s3cret-t0ken"  # noqa: S105 - a made-up one that must show up nowhere
VARIABLE = "${DBT_TRITON_A}"


def options_with(**given_options: Any) -> Options:
    """Parse options written with underscores, added to the required ones."""
    required = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
    return parse_options(required | {key.replace("_", "-"): value for key, value in given_options.items()}, "m")


@pytest.mark.parametrize("written", ["x1", "Bearer x1", "bearer x1", " BEARER   x1 "])
def test_bearer_once(written: str) -> None:
    """However a token is written, the server sees Bearer once."""
    assert request_headers(options_with(auth_token=written), "m") == {"Authorization": "Bearer x1"}


@pytest.mark.parametrize("value", ["x1", "Bearer x1", " bearer x1\n", "Bearer Bearer x1", "BEARER\tbearer x1 "])
@pytest.mark.parametrize("written", ["${DBT_TRITON_TEST}", "Bearer ${DBT_TRITON_TEST}"])
def test_token_from_environment(monkeypatch: pytest.MonkeyPatch, written: str, value: str) -> None:
    """A token may come from the environment, with Bearer on either side or both, and is read when it is sent."""
    options = options_with(auth_token=written)
    monkeypatch.setenv("DBT_TRITON_TEST", value)
    assert request_headers(options, "m") == {"Authorization": "Bearer x1"}
    monkeypatch.setenv("DBT_TRITON_TEST", "rotated")
    assert request_headers(options, "m") == {"Authorization": "Bearer rotated"}


def test_headers_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header's value may be put together from variables and text; a $ by itself is a text."""
    monkeypatch.setenv("DBT_TRITON_A", "one")
    monkeypatch.setenv("DBT_TRITON_B", "${DBT_TRITON_A}")
    headers = {"X-A": "<${DBT_TRITON_A}:${DBT_TRITON_A}>", "X-B": "${DBT_TRITON_B}", "X-C": "$DBT_TRITON_A {a b} $$"}
    assert request_headers(options_with(custom_headers=headers), "m") == {
        "X-A": "<one:one>",
        "X-B": "${DBT_TRITON_A}",
        "X-C": "$DBT_TRITON_A {a b} $$",
    }


@pytest.mark.parametrize("written", ["${DBT_TRITON_A}", "Bearer ${DBT_TRITON_A}", " bearer ${DBT_TRITON_A}"])
@pytest.mark.parametrize("value", ["", " ", "\t\n", "Bearer", "Bearer ", "bearer Bearer", "a b", "Bearer a Bearer b"])
def test_tokens_that_are_none(monkeypatch: pytest.MonkeyPatch, written: str, value: str) -> None:
    """A variable that holds no token, or more than one word, is refused by its name: no request goes without one."""
    monkeypatch.setenv("DBT_TRITON_A", value)
    with pytest.raises(ConfigurationError, match="environment variable DBT_TRITON_A"):
        request_headers(options_with(auth_token=written), "m")


@pytest.mark.parametrize("value", ["${A", "x ${A B}", "$${}", "${}", "${1A}"])
def test_variables_that_are_none_in_headers(value: str) -> None:
    """A header with ${ and no variable's name is refused when it is read, as a token is."""
    with pytest.raises(ConfigurationError, match="must hold the name of an environment variable"):
        options_with(custom_headers={"X-A": value})


def test_missing_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable that is missing or empty is named, with the option that wants it, before anything is sent."""
    monkeypatch.delenv("DBT_TRITON_A", raising=False)
    monkeypatch.setenv("DBT_TRITON_B", "")
    options = options_with(auth_token=VARIABLE, custom_headers={"X-Key": "${DBT_TRITON_B}", "X-Ok": SECRET})
    with pytest.raises(ConfigurationError, match="model m") as caught:
        request_headers(options, "model m")
    assert sorted(caught.value.problems) == [
        "auth-token needs the environment variable DBT_TRITON_A, which is not set",
        "custom-headers (X-Key) needs the environment variable DBT_TRITON_B, which is not set",
    ]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("written", ["***", "Bearer ***", f"***{VARIABLE}", f"{VARIABLE} ***", "a***b"])
def test_mask_is_never_sent(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """What holds the mask, as a whole or in part, is refused with the option's name and what to write instead."""
    monkeypatch.setenv("DBT_TRITON_A", "x")
    cases = [("custom-headers (X-Key)", options_with(custom_headers={"X-Key": written, "X-Other": "y"}))]
    if " ***" not in written or written.startswith("Bearer"):
        cases.append(("auth-token", options_with(auth_token=written)))
    for option, options in cases:
        with pytest.raises(ConfigurationError) as caught:
            request_headers(options, "model m")
        (problem,) = caught.value.problems
        assert problem.startswith(f"{option} holds ***, which stands for a literal value")
        assert "write ${NAME}" in problem


def test_mask_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask is no token wherever it comes from."""
    monkeypatch.setenv("DBT_TRITON_A", "***")
    with pytest.raises(ConfigurationError, match=r"auth-token holds \*\*\*"):
        request_headers(options_with(auth_token=VARIABLE), "model m")


def test_what_is_sent_is_masked_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of the environment are masked in foreign words by themselves, also where a header is made of several."""
    monkeypatch.setenv("DBT_TRITON_A", "first-of-two-values")
    monkeypatch.setenv("DBT_TRITON_B", "second/of+two")
    request_headers(options_with(custom_headers={"X-Key": "k=${DBT_TRITON_A}|${DBT_TRITON_B}"}), "m")
    assert shown("first-of-two-values, second%2Fof%2Btwo") == f"{MASK}, {MASK}"


@pytest.mark.parametrize("bad", [f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\1", f"{SECRET}好", f"{SECRET}\x7f"])
def test_control_characters(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """A variable that no header can carry is refused by the header's name, and its value is not shown."""
    monkeypatch.setenv("DBT_TRITON_A", bad)
    options = options_with(auth_token=VARIABLE, custom_headers={"X-Key": "a${DBT_TRITON_A}"})
    with pytest.raises(ConfigurationError) as caught:
        request_headers(options, "m")
    assert [problem.split(" holds ")[0] for problem in caught.value.problems] == [
        "auth-token, read from the environment variable DBT_TRITON_A: the token",
        "the value of the header X-Key",
    ]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (SECRET, MASK),
        (f"Bearer {SECRET}", MASK),
        ("", MASK),
        ("${TOKEN}", "${TOKEN}"),
        ("Bearer ${TOKEN}", "Bearer ${TOKEN}"),
        ("${A} ${B}", "${A} ${B}"),
        (f"${{TOKEN}}{SECRET}", MASK),
        (f"{SECRET}${{TOKEN}}", MASK),
        ("$TOKEN", MASK),
        ("${}", MASK),
    ],
)
def test_masks(written: str, shown: str) -> None:
    """A literal is hidden whole; the name of a variable is no secret, and is shown."""
    assert mask_text(written) == shown


def test_masked_options() -> None:
    """The options that are shown hold every option that has a value, as a user writes it, and no literal secret."""
    options = options_with(
        auth_token=SECRET, custom_headers={"X-Key": SECRET, "X-Env": "${KEY}"}, batch_size="auto", **{"tensor.a": "A"}
    )
    shown = mask_options(options)
    assert SECRET not in str(shown)
    assert (shown["auth-token"], shown["custom-headers"]) == (MASK, {"X-Key": MASK, "X-Env": "${KEY}"})
    assert (shown["batch-size"], shown["binary-data"], shown["timeout"]) == ("auto", "auto", "auto")
    assert shown["tensor.a"] == "A"
    assert "priority" not in shown


def test_masked_options_are_options() -> None:
    """What is shown can be read back as options, and says whether a secret is missing from it."""
    literal = mask_options(options_with(auth_token=SECRET))
    header = mask_options(options_with(custom_headers={"X-Key": SECRET}))
    named = mask_options(options_with(auth_token=VARIABLE, custom_headers={"X-Key": "${KEY}"}, priority=3))
    assert (is_masked(literal), is_masked(header), is_masked(named)) == (True, True, False)
    again = parse_options(named, "m")
    assert again == options_with(auth_token=VARIABLE, custom_headers={"X-Key": "${KEY}"}, priority=3)


def test_nothing_prints_a_secret() -> None:
    """Options printed by accident, in a log or a traceback, do not show a literal secret."""
    options = options_with(auth_token=SECRET, custom_headers={"X-Key": SECRET})
    assert SECRET not in repr(options) + str(options)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_any_token_arrives(token: str) -> None:
    """Any printable token arrives as it is, but for Bearer; and is never shown."""
    assume("${" not in token and token.lower() != "bearer")
    options = options_with(auth_token=token)
    assert request_headers(options, "m") == {"Authorization": f"Bearer {token}"}
    assert mask_text(token) == MASK
