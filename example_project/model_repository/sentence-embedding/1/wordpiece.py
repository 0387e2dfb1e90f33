"""The tokenizer of BERT, uncased: a text to the numbers of its word pieces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

LONGEST_WORD = 100
# Unicode's categories of what is not seen. Cn, what is not assigned yet, is none of them.
CONTROL = {"Cc", "Cf", "Co", "Cs"}
# First and last code points of the blocks whose characters are words of their own.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Splits a text into words, and each word into the longest pieces that the vocabulary has.

    Args:
        pieces: the vocabulary, each piece at the place that is its number; one within a word begins with ``##``.
        longest: how many numbers a text has at most, those of its start and end counted; the rest is cut off.
    """

    def __init__(self, pieces: list[str], longest: int) -> None:
        self.numbers = {piece: number for number, piece in enumerate(pieces)}
        self.longest = longest
        self.start, self.end, self.unknown = (self.numbers[piece] for piece in ("[CLS]", "[SEP]", "[UNK]"))

    def __call__(self, text: str) -> list[int]:
        """Return the numbers of a text, between that of its start and that of its end."""
        numbers = [number for word in words(text) for number in self.pieces_of(word)]
        return [self.start, *numbers[: self.longest - 2], self.end]

    def pieces_of(self, word: str) -> list[int]:
        """Return the numbers of a word's pieces, or that of an unknown word."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            pieces = ((self.numbers.get(("##" if start else "") + word[start:end]), end) for end in ends)
            number, start = next(((number, end) for number, end in pieces if number is not None), (None, start))
            if number is None:
                return [self.unknown]
            found.append(number)
        return found


def words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, without accents; a sign of punctuation is a word."""
    spaced = "".join(f" {character} " if _is_ideograph(character) else _cleaned(character) for character in text)
    plain = (character for character in unicodedata.normalize("NFD", spaced) if unicodedata.category(character) != "Mn")
    parted = "".join(f" {character} " if _is_punctuation(character) else character for character in plain)
    yield from parted.lower().split()


def _cleaned(character: str) -> str:
    """Return a space for white space, and nothing for a control character."""
    if character.isspace():
        return " "
    return "" if character == "\ufffd" or unicodedata.category(character) in CONTROL else character


def _is_ideograph(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in IDEOGRAPHS)


def _is_punctuation(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")
