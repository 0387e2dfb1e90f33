"""A stand-in for a language model: it understands nothing, and picks words of the prompt by a few rules.

The same prompt gets the same text each time. What is before the first line feed is taken for the instruction, the rest
for the text that it is about; a "token" is a word.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Blocks of words, each with its name in the first line.
_BLOCKS = Path(__file__).with_name("words.txt").read_text("utf-8").split("\n\n")
GOOD, BAD, COMMON = (set(words) for _, *words in map(str.split, _BLOCKS))
NOT = {"no", "not", "never", "hardly", "isn't", "doesn't", "don't", "without"}
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
CLAUSE = re.compile(r"[.!?;:,]+\s+|\s+-+\s+|\.{2,}|\s{2,}")
JOINED = re.compile(r"^\s*(?:and|but|or|yet)\s+", re.IGNORECASE)
SHORT = 3
TOPICS = 3
#: What JSON is written where the prompt asks for some and no schema says what.
SCHEMA = {
    "properties": {"sentiment": {"type": "string"}, "score": {"type": "number"}, "topics": {"type": "array"}},
}


@dataclass(frozen=True)
class Written:
    """Words, each with the white space before it, and why they end: ``stop`` or ``length``."""

    words: list[str]
    finish_reason: str


def write(prompt: str, *, max_tokens: int, stops: list[str], guide: object = None) -> Written:
    """Write the answer to a prompt.

    Args:
        prompt: an instruction, and after a line feed the text that it is about.
        max_tokens: how many words at most.
        stops: texts that end the answer, which has none of them.
        guide: ``{"json": schema}`` or ``{"choice": texts}``, as an object or its JSON text.
    """
    instruction, _, text = prompt.partition("\n")
    answer = _answer(
        instruction.lower(), Reading.of(text or prompt), json.loads(guide) if isinstance(guide, str) else guide
    )
    for stop in stops:
        answer = answer.partition(stop)[0]
    words = re.findall(r"\s*\S+", answer)
    return Written(words[:max_tokens], "stop" if len(words) <= max_tokens else "length")


@dataclass(frozen=True)
class Reading:
    """What the rules find in a text.

    Args:
        score: from -1 to 1, by words that are good or bad; a word that denies turns the next one round.
        topics: its longest words, but for common ones and those that are good or bad.
        summary: the clause with the most of both.
        words: how many it has.
    """

    score: float
    topics: list[str]
    summary: str
    words: int

    @classmethod
    def of(cls, text: str) -> Reading:
        """Read a text."""
        words = WORD.findall(text.lower())
        pairs = zip(["", *words[:-1]], words, strict=True) if words else ()
        marks = [_mark(word) * (-1 if before in NOT else 1) for before, word in pairs if _mark(word)]
        others = {word for word in words if _tells(word) and not _mark(word)}
        longest = sorted(others, key=lambda word: (-len(word), words.index(word)))[:TOPICS]
        clauses = [JOINED.sub("", clause).strip() for clause in CLAUSE.split(text) if clause.strip()]
        return cls(
            score=sum(marks) / len(marks) if marks else 0.0,
            topics=sorted(longest, key=words.index),
            summary=max(clauses, key=_weight, default=""),
            words=len(words),
        )

    @property
    def sentiment(self) -> str:
        """``positive``, ``negative`` or ``neutral``."""
        return "positive" if self.score > 0 else "negative" if self.score < 0 else "neutral"


def _mark(word: str) -> int:
    return (word in GOOD) - (word in BAD)


def _tells(word: str) -> bool:
    return len(word) > SHORT and word not in COMMON | NOT


def _weight(clause: str) -> int:
    return sum(1 + abs(_mark(word)) for word in WORD.findall(clause.lower()) if _mark(word) or _tells(word))


def _answer(instruction: str, reading: Reading, guide: Any) -> str:  # noqa: ANN401 - JSON
    guide = guide if isinstance(guide, dict) else {}
    if "choice" in guide:
        return _chosen(guide["choice"], reading)
    schema = guide.get("json")
    if schema is not None or "json" in instruction:
        schema = json.loads(schema) if isinstance(schema, str) else schema or SCHEMA
        properties = schema.get("properties", {})
        return json.dumps({name: _value(name, kind, reading) for name, kind in properties.items()}, ensure_ascii=False)
    if "yes or no" in instruction:
        return "yes" if reading.score > 0 else "no"
    if "positive" in instruction and "negative" in instruction:
        return reading.sentiment
    return reading.summary


def _chosen(choices: list[str], reading: Reading) -> str:
    """Return the choice that is the sentiment, or the first one."""
    return next((choice for choice in choices if choice.lower() == reading.sentiment), choices[0])


def _value(name: str, kind: dict[str, Any], reading: Reading) -> object:
    """Return a value for a property of a schema, by its type, and by its name where that says what it is."""
    kind = next((way for way in kind.get("anyOf", []) if way.get("type") != "null"), kind)
    if choices := kind.get("enum"):
        return _chosen([choice for choice in choices if isinstance(choice, str)] or choices, reading)
    types = kind.get("type", "string")
    value_type = next((one for one in types if one != "null"), "string") if isinstance(types, list) else types
    text = reading.summary if "summary" in name else " ".join(reading.topics[:1])
    return {
        "number": round(reading.score, 2),
        "integer": reading.words,
        "boolean": reading.score > 0,
        "array": reading.topics,
        "object": {},
    }.get(value_type, reading.sentiment if name == "sentiment" else text)
