"""Bodies of which each line is a record."""

from __future__ import annotations

from scoreline.serving.codecs.json_body import BOM


def lines_in(body: bytes, *, with_blank: bool) -> list[bytes]:
    r"""Return the lines of a body without what ends them: a newline, after a carriage return or not.

    Parameters
    ----------
    with_blank : a blank line counts too, as it must in a batch job: each line that goes in comes out

    Examples
    --------
    >>> lines_in(b"a\r\n\nb\n", with_blank=False), lines_in(b"a\n\nb\n\n", with_blank=True)
    ([b'a', b'b'], [b'a', b'', b'b', b''])
    """
    lines = body.removeprefix(BOM).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if b"\r" in body:
        lines = [line.removesuffix(b"\r") for line in lines]
    return lines if with_blank else [line for line in lines if line]
