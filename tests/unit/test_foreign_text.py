import base64
import html
import json
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.errors import AnswerError, InferenceError
from dbt_triton.foreign_text import MASK, TEXT_LENGTH, harmless, remember_secrets, remember_userinfo, shown

TOKEN = 'Tok&en<9>/"quote\'d"+a b%41=é'.replace("é", "~")
PLAIN = "9f8e7d6c-SECRET-5b4a"
CREDENTIAL = base64.b64encode(b"proxy-user:pa55word&more").decode()

ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "lower": str.lower,
    "upper": str.upper,
    "html": html.escape,
    "html, decimal": lambda text: "".join(char if char.isalnum() else f"&#{ord(char)};" for char in text),
    "html, hexadecimal": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url, lower": lambda text: urllib.parse.quote(text, safe="").lower(),
    "url, plus": urllib.parse.quote_plus,
    "url, everything": lambda text: "".join(f"%{ord(char):02x}" for char in text),
    "url, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text)),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, unicode": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "python": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "json in html": lambda text: html.escape(json.dumps(text)[1:-1]),
    "html in json": lambda text: json.dumps(html.escape(text))[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "wrapped": lambda text: "\n".join(text[start : start + 6] for start in range(0, len(text), 6)),
    "with NULs": "\0".join,
    "in colours": lambda text: text[:3] + "\x1b[31m" + text[3:],
    "fullwidth": lambda text: "".join("\u3000" if char == " " else chr(ord(char) + 0xFEE0) for char in text),
    "mathematical": lambda text: "".join(
        chr(0x1D41A + ord(char) - ord("a")) if "a" <= char <= "z" else char for char in text
    ),
    "with marks": lambda text: text[:5] + "<b>" + text[5:8] + "</b>" + text[8:],
}


@pytest.mark.parametrize("encoding", list(ENCODINGS))
@pytest.mark.parametrize("secret", [PLAIN, TOKEN, f"Bearer {PLAIN}", f"ApiKey {TOKEN}"])
def test_every_form_of_a_secret_is_masked(secret: str, encoding: str) -> None:
    """A header's value is masked with and without its scheme, whatever a server makes of it before it repeats it."""
    remember_secrets([secret])
    for value in (secret, secret.partition(" ")[2] if secret.startswith(("Bearer", "ApiKey")) else secret):
        text = f"you sent [{ENCODINGS[encoding](value)}], sorry"
        for words in (shown(text), harmless(text)):
            assert words.startswith("you sent [")
            assert words.endswith("], sorry")
            assert words[len("you sent [") : -len("], sorry")] in {MASK, f"Bearer {MASK}", f"ApiKey {MASK}"}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
@pytest.mark.parametrize("part", [CREDENTIAL, "proxy-user:pa55word&more", "proxy-user", "pa55word&more"])
def test_parts_of_a_basic_credential(scheme: str, part: str) -> None:
    """User and password are masked, encoded and decoded, together and by themselves."""
    remember_secrets([f"{scheme} {CREDENTIAL}"])
    assert shown(f"who is {part}?") == f"who is {MASK}?"


@pytest.mark.parametrize("part", ["k1-abcdefgh", "k2-ijklmnop", "session=qrstuvwx-yz", "qrstuvwx-yz"])
def test_parts_of_a_list(part: str) -> None:
    """Each of the values that one header has is masked by itself."""
    remember_secrets(['k1-abcdefgh, k2-ijklmnop; session="qrstuvwx-yz"', "session=qrstuvwx-yz"])
    assert shown(f"no {part} here") in {f"no {MASK} here", f"no session={MASK} here"}


def test_secret_at_the_cut() -> None:
    """A secret is masked before the text is cut, and a long beginning of it, where a server has cut it, too."""
    remember_secrets([PLAIN])
    for place in range(TEXT_LENGTH - len(PLAIN) - 5, TEXT_LENGTH + 5):
        assert PLAIN[:6] not in shown("." * place + PLAIN)
    assert shown(f"the token {PLAIN[:14]}… is unknown") == f"the token {MASK}… is unknown"


@pytest.mark.parametrize("encoding", list(ENCODINGS))
@pytest.mark.parametrize("scheme", ["", "Bearer "])
def test_parts_of_a_cut_secret(scheme: str, encoding: str) -> None:
    """Of a long secret, a long beginning and a long end are masked, in whatever encoding."""
    remember_secrets([scheme + PLAIN])
    for length in range(12, len(PLAIN)):
        for part in (PLAIN[:length], PLAIN[-length:]):
            encoded = ENCODINGS[encoding](part) if encoding != "base64" else part
            for words in (shown(f"you sent [{encoded}], sorry"), harmless(f"you sent [{encoded}], sorry")):
                assert words == f"you sent [{MASK}], sorry"


def test_ends_that_overlap() -> None:
    """A text of many beginnings and ends, one within the other, is masked as a whole, and in little time."""
    secret = "ab" * 500
    remember_secrets([secret])
    assert "abab" not in shown("b" + secret * 16 + "a")
    remember_secrets(["x" * 1000])
    started = time.perf_counter()
    assert set(shown("x" * 16_000)) == {"*"}
    assert time.perf_counter() - started < 1


def test_other_letters_stay() -> None:
    """Letters that are no form of others, and those around a secret, are shown as they are."""
    remember_secrets([PLAIN])
    assert shown(f"Größe ﬁ Ａ漢字 {PLAIN} Ａ ﷺ") == f"Größe ﬁ Ａ漢字 {MASK} Ａ ﷺ"  # noqa: RUF001 - on purpose


def test_short_secrets() -> None:
    """A short secret is masked as a word, a very short one behind its scheme: masking every letter would tell it."""
    remember_secrets(["Bearer ten5", "Bearer q7"])
    assert shown("ten5 is not in often5 or ten55") == f"{MASK} is not in often5 or ten55"
    assert shown("q7 is in Bearer q7, bearer  q7") == f"q7 is in {MASK}, bearer {MASK}"


def test_proxies() -> None:
    """The password of a proxy is masked, as it is written in the URL, decoded, and as the header has it."""
    remember_userinfo("http://someone:p%40ss-w0rd@proxy:3128")
    for part in ("p%40ss-w0rd", "p@ss-w0rd", base64.b64encode(b"someone:p@ss-w0rd").decode()):
        assert shown(f"407 for {part}") == f"407 for {MASK}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\x1b[2Jb\x00c\x07", r"a\x1b[2Jb\x00c\x07"),
        ("a\x9b31mb\x7f", r"a\x9b31mb\x7f"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("half \ud800 of one", r"half \ud800 of one"),
        ("two\r\nlines\tand\u2028more\x0b", "two lines and more"),
        ("é好 🙂 ¹", "é好 🙂 ¹"),
    ],
)
def test_control_characters_are_visible(text: str, line: str) -> None:
    """Nothing that moves a cursor, turns the direction of text, ends a text, or begins a line of a log goes out."""
    assert shown(text) == line
    assert str(InferenceError(text)) == line


def test_text_of_ours_keeps_its_lines() -> None:
    """What holds foreign words as well as ours keeps its line ends, and nothing else that is not seen."""
    assert harmless("one\n  two\x1b\n\tthree") == "one\n  two\\x1b\n three"


def test_every_error_of_a_server_is_short_and_masked() -> None:
    """Whoever writes an error about an answer, its text is masked and cut: names and values are a server's words."""
    remember_secrets([PLAIN])
    error = AnswerError(f"output {PLAIN} has a value {'x' * 5_000_000}")
    assert error.message.startswith(f"output {MASK} has a value xxx")
    assert len(error.message) < 1100


def test_only_the_secret_is_masked() -> None:
    """What stands around a secret stays, also where it is not seen."""
    remember_secrets([PLAIN])
    text = f"<b>{PLAIN}</b>\n\x1b[0m%20{PLAIN}\x00.&#46;"
    assert harmless(text) == f"<b>{MASK}</b>\n\\x1b[0m%20{MASK}\\x00.&#46;"


@given(st.text(min_size=8, alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E)), st.data())
def test_any_secret_in_any_text(secret: str, data: st.DataObject) -> None:
    """No text shows a secret that it holds, in whatever encoding; and is otherwise as it was."""
    remember_secrets([secret])
    encode = ENCODINGS[data.draw(st.sampled_from(list(ENCODINGS)))]
    words = shown(f"before {encode(secret)} after")
    assert encode(secret) not in words
    assert MASK in words


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    """Whatever a server says becomes one printable line, which any encoding of text can hold."""
    assert shown(text).isprintable()
    shown(text).encode()
