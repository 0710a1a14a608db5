"""Views are compared without what changes by itself, and a difference is told in one line."""

from benchmarks.failover.views import bad_filesystems, difference, stable


def test_what_changes_by_itself_is_left_out() -> None:
    record = {"host": "h1", "stat.boot": "booted", "heartbeatdelta": 1, "cfg.stat.sys.rss": 7}
    assert stable([record]) == [{"host": "h1", "stat.boot": "booted"}]


def test_equal_views_have_no_difference() -> None:
    assert difference({"h1": [{"a": 1}], "h2": [{"a": 1}], "h3": [{"a": 1}]}) == ""


def test_a_difference_names_the_key_and_who_says_what() -> None:
    text = difference(
        {"h1": [{"id": 1, "a": 1}, {"id": 2, "a": 5}], "h2": [{"id": 1, "a": 1}, {"id": 2, "a": 6}]}
    )
    assert text == "2 a: {'h1': 5, 'h2': 6}"
    assert difference({"h1": [{"a": 1}], "h2": []}) == "h1: [{'a': 1}]; h2: []"
    assert difference({"h1": [{"a": 1}], "h2": "no answer"}).endswith("h2: no answer")


def test_filesystems_that_are_not_up() -> None:
    up = {"host": "h1", "path": "/a", "stat.boot": "booted", "stat.active": "online"}
    assert bad_filesystems([up]) == []
    assert bad_filesystems([up | {"stat.active": "offline"}]) == ["h1:/a booted offline"]
    assert bad_filesystems([up | {"stat.boot": "booting"}]) == ["h1:/a booting online"]
