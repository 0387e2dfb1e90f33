"""What the demo shows of the tables, by queries that both warehouses understand."""

# ruff: noqa: T201 - it prints

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

CLASSIFIED_REVIEWS = "select * from classified_reviews order by id"
CLASSIFIED_SNIPPETS = """
select
    id,
    case when length(user_review) > 60 then left(user_review, 59) || '…' else user_review end as user_review,
    predicted_sentiment,
    actual_sentiment
from classified_snippets
where held_out and id % 2000 = 0
order by id
"""
NEAREST_REVIEWS = """
select
    id,
    left(user_review, 40) as user_review,
    left(nearest_review, 40) as nearest_review,
    cast(similarity as decimal(3, 2)) as similarity
from nearest_reviews
order by nearest_reviews.similarity desc
limit 3
"""
SIMILAR_REVIEWS = """
select
    id,
    left(user_review, 60) as user_review,
    left(similar_review, 60) as similar_review,
    cast(similarity as decimal(3, 2)) as similarity
from similar_reviews
where nearness = 1
order by similar_reviews.similarity desc
limit 5
"""
GENERATED = """
select
    summarised_reviews.id,
    left(summarised_reviews.user_review, 50) as user_review,
    left(summary, 50) as summary,
    sentiment,
    topics
from summarised_reviews
inner join extracted_reviews on summarised_reviews.id = extracted_reviews.id
where summarised_reviews.id % 2000 = 0
order by summarised_reviews.id
"""
KINDS = """
select 'tabular' as kind, 'classified_wines' as model, percent || ' % of ' || total || ' held-out wines' as outcome
from (
    select round(100 * avg(cast(predicted_cultivar = cultivar as int)), 1) as percent, count(*) as total
    from classified_wines where id % 5 = 0
)
union all
select 'image', 'read_digits', percent || ' % of ' || total || ' held-out images'
from (
    select round(100 * avg(cast(predicted_digit = actual_digit as int)), 1) as percent, count(*) as total
    from read_digits
)
union all
select 'ensemble', 'digits_by_ensemble', percent || ' % of ' || total || ' held-out images'
from (
    select round(100 * avg(cast(predicted_digit = actual_digit as int)), 1) as percent, count(*) as total
    from digits_by_ensemble
)
union all
select 'sound', 'read_dial_tones', percent || ' % of ' || total || ' recordings'
from (
    select round(100 * avg(cast(predicted_key = actual_key as int)), 1) as percent, count(*) as total
    from read_dial_tones
)
union all
select 'embedding', 'embedded_reviews', count(*) || ' reviews as ' || any_value(typeof(embedding))
from embedded_reviews
union all
select 'sentences', 'reviews_by_meaning', count(*) || ' reviews as ' || any_value(typeof(embedding))
from reviews_by_meaning
union all
select 'stateful', 'smoothed_temperatures', count(*) || ' readings of ' || count(distinct sensor) || ' sensors'
from smoothed_temperatures
"""
HELD_OUT_ACCURACY = "select accuracy, row_count from review_accuracy where held_out"

#: From a query to the names of its columns, and its rows.
Read = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]


def show(read: Read) -> None:
    """Print what the build left in the warehouse."""
    print_table("classified_reviews: the example of the Flink page", *read(CLASSIFIED_REVIEWS))
    print_table("classified_snippets: five held-out reviews", *read(CLASSIFIED_SNIPPETS))
    print_table("one model of each kind", *read(KINDS))
    print_table("nearest_reviews: the nearest of all held-out reviews", *read(NEAREST_REVIEWS))
    print_table("similar_reviews: the nearest in meaning, by a sentence model", *read(SIMILAR_REVIEWS))
    print_table(
        "summarised_reviews, extracted_reviews: generated columns, by a few rules behind the interface of an LLM",
        *read(GENERATED),
    )
    for accuracy, row_count in read(HELD_OUT_ACCURACY)[1]:
        print(f"\nreview_accuracy: {accuracy:.1%} of {row_count:,} held-out reviews classified correctly")


def print_table(title: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Print a title, and rows in aligned columns."""
    lines = [columns, *([str(value) for value in row] for row in rows)]
    widths = [max(display_width(cell) for cell in column) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    print(f"\n{title}\n")
    for line in lines:
        cells = (cell + " " * (width - display_width(cell)) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def display_width(text: str) -> int:
    """Return the number of terminal columns: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
