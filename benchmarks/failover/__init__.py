"""A cluster of hosts in network namespaces, faults for it, and what its clients saw.

The system tests (tests/system/netns) do each fault once, `make failover-bench` does them often.
"""
