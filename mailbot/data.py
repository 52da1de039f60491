"""The shipped rules and letters, with the administrator's own files laid over them.

Owns finding and reading these folders. Must never interpret a file: `rules.py`, `letters.py` and the others do.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mailbot.errors import OwnerMustFix

ELSEWHERE = {
    "limits.toml",
    "warnings.toml",
    "quotes.toml",
    "forms.toml",
    "owner.toml",
    "ending.toml",
    "processors.toml",
}  # files in rules/ that hold no phrases
HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the folder of this name: inside the installed package, or at the top of a checkout."""
    packaged = HERE / name
    return packaged if packaged.is_dir() else HERE.parent / name


def files(name: str, *overrides: str) -> dict[str, bytes]:
    """Return path (with `/`, relative) -> contents, each file of an override standing above those before it."""
    found = dict(_walk(shipped(name)))
    for override in filter(None, overrides):
        folder = Path(override)
        if not folder.is_dir():
            raise OwnerMustFix(f"overrides.{name}: the folder {override} does not exist: make it, or name another")
        found.update(_walk(folder))
    return dict(sorted(found.items()))


def texts(name: str, *overrides: str) -> dict[str, str]:
    """Return the UTF-8 files of the folder as text; a file that is no UTF-8 is a problem to mend."""
    found: dict[str, str] = {}
    problems: list[str] = []
    for path, contents in files(name, *overrides).items():
        try:
            found[path] = contents.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"{name}/{path}: is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8")
    if problems:
        raise OwnerMustFix(problems)
    return found


def phrases(files: Mapping[str, str]) -> dict[str, str]:
    """Return, of the texts in rules/, those that are about understanding."""
    return {name: text for name, text in files.items() if name.endswith((".toml", ".json")) and name not in ELSEWHERE}


def _walk(folder: Path) -> Iterator[tuple[str, bytes]]:
    try:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if path.is_file() and not any(part.startswith((".", "__")) for part in relative.parts):
                yield relative.as_posix(), path.read_bytes()
    except OSError as error:
        raise OwnerMustFix(f"{error.filename}: cannot be read ({error.strerror}): look at [overrides]") from error
