"""The two protocols are kept by what stands on either side of a connection."""

from thesan.io.transport.server import Listener
from thesan.io.transport.service import Registry, Service


def promised(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_the_listener_is_a_registry():
    for name in promised(Registry):
        assert hasattr(Listener, name), name


def test_the_scripted_service_is_a_service(scripted_service):
    for name in promised(Service):
        assert hasattr(scripted_service, name), name
