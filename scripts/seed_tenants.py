"""`python -m scripts.seed_tenants FILE`: write tenants, members, keys and grants from a file, each of them once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Final, TextIO

from app.commands import exit_code, run_async
from app.config import ConfigError, Settings
from scripts.database_option import settings_with
from scripts.seeding.target import open_target
from scripts.seeding.tenants import read_tenants
from scripts.seeding.write import Report, write_tenants

HELP: Final = """\
Writes tenants, members, keys and credit grants from a TOML, JSON or CSV file, all in one transaction.
Run it as often as you like: what is there already is left alone, what differs is changed, a grant is given once
for each ref. A new key, and the password of a member that has none, are made and shown once.
The file wins: a budget, limit, role or name that it leaves out or has otherwise goes back to the file's, or to the
default, even where the organisation changed it since. Look with --dry-run first.
SECRET_KEY must be the gateway's own: keys are kept as digests that depend on it.

TOML (JSON has the same names):

  [[tenants]]
  name = "Acme"
  plan = "starter"                     # an id of catalog/plans.toml
  monthly_budget = "500"               # credits a month; optional

  [[tenants.members]]
  email = "jo@acme.example"
  full_name = "Jo Doe"                 # optional
  role = "owner"                       # owner (one), admin or agent
  password = "a long sentence"         # optional: one is made; a member that exists keeps their own

  [[tenants.keys]]
  name = "server"
  key = "cm_<40 letters or digits>"    # optional: one is made
  permissions = ["llm", "stt"]         # llm, stt, tts, search, image; "*" (default) is all
  scopes = ["usage:read"]              # default none, "*" is all
  allowed_models = ["kimi-k2.6"]       # default "*"
  allowed_domains = ["acme.example"]   # default "*"
  allowed_search_providers = ["exa"]   # default "*"
  rpm = 120                            # default: the plan's
  budget = "50"                        # credits a month; default none
  expires_in_days = 90                 # 1 to 365, from the key's making; default never

  [[tenants.grants]]
  ref = "pilot-2026"                   # unique in the tenant; to give more, write a new ref
  amount = "250.5"                     # credits, at most 6 decimal places
  note = "Pilot"                       # optional

JSON:

  {"tenants": [{"name": "Acme", "plan": "starter",
                "keys": [{"name": "server", "rpm": 120}],
                "grants": [{"ref": "pilot-2026", "amount": "250.5"}]}]}

CSV has one row for each tenant, member, key and grant, any of these columns, and empty cells where a kind has none:

  kind,tenant,name,plan,email,role,permissions,rpm,ref,amount
  tenant,Acme,,starter,,,,,,
  member,Acme,,,jo@acme.example,owner,,,,
  key,Acme,server,,,,"llm,stt",120,,
  grant,Acme,,,,,,,pilot-2026,250.5
"""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with every fault on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.seed_tenants", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a .toml, .json or .csv file")
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL")
    parser.add_argument("--dry-run", action="store_true", help="say what would change and change nothing")
    parser.add_argument(
        "--keys-out",
        metavar="FILE",
        type=Path,
        help="append new keys and passwords to FILE (mode 600), one JSON a line",
    )
    options = parser.parse_args(arguments)
    return exit_code(
        lambda: run(settings_with(options.database), options.file, dry_run=options.dry_run, keys_out=options.keys_out)
    )


def run(settings: Settings, path: Path, *, dry_run: bool = False, keys_out: Path | None = None) -> int:
    """Seed the tenants of `path` and print what changed and what was made; returns the exit code."""

    async def work() -> int:
        if not settings.secret_key:
            raise ConfigError(["SECRET_KEY: not set; key digests need the one that the gateway runs with"])
        tenants = read_tenants(path)
        secret = settings.secret_key.encode()
        with nullcontext() if keys_out is None or dry_run else _open_private(keys_out) as out:  # before keys are made
            async with open_target(settings, dry_run=dry_run) as target:
                report = await write_tenants(target, tenants, secret)
            if out is not None:
                out.writelines(json.dumps(each) + "\n" for each in _secrets(report))
        _print(report, dry_run=dry_run)
        return 0

    return run_async(work)


def _open_private(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _secrets(report: Report) -> list[dict[str, str]]:
    keys = [{"tenant": key.tenant, "tenant_id": key.tenant_id, "name": key.name, "key": key.key} for key in report.keys]
    return keys + [{"email": email, "password": password} for email, password in report.passwords.items()]


def _print(report: Report, *, dry_run: bool) -> None:
    for change in report.changes:
        print(f"{change} (dry run)" if dry_run else change)
    if not report.changes:
        print("tenants: nothing would change" if dry_run else "tenants: nothing changed")
    elif report.unchanged:
        print(f"unchanged: {report.unchanged}")
    if dry_run or not (report.keys or report.passwords):
        return
    print("\nShown once, keep them:")
    for key in report.keys:
        print(f"  {key.tenant}, key {key.name}: {key.key}")
    for email, password in report.passwords.items():
        print(f"  {email}, password: {password}")


if __name__ == "__main__":
    sys.exit(main())
