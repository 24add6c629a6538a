"""The demo organisation of the launcher: the same from start to start, whatever was changed or lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from app.config import Settings
from app.core.identity import is_key, key_digest, now_us
from app.main import open_storage
from app.storage import keys, ledger
from app.storage.database import EVERY_TENANT, Transaction
from catalog.catalog import Catalog
from scripts.launching.demo import Demo, open_demo
from scripts.launching.directory import DataDirectory
from scripts.launching.summary import Ready
from scripts.seed_catalog import seed_catalog
from scripts.seeding.target import Target
from tests.scripts.modes import mode

SECRET = b"a secret for the tests of the launcher"


async def opened(directory: DataDirectory, secret: bytes = SECRET) -> Demo:
    """What one start of the launcher does with the demo tenant."""
    settings = Settings(database_url=f"sqlite:///{directory.path}/gateway.db")
    async with open_storage(settings) as db:
        await seed_catalog(Target(db), Catalog.load())
        demo = await open_demo(db, secret, directory)
        assert await db.read(EVERY_TENANT, ledger.broken_tenants) == []

        def tenant_of_key(t: Transaction) -> str:
            return keys.find_principal(t, key_digest(secret, demo.api_key), now_us()).tenant_id

        def hash_of_admin(t: Transaction) -> Any:
            return t.one("SELECT password_hash FROM users WHERE email = ?", demo.admin_email)

        assert await db.read(EVERY_TENANT, tenant_of_key) == demo.tenant_id
        if demo.admin_password is not None:
            row = await db.read(EVERY_TENANT, hash_of_admin)
            assert PasswordHasher().verify(row[0], demo.admin_password)
    return demo


async def change(directory: DataDirectory, sql: str) -> None:
    async with open_storage(Settings(database_url=f"sqlite:///{directory.path}/gateway.db")) as db:
        await db.write(EVERY_TENANT, lambda t: t.run(sql))


async def look(directory: DataDirectory, sql: str) -> Any:
    async with open_storage(Settings(database_url=f"sqlite:///{directory.path}/gateway.db")) as db:
        return await db.read(EVERY_TENANT, lambda t: t.all(sql))


async def test_the_demo_stays_the_same_from_start_to_start(directory: DataDirectory) -> None:
    first = await opened(directory)
    assert is_key(first.api_key)
    assert first.credits_ucr == 10_000_000_000
    assert mode(directory.path / "demo.json") == 0o600
    assert await opened(directory) == first


async def test_a_lost_demo_file_makes_a_second_key_and_a_new_password(directory: DataDirectory) -> None:
    first = await opened(directory)
    (directory.path / "demo.json").unlink()
    second = await opened(directory)
    assert second.tenant_id == first.tenant_id
    assert second.api_key != first.api_key
    assert second.credits_ucr == first.credits_ucr


async def test_a_revoked_demo_key_is_replaced(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE api_keys SET is_active = 0")
    assert (await opened(directory)).api_key != first.api_key


async def test_a_demo_key_of_an_older_version_that_opens_no_platform_is_replaced(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE api_keys SET scopes = ''")
    second = await opened(directory)
    assert second.api_key != first.api_key
    assert await look(directory, "SELECT COUNT(*) FROM api_keys WHERE is_active = 1") == [(2,)]


async def test_a_new_demo_key_leaves_alone_what_the_organisation_changed(directory: DataDirectory) -> None:
    await opened(directory)
    await change(directory, "UPDATE tenants SET plan = 'pro', budget = 777")
    await change(directory, "UPDATE users SET role = 'admin', full_name = 'Asha'")  # the owner is somebody else now
    add = "INSERT INTO users (id, tenant_id, email, full_name, role, password_hash, created_at) SELECT "
    await change(directory, f"{add} 'usr_2', id, 'new@demo.example', 'New', 'owner', '', 0 FROM tenants")
    await change(directory, "UPDATE api_keys SET is_active = 0")
    before = await look(directory, "SELECT plan, budget FROM tenants"), await look(directory, "SELECT * FROM users")
    await opened(directory)
    after = await look(directory, "SELECT plan, budget FROM tenants"), await look(directory, "SELECT * FROM users")
    assert after == before


async def test_a_password_that_the_admin_changed_is_not_shown_any_more(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE users SET password_hash = 'of a phrase of their own'")
    demo = await opened(directory)
    assert demo == replace(first, admin_password=None)
    text = Ready("http://127.0.0.1:1", "m", demo, Settings(), Path("data"), None).text()
    assert "admin     the first password of admin@demo.example works no more" in text


async def test_an_admin_who_was_removed_is_not_shown_any_more(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE users SET email = 'somebody@else.example'")
    assert await opened(directory) == replace(first, admin_password=None)


async def test_a_new_secret_keeps_the_demo_working(directory: DataDirectory) -> None:
    first = await opened(directory)
    second = await opened(directory, b"another secret, set in the environment")
    assert (second.tenant_id, second.admin_password) == (first.tenant_id, first.admin_password)


async def test_a_lost_database_gets_the_remembered_key(directory: DataDirectory) -> None:
    first = await opened(directory)
    for path in directory.path.glob("gateway.db*"):
        path.unlink()
    second = await opened(directory)
    assert (second.api_key, second.admin_password) == (first.api_key, first.admin_password)


async def test_a_renamed_demo_organisation_keeps_its_key(directory: DataDirectory) -> None:
    first = await opened(directory)
    await change(directory, "UPDATE tenants SET name = 'My own'")
    assert await opened(directory) == first
