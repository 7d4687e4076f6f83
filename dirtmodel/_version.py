"""The version, apart from everything else, so that no module has to import the package's root."""

__version__ = "0.1.0"
