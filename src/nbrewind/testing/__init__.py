"""Conformance classes: what third parties subclass to test their extensions.  They need pytest."""

from nbrewind.testing.codecs import CodecConformance
from nbrewind.testing.engines import EngineConformance

__all__ = ["CodecConformance", "EngineConformance"]
