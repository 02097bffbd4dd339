"""Images: the object that holds one component, and the objects of its large buffers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nbrewind.errors import MissingObject, NotStorable
from nbrewind.flow.digest import deep
from nbrewind.model import Digest
from nbrewind.values import builders
from nbrewind.values.pickler import DumpWorld, dump

MAGIC = b"NBIMAGE1"
Put = Callable[[bytes | memoryview], Digest]
Get = Callable[[Digest], bytes]


class Header(msgspec.Struct):
    """The body of an image object after its magic bytes, as MessagePack."""

    stream: bytes
    buffers: list[Digest]


def save(roots: Mapping[str, Any], world: DumpWorld, put: Put) -> Digest:
    """Store one component; returns the image's digest.

    Raises:
        NotStorable: some value cannot be stored; nothing was put then.
    """
    dumped = dump(roots, world)
    buffers = [put(buffer) for buffer in dumped.buffers]
    return put(MAGIC + msgspec.msgpack.encode(Header(dumped.stream, buffers)))


def references(image: bytes) -> list[Digest]:
    """The objects that an image needs besides itself.

    Raises:
        MissingObject: the bytes are no image of a known version.
    """
    return _header(image).buffers


def load(image: bytes, context: builders.LoadContext, get: Get) -> dict[str, Any]:
    """The values of an image by root, in this process.

    Raises:
        NotStorable: the values cannot be rebuilt here; the message is the reason.
        MissingObject: an object is absent or damaged.
    """
    header = _header(image)
    buffers = [get(digest) for digest in header.buffers]
    builders.push(context)
    try:
        with deep():
            loaded: dict[str, Any] = pickle.loads(header.stream, buffers=buffers)
    except (NotStorable, MissingObject):
        raise
    except Exception as error:
        raise NotStorable(f"{type(error).__name__} while loading: {str(error)[:200]}") from error
    finally:
        builders.pop()
    return dict(loaded.items())


def _header(image: bytes) -> Header:
    if not image.startswith(MAGIC):
        raise MissingObject("an object that should be an image has another format")
    return msgspec.msgpack.decode(image[len(MAGIC) :], type=Header)
