"""Asks a backend once and sees that the attempt is settled, however it ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from factory_infra.errors import LineshaftError, Unavailable
from factory_infra.saas.models.backend import ChatBackend, EmbeddingsBackend, SpeechBackend, TranscriptionBackend
from factory_infra.saas.models.calls import Answer, Audio, Call, Piece
from factory_infra.saas.models.routing.attempts import Attempt
from factory_infra.saas.models.routing.background import Background

PIECES_AHEAD_MAX = 64
"""What is read ahead of a slow client where an answer is read to its end without it."""

Whole = TypeVar("Whole", Answer, Audio)
Ask = Callable[[Call], Awaitable[Whole]]
Ahead = asyncio.Queue[Piece | LineshaftError | None]


@dataclass(slots=True)
class Opened:
    """A stream whose first piece is there."""

    attempt: Attempt
    pieces: AsyncGenerator[Piece, None]
    first: list[Piece]


async def whole(attempt: Attempt, ask: Ask[Whole], background: Background, clock: Callable[[], float]) -> tuple[Attempt, Whole]:
    """Ask for an answer as a whole. Where the backend drains, it is read to its end though nobody waits for it."""
    if not attempt.live.drains:
        return await _whole(attempt, ask, clock)
    try:
        return await asyncio.shield(background.spawn(_whole(attempt, ask, clock)))
    except asyncio.CancelledError:
        attempt.gone = True
        raise


async def _whole(attempt: Attempt, ask: Ask[Whole], clock: Callable[[], float]) -> tuple[Attempt, Whole]:
    try:
        async with asyncio.timeout(attempt.deadline_at - clock()):
            answer = await ask(attempt.call)
        attempt.live.pulse.whole_seconds.read(clock() - attempt.begun_at)
        attempt.done(answer.usage)
        return attempt, answer
    except asyncio.CancelledError:
        attempt.left()
        raise
    except TimeoutError:
        error = _late(attempt)
        attempt.failed(error)
        raise error from None
    except LineshaftError as error:
        attempt.failed(error)
        raise
    finally:
        # Whatever else is raised is a fault of ours, and is settled like one of the upstream.
        attempt.failed()


async def opened(attempt: Attempt, background: Background, clock: Callable[[], float]) -> Opened:
    """Begin a stream and wait for what it says first. A piece that only opens the answer is held back: the route may still change."""
    stream = pieces(attempt, clock)
    if attempt.live.drains:
        stream = drained(stream, attempt, background)
    first: list[Piece] = []
    async for piece in stream:
        first.append(piece)
        if piece.tokens_out > 0 or piece.usage is not None or len(first) > 1:
            break
    return Opened(attempt, stream, first)


async def pieces(attempt: Attempt, clock: Callable[[], float]) -> AsyncGenerator[Piece, None]:
    """The stream of an attempt. Closing it, or cancelling who reads it, closes the upstream and settles; so does every other end."""
    upstream = cast(ChatBackend, attempt.live.backend).stream(attempt.call)
    try:
        while True:
            async with asyncio.timeout(attempt.deadline_at - clock()):
                piece = await anext(upstream, None)
            if piece is None:
                break
            attempt.took(piece)
            yield piece
        attempt.done()
    except (GeneratorExit, asyncio.CancelledError):
        attempt.left(upstream)
        raise
    except TimeoutError:
        error = _late(attempt)
        attempt.failed(error, upstream)
        raise error from None
    except LineshaftError as error:
        attempt.failed(error, upstream)
        raise
    finally:
        attempt.failed(None, upstream)


async def drained(stream: AsyncGenerator[Piece, None], attempt: Attempt, background: Background) -> AsyncGenerator[Piece, None]:
    """The same stream, read by a task of its own: when the client goes it is read on, for its usage, until its end or the deadline."""
    queue: Ahead = asyncio.Queue(PIECES_AHEAD_MAX)
    background.spawn(_pumped(stream, queue, attempt))
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, LineshaftError):
                raise item
            yield item
    finally:
        attempt.gone = True
        _emptied(queue)


async def _pumped(stream: AsyncGenerator[Piece, None], queue: Ahead, attempt: Attempt) -> None:
    # Whatever ends the reading, its reader hears of an end: who waits for a piece has no limit of its own.
    end: LineshaftError | None = Unavailable("The stream broke off.", remedy="Ask again.", code="model_stream_broken")
    try:
        async for piece in stream:
            if not attempt.gone:
                await queue.put(piece)
        end = None
    except LineshaftError as error:
        end = error
    except asyncio.CancelledError:
        _emptied(queue)
        end = Unavailable("The gateway is stopping.", remedy="Ask again.", code="model_stream_broken")
        raise
    finally:
        await stream.aclose()
        if not attempt.gone:
            await queue.put(end)


def _emptied(queue: Ahead) -> None:
    """Make room, so that nobody waits for it any more."""
    while not queue.empty():
        queue.get_nowait()


def _late(attempt: Attempt) -> Unavailable:
    name, seconds = attempt.live.target.backend, attempt.call.deadline_seconds
    if attempt.begun:
        return Unavailable(
            f"The stream of {name} did not end within {seconds:g} s.",
            remedy="Ask again; what came before is charged.",
            code="model_stream_broken",
        )
    return Unavailable(f"{name} did not answer within {seconds:g} s.", remedy="Ask again, or for less.", code="model_timeout")


def completing(attempt: Attempt) -> Ask[Answer]:
    """How a chat is asked for as a whole. That the backend is of the class was seen when it was built."""
    return cast(ChatBackend, attempt.live.backend).complete


def embedding(attempt: Attempt) -> Ask[Answer]:
    """How vectors are asked for."""
    return cast(EmbeddingsBackend, attempt.live.backend).embed


def transcribing(attempt: Attempt) -> Ask[Answer]:
    """How a sound is written down."""
    return cast(TranscriptionBackend, attempt.live.backend).transcribe


def speaking(attempt: Attempt) -> Ask[Audio]:
    """How a text is spoken."""
    return cast(SpeechBackend, attempt.live.backend).speak
