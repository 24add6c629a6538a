"""Prices: decimals in USD in the files, integers of micro-USD per unit inside, floats only on display."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final, Literal

from catalog.documents import Document

Unit = Literal["tokens", "hour", "10k_characters", "image", "search", "minute", "by_pick"]
MICRO: Final = 1_000_000
#: Exponents above this are no prices; arithmetic would overflow.
MOST_DIGITS: Final = 9
EXAMPLE: Final = "0.53"


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-USD per unit, catalog.md section 1.

    `tokens`: per 1M tokens in and out; `cached_input_musd` None means cached tokens cost what others do; `minute_musd`
    is what realtime voice costs besides. Every other unit has its price in `input_musd`. `by_pick` has no figures of
    its own: it is billed at the picked model's price and held at `Catalog.hold_price`.
    """

    unit: Unit
    input_musd: int
    output_musd: int = 0
    cached_input_musd: int | None = None
    minute_musd: int | None = None

    def document(self) -> dict[str, str]:
        """The canonical form that `read_price` reads back."""
        if self.unit == "by_pick":
            return {"unit": self.unit}
        if self.unit != "tokens":
            return {"unit": self.unit, "each": _usd_text(self.input_musd)}
        figures = {
            "input": self.input_musd,
            "output": self.output_musd,
            "cached_input": self.cached_input_musd,
            "minute": self.minute_musd,
        }
        return {"unit": self.unit} | {key: _usd_text(musd) for key, musd in figures.items() if musd is not None}

    def entry(self) -> dict[str, float | str] | None:
        """The `pricing` object of spec.md section 6; None when the price depends on the pick."""
        if self.unit == "by_pick":
            return None
        if self.unit != "tokens":
            return {"price": _usd_float(self.input_musd), "unit": f"per_{self.unit}", "currency": "USD"}
        shown: dict[str, float | str] = {"input": _usd_float(self.input_musd), "output": _usd_float(self.output_musd)}
        if self.cached_input_musd is not None:
            shown["cached_input"] = _usd_float(self.cached_input_musd)
        if self.minute_musd is not None:
            shown["per_minute"] = _usd_float(self.minute_musd)
        return shown | {"unit": "per_million_tokens", "currency": "USD"}


def read_price(document: Document, units: tuple[Unit, ...], *, output: bool = True) -> Price | None:
    """A price whose unit is one of `units`; None after a fault. `output`: tokens that come out have a price too."""
    unit = document.choice("unit", units)
    if unit is None:
        return None
    before = len(document.faults)
    price = Price(unit, 0)
    if unit == "tokens":
        price = Price(
            unit,
            _musd(document, "input"),
            _musd(document, "output") if output or document.has("output") else 0,
            _musd(document, "cached_input") if document.has("cached_input") else None,
            _musd(document, "minute") if document.has("minute") else None,
        )
    elif unit != "by_pick":
        price = Price(unit, _musd(document, "each"))
    document.close()
    return price if len(document.faults) == before else None


def passthrough_price(prompt: str, completion: str, markup: Decimal) -> Price | None:
    """An upstream's list price (strings, USD per token) times `markup`, rounded up; None when it is no price.

    wire/openrouter.md section 5; its routers list -1, which must never become a charge.
    """
    try:
        figures = [Decimal(text) for text in (prompt, completion)]
    except InvalidOperation:
        return None
    if not all(figure.is_finite() and figure >= 0 and figure.adjusted() <= MOST_DIGITS for figure in figures):
        return None
    scaled = [int((usd * markup * MICRO * MICRO).to_integral_value(ROUND_CEILING)) for usd in figures]
    return Price("tokens", *scaled)


def read_decimal(document: Document, key: str, example: str) -> Decimal:
    """An exact decimal of 0 or more, given as a string or a TOML number; a float is refused, it is not exact."""
    value = document.get(key)
    if value is None:
        document.fault(key, f'is missing; write {key} = "{example}"')
        return Decimal(0)
    figure: Decimal | None = None
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            figure = Decimal(value)
        except InvalidOperation:
            figure = None
    if figure is None or not figure.is_finite():
        document.fault(key, f'is {value!r}; write a decimal as a string, such as "{example}"')
        return Decimal(0)
    if figure < 0:
        document.fault(key, f'is negative ({figure}); write 0 or more, such as "{example}"')
        return Decimal(0)
    return figure


def _musd(document: Document, key: str) -> int:
    usd = read_decimal(document, key, EXAMPLE)
    musd = int(usd * MICRO)
    if musd != usd * MICRO:
        document.fault(key, f'has more than six decimals ({usd}); write at most six, such as "{EXAMPLE}"')
    return musd


def _usd_text(musd: int) -> str:
    return f"{Decimal(musd).scaleb(-6).normalize():f}"


def _usd_float(musd: int) -> float:
    return float(Decimal(musd).scaleb(-6))
