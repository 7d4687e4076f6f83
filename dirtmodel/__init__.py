"""A relational home for the manual QC of A2CPS neuroimaging derivatives."""

__version__ = "0.1.0"
