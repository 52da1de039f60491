"""The register's values as TinyDB's tables, and back.

Owns the shape of the files. Must never open one, and never guess: what does not have the expected shape is damage.
"""

from dataclasses import fields
from typing import Any

import msgspec

from mailbot.client import ClientRecord
from mailbot.errors import OwnerMustFix

TABLES = ("cases", "letters", "messages", "examples")
CLIENT_FIELDS = tuple(item.name for item in fields(ClientRecord) if item.name not in TABLES)


def of_record(record: ClientRecord) -> dict[str, dict[str, Any]]:
    """Return the record as TinyDB tables: one document for the client, one for each case, letter and message."""
    plain = msgspec.to_builtins(record)
    tables = {"client": {"1": {name: plain[name] for name in CLIENT_FIELDS}}}
    for name in TABLES:
        tables[name] = {str(place): row for place, row in enumerate(plain[name], start=1)}
    return tables


def record_in(body: bytes) -> ClientRecord:
    """Return the record these bytes hold. KeyError, TypeError or msgspec's errors when they hold none."""
    tables = msgspec.json.decode(body)
    plain: dict[str, Any] = dict(tables["client"]["1"])
    for name in TABLES:
        plain[name] = list(tables.get(name, {}).values())
    return msgspec.convert(plain, ClientRecord)


def value_in(tables: Any, name: str, kind: type[Any]) -> Any:  # noqa: ANN401 - one conversion for two kinds of file
    """Return the one value of a file that holds one. OwnerMustFix when it is damaged."""
    try:
        return msgspec.convert(tables[name]["1"], kind)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise OwnerMustFix(f"the register's {name} file does not have the expected shape ({error})") from error
