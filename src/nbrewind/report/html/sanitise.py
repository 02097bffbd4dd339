"""HTML and SVG of outputs, made harmless: they may come from anybody.

Three walls, each enough by itself: an allow-list here (nh3, the Rust library ammonia), SVG only
as an image, which browsers do not let run scripts or load anything, and the page's content
security policy, which lets no script run but the page's own (``page``).
"""

from __future__ import annotations

import base64
import binascii
import re
import xml.etree.ElementTree as ET
from html import escape

import nh3


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

_TAGS = _words(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 "
    "h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub summary sup table "
    "tbody td tfoot th thead tr tt u ul var"
)
_GONE = _words(
    "script style svg math iframe frame object embed template noscript title textarea select form head"
)
"""Elements whose content goes too."""

_ATTRIBUTES = {
    "*": {"style", "title", "dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align", "scope"},
    "col": {"span"},
    "colgroup": {"span"},
    "ol": {"start"},
    "details": {"open"},
}
_STYLES = _words(
    "background-color border border-bottom border-collapse border-color border-left border-radius "
    "border-right border-style border-top border-width color font-family font-size font-style "
    "font-weight height max-height max-width min-width opacity padding padding-left padding-right "
    "text-align text-decoration vertical-align white-space width"
)
"""Nothing that takes an output out of its place (``position``, ``transform``) or loads something."""

_INLINE_SVG = re.compile(r"<svg\b.*?</svg\s*>", re.IGNORECASE | re.DOTALL)
_DATA = re.compile(r"data:(image/[a-z+]+);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)


def clean_html(text: str) -> str:
    """HTML with what cannot do harm; drawings in it become images."""
    return nh3.clean(
        _INLINE_SVG.sub(lambda found: svg_image(found.group(), "drawing"), text),
        tags=set(_TAGS),
        clean_content_tags=set(_GONE),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=set(_STYLES),
        link_rel="noopener noreferrer nofollow",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if value.lower().lstrip().startswith(("http:", "https:", "mailto:", "#")) else None
    if name == "src":
        found = _DATA.fullmatch(value.strip())
        return value if found and found.group(1).lower() in IMAGES | {"image/svg+xml"} else None
    if name == "style" and re.search(r"url|expression|\\|/\*|@", value, re.IGNORECASE):
        return None
    return value


def image(kind: str, data: str, alt: str) -> str:
    """An image element for base64 text; empty if it is none."""
    packed = "".join(data.split())
    try:
        base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if kind not in IMAGES:
        return ""
    return f'<img src="data:{kind};base64,{packed}" alt="{escape(alt)}" loading="lazy">'


def svg_image(text: str, alt: str) -> str:
    """An image element for a drawing; empty if it cannot be read."""
    drawing = clean_svg(text)
    if not drawing:
        return ""
    packed = base64.b64encode(drawing.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{packed}" alt="{escape(alt)}" loading="lazy">'


_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_SHAPES = _words(
    "svg g defs symbol use title desc path rect circle ellipse line polyline polygon text tspan "
    "textPath image marker pattern mask clipPath linearGradient radialGradient stop filter "
    "feGaussianBlur feOffset feBlend feFlood feComposite feMerge feMergeNode feColorMatrix switch style"
)

_DEEPEST = 100


def clean_svg(text: str) -> str:
    """A drawing without scripts, handlers, foreign content or references to elsewhere; empty if broken."""
    body = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    body = re.sub(r"^\s*<!DOCTYPE[^>\[]*>", "", body, flags=re.IGNORECASE)
    if "<!DOCTYPE" in body.upper() or "<!ENTITY" in body.upper():
        return ""
    if "xmlns=" not in body[:2000]:
        body = re.sub(r"<svg\b", '<svg xmlns="http://www.w3.org/2000/svg"', body, count=1)
    try:
        root = ET.fromstring(body)
    except (ET.ParseError, ValueError, RecursionError):
        return ""
    if root.tag != f"{_SVG}svg":
        return ""
    _prune(root)
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    return ET.tostring(root, encoding="unicode")


def _prune(root: ET.Element) -> None:
    """Without recursion, and no deeper than drawings are: writing it out recurses."""
    waiting = [(root, 0)]
    while waiting:
        element, depth = waiting.pop()
        for child in list(element):
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag.startswith(_SVG) and tag.removeprefix(_SVG) in _SHAPES and depth < _DEEPEST:
                waiting.append((child, depth + 1))
            else:
                element.remove(child)
        for name, value in list(element.attrib.items()):
            if not _harmless(name, value):
                del element.attrib[name]
        if element.tag == f"{_SVG}style" and (element.text is None or not _harmless_css(element.text)):
            element.text = ""


def _harmless(name: str, value: str) -> bool:
    if name.lower().startswith("on"):
        return False
    if name in {"href", _XLINK}:
        found = _DATA.fullmatch(value.strip())
        return value.strip().startswith("#") or bool(found and found.group(1).lower() in IMAGES)
    return _harmless_css(value)


def _harmless_css(text: str) -> bool:
    """No reference but to parts of the same drawing."""
    without = re.sub(r"url\(\s*['\"]?#[^)]*\)", "", text, flags=re.IGNORECASE)
    return not re.search(r"url\s*\(|@import|expression|javascript:|\\", without, re.IGNORECASE)
