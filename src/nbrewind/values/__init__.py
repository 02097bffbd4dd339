"""How values become bytes and come back."""

from nbrewind.flow.codecs import Codec, register

__all__ = ["Codec", "register"]
