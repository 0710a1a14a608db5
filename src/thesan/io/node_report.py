"""What an FST or an MGM tells the others of its host."""

from thesan import __version__
from thesan.core.control.messages import NodeReport
from thesan.core.model.units import MIB
from thesan.ports.host import HostLoad


def node_report(load: HostLoad, *, geotag: str, start_ns: int) -> NodeReport:
    """`start_ns`: wall clock since when the node counts as up."""
    return NodeReport(
        geotag=geotag,
        version=__version__,
        kernel=load.kernel,
        start_ns=start_ns,
        net_in_mb_per_s=load.net_in_bytes_per_s / MIB,
        net_out_mb_per_s=load.net_out_bytes_per_s / MIB,
        net_mb_per_s_max=load.net_bytes_per_s_max / MIB,
        rss_bytes=load.process_rss_bytes,
        vsize_bytes=load.process_vsize_bytes,
        threads=load.thread_count,
        sockets=load.socket_count,
    )
