"""The version, as a constant: reading package metadata would cost more than a bare interpreter."""

VERSION = "0.1.0"
