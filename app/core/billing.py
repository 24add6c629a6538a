"""What a chat call owes at any moment: a running tally of its output, and the rows of the settlement table.

Source: pains.md section 2, rows B2 to B11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.core.deltas import Delta, Usage
from app.core.ledger import Basis, Outcome
from app.core.pricing import TokenPrice
from app.core.tokens import count_text

#: A token is at least one byte, a character at most four.
WIDEST_CHAR: Final = 4
SMALL_TEXT: Final = 2048
MANY_PIECES: Final = 256

CancelSemantics = Literal["stops_billing", "bills_anyway", "unknown"]


@dataclass(frozen=True, slots=True)
class Bill:
    """What an ending charges, and the row of the settlement table that says so."""

    outcome: Outcome
    cost_ucr: int
    basis: Basis
    rule: str


class Tally:
    """The output of one call as it comes, and what it costs at `price`; counted exactly only when it matters."""

    __slots__ = ("_bound", "_counted", "_pieces", "_unseen", "price", "prompt_tokens")

    def __init__(self, price: TokenPrice, prompt_tokens: int) -> None:
        self.price = price
        self.prompt_tokens = prompt_tokens
        self._pieces: list[str] = []
        self._unseen: list[str] = []
        self._counted = 0
        self._bound = 0

    def add(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            if delta.content:
                self._take(delta.content)
            if delta.reasoning:
                self._take(delta.reasoning)
            if delta.refusal:
                self._take(delta.refusal)
            if delta.tools:
                for tool in delta.tools:
                    self._take((tool.name or "") + tool.arguments)

    def running_cost_ucr(self, free_below_ucr: int) -> int:
        """The cost so far or a little more; below `free_below_ucr` a cheap upper bound will do.

        Text is counted as it comes, so each seam between two countings may be a token off either way.
        """
        bound = self.price.tokens_ucr(self.prompt_tokens, self._counted + self._bound)
        if bound < free_below_ucr or not self._unseen:
            return bound
        self._counted += count_text("".join(self._unseen))
        self._unseen.clear()
        self._bound = 0
        return self.price.tokens_ucr(self.prompt_tokens, self._counted)

    def mark(self) -> int:
        """A point to go back to with `add_what_fits`, until the next mark."""
        if len(self._pieces) > MANY_PIECES:  # a short string is mostly its own head
            self._pieces[:] = [self.text()]
        return len(self._pieces)

    def add_what_fits(self, mark: int, deltas: list[Delta], limit_ucr: int) -> list[Delta]:
        """Go back to `mark` and take in as many of `deltas` as `limit_ucr` pays for; returns these."""
        self._rewind(mark)
        fitting: list[Delta] = []
        for delta in deltas:
            before = len(self._pieces)
            self.add([delta])
            if self.running_cost_ucr(0) > limit_ucr:
                self._rewind(before)
                break
            fitting.append(delta)
        return fitting

    def _rewind(self, mark: int) -> None:
        del self._pieces[mark:]
        self._counted = count_text("".join(self._pieces))
        self._unseen.clear()
        self._bound = 0

    def text(self) -> str:
        """Everything that was generated, for one exact count at the end."""
        return "".join(self._pieces)

    @property
    def empty(self) -> bool:
        return not self._pieces

    def _take(self, text: str) -> None:
        self._pieces.append(text)
        self._unseen.append(text)
        self._bound += len(text) if text.isascii() else len(text) * WIDEST_CHAR


def finished_bill(usage: Usage | None, price: TokenPrice, prompt: int, completion: int, *, short: bool = False) -> Bill:
    """The provider finished: its usage, an explicit 0 included (B5, B8), else our own count (B9).

    `short`: it ended by length, or without its own end mark (B10).
    """
    if usage is not None:
        rule = "B8" if usage.prompt == 0 and usage.completion == 0 else "B10" if short else "B5"
        return Bill("completed", price.cost_ucr(usage), "provider_usage", rule)
    return Bill("completed", price.tokens_ucr(prompt, completion), "tokenizer_estimate", "B9")


def cut_bill(
    outcome: Outcome, usage: Usage | None, price: TokenPrice, prompt: int, completion: int, semantics: CancelSemantics
) -> Bill:
    """The answer was cut by the client or by the end of the credits: what was generated until then (B3, B4, B11)."""
    rule = "B11" if outcome == "completed" else "B3" if semantics == "stops_billing" else "B4"
    if usage is not None:
        return Bill(outcome, price.cost_ucr(usage), "usage_snapshot", rule)
    return Bill(outcome, price.tokens_ucr(prompt, completion), "tokenizer_estimate", rule)
