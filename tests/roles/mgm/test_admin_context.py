"""What the admin verbs see of a running MGM."""

from thesan.core.authority.capability import Op, Verifier
from thesan.core.control.messages import Admin
from thesan.core.model.paths import parse_cgi
from thesan.core.wire.requests import Mkdir
from thesan.roles.client.url import parse_url


def test_figures(cluster) -> None:
    cluster.ok(Mkdir(b"\0\1", "/d"))
    cluster.store_file("/d/f")
    figures = cluster.mgm.master.context.figures()
    assert (figures.file_count, figures.directory_count) == (1, 2)
    assert (figures.address, figures.master, figures.is_master) == ("mgm:1094", "mgm:1094", True)
    assert figures.mgms == ("mgm:1094",)
    assert figures.committed_seq == cluster.journal.last
    assert (figures.pending_ops, figures.held_answers, figures.open_uploads) == (0, 0, 0)
    assert figures.fid_last == cluster.stat("/d/f").id
    assert 0 <= figures.boot_s < 1
    assert {one.name for one in figures.op_figures} >= {"Mkdir", "Open", "Commit", "Query"}


def test_what_troubled_the_last_look_of_a_standby_is_no_news_of_a_master(cluster) -> None:
    """A master does not look: it would show the trouble for as long as it reigns."""
    context = cluster.mgm.master.context
    observer = cluster.mgm.process.observer
    observer.trouble = "the journal engine did not answer"
    assert context.figures().engine_detail == ""
    observer.is_idle = False
    assert context.figures().engine_detail == "the journal engine did not answer"
    observer.is_idle = True


def test_names_and_load(bench) -> None:
    context = bench.mgm.master.context
    assert context.user_name(1001) == "alice"
    assert context.group_name(4242) == "4242"
    assert context.account("bob") == (1002, 1002, (1002, 2000))
    assert context.load().process_rss_bytes > 0
    assert context.dice() != context.dice()


def test_a_replica_url_lets_the_caller_ask_that_fst(cluster, alice) -> None:
    cluster.ok(Mkdir(b"\0\1", "/home", mode=0o777))
    fid = cluster.store_file("/home/f", who=alice)
    (record,) = cluster.control(Admin("file", "check", {"path": "/home/f"}), alice).records
    url = record["url"]
    assert url.startswith(f"root://{record['host']}:1095//home/f?")
    text = parse_cgi(url.partition("?")[2])["cap"]
    ticket = Verifier([b"k" * 32], f"{record['host']}:1095").verify(
        text,
        ops=(Op.CHECKSUM,),
        path="/home/f",
        client=("alice", 1, "x"),
        now_s=cluster.mgm.master.now_unix(),
    )
    assert (ticket.fid, ticket.uid) == (fid, 1001)
    master = cluster.mgm.master
    inode = master.namespace.tree.inode(fid)
    assert master.context.replica_url(inode, "/home/f", 77, alice) == ""


def test_a_question_mark_in_a_name_is_not_the_end_of_it(cluster, alice) -> None:
    cluster.ok(Mkdir(b"\0\1", "/home", mode=0o777))
    cluster.store_file("/home/why?50%", who=alice)
    (record,) = cluster.control(Admin("file", "check", {"path": "/home/why?50%"}), alice).records
    url = parse_url(record["url"])
    assert url.path == "/home/why?50%"
    assert parse_cgi(url.cgi)["cap"]
