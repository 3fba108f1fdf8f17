"""The page's icons: 24-unit outlines, drawn in the colour of the text around them."""

from __future__ import annotations

_PATHS = {
    "send": "M12 19V5M6 11l6-6 6 6",
    "stop": "M7 7h10v10H7z",
    "menu": "M4 7h16M4 12h16M4 17h10",
    "beside": "M4 5h7v14H4zM13 5h7v14h-7z",
    "download": "M12 4v11M7 11l5 5 5-5M5 20h14",
    "table": "M4 6h16v12H4zM4 10h16M4 14h16M10 10v8",
    "plug": "M9 3v5M15 3v5M6.500 8h11v3a5.500 5.500 0 0 1-11 0zM12 16.500V21",
    "plus": "M12 5v14M5 12h14",
    "copy": "M9 9h10v11H9zM5 15V4h10",
    "retry": "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
    "undo": "M9 7 4.5 11.5 9 16M5 11.5h8.5a5.5 5.5 0 0 1 0 8H11",
    "edit": "M5 19l1-4L16 5l3 3L9 18zM14 7l3 3",
    "like": "M7 11v9H4v-9zM7 12l4-8c1.700 0 2.500 1.200 2.200 2.800L12.800 9.500H19"
    "c1 0 1.600.9 1.400 1.900l-1.300 7c-.2.9-.8 1.600-1.800 1.600H7",
    "dislike": "M7 13V4H4v9zM7 12l4 8c1.700 0 2.500-1.200 2.200-2.800l-.4-2.700H19"
    "c1 0 1.600-.9 1.400-1.900l-1.300-7C18.900 4.700 18.300 4 17.300 4H7",
    "delete": "M6 7h12M10 7V5h4v2M8 7l.7 12h6.600L16 7",
    "theme": "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
    "own": "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
    "attach": "M18.500 11.500l-6.700 6.700a4 4 0 0 1-5.700-5.700l7.400-7.400a2.700 2.700 0 0 1"
    " 3.800 3.800l-7.300 7.300a1.300 1.300 0 0 1-1.900-1.900l6.700-6.700",
    "file": "M7 3.500h6.500L18 8v12.500H7zM13 4v4.500h4.500",
    "close": "M7 7l10 10M17 7L7 17",
    "previous": "M14 7l-5 5 5 5",
    "next": "M10 7l5 5-5 5",
    "more": "M6 12h.01M12 12h.01M18 12h.01",
    "pin": "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
    "text": "M5 6h14M5 10.500h14M5 15h9M5 19.500h6",
    "braces": "M9 5C7 5 7 6 7 7v3c0 1-1 2-2 2 1 0 2 1 2 2v3c0 1 0 2 2 2"
    "M15 5c2 0 2 1 2 2v3c0 1 1 2 2 2-1 0-2 1-2 2v3c0 1 0 2-2 2",
    "chevron": "M8 10l4 4 4-4",
    "info": "M12 11v6M12 7.500v.5M12 3.500a8.500 8.500 0 1 0 .01 0z",
    "mark": "M5 7a2 2 0 1 0 .01 0M19 17a2 2 0 1 0 .01 0M7 9c5 0 5 10 10 10",
}


def icon(name: str) -> str:
    """The SVG of an icon, hidden from screen readers: its button carries the name."""
    return (
        '<svg class="pb-icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        f'<path d="{_PATHS[name]}"/></svg>'
    )
