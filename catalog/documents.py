"""Reading one catalog document: every key is checked, every fault collected, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Word = TypeVar("Word", bound=str)
UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where it stands, and what to write instead."""

    source: str
    entry: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.entry}: {self.key}: {self.message}"


class CatalogError(ValueError):
    """The catalog cannot be used; `faults` holds all that is wrong with it, one line each in the text."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Document:
    """One table of TOML or JSON being read.

    A wrong value is noted in `faults` and a harmless one returned, so that one reading finds every fault; whoever reads
    throws the result away when `faults` grew. A null counts as absent.
    """

    def __init__(self, source: str, entry: str, values: object, faults: list[Fault], prefix: str = "") -> None:
        self.source = source
        self.entry = entry
        self.faults = faults
        self._prefix = prefix
        self._asked: list[str] = []
        self._values: Mapping[str, object] = {}
        if isinstance(values, Mapping):
            self._values = {str(key): value for key, value in values.items() if value is not None}
        else:
            self.fault("", f"is {values!r}; write a table of keys and values")

    def fault(self, key: str, message: str) -> None:
        self.faults.append(Fault(self.source, self.entry, f"{self._prefix}{key}".strip(".") or "-", message))

    def has(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> object:
        """The raw value, None when absent; marks the key as known."""
        self._asked.append(key)
        return self._values.get(key)

    def text(self, key: str, example: str) -> str:
        """A required, non-empty string."""
        match self.get(key):
            case str(value) if value.strip():
                return value
            case None:
                self.fault(key, f'is missing; write {key} = "{example}"')
            case value:
                self.fault(key, f'is {value!r}; write a string such as "{example}"')
        return ""

    def optional_text(self, key: str, example: str) -> str | None:
        if self.has(key):
            return self.text(key, example)
        self.get(key)
        return None

    def choice(self, key: str, words: Sequence[Word], default: Word | None = None) -> Word | None:
        """One of `words`; None after a fault."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        for word in words:
            if value == word:
                return word
        wrong = "is missing" if value is None else f"is {value!r}"
        self.fault(key, f"{wrong}; write one of {', '.join(words)}")
        return None

    def flag(self, key: str) -> bool:
        """A boolean, false when absent."""
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.fault(key, f"is {value!r}; write true or false")
        return False

    def whole(self, key: str, minimum: int = 0, otherwise: str = "") -> int:
        """A required whole number of at least `minimum`."""
        value = self.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= minimum:
            return value
        wrong = "is missing" if value is None else f"is {value!r}"
        self.fault(key, f"{wrong}; write a whole number of at least {minimum}{otherwise}")
        return minimum

    def limit(self, key: str) -> int | None:
        """A required whole number, or the word unlimited (None)."""
        if self.get(key) == UNLIMITED:
            return None
        return self.whole(key, otherwise=f', or "{UNLIMITED}"')

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of non-empty strings, empty when absent."""
        value = self.get(key)
        if value is None:
            return ()
        if isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        self.fault(key, f'is {value!r}; write a list of strings, such as ["one", "two"]')
        return ()

    def table(self, key: str) -> Document:
        """The table under `key`, empty when absent."""
        value = self.get(key)
        return Document(self.source, self.entry, {} if value is None else value, self.faults, f"{self._prefix}{key}.")

    def tables(self, key: str) -> list[Document]:
        """The list of tables under `key`, empty when absent."""
        value = self.get(key)
        if not isinstance(value, list | tuple | None):
            self.fault(key, f"is {value!r}; write a list of tables")
            return []
        return [
            Document(self.source, self.entry, item, self.faults, f"{self._prefix}{key}[{index}].")
            for index, item in enumerate(value or ())
        ]

    def rest(self) -> dict[str, object]:
        """All values as they are; for tables whose keys belong to somebody else."""
        self._asked.extend(self._values)
        return dict(self._values)

    def close(self) -> None:
        """Notes every key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(dict.fromkeys(self._asked))
                self.fault(key, f"is not a known key; remove it or write one of {known}")
