"""HTML mail as a person sees it: text, lines and quotes.

Owns what is visible. Must never fetch anything. Hidden text does not count: it is where senders put words that no
reader saw. selectolax parses in one linear pass, hostile input included.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

BLOCKS = frozenset(
    "address article aside blockquote br center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li"
    " main nav ol p pre section table td th tr ul".split()
)
UNSEEN = frozenset("script style head title template noscript svg math object embed iframe audio video select".split())
HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0(?![.\d])|max-height\s*:\s*0(?![.\d])"
    r"|mso-hide\s*:\s*all|font-size\s*:\s*(?:0(?![.\d])|0?\.\d{1,3}px|[12]px)|(?:text-indent|left)\s*:\s*-\d{3}"
    r"|(?<![-\w])color\s*:\s*transparent"
)
WHITE = re.compile(r"(?<![-\w])color\s*:\s*(?:#fff(?:fff)?\b|white\b|rgb\(\s*255\s*,\s*255\s*,\s*255)")
COLOURED = re.compile(r"(?<![-\w])color\s*:")
BACKED = re.compile(r"background(?:-color|-image)?\s*:(?!\s*(?:#fff(?:fff)?\b|white\b|transparent|none|inherit))")
CLASS = re.compile(r"[a-z0-9]{0,20}\.([\w-]{1,60})")
STYLE = 1_000  # characters of a style attribute that are looked at
STYLES = 40_000  # and of the style sheets
QUOTES = frozenset(("gmail_quote", "gmail_quote_container", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote"))
QUOTE_IDS = frozenset(("mail-editor-reference-message-container", "reply-intro"))
OPENED = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})")
TAG = re.compile(r"<[^<>]{0,2000}>")
# Tags that hold nothing, or that the next one of their kind closes: they do not nest by themselves.
SHALLOW = frozenset("br hr img input meta link area base col embed source track wbr p li td th tr dt dd option".split())
DEEPEST = (
    1_000  # open elements: parsing is quadratic in depth (measured: 40,000 deep takes 1.3 s), people's mail is flat
)
NODES = 60_000  # more than any person's mail; the rest is not looked at
DEPTH = 200


def visible(html: str) -> str:
    """Return what a reader sees, a line per block, quoted parts marked with `> `. Never raises on odd HTML."""
    if _too_deep(html):
        return "\n".join(_tidy(TAG.sub("\n", html).split("\n"))).strip()
    tree = LexborHTMLParser(html)
    root = tree.body
    if root is None:
        return ""
    lines: list[str] = [""]
    css = " ".join(node.text() for node in tree.css("style"))[:STYLES].lower()
    backed = "background" in css or _backed(root.attributes, _style(root.attributes))
    _walk(root, lines, Place(backed=backed), _unseen_classes(css))
    return "\n".join(_tidy(lines)).strip()


@dataclass(frozen=True, slots=True)
class Place:
    """What is so for everything inside an element: it is quoted, it stands on a colour, its letters are white."""

    quoted: bool = False
    backed: bool = False
    white: bool = False


def _unseen_classes(css: str) -> frozenset[str]:
    """Return the classes a style sheet hides for every reader; what a @media block says is for some only."""
    found: set[str] = set()
    depth, selector, last = 0, "", ""
    for piece in re.split(r"([{}])", css):
        if piece == "{":
            depth += 1
            selector = last if depth == 1 else selector
        elif piece == "}":
            if depth == 1 and HIDDEN.search(last[:STYLE]):
                names = (CLASS.fullmatch(one.strip()) for one in selector[-STYLE:].split(","))
                found.update(name[1] for name in names if name)
            depth = max(depth - 1, 0)
        last = piece
    return frozenset(found)


def _too_deep(html: str) -> bool:
    depth = 0
    for closing, tag in OPENED.findall(html):
        if tag.lower() not in SHALLOW:
            depth += -1 if closing else 1
            if depth > DEEPEST:
                return True
    return False


def _walk(root: LexborNode, lines: list[str], outer: Place, unseen: frozenset[str]) -> None:
    """Depth first without recursion: a page nested a hundred thousand deep must not end the program."""
    stack: list[tuple[LexborNode | None, Place, str]] = [(root.child, outer, "")]
    seen = 0
    while stack and seen < NODES:
        node, place, leaving = stack.pop()
        if node is None:
            continue
        if leaving:
            _break(lines, place, gap=leaving == "p")
            continue
        seen += 1
        stack.append((node.next, place, ""))
        tag = node.tag
        if tag == "-text":
            if not place.white:
                lines[-1] += _spaced(node.text(deep=False))
        elif tag == "br":
            _break(lines, place, gap=not lines[-1].strip("> "))
        elif tag and tag[0] not in "-_!" and tag not in UNSEEN and not _hidden(node.attributes, unseen):
            inside = _place(tag, node.attributes, place)
            if tag in BLOCKS or inside.quoted != place.quoted:
                kind = _kind(tag, node.attributes)
                _break(lines, inside, gap=kind == "p")
                stack.append((node, place, kind))
            if len(stack) < DEPTH * 2:
                stack.append((node.child, inside, ""))


def _kind(tag: str, attributes: Mapping[str, str | None]) -> str:
    """Return `p` for a paragraph with space around it; those of Word have none."""
    return "div" if tag == "p" and "mso" in (attributes.get("class") or "").lower() else tag


def _place(tag: str, attributes: Mapping[str, str | None], outer: Place) -> Place:
    """Return what is so inside an element; the same value when nothing changes."""
    if not attributes:
        return outer
    style = _style(attributes)
    colour = f"color:{attributes.get('color') or ''}".lower() if "color" in attributes else style
    quoted = outer.quoted or _is_quote(attributes, tag)
    backed = outer.backed or _backed(attributes, style)
    white = (outer.white and not COLOURED.search(colour)) or (not backed and bool(WHITE.search(colour)))
    if (quoted, backed, white) == (outer.quoted, outer.backed, outer.white):
        return outer
    return Place(quoted, backed, white)


def _style(attributes: Mapping[str, str | None]) -> str:
    return (attributes.get("style") or "")[:STYLE].lower()


def _backed(attributes: Mapping[str, str | None], style: str) -> bool:
    colour = (attributes.get("bgcolor") or "#fff").lower()
    return colour not in {"#fff", "#ffffff", "white"} or "background" in attributes or bool(BACKED.search(style))


def _spaced(text: str) -> str:
    """Return a text node on one line, with a space where white space joined it to its neighbours."""
    words = text.split()
    if not words:
        return "\xa0" if "\xa0" in text else " " if text else ""  # a paragraph of one hard space is an empty line
    return f"{' ' * text[0].isspace()}{' '.join(words)}{' ' * text[-1].isspace()}"


def _break(lines: list[str], place: Place, *, gap: bool = False) -> None:
    """Start a line, after an empty one when there is a gap; a line that is empty so far is used again."""
    start = "> " if place.quoted else ""
    if lines[-1].strip("> "):
        lines += ["", start] if gap else [start]
    elif gap:
        lines[-1:] = ["", start]
    else:
        lines[-1] = start


def _tidy(lines: list[str]) -> list[str]:
    """One space between words, one empty line between paragraphs."""
    out = [""]
    for line in lines:
        tidy = re.sub(r"[ \t\xa0]+", " ", line).strip()
        if tidy != ">" and (tidy or out[-1]):
            out.append(tidy)
    return out


def _hidden(attributes: Mapping[str, str | None], unseen: frozenset[str]) -> bool:
    if not attributes:
        return False
    classes = (attributes.get("class") or "").lower().split() if unseen else ()
    return "hidden" in attributes or bool(HIDDEN.search(_style(attributes))) or any(one in unseen for one in classes)


def _is_quote(attributes: Mapping[str, str | None], tag: str) -> bool:
    classes = (attributes.get("class") or "").lower()
    if tag == "blockquote":
        return "cite" in (attributes.get("type") or "").lower() or "quote" in classes
    return any(one in QUOTES for one in classes.split()) or (attributes.get("id") or "").lower() in QUOTE_IDS
