"""Views are equal when what lasts is equal."""

from thesan.worlds.simulated.views import VIEWS, differences


def _answers(**changes):
    one = {question: [{"id": 1, "stat.boot": "booted", "age": 3}] for question in VIEWS}
    two = {question: [{"id": 1, "stat.boot": "booted", "age": 9}] for question in VIEWS}
    two.update({tuple(key.split("_")): value for key, value in changes.items()})
    return {"mgm1": one, "mgm2": two}


def test_moments_do_not_count():
    assert differences(_answers(), figures=True) == []


def test_a_state_that_differs():
    faults = differences(_answers(fs_ls=[{"id": 1, "stat.boot": "down", "age": 3}]), figures=False)
    assert faults == ["fs ls: mgm1 and mgm2 differ: record 0, stat.boot: 'booted' and 'down'"]


def test_an_empty_list():
    assert differences(_answers(node_ls=[]), figures=False) == [
        "node ls: mgm1 and mgm2 differ: 1 and 0 records"
    ]


def test_figures_count_in_the_end():
    answers = _answers(space_ls=[{"id": 1, "stat.boot": "booted", "sum.freebytes": 3}])
    answers["mgm1"]["space", "ls"] = [{"id": 1, "stat.boot": "booted", "sum.freebytes": 4}]
    assert differences(answers, figures=False) == []
    assert len(differences(answers, figures=True)) == 1
