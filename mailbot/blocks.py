"""What a letter says, as blocks, and both parts of its mail made from them.

Owns how a paragraph, `# heading`, `- item`, `[picture]`, `[bar ...]`, `[button ...]` and `[links ...]` look as text and
as HTML. Must never know what a letter is about: both always say the same because neither adds a word.
"""

import re
from collections.abc import Iterator, Sequence

BLOCK = re.compile(r"\[(?P<name>picture|bar|button|links)(?: (?P<words>.*))?\]")
LINK = re.compile(r"https?://[^\s<>()]+[^\s<>().,;:!?]")
Block = tuple[str, str]


def cut(text: str) -> Iterator[Block]:
    """Cut the rendered text into blocks."""
    paragraph: list[str] = []
    for raw in [*text.split("\n"), ""]:
        line = raw.strip()
        match = BLOCK.fullmatch(line)
        start = next((mark for mark in ("# ", "- ") if line.startswith(mark)), "")
        if line and not match and not start:
            paragraph.append(line)
            continue
        if paragraph:
            yield "paragraph", " ".join(paragraph)
            paragraph = []
        if match:
            yield match["name"], match["words"] or ""
        elif start:
            yield ("heading" if start == "# " else "item"), line[2:]


def as_text(blocks: Sequence[Block], picture: str) -> str:
    """Return the blocks as plain text; `picture` are the words that stand where the picture is."""
    out: list[str] = []
    for place, (name, text) in enumerate(blocks):
        following = blocks[place + 1][0] if place + 1 < len(blocks) else ""
        if name == "picture":
            out += [picture, ""]
        elif name == "bar":
            out += [*_text_bar(text), ""]
        elif name == "button":
            out += _text_link(text)
        elif name == "links":
            out += [line for one in text.split(" || ") for line in _text_link(one)]
        elif name == "heading":
            out += [text.upper() if len(text) < 40 else text, ""]  # noqa: PLR2004 - a long heading shouts
        else:
            out += [f"- {text}" if name == "item" else text] + ([""] if name != "item" or following != "item" else [])
    return "\n".join(_wrapped(out)).strip() + "\n"


def _text_link(text: str) -> list[str]:
    label, _, href = text.rpartition(" | ")
    return [f"{label}:", f"  {href}", ""]


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    from textwrap import wrap  # noqa: PLC0415 - only letters that leave need it

    for line in lines:
        if len(line) <= 76 or "mailto:" in line:  # noqa: PLR2004 - RFC 5322, 2.1.1 recommends 78
            yield line
        else:
            indent = "  " if line.startswith("- ") else ""
            yield from wrap(line, 76, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _text_bar(words: str) -> list[str]:
    share, *labels = words.split(" | ")
    filled = round(_percent(share) / 10)
    return [f"[{'#' * filled}{'.' * (10 - filled)}] {labels[0]}", *(f"  {label}" for label in labels[1:])]


def _percent(text: str) -> int:
    return max(0, min(100, int(float(text))))


def as_html(blocks: Sequence[Block], picture: str) -> str:
    """Return the blocks as HTML for templates/layout.html; `picture` is the Content-ID of the picture."""
    out: list[str] = []
    place = 0
    while place < len(blocks):
        name, text = blocks[place]
        if name == "item":
            items = []
            while place < len(blocks) and blocks[place][0] == "item":
                items.append(f'<li style="margin:0 0 6px 0">{_rich(blocks[place][1])}</li>')
                place += 1
            out.append(f'<ul style="margin:0 0 16px 0;padding:0 0 0 22px">{"".join(items)}</ul>')
            continue
        out.append(_html_block(name, text, picture))
        place += 1
    return "\n".join(out)


def _html_block(name: str, text: str, picture: str) -> str:
    if name == "heading":
        return f'<h2 style="font-size:18px;line-height:1.3;margin:24px 0 8px 0">{_rich(text)}</h2>'
    if name == "picture":
        alt = escaped(text)
        return (
            f'<p style="margin:0 0 16px 0"><img src="cid:{picture}" width="520" alt="{alt}" '
            'style="display:block;width:100%;max-width:520px;height:auto;border:0;border-radius:6px"></p>'
        )
    if name == "bar":
        return _html_bar(text)
    if name == "button":
        label, _, href = text.rpartition(" | ")
        return (
            '<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 10px 0"><tr>'
            f'<td class="button" bgcolor="#1f4e79" style="border-radius:6px"><a href="{escaped(href)}" '
            'style="display:inline-block;padding:13px 20px;color:#ffffff;text-decoration:none;font-weight:bold">'
            f"{escaped(label)}</a></td></tr></table>"
        )
    if name == "links":
        return f'<p class="links" style="margin:0 0 16px 0">{"".join(map(_html_link, text.split(" || ")))}</p>'
    return f'<p style="margin:0 0 16px 0">{_rich(text)}</p>'


def _html_link(text: str) -> str:
    """A line of its own, high enough for a thumb."""
    label, _, href = text.rpartition(" | ")
    return (
        f'<a href="{escaped(href)}" style="display:inline-block;padding:8px 18px 8px 0;color:inherit">'
        f"{escaped(label)}</a> "
    )


def _html_bar(words: str) -> str:
    """A bar of table cells, the one way every mail program draws it. The words say the same: first the heading."""
    share, heading, *labels = words.split(" | ")
    percent = _percent(share)
    colour = "#2e7d32" if percent < 50 else "#b26a00" if percent < 85 else "#b3261e"  # noqa: PLR2004 - calm, soon, now
    cell = "height:12px;line-height:12px;font-size:1px"
    full = f'<td width="{percent}%" bgcolor="{colour}" style="{cell}">&nbsp;</td>'
    rest = f'<td class="rest" width="{100 - percent}%" bgcolor="#d9dee3" style="{cell}">&nbsp;</td>'
    below = "<br>".join(_rich(label) for label in labels)
    return (
        f'<p style="margin:22px 0 6px 0"><strong>{_rich(heading)}</strong></p>'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 6px 0">'
        "<tr>"
        f"{full if percent else ''}{rest if percent < 100 else ''}</tr></table>"  # noqa: PLR2004 - per cent
        f'<p style="margin:0 0 10px 0;font-size:15px;word-break:break-word">{below}</p>'
    )


def _rich(text: str) -> str:
    """Escape, and make web addresses clickable."""
    return LINK.sub(lambda match: f'<a href="{match[0]}" style="color:inherit">{match[0]}</a>', escaped(text))


def escaped(text: str) -> str:
    """Return the text as it may stand in HTML, in an attribute too."""
    for mark, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(mark, name)
    return text
