"""The faults that the proxy can inject, and plans that say which request meets which."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping

import numpy as np
import orjson

from faults.http1 import HEADER_LENGTH, InferenceAnswer, Message, answer
from faults.proxy import Exchange, Fault, Plan

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"


# Connections


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


async def _reset_within_body(exchange: Exchange) -> None:
    await exchange.receive_some(64)
    exchange.reset()


async def _reset_after_body(exchange: Exchange) -> None:
    await exchange.forward()
    exchange.reset()


async def _reset_within_answer(exchange: Exchange) -> None:
    await _send_half(exchange)
    exchange.reset()


async def _close_unanswered(exchange: Exchange) -> None:
    await exchange.forward()
    exchange.close()


async def _truncated(exchange: Exchange) -> None:
    await _send_half(exchange)
    exchange.close()


async def _send_half(exchange: Exchange) -> None:
    whole = (await exchange.forward()).to_bytes()
    await exchange.send(whole[: -max(1, len(whole) // 4)])


async def _answered_twice(exchange: Exchange) -> None:
    reply = await exchange.forward()
    await exchange.send(reply.to_bytes())
    await exchange.deliver(reply)


RESET_BEFORE_BODY = Fault("reset before the body", _reset, before_body=True)
RESET_WITHIN_BODY = Fault("reset within the body", _reset_within_body, before_body=True)
RESET_AFTER_BODY = Fault("reset after the body", _reset_after_body)
RESET_WITHIN_ANSWER = Fault("reset within the answer", _reset_within_answer)
CLOSE_UNANSWERED = Fault("closed without an answer", _close_unanswered)
TRUNCATED = Fault("answer cut off", _truncated)
ANSWERED_TWICE = Fault("answered twice", _answered_twice)


# Time


def slow_first_byte(seconds: float) -> Fault:
    """Hold the answer back for some seconds."""

    async def inject(exchange: Exchange) -> None:
        reply = await exchange.forward()
        await asyncio.sleep(seconds)
        await exchange.deliver(reply)

    return Fault("slow first byte", inject)


def slow_drip(seconds: float, pieces: int = 20) -> Fault:
    """Spread the answer over some seconds, so that there is never a long silence."""

    async def inject(exchange: Exchange) -> None:
        whole = (await exchange.forward()).to_bytes()
        size = math.ceil(len(whole) / pieces)
        for start in range(0, len(whole), size):
            await exchange.send(whole[start : start + size])
            await asyncio.sleep(seconds / pieces)
        exchange.delivered = True

    return Fault("slow drip", inject)


async def _never(exchange: Exchange) -> None:
    await exchange.forward()
    await exchange.closed()
    exchange.reset()


NEVER_ANSWERED = Fault("never answered", _never)


# Answers in Triton's place


def status(code: int, text: str = "injected", retry_after: str | None = None) -> Fault:
    """Answer with an error as Triton words it; Triton does not see the request."""
    headers = {} if retry_after is None else {"retry_after": retry_after}
    reply = answer(code, orjson.dumps({"error": text}), **headers)
    return _instead(f"{code}" + (f", Retry-After: {retry_after}" if retry_after else ""), reply)


def _instead(name: str, reply: Message) -> Fault:
    async def inject(exchange: Exchange) -> None:
        await exchange.send(reply.to_bytes())

    return Fault(name, inject)


GATEWAY_HTML = _instead("502 with HTML", answer(502, HTML, "text/html"))
HTML_WITH_200 = _instead("200 with HTML", answer(200, HTML, "text/html"))


# Triton's answer, changed on the way


def _changed(name: str, change: Callable[[Message], Message]) -> Fault:
    async def inject(exchange: Exchange) -> None:
        reply = await exchange.forward()
        await exchange.send((change(reply) if reply.first_line.startswith("HTTP/1.1 200") else reply).to_bytes())

    return Fault(name, inject)


def _edited(name: str, edit: Callable[[InferenceAnswer], None]) -> Fault:
    """Change the parts of an inference answer."""

    def change(reply: Message) -> Message:
        parts = InferenceAnswer.parse(reply)
        edit(parts)
        return parts.write(reply)

    return _changed(name, change)


def _two_columns(parts: InferenceAnswer) -> None:
    for output in parts.header["outputs"]:
        output["shape"][1] = 2


def _extra_axis(parts: InferenceAnswer) -> None:
    for output in parts.header["outputs"]:
        output["shape"].append(1)


def _one_row_less(parts: InferenceAnswer) -> None:
    for output in parts.header["outputs"]:
        output["shape"][0] -= 1
        if parts.binary and output["datatype"] != "BYTES":
            parts.payloads[output["name"]] = parts.payloads[output["name"]][:-8]
        elif parts.binary:
            parts.payloads[output["name"]] = b"".join(_elements(parts.payloads[output["name"]])[:-1])
        else:
            output["data"].pop()


def _one_row_more(parts: InferenceAnswer) -> None:
    for output in parts.header["outputs"]:
        output["shape"][0] += 1
        if parts.binary and output["datatype"] != "BYTES":
            parts.payloads[output["name"]] += bytes(8)
        elif parts.binary:
            parts.payloads[output["name"]] += bytes(4)
        else:
            output["data"].append(output["data"][0])


def _fewer_elements_than_shape(parts: InferenceAnswer) -> None:
    """Tell the right shape, and leave out the last element of the texts."""
    payload = parts.payloads["UPPER"]
    parts.payloads["UPPER"] = b"".join(_elements(payload)[:-1])


def _wrong_datatype(parts: InferenceAnswer) -> None:
    output = parts.output("LENGTH")
    output["datatype"] = "INT32"
    if parts.binary:
        values = np.frombuffer(parts.payloads["LENGTH"], np.int64).astype(np.int32)
        parts.payloads["LENGTH"] = values.tobytes()


def _swapped(parts: InferenceAnswer) -> None:
    """Give each number the other one's name: both have eight bytes a row."""
    length, score = parts.output("LENGTH"), parts.output("SCORE")
    length["name"], score["name"] = "SCORE", "LENGTH"
    if parts.binary:
        parts.payloads["LENGTH"], parts.payloads["SCORE"] = parts.payloads["SCORE"], parts.payloads["LENGTH"]


def _other_order(parts: InferenceAnswer) -> None:
    parts.header["outputs"].reverse()


def _missing_output(parts: InferenceAnswer) -> None:
    parts.header["outputs"].remove(parts.output("LENGTH"))


def _no_outputs(parts: InferenceAnswer) -> None:
    parts.header["outputs"].clear()


def _not_utf8(parts: InferenceAnswer) -> None:
    elements = _elements(parts.payloads["UPPER"])
    elements[0] = elements[0][:4] + b"\xff" * (len(elements[0]) - 4)
    parts.payloads["UPPER"] = b"".join(elements)


def _lengths_lie(parts: InferenceAnswer) -> None:
    payload = parts.payloads["UPPER"]
    parts.payloads["UPPER"] = (int.from_bytes(payload[:4], "little") + 1).to_bytes(4, "little") + payload[4:]


def _elements(payload: bytes) -> list[bytes]:
    """Cut BYTES data into its elements, with their lengths before them."""
    elements, position = [], 0
    while position < len(payload):
        end = position + 4 + int.from_bytes(payload[position : position + 4], "little")
        elements.append(payload[position:end])
        position = end
    return elements


def _header_length(difference: int) -> Callable[[Message], Message]:
    def change(reply: Message) -> Message:
        length = int(reply.headers[HEADER_LENGTH]) + difference
        return Message(reply.first_line, reply.headers | {HEADER_LENGTH: str(length)}, reply.body)

    return change


SHORTENED = _changed("answer shortened in order", lambda reply: reply.with_body(reply.body[:-20]))
OVERSIZED = _changed("answer with more data than its outputs", lambda reply: reply.with_body(reply.body + bytes(20)))
EMPTY = _changed("empty answer", lambda reply: reply.with_body(b""))
INVALID_JSON = _changed("invalid JSON", lambda reply: reply.with_body(b"{" + reply.body[2:]))
HEADER_LENGTH_SHORT = _changed("header length too small", _header_length(-3))
HEADER_LENGTH_LONG = _changed("header length too large", _header_length(10**6))
TWO_COLUMNS = _edited("wrong shape", _two_columns)
EXTRA_AXIS = _edited("an axis of length 1 too many", _extra_axis)
ONE_ROW_LESS = _edited("one row less", _one_row_less)
ONE_ROW_MORE = _edited("one row more", _one_row_more)
FEWER_ELEMENTS = _edited("fewer elements than the shape", _fewer_elements_than_shape)
WRONG_DATATYPE = _edited("wrong datatype", _wrong_datatype)
SWAPPED = _edited("swapped outputs", _swapped)
OTHER_ORDER = _edited("outputs in another order", _other_order)
MISSING_OUTPUT = _edited("missing output", _missing_output)
NO_OUTPUTS = _edited("no outputs", _no_outputs)
NOT_UTF8 = _edited("bytes that are not UTF-8", _not_utf8)
LENGTHS_LIE = _edited("lengths that do not add up", _lengths_lie)


# Plans


def first(count: int, *faults: Fault) -> Plan:
    """Let the first ``count`` requests meet a fault, each of them in turn."""
    return lambda exchange: faults[(exchange.number - 1) % len(faults)] if exchange.number <= count else None


def at(number: int, fault: Fault) -> Plan:
    """Let one request meet the fault."""
    return lambda exchange: fault if exchange.number == number else None


def every(step: int, *faults: Fault, until: int | None = None) -> Plan:
    """Let every ``step``-th request meet a fault, each of them in turn, up to request ``until``."""

    def plan(exchange: Exchange) -> Fault | None:
        if exchange.number % step or (until is not None and exchange.number > until):
            return None
        return faults[(exchange.number // step - 1) % len(faults)]

    return plan


def always(fault: Fault) -> Plan:
    """Let every request meet the fault."""
    return lambda _: fault


def with_text(text: bytes, fault: Fault) -> Plan:
    """Let every request that holds some text meet the fault."""
    return lambda exchange: fault if text in exchange.body else None


def at_random(seed: int, chances: Mapping[Fault, float]) -> Plan:
    """Let each request meet a fault by chance."""
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    faults = list(chances)
    weights = [*chances.values(), 1 - sum(chances.values())]
    return lambda _: dice.choices([*faults, None], weights)[0]
