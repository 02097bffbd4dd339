"""Conformance classes: what third parties subclass to test their extensions.  They need pytest."""

from nbrewind.testing.codecs import CodecConformance

__all__ = ["CodecConformance"]
