"""Kills parts at random points, many of them where an effect has just begun."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from benchmarks.agents.board import Board
from tests.live import LiveStack

AIMED = 0.4
"""The share of kills that wait for an effect to begin."""
PAUSE_SECONDS = (3.0, 7.0)
BEGINS_SECONDS_MAX = 4.0
NOTICE_SECONDS = 0.3


@dataclass(frozen=True)
class Kill:
    """A part that died, and when."""

    part: str
    at: datetime
    pid: int


@dataclass(frozen=True)
class Order:
    """How many kills, of which parts, how many seconds apart at least and at most."""

    kills: int
    parts: tuple[str, ...] = ("worker", "api", "temporal")
    pause_seconds: tuple[float, float] = PAUSE_SECONDS


def kill_some(stack: LiveStack, board: Board, dice: random.Random, order: Order) -> list[Kill]:
    """Kill parts one after the other, without waiting for all to be well in between."""
    done: list[Kill] = []
    parts = [order.parts[index % len(order.parts)] for index in range(order.kills)]
    dice.shuffle(parts)
    for part in parts:
        time.sleep(dice.uniform(*order.pause_seconds))
        done.append(kill_one(stack, board, dice, part))
    return done


def kill_one(stack: LiveStack, board: Board, dice: random.Random, part: str) -> Kill:
    """Kill one part that lives: where an effect begins or runs, or anywhere."""
    if dice.random() < AIMED and board.effect_runs(BEGINS_SECONDS_MAX):
        time.sleep(dice.uniform(0.0, 0.6))
    board.announce(NOTICE_SECONDS)
    time.sleep(NOTICE_SECONDS)
    while True:
        try:
            pid = stack.kill(part)
        except (StopIteration, psutil.NoSuchProcess, ProcessLookupError, AssertionError, ValueError):
            time.sleep(0.05)  # it is being started again just now
            continue
        return Kill(part, datetime.now(UTC), pid)
