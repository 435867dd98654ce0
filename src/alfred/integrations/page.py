"""What a person sees of a web page: title, visible text, links; and how much of it was hidden.

Runs in a process of its own (`web` starts it): parsing is C code fed by strangers, and a page can be made so
that it takes hours (nesting costs the square of its depth). It reads the page as UTF-8 on stdin and writes one
JSON object.

Hidden is what the page's own `hidden`, `style` and `<style>` take out of sight (not displayed, invisible,
font size or opacity 0, moved far away), and letters that draw nothing or turn the order around. Not found:
text in the colour of its ground, and what scripts or style sheets elsewhere hide.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import urllib.parse
from typing import Any

LINKS = 60
"""Links that are told."""

MEMORY = 2_000_000_000
"""Bytes that parsing may take."""

PROCESSOR_S = 60
"""Seconds of the processor that it may take: its caller ends it sooner, unless that was killed."""

_TEXT = 2_000_000  # characters that are handed on; the rest is only counted
_NUMBER = r"\s*:\s*-?0*(?:\.0*)?(?:px|em|rem|pt|%)?\s*(?:;|!|$)"
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|content-visibility\s*:\s*hidden"
    rf"|(?:^|[;\s])(?:font-size|opacity|max-height|max-width){_NUMBER}"
    r"|(?:^|[;\s])(?:left|top|right|bottom|text-indent|margin-left|margin-top)\s*:\s*-\d{3,}"
    r"|clip(?:-path)?\s*:\s*(?:rect\(\s*0|inset\(\s*(?:50|100)%|circle\(\s*0)"
    r"|(?:^|[;\s])color\s*:\s*transparent|transform\s*:\s*scale\(\s*0(?:\.0*)?\s*[,)]",
    re.IGNORECASE,
)
_COMMENTS = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_AT_RULES = re.compile(r"@[^{};]*(?:;|\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})")
_RULES = re.compile(r"([^{}]+)\{([^{}]*)\}")
_NOT_TEXT = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "head",
        "title",
        "audio",
        "video",
        "canvas",
    ]
)
_BLOCKS = frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "aside",
        "main",
        "header",
        "footer",
        "nav",
        "li",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "tr",
        "table",
        "caption",
        "br",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "pre",
        "blockquote",
        "figure",
        "figcaption",
        "form",
        "fieldset",
        "option",
        "details",
        "summary",
        "address",
    ]
)
_INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e01ef]"
)


def visible(text: str) -> tuple[str, int]:
    """A text without letters that draw nothing or turn the order around, and how many there were."""
    return _INVISIBLE.subn("", text)


def read(html: str, base: str) -> dict[str, Any]:
    """Title, text, links (`text <address>`), the number of hidden characters of a page, and of rules that hide
    something and were not understood.

    Args:
        html: The page.
        base: Its address, which links are relative to.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    out_of_sight, not_understood = _out_of_sight(tree)
    title = tree.css_first("head > title")
    pieces: list[str] = []
    links: dict[str, None] = {}
    size = hidden = 0
    # (node or a piece of text to add behind it, whether it is out of sight)
    waiting: list[tuple[Any, bool]] = [(tree.body, False)] if tree.body else []
    while waiting:
        node, away = waiting.pop()
        if isinstance(node, str):
            pieces.append(node)
            continue
        tag = node.tag
        if tag == "-text":
            text, unseen = visible(node.text_content or "")
            hidden += unseen
            if away:
                hidden += len(text.strip())
            elif size < _TEXT:
                pieces.append(text)
                size += len(text)
            continue
        if tag.startswith("-") or tag in _NOT_TEXT:
            continue
        away = away or node.mem_id in out_of_sight or _hides(node)
        if tag == "a" and not away and len(links) < LINKS:
            link = _link(node, base)
            if link:
                links[link] = None
        if tag in _BLOCKS and not away:
            pieces.append("\n")
            waiting.append(("\n", False))
        elif tag in ("td", "th") and not away:
            pieces.append(" ")
        children = []
        child = node.child
        while child is not None:
            children.append((child, away))
            child = child.next
        waiting += reversed(children)
    lines = (" ".join(line.split()) for line in "".join(pieces).splitlines())
    shown = visible(" ".join(title.text().split()) if title else "")[0]
    return {
        "title": _short(shown, 300),
        "text": "\n".join(line for line in lines if line),
        "links": list(links),
        "hidden": hidden,
        "not_understood": not_understood,
    }


def _hides(node: Any) -> bool:
    attributes = node.attributes
    if "hidden" in attributes or (node.tag == "input" and attributes.get("type", "") == "hidden"):
        return True
    return hides(attributes.get("style") or "")


def hides(style: str) -> bool:
    """Whether a `style` takes what it stands on out of sight."""
    return bool(_HIDING.search(_COMMENTS.sub("", style)))


def _out_of_sight(tree: Any) -> tuple[set[int], int]:
    """The nodes that plain rules of the page's own style sheets hide, and how many rules the parser of
    selectors did not understand."""
    from selectolax.lexbor import SelectolaxError

    found: set[int] = set()
    rules = not_understood = 0
    for sheet in tree.css("style"):
        text = _COMMENTS.sub("", sheet.text() or "")
        for rule in _RULES.finditer(_AT_RULES.sub("", text[:500_000])):
            selector = rule[1].strip()
            if not _HIDING.search(rule[2]) or ":" in selector or rules >= 200:
                continue
            rules += 1
            try:
                found.update(node.mem_id for node in tree.css(selector))
            except SelectolaxError:
                not_understood += 1
    return found, not_understood


def _link(node: Any, base: str) -> str | None:
    href = (node.attributes.get("href") or "").strip()
    if not href or href.startswith("#") or len(href) > 500:
        return None
    try:
        address = urllib.parse.urljoin(base, href)
    except ValueError:
        return None
    if not address.lower().startswith(("http://", "https://", "mailto:")):
        return None
    text = _short(visible(" ".join(node.text(deep=True).split()))[0], 80)
    return f"{text} <{address}>" if text else f"<{address}>"


def _short(text: str, most: int) -> str:
    """The beginning of a text, cut between words only: of a key in it whoever hides it must see the whole."""
    return text if len(text) <= most else text[: most + 1].rpartition(" ")[0]


def main() -> None:
    """Reads the page that stands on stdin; the one argument is its address."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    told = read(sys.stdin.buffer.read().decode("utf-8", "replace"), sys.argv[1])
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
