"""What travels survives JSON; what is no number is a failure."""

import json
import math

import pytest

from nestedga.population.member import Evaluation, Member, Status


def test_member_survives_json():
    member = Member(7, 3, 1, {"optimizer.lr": 0.1 + 0.2, "model.skip": True, "model.width": 3}, (1, 2), (1,), 5)
    assert Member.from_json(json.loads(json.dumps(member.to_json()))) == member


@pytest.mark.parametrize(("before", "now"), [(None, "clone"), ("average", "average"), ("layerwise", "layerwise")])
def test_members_of_version_0_1_are_read(before, now):
    member = Member(7, 3, 1, {"optimizer.lr": 0.1}, (1, 2), (1, 2), 5, now)
    record = member.to_json()
    del record["inheritance"]
    assert Member.from_json({**record, "weights_crossover": before}) == member


@pytest.mark.parametrize("fom", [math.nan, math.inf, -math.inf])
def test_a_fom_that_is_no_number_is_a_failure(fom):
    evaluation = Evaluation(1, fom)
    assert evaluation.status is Status.FAILED
    assert str(fom) in evaluation.message
    again = Evaluation.from_json(json.loads(json.dumps(evaluation.to_json(), allow_nan=False)))
    assert again.status is Status.FAILED and math.isnan(again.fom)


def test_minimised_applies_the_mode():
    assert Evaluation(1, 0.9).minimised(("max",)).fom == -0.9
    assert Evaluation(1, 0.9).minimised(("min",)).fom == 0.9
    several = Evaluation(1, 0.9, objectives=(0.9, 3.0)).minimised(("max", "min"))
    assert several.fom == -0.9 and several.values == (-0.9, 3.0)


def test_several_objectives_survive_json_and_older_records_have_none():
    evaluation = Evaluation(1, 0.5, objectives=(0.5, 7.0))
    record = json.loads(json.dumps(evaluation.to_json()))
    assert Evaluation.from_json(record) == evaluation
    del record["objectives"]
    assert Evaluation.from_json(record).values == (0.5,)


def test_one_objective_that_is_no_number_is_a_failure():
    evaluation = Evaluation(1, 0.5, objectives=(0.5, math.nan))
    assert not evaluation.ok and evaluation.objectives == () and math.isnan(evaluation.fom)
