"""Where a demo instance lives."""

import os
from pathlib import Path

import pytest

from thesan.cli.demo.plan import (
    default_directory,
    free_address,
    is_alive,
    load_plan,
    load_state,
    make_plan,
    split_address,
)
from thesan.core.model.errors import OperationError


def test_every_fst_has_an_address_of_its_own(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 2, 5)
    assert len(set(plan.mgms)) == 2
    assert len({split_address(address)[0] for address in plan.fsts}) == 5
    assert plan.url.startswith("root://127.0.0.1:")


@pytest.mark.parametrize(("mgms", "fsts"), [(0, 1), (1, 0), (8, 1), (1, 65)])
def test_counts_are_bounded(tmp_path: Path, mgms: int, fsts: int) -> None:
    with pytest.raises(OperationError):
        make_plan(tmp_path, mgms, fsts)


def test_save_and_load(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, 2)
    plan.save()
    again = load_plan(tmp_path)
    assert again == plan
    assert [spec.name for spec in again.specs()] == ["mgm1", "fst1", "fst2"]
    assert all(str(tmp_path) in spec.log for spec in again.specs())


def test_several_mgms_share_one_journal(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 3, 3)
    assert {split_address(address)[0] for address in plan.mgms} == (
        {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
    )
    mgms = [spec for spec in plan.specs() if spec.role == "mgm"]
    for option in ("--journal", "--members", "--keytab"):
        assert len({spec.argv[spec.argv.index(option) + 1] for spec in mgms}) == 1
    assert len({spec.argv[spec.argv.index("--data") + 1] for spec in mgms}) == 3
    assert plan.host_of("mgm2") == ["mgm2", "fst2"]
    assert plan.names()[plan.mgms[2]] == "mgm3"


def test_etcd_has_members_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/etcd")
    plan = make_plan(tmp_path, 2, 3, "etcd")
    plan.save()
    assert load_plan(tmp_path) == plan
    assert plan.engine == "etcd"
    assert plan.journal == "etcd:" + ",".join(one.client for one in plan.etcds) + "/demo"
    members = [spec for spec in plan.specs() if spec.role == "etcd"]
    assert [spec.name for spec in members] == ["etcd1", "etcd2", "etcd3"]
    assert all(spec.program == "/usr/bin/etcd" for spec in members)
    assert plan.host_of("mgm1") == ["etcd1", "mgm1", "fst1"]


def test_a_missing_etcd_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(OperationError, match="apt-get install etcd-server"):
        make_plan(tmp_path, 3, 3, "etcd")
    with pytest.raises(OperationError, match="sqlite or etcd"):
        make_plan(tmp_path, 3, 3, "raft")


def test_absent_and_damaged_plans_say_so(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="demo up"):
        load_plan(tmp_path)
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(OperationError, match="damaged"):
        load_plan(tmp_path)


def test_state_of_a_supervisor_that_is_gone(tmp_path: Path) -> None:
    assert load_state(tmp_path) == (0, [])
    (tmp_path / "state.json").write_text('{"supervisor_pid": 0, "daemons": []}')
    assert load_state(tmp_path) == (0, [])
    assert is_alive(os.getpid())
    assert not is_alive(0)


def test_default_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THESAN_DEMO_DIR", "/somewhere")
    assert default_directory() == Path("/somewhere")
    monkeypatch.delenv("THESAN_DEMO_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory() == Path("/state/thesan/demo")


def test_free_addresses_are_never_given_twice() -> None:
    assert len({free_address("127.0.0.1") for _ in range(50)}) == 50
