"""Records and arrays in one SQLite file, content-addressed, written whole or not at all: all that resumes uses it."""

from widthwise.store.entry import Entry
from widthwise.store.fingerprint import fingerprint
from widthwise.store.store import Store

__all__ = ["Entry", "Store", "fingerprint"]
