"""Keytab files: strict, bounded, and never shown in an error."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.keytab import (
    Key,
    add_key,
    check_keytab_mode,
    format_keytab,
    make_keytab,
    parse_keytab,
)
from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import KEYTAB_BYTES_MAX, KEYTAB_KEYS_MAX

LINE = b"0 u:daemon g:daemon n:thesan N:7 c:1000 e:2000 f:0 k:" + b"ab" * 32 + b"\n"
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_+", min_size=1, max_size=64)
keys = st.builds(
    Key,
    number=st.integers(1, 2**63 - 1),
    secret=st.binary(min_size=16, max_size=128),
    created_s=st.integers(0, 2**40),
    expires_s=st.integers(0, 2**40),
    name=words,
    user=words,
    group=words,
)


def test_a_line_as_xrdsssadmin_writes_it():
    keytab = parse_keytab(b"# made by hand\n\n" + LINE)
    assert keytab.keys == (
        Key(
            number=7,
            secret=b"\xab" * 32,
            created_s=1000,
            expires_s=2000,
            name="thesan",
            user="daemon",
            group="daemon",
        ),
    )
    assert format_keytab(keytab) == LINE


@given(st.lists(keys, min_size=1, max_size=10, unique_by=lambda key: key.number))
def test_round_trip(some):
    keytab = make_keytab(some)
    assert parse_keytab(format_keytab(keytab)) == keytab


def test_the_newest_valid_key_signs_and_all_valid_ones_verify():
    old = Key(1, b"o" * 32, created_s=100)
    new = Key(2, b"n" * 32, created_s=200, expires_s=300)
    keytab = make_keytab([old, new])
    assert keytab.newest(250) is new
    assert keytab.secrets(250) == [b"n" * 32, b"o" * 32]
    assert keytab.newest(300) is old
    assert keytab.secrets(300) == [b"o" * 32]
    assert keytab.find(2, 299) is new
    assert keytab.find(2, 300) is None
    assert keytab.find(9, 1) is None


def test_a_key_signs_from_its_beginning_and_verifies_before():
    old = Key(1, b"o" * 32, created_s=100)
    new = Key(2, b"n" * 32, created_s=200)
    keytab = make_keytab([old, new])
    assert keytab.newest(199) is old
    assert keytab.secrets(199) == [b"o" * 32, b"n" * 32]
    assert keytab.find(2, 199) is new
    assert keytab.newest(200) is new
    assert keytab.secrets(200) == [b"n" * 32, b"o" * 32]
    assert keytab.find(1, 200) is old


def test_where_no_key_has_begun_the_next_to_begin_signs():
    expired = Key(1, b"e" * 32, created_s=10, expires_s=20)
    soon = Key(2, b"s" * 32, created_s=200)
    late = Key(3, b"l" * 32, created_s=300)
    keytab = make_keytab([expired, soon, late])
    assert keytab.newest(100) is soon
    assert keytab.secrets(100) == [b"s" * 32, b"l" * 32]


@given(st.lists(keys, min_size=1, max_size=6, unique_by=lambda key: key.number), st.data())
def test_what_is_valid_changes_at_the_ends_of_unchanged_only(some, data):
    keytab = make_keytab(some)
    now_s = data.draw(st.integers(0, 2**40))
    fresh = keytab.unchanged(now_s)
    assert now_s in fresh
    for other_s in (fresh.start, fresh.stop - 1, data.draw(st.sampled_from(fresh))):
        assert keytab.valid(other_s) == keytab.valid(now_s)


def test_a_beginning_and_an_end_are_changes():
    old = Key(1, b"o" * 32, created_s=100, expires_s=400)
    new = Key(2, b"n" * 32, created_s=200)
    keytab = make_keytab([old, new])
    assert keytab.unchanged(150) == range(100, 200)
    assert keytab.unchanged(200) == range(200, 400)
    assert keytab.unchanged(400) == range(400, 2**63 - 1)


def test_a_key_is_added_and_the_rest_of_the_file_stays():
    for data in (b"# ours\n" + LINE, b"# ours\n" + LINE.rstrip()):
        grown = add_key(data, b"n" * 32, 1500, 2500)
        assert grown.startswith(b"# ours\n" + LINE)
        assert parse_keytab(grown).keys == (
            Key(8, b"n" * 32, created_s=1500, expires_s=2500),
            *parse_keytab(LINE).keys,
        )


def test_an_added_key_begins_at_the_latest_when_the_others_have_expired():
    (added, _) = parse_keytab(add_key(LINE, b"n" * 32, 2001)).keys
    assert added.created_s == 2000
    for_ever = LINE.replace(b"e:2000", b"e:0")
    (added, _) = parse_keytab(add_key(for_ever, b"n" * 32, 2001)).keys
    assert added.created_s == 2001


def test_a_key_is_not_added_to_what_would_be_unusable():
    with pytest.raises(ConfigError, match="no key"):
        add_key(b"", b"n" * 32, 1)
    full = format_keytab(make_keytab([Key(n, b"k" * 16, 0) for n in range(1, 65)]))
    with pytest.raises(ConfigError, match="65 keys"):
        add_key(full, b"n" * 32, 1)
    highest = LINE.replace(b"N:7", b"N:%d" % (2**63 - 1))
    with pytest.raises(ConfigError, match="63 bits"):
        add_key(highest, b"n" * 32, 1)


def test_a_keytab_of_expired_keys_signs_nothing():
    keytab = make_keytab([Key(1, b"o" * 32, created_s=100, expires_s=200)])
    with pytest.raises(ConfigError, match="expired"):
        keytab.newest(200)
    assert keytab.secrets(200) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"1 u:a g:b n:c N:1 c:0 e:0 k:" + b"00" * 16, "version 0"),
        (b"0 u:a g:b n:c N:0 c:0 e:0 k:" + b"00" * 16, "greater than 0"),
        (b"0 u:a g:b n:c N:x c:0 e:0 k:" + b"00" * 16, "N: is not a number"),
        (b"0 u:a g:b n:c N:9999999999999999999 c:0 e:0 k:" + b"00" * 16, "63 bits"),
        (b"0 u:a g:b n:c N:1 c:-1 e:0 k:" + b"00" * 16, "c: is not a number"),
        (b"0 u:a g:b n:c N:1 c:0 e:0 k:" + b"00" * 15, "k: has 15 bytes"),
        (b"0 u:a g:b n:c N:1 c:0 e:0 k:" + b"00" * 129, "k: has 129 bytes"),
        (b"0 u:a g:b n:c N:1 c:0 e:0 k:xyz", "k: is not hexadecimal"),
        (b"0 u:a g:b n:c N:1 c:0 e:0", "lacks k:"),
        (b"0 u:a n: N:1", "lacks g: n: c: e: k:"),
        (b"0 u:a u:b g:b n:c N:1 c:0 e:0 k:" + b"00" * 16, "u: twice"),
        (b"0 user:a", "not written x:value"),
        (b"0 u:" + b"a" * 65 + b" g:b n:c N:1 c:0 e:0 k:" + b"00" * 16, "longer than 64"),
        (LINE + LINE, "N:7 is on line 1"),
        (b"", "no key"),
        (b"# only words\n", "no key"),
        (b"\xff", "not ASCII"),
        (b"#" * (KEYTAB_BYTES_MAX + 1), "at most"),
    ],
)
def test_faults_are_named_and_keys_are_not(line, fault):
    with pytest.raises(ConfigError, match=fault) as caught:
        parse_keytab(line)
    assert "abab" not in str(caught.value)


def test_every_faulty_line_is_listed_at_once():
    with pytest.raises(ConfigError, match=r"line 1: .*line 3: "):
        parse_keytab(b"rubbish\n" + LINE + b"0 x:y\n")


def test_too_many_keys():
    many = [Key(number, b"k" * 16, 0) for number in range(1, KEYTAB_KEYS_MAX + 2)]
    with pytest.raises(ConfigError, match="65 keys"):
        parse_keytab(format_keytab(make_keytab(many)))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_keytab_or_config_error(data):
    try:
        keytab = parse_keytab(data)
    except ConfigError:
        return
    assert keytab.keys


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_private_modes_pass(mode):
    check_keytab_mode(stat.S_IFREG | mode)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_what_others_may_touch_is_refused(mode):
    with pytest.raises(ConfigError, match="chmod 0600"):
        check_keytab_mode(stat.S_IFREG | mode)


def test_what_is_no_file_is_refused():
    with pytest.raises(ConfigError, match="regular file"):
        check_keytab_mode(stat.S_IFDIR | 0o700)
