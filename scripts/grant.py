"""`python -m scripts.grant --tenant NAME --credits 100 --ref REF`: give an organisation credits once, or take some."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from app.commands import Mendable, exit_code, run_async
from app.config import Settings
from app.core.identity import now_us
from app.core.money import credits_from_ucr, ucr_from_credits
from app.main import open_storage
from app.storage import entries, ledger, tenants
from app.storage.database import EVERY_TENANT, Transaction
from app.storage.engines import sqlite_path
from scripts.database_option import settings_with

HELP: Final = """\
Gives credits to an organisation, once for each --ref: run it again, from wherever, and nothing more is given.

  python -m scripts.grant --tenant Acme --credits 250.5 --ref pilot-2026 --note "Pilot"
  python -m scripts.grant --tenant Acme --credits 12 --ref ticket-81 --refund --note "Outage of 3 May"
  python -m scripts.grant --tenant Acme --credits -40 --ref ticket-82 --adjust --note "Given twice"

The organisation sees it in its transactions, with the note. A ref that begins with `plan:` makes it credits of the
plan there, `coupon:` a coupon; every other grant, and every adjustment, is one by an operator.
Calls that run keep what they hold: an adjustment that would take it is refused, and nothing is taken.
"""
Kind = Literal["grant", "refund", "adjust"]
_CREDITS: Final = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: `amount_ucr` is negative only for an adjustment."""

    tenant: str
    kind: Kind
    amount_ucr: int
    ref: str
    note: str


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with what is wrong on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.grant", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenant", metavar="NAME", required=True, help="the organisation's name")
    parser.add_argument("--credits", metavar="N", required=True, type=_amount, help="at most 6 decimal places")
    parser.add_argument("--ref", metavar="REF", required=True, type=_text, help="unique in the organisation, by kind")
    parser.add_argument("--note", metavar="TEXT", default="", help="what the organisation reads")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--refund", dest="kind", action="store_const", const="refund", help="credits back for calls that were paid"
    )
    kind.add_argument(
        "--adjust", dest="kind", action="store_const", const="adjust", help="a correction; may be negative"
    )
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL")
    options = parser.parse_args(arguments)
    order = Order(options.tenant, options.kind or "grant", options.credits, options.ref, options.note)
    if order.amount_ucr == 0 or (order.amount_ucr < 0 and order.kind != "adjust"):
        parser.error("argument --credits: must be more than 0; to take credits use --adjust")
    return exit_code(lambda: run(settings_with(options.database), order))


def run(settings: Settings, order: Order) -> int:
    """Carry out `order` and print what came of it; returns the exit code."""

    async def work() -> int:
        path = sqlite_path(settings.database_url)
        if path is not None and not path.exists():
            raise Mendable(f"{path} does not exist; set DATABASE_URL, or use --database")
        async with open_storage(settings) as db:
            tenant_id = await db.read(EVERY_TENANT, lambda t: tenants.find_tenant(t, order.tenant))
            if tenant_id is None:
                raise Mendable(f"there is no organisation called {order.tenant!r}")
            given, balance_ucr = await db.write(tenant_id, lambda t: carry_out(t, tenant_id, order))
        done = "" if given else "unchanged, since it was done before: "
        print(f"{done}{order.kind} {order.ref} of {order.tenant}: {_shown(order.amount_ucr)} credits")
        print(f"balance: {_shown(balance_ucr)} credits")
        return 0

    return run_async(work)


def carry_out(db: Transaction, tenant_id: str, order: Order) -> tuple[bool, int]:
    """(whether it was new, the balance in ucr). Raises Problem; Mendable for a ref that stands for another amount."""
    known = entries.find_amount(db, tenant_id, order.kind, order.ref)
    if known not in (None, order.amount_ucr):
        raise Mendable(f"{order.kind} {order.ref} stands for {_shown(known or 0)} credits already; write a new --ref")
    given = ledger.credit(db, tenant_id, order.kind, order.amount_ucr, order.ref, now_us(), order.note)
    return given, ledger.balance(db, tenant_id)[0]


def _amount(text: str) -> int:
    if not _CREDITS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not below 10^9 with at most 6 decimal places, such as 250.5")
    return ucr_from_credits(Decimal(text))


def _text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("must be a word, such as pilot-2026")
    return text.strip()


def _shown(amount_ucr: int) -> str:
    return f"{credits_from_ucr(amount_ucr):,.6f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
