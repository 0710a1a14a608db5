"""thesan: distributed disk storage in which losing the master is a non-event."""

__version__ = "0.1.0"
