"""Archives as they are downloaded, and the data sets that are built from them."""

from rrgcore.sources.source import Ledger, Source

__all__ = ["Ledger", "Source"]
