"""HTML mail as a person sees it: text, lines and quotes.

Owns what is visible. Must never fetch anything. Hidden text does not count: it is where senders put words that no
reader saw. selectolax parses in one linear pass, hostile input included.
"""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

BLOCKS = frozenset(
    "address article aside blockquote br center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li"
    " main nav ol p pre section table td th tr ul".split()
)
UNSEEN = frozenset("script style head title template noscript svg math object embed iframe audio video select".split())
HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])"
    r"|max-height\s*:\s*0(?![.\d])|mso-hide\s*:\s*all"
)
QUOTES = frozenset(("gmail_quote", "gmail_quote_container", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote"))
QUOTE_IDS = frozenset(("divrplyfwdmsg", "appendonsend", "mail-editor-reference-message-container", "reply-intro"))
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
        return "\n".join(_tidy(TAG.sub("\n", html).split("\n")))
    root = LexborHTMLParser(html).body
    if root is None:
        return ""
    lines: list[str] = [""]
    _walk(root, lines)
    return "\n".join(_tidy(lines))


def _too_deep(html: str) -> bool:
    depth = 0
    for closing, tag in OPENED.findall(html):
        if tag.lower() not in SHALLOW:
            depth += -1 if closing else 1
            if depth > DEEPEST:
                return True
    return False


def _walk(root: LexborNode, lines: list[str]) -> None:
    """Depth first without recursion: a page nested a hundred thousand deep must not end the program."""
    stack: list[tuple[LexborNode | None, bool, bool]] = [(root.child, False, False)]
    seen = 0
    while stack and seen < NODES:
        node, quoted, leaving = stack.pop()
        if node is None:
            continue
        if leaving:
            _break(lines, quoted=quoted)
            continue
        seen += 1
        stack.append((node.next, quoted, False))
        tag = node.tag
        if tag == "-text":
            lines[-1] += " ".join(_spaced(node.text(deep=False)))
        elif tag and tag[0] not in "-_!" and tag not in UNSEEN and not _hidden(node):
            inside = quoted or _is_quote(node, tag)
            if tag in BLOCKS or inside != quoted:
                _break(lines, quoted=inside)
                stack.append((node, quoted, True))
            if len(stack) < DEPTH * 2:
                stack.append((node.child, inside, False))


def _spaced(text: str) -> list[str]:
    """Words of a text node, with one empty word where white space joined it to its neighbours."""
    words = text.split()
    if not words:
        return ["", ""] if text else []
    return [*([""] if text[0].isspace() else []), *words, *([""] if text[-1].isspace() else [])]


def _break(lines: list[str], *, quoted: bool) -> None:
    start = "> " if quoted else ""
    if lines[-1].strip("> ") or not lines[-1].startswith(start):
        lines.append(start)
    else:
        lines[-1] = start


def _tidy(lines: list[str]) -> list[str]:
    out = [re.sub(r"[ \t\xa0]+", " ", line).strip() for line in lines]
    return [line for line in out if line and line != ">"]


def _hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    if "hidden" in attributes:
        return True
    style = attributes.get("style")
    return bool(style and HIDDEN.search(style[:500].lower()))


def _is_quote(node: LexborNode, tag: str) -> bool:
    attributes = node.attributes
    if tag == "blockquote":
        return "cite" in (attributes.get("type") or "").lower() or "quote" in (attributes.get("class") or "").lower()
    classes = (attributes.get("class") or "").lower().split()
    return any(one in QUOTES for one in classes) or (attributes.get("id") or "").lower() in QUOTE_IDS
