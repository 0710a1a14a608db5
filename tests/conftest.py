"""For all tests: how fast an example is checked says something of the machine only."""

from hypothesis import settings

settings.register_profile("thesan", deadline=None)
settings.load_profile("thesan")
