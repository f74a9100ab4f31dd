"""Schedules from runs and from files; what cannot be one is said in a line."""

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.plan import make_plan
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import OrderKind
from nestedga.record.events import MemberAsked, MemberTold, OrderSent
from nestedga.record.journal import Journal
from tests.record.starts import start


def plan(schedule, *more):
    return make_plan(Configuration(["search=replay", f"search.schedule={schedule}", *more]), world_size=1)


def followed(search):
    members = []
    while not search.done:
        members += search.ask(1)
        search.tell(Evaluation(members[-1].id, 0.0))
    return [(member.genotype, member.budget) for member in members]


@pytest.fixture
def run(tmp_path):
    """A run of four members in two lines: 0 to 2, which is the best, and 1 to 3."""
    journal = Journal(tmp_path / "journal.jsonl")
    objective = {"name": "accuracy", "mode": "max"}
    journal.record(start(objective=objective, population_size=2, num_evaluations=4))
    for i, (lr, parents) in enumerate([(0.1, ()), (0.2, ()), (0.3, (0,)), (30.0, (1,))]):
        member = Member(i, i % 2, i // 2, {"optimizer.lr": lr}, parents, parents, 4 + i)
        journal.record(MemberAsked(member))
    for i, accuracy in enumerate([0.5, 0.4, 0.9, 0.8]):
        journal.record(OrderSent(0, i, OrderKind.TRAIN))
        journal.record(MemberTold(0, Evaluation(i, accuracy)))
    journal.close()
    return tmp_path


def test_a_run_gives_the_line_of_its_best(run):
    assert followed(plan(run).search) == [({"optimizer.lr": 0.1}, 4), ({"optimizer.lr": 0.3}, 6)]


def test_a_run_gives_the_line_of_any_member_also_outside_the_space(run):
    made = plan(run, "search.member=3", "space.optimizer.lr.high=0.01")
    assert followed(made.search) == [({"optimizer.lr": 0.2}, 5), ({"optimizer.lr": 30.0}, 7)]
    assert made.space.paths == ("optimizer.lr",)


def test_an_experiment_may_have_set_sizes_for_a_search_of_its_own(run):
    assert len(followed(plan(run, "+experiment=resnet_ga", "data=digits", "groups.group_size=1").search)) == 2


def test_a_file_gives_its_intervals_whatever_the_space(tmp_path):
    path = tmp_path / "schedule.yaml"
    path.write_text(
        "- genotype: {optimizer.lr: 1e-1, optimizer.nesterov: true}\n  budget: 3\n"
        "- genotype: {optimizer.lr: 0.01, model: resnet20}\n"
    )
    configuration = ["space=none", "interval.epochs=5"]
    made = plan(path, *configuration)
    assert followed(made.search) == [
        ({"optimizer.lr": 0.1, "optimizer.nesterov": True}, 3),
        ({"optimizer.lr": 0.01, "model": "resnet20"}, 5),
    ]
    configure = Configuration(configuration).with_genotype(made.space)
    assert configure({"optimizer.lr": 0.1})["model"]["_target_"].endswith("SmallCNN")
    assert configure({"optimizer.lr": 0.1, "model": "resnet20"})["model"]["depth"] == 20


def test_a_setting_hangs_on_the_group_that_it_stands_with(tmp_path):
    path = tmp_path / "schedule.yaml"
    path.write_text(
        "- genotype: {optimizer: sgd, optimizer.momentum: 0.9}\n- genotype: {optimizer: adamw, optimizer.lr: 0.01}\n"
    )
    assert len(followed(plan(path).search)) == 2
    path.write_text("- genotype: {optimizer: sgd}\n- genotype: {optimizer: adamw, optimizer.momentum: 0.9}\n")
    with pytest.raises(SettingError, match=r"optimizer\.momentum: with optimizer=adamw there is no setting"):
        plan(path)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["search.member=4"], r"search\.member=4: .* has members 0 to 3"),
        (["interval.epochs=null", "interval.steps=9"], r"counted epochs and this one counts steps; add interval\.epo"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(run, overrides, says):
    with pytest.raises(SettingError, match=says):
        plan(run, *overrides)


def test_a_run_without_a_schedule_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"search\.schedule is not given"):
        plan("null")
    with pytest.raises(SettingError, match=r"nowhere does not exist"):
        plan(tmp_path / "nowhere")
    with pytest.raises(SettingError, match=r"holds no journal\.jsonl"):
        plan(tmp_path)
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(SettingError, match=r"no member of that run has succeeded"):
        plan(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a list"),
        ("hello", "must be a list"),
        ("[]", "must be a list"),
        ("genotype: {optimizer.lr: 0.1}", "must be a list"),
        ("- {a: b: c}", "cannot be read as YAML"),
        ("- genotype: ${nothing}", "cannot be read as YAML"),
        ("- {genotype: {optimizer.lr: 0.1}, epochs: 3}", "interval 0 is .* write"),
        ("- {genotype: {optimizer.lr: 0.1}}\n- {budget: 3}", "interval 1 is .* write"),
        ("- {genotype: {optimizer.lr: 0.1}, budget: 0}", "budget=0 trains nothing"),
        ("- {genotype: {optimizer.lr: 0.1}, budget: true}", "budget=True trains nothing"),
        ("- {genotype: {optimizer: {lr: 0.1}}}", "optimizer={'lr': 0.1} is no value"),
        ("- {genotype: {optimizer.lr: .nan}}", "optimizer.lr=nan is no value"),
        ("- {genotype: {}}", "sets nothing"),
        ("- {genotype: {optimizer.lrr: 0.1}}", "there is no setting optimizer.lrr"),
        ("- {genotype: {model: resnet21}}", "resnet21"),
        ("- {genotype: {run.max_seconds: 3}}", "no member would notice"),
    ],
)
def test_a_file_that_is_no_schedule_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "schedule.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=says) as caught:
        plan(path)
    assert "\n" not in str(caught.value)


def test_a_file_has_no_members(tmp_path):
    path = tmp_path / "schedule.yaml"
    path.write_text("- {genotype: {optimizer.lr: 0.1}}")
    with pytest.raises(SettingError, match=r"search\.member=3: .* is no run"):
        plan(path, "search.member=3")


def test_a_list_is_what_a_file_with_it_would_be(tmp_path):
    text = "[{genotype: {optimizer.lr: 0.1}, budget: 3}, {genotype: {optimizer.lr: 0.01}}]"
    path = tmp_path / "schedule.yaml"
    path.write_text(text)
    assert plan(text).search.schedule == plan(path).search.schedule
    with pytest.raises(SettingError, match="search.schedule, interval 0: budget=0 trains nothing"):
        plan("[{genotype: {optimizer.lr: 0.1}, budget: 0}]")
