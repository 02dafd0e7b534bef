"""A drawing of boxes, arrows and words, as SVG."""

from html import escape

INK, PAPER, SOFT = "#263238", "#fafafa", "#b0bec5"
BLUE, ORANGE, GREEN, VIOLET = "#bbdefb", "#ffe0b2", "#c8e6c9", "#e1bee7"


class Drawing:
    """An SVG with a light ground, so that it can be read on a dark page too.

    Args:
        width: int. Width in pixels.
        height: int. Height in pixels.
        title: str. What the picture shows, for those who cannot see it.
    """

    def __init__(self, width, height, title):
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" '
            f'font-size="15" fill="{INK}" role="img">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        ]

    def box(self, x, y, width, height, words="", fill="white"):
        """Draws a rectangle with words in its middle, lines separated by `\\n`."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" '
            f'fill="{fill}" stroke="{INK}"/>'
        )
        if words:
            self.text(x + width / 2, y + height / 2, words)

    def cell(self, x, y, size, fill):
        """Draws a square without a border."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{fill}"/>'
        )

    def text(self, x, y, words, size=15):
        """Writes lines around a point."""
        lines = words.split("\n")
        for i, line in enumerate(lines):
            height = y + (i - (len(lines) - 1) / 2) * (size + 4) + size * 0.35
            self._parts.append(
                f'<text x="{x}" y="{height:.1f}" text-anchor="middle" '
                f'font-size="{size}">{escape(line)}</text>'
            )

    def arrow(self, *points, tip=True):
        """Draws a line through points, with a tip at its end."""
        path = "L".join(f"{x} {y}" for x, y in points)
        end = ' marker-end="url(#tip)"' if tip else ""
        self._parts.append(
            f'<path d="M{path}" fill="none" stroke="{INK}" stroke-width="1.5"{end}/>'
        )

    def area(self, points, fill):
        """Fills the polygon of points."""
        corners = " ".join(f"{x},{y}" for x, y in points)
        self._parts.append(
            f'<polygon points="{corners}" fill="{fill}" fill-opacity="0.75" '
            f'stroke="{INK}"/>'
        )

    def save(self, path):
        """Writes the drawing to a file."""
        path.write_text("\n".join([*self._parts, "</svg>"]) + "\n")
