"""The codecs that come with the package, one file per library; loaded when a value of the library is met."""
