"""The figures of a host as nodes tell them."""

from thesan import __version__
from thesan.io.node_report import node_report
from thesan.ports.host import HostLoad

MIB = 1 << 20


def test_a_report_from_the_hosts_figures():
    load = HostLoad(0.5, 2.0 * MIB, 3.0 * MIB, 4.0 * MIB, 5, 6, 7, 8, "6.1", 9)
    report = node_report(load, geotag="g", start_ns=11)
    assert (report.net_in_mb_per_s, report.net_out_mb_per_s, report.net_mb_per_s_max) == (2, 3, 4)
    assert (report.rss_bytes, report.vsize_bytes, report.threads, report.sockets) == (5, 6, 7, 8)
    assert (report.geotag, report.version) == ("g", __version__)
    assert (report.kernel, report.start_ns) == ("6.1", 11)
