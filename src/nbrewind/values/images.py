"""Images: the object that holds one component, and the objects of its large buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from nbrewind.errors import LeftOut, MissingObject, NotStorable
from nbrewind.flow.buffers import blocks
from nbrewind.flow.room import deep, without_notices
from nbrewind.model import Digest
from nbrewind.values import builders
from nbrewind.values.parts import Stored
from nbrewind.values.pickler import Buffer, dump
from nbrewind.values.undrawn import undrawn
from nbrewind.values.worlds import DumpWorld

MAGIC = b"NBIMAGE1"
Join = Callable[[list[Digest]], Any]
"""Gives the bytes of objects one after the other as one writable buffer: what is unpickled over it may
be changed in place."""


class Put(Protocol):
    """Keeps bytes and gives their digest; who knows it already passes it."""

    def __call__(self, data: bytes | memoryview, digest: Digest = "") -> Digest:
        """Keep ``data``."""


class Header(msgspec.Struct):
    """The body of an image object after its magic bytes, as MessagePack."""

    stream: bytes
    buffers: list[list[Digest]]
    """Blocks of each buffer, in order."""


def save(
    roots: Mapping[str, Any],
    world: DumpWorld,
    put: Put,
    leave_out: Callable[[int], str] | None = None,
    stored: Stored | None = None,
    *,
    marked: bool = False,
) -> Digest:
    """Store one component; returns the image's digest.

    ``leave_out`` is asked with the size in bytes and may give a reason not to.  ``roots`` may hold ``Parts``
    of long containers; those that are ``stored`` are not stored again.  ``marked`` as in ``dump``.

    Raises:
        LeftOut: there was such a reason.
        NotStorable: some value cannot be stored; nothing was put then.
    """
    dumped = dump(roots, world, stored, marked=marked)
    if leave_out is not None:
        reason = leave_out(len(dumped.stream) + sum(buffer.data.nbytes for buffer in dumped.buffers))
        if reason:
            raise LeftOut(reason)
    buffers = [_put(buffer, put, stored) for buffer in dumped.buffers]
    return put(MAGIC + msgspec.msgpack.encode(Header(dumped.stream, buffers)))


def _put(buffer: Buffer, put: Put, stored: Stored | None) -> list[Digest]:
    if buffer.blocks is not None:
        return buffer.blocks
    found = [put(block, digest) for block, digest in blocks(buffer.data)]
    if stored is not None and buffer.part is not None:
        stored.add(*buffer.part, found)
    return found


def references(image: bytes) -> list[Digest]:
    """The objects that an image needs besides itself.

    Raises:
        MissingObject: the bytes are no image of a known version.
    """
    return [digest for digests in header(image).buffers for digest in digests]


def load(image: bytes, context: builders.LoadContext, join: Join) -> dict[str, Any]:
    """The values of an image by root, in this process.

    Raises:
        NotStorable: the values cannot be rebuilt here; the message is the reason.
        MissingObject: an object is absent or damaged.
    """
    parts = header(image)
    buffers = [join(digests) for digests in parts.buffers]
    builders.push(context)
    try:
        with deep(), undrawn(), without_notices():
            loaded: dict[str, Any] = builders.loads(parts.stream, buffers)
    except (NotStorable, MissingObject):
        raise
    except Exception as error:
        raise NotStorable(f"{type(error).__name__} while loading: {str(error)[:200]}") from error
    finally:
        builders.pop()
    return dict(loaded.items())


def header(image: bytes) -> Header:
    """What an image is made of.

    Raises:
        MissingObject: the bytes are no image of a known version.
    """
    if not image.startswith(MAGIC):
        raise MissingObject("an object that should be an image has another format")
    try:
        return msgspec.msgpack.decode(image[len(MAGIC) :], type=Header)
    except msgspec.DecodeError as error:
        raise MissingObject(f"an object that should be an image cannot be read ({error})") from error
