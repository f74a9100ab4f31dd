"""One objective or several, as they are typed; what cannot be is one line."""

import zlib

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.plan import make_plan
from nestedga.population.member import Evaluation, Member
from nestedga.population.objectives import Objectives
from nestedga.protocol.messages import OrderKind
from nestedga.record.events import MemberAsked, MemberTold, OrderSent
from nestedga.record.history import History
from nestedga.record.journal import Journal
from tests.record.starts import start

FUNCTION = ("evaluator=function", "+function={_target_: tests.functions.two, x: 0.5}", "evaluator.metrics=[a,b]")


def planned(*overrides):
    return make_plan(Configuration([*overrides, "+space.function.x={type: float, low: 0, high: 1}"]), world_size=1)


def test_one_is_a_string_and_several_are_lists():
    assert planned(*FUNCTION, "objective.name=b").objectives == Objectives(("b",), ("min",))
    assert planned(*FUNCTION, "objective.name=[b]", "objective.mode=[max]").objectives == Objectives(("b",), ("max",))
    both = planned(*FUNCTION, "objective.name=[b,a]", "objective.mode=[max,min]").objectives
    assert both == Objectives(("b", "a"), ("max", "min")) and len(both) == 2


def test_an_older_journal_whose_evaluations_have_no_objectives_is_read(tmp_path):
    book = Journal(tmp_path / "journal.jsonl")
    objective = {"name": "accuracy", "mode": "max"}
    book.record(start(objective=objective, population_size=2, num_evaluations=2))
    for i, accuracy in enumerate((0.5, 0.75)):
        book.record(MemberAsked(Member(i, i, 0, {}, (), (), 1)))
        book.record(OrderSent(0, i, OrderKind.TRAIN))
        book.record(MemberTold(0, Evaluation(i, accuracy, metrics={"accuracy": accuracy})))
    book.close()
    without = tmp_path / "older.jsonl"
    for line in (tmp_path / "journal.jsonl").read_bytes().splitlines():
        content = line.replace(b',"objectives":[]', b"").rpartition(b',"crc"')[0] + b"}"
        with without.open("ab") as file:
            file.write(b'%b,"crc":"%08x"}\n' % (content[:-1], zlib.crc32(content)))
    assert b"objectives" not in without.read_bytes()
    history = History.of(without)
    assert history.objectives == Objectives(("accuracy",), ("max",))
    assert history.best_id == 1 and history.best_values == (0.75,)
    assert history.spread(history.completed_row) == (0.75, 0.625, 0.5)


def test_the_number_of_trained_parameters_is_an_objective():
    make_plan(Configuration(["objective.name=[accuracy,parameters]", "objective.mode=[max,min]"]), world_size=1)


MISTAKES = {
    "no such metric": (
        ("objective.name=[a,c]", "objective.mode=[min,min]"),
        "objective.name='c' is not reported; reported: a, b",
    ),
    "one mode": (
        ("objective.name=[a,b]", "objective.mode=min"),
        "objective.name=[a,b] and objective.mode=min differ in length",
    ),
    "three modes": (
        ("objective.name=[a,b]", "objective.mode=[min,max,min]"),
        "differ in length; give min or max for each name",
    ),
    "unknown mode": (
        ("objective.name=[a,b]", "objective.mode=[min,least]"),
        "objective.mode='least' is unknown; use min or max",
    ),
    "twice": (("objective.name=[a,b,a]", "objective.mode=[min,min,min]"), "names a twice"),
    "none": (("objective.name=[]", "objective.mode=[]"), "objective.name=[] must be a string, or a list of strings"),
    "no string": (("objective.name=[a,{b: 1}]", "objective.mode=[min,min]"), "must be a string, or a list of strings"),
    "a search of one objective": (
        (
            "objective.name=[a,b]",
            "objective.mode=[min,min]",
            "search._target_=tests.population.test_objectives.OneObjective",
        ),
        "search: OneObjective cannot weigh 2 objectives (a, b) against each other; use one that can",
    ),
    "metrics that are no list": (("evaluator.metrics=a",), "evaluator.metrics='a' must be a list of one name or more"),
}


@pytest.mark.parametrize(("overrides", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_setting_and_remedy(overrides, says):
    with pytest.raises(SettingError) as caught:
        planned(*FUNCTION, *overrides)
    assert says in str(caught.value) and "\n" not in str(caught.value)


class OneObjective:
    """A search of a user's own."""

    multi_objective = slow = False

    def __init__(self, space, **_):
        pass
