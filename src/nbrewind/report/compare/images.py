"""Whether two images show the same, pixel by pixel.  Pillow is used where it is installed."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import warnings
import zlib

from nbrewind.report.compare.texts import CLOSE, DIFFERENT, EQUAL, Found

KINDS = {"image/png": "PNG", "image/jpeg": "JPEG"}

MOST_PIXELS = 50_000_000
"""Of an image that is decoded: a small file can claim to be a huge one."""

_TOO_MUCH = f"there are more than {MOST_PIXELS:,}, or several frames"


class _Unusable(Exception):
    """Images that are not decoded; the message is the reason."""


def compare_images(kind: str, one: str, other: str, most: float) -> Found:
    """Two base64 texts of ``kind``; close up to a mean difference ``most`` of the whole range."""
    try:
        first, second = (base64.b64decode(text, validate=False) for text in (one, other))
    except (binascii.Error, ValueError):
        return Found(EQUAL) if one == other else Found(DIFFERENT, "not an image")
    if first == second:
        return Found(EQUAL)
    try:
        return _by_pixels(KINDS[kind], first, second, most)
    except ImportError:
        return Found(DIFFERENT, "other bytes; install Pillow to compare pixels")
    except _Unusable as reason:
        return Found(DIFFERENT, f"other bytes; pixels are not compared: {reason}")


def _by_pixels(kind: str, first: bytes, second: bytes, most: float) -> Found:
    from PIL import Image, ImageChops, ImageStat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images Pillow warns, and what follows refuses them
            images = [Image.open(io.BytesIO(data), formats=(kind,)) for data in (first, second)]
            for image in images:
                if image.width * image.height > MOST_PIXELS or getattr(image, "n_frames", 1) > 1:
                    raise _Unusable(_TOO_MUCH)
            if images[0].size != images[1].size:
                sizes = " against ".join(f"{image.width} x {image.height}" for image in images)
                return Found(DIFFERENT, f"{sizes} pixels")
            apart = ImageChops.difference(*(image.convert("RGBA") for image in images))
    except Image.DecompressionBombError as error:
        raise _Unusable(_TOO_MUCH) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise _Unusable("Pillow cannot read them") from error
    mean = max(ImageStat.Stat(apart).mean) / 255
    largest = max(high for _, high in apart.getextrema())
    if not largest:
        return Found(EQUAL, "other bytes, the same pixels")
    note = f"pixels differ by {mean:.2g} of the range on average, by {largest / 255:.2g} at most"
    return Found(CLOSE if mean <= most else DIFFERENT, note)
