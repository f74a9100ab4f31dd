"""What is no number is a failure; objectives have a sign."""

import math

import pytest

from nestedga.population.member import Evaluation, Status


@pytest.mark.parametrize("fom", [math.nan, math.inf, -math.inf])
def test_a_fom_that_is_no_number_is_a_failure(fom):
    evaluation = Evaluation(1, fom)
    assert evaluation.status is Status.FAILED
    assert str(fom) in evaluation.message
    assert math.isnan(evaluation.fom)


def test_minimised_applies_the_mode():
    assert Evaluation(1, 0.9).minimised(("max",)).fom == -0.9
    assert Evaluation(1, 0.9).minimised(("min",)).fom == 0.9
    several = Evaluation(1, 0.9, objectives=(0.9, 3.0)).minimised(("max", "min"))
    assert several.fom == -0.9 and several.values == (-0.9, 3.0)


def test_one_objective_that_is_no_number_is_a_failure():
    evaluation = Evaluation(1, 0.5, objectives=(0.5, math.nan))
    assert not evaluation.ok and evaluation.objectives == () and math.isnan(evaluation.fom)
