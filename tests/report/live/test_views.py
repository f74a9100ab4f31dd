"""Views wait for their time, and cost no more than they must."""

from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import OrderKind
from nestedga.record.events import MemberAsked, MemberTold, OrderSent, RunBegan, RunResumed
from nestedga.record.journal import Journal, lines
from nestedga.record.run_folder import RunFolder
from nestedga.report.live.tensorboard import MOST_SLOTS
from nestedga.report.live.views import Views
from tests.record.starts import start
from tests.report.test_report import scalars


def test_nothing_is_shown_before_its_time_nor_told_twice(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    for told_before, kind in enumerate((RunBegan, RunResumed)):
        views = Views(folder, live=False)
        journal = Journal(folder.journal, views.put)
        assert len(list(views.replayed(lines(folder.journal)))) == 4 * told_before
        journal.record(start(kind))
        journal.record(MemberAsked(Member(told_before, 0, 0, {"x": 0.5}, (), (), 1)))
        journal.record(OrderSent(0, told_before, OrderKind.TRAIN))
        evaluation = Evaluation(told_before, float("nan"), message="it rained", log=f"trace {told_before}")
        journal.record(MemberTold(0, evaluation))
        assert capsys.readouterr().out == ""
        journal.close()
        views.close()
        shown = capsys.readouterr().out
        done = ", 1 evaluations done already" if told_before else ""
        assert shown == (
            f"nestedga: synthetic: 1 rank; S{done}; F\n"
            f"nestedga: member {told_before} failed: it rained; {{'x': 0.5}}\ntrace {told_before}\n"
        )
        assert views.history.num_evaluated == told_before + 1


def test_a_large_population_does_not_run_out_of_files(tmp_path):
    folder = RunFolder(tmp_path)
    views = Views(folder, live=False)
    journal = Journal(folder.journal, views.put)
    journal.record(start(population_size=5000))
    for i in range(5000):
        journal.record(MemberAsked(Member(i, i, 0, {"x": 0.5}, (), (), 7)))
        journal.record(OrderSent(0, i, OrderKind.TRAIN))
        journal.record(MemberTold(0, Evaluation(i, float(i), metrics={"error": i})))
    journal.close()
    views.close()
    assert len(list(folder.tensorboard.iterdir())) == MOST_SLOTS + 1
    assert scalars(folder.tensorboard / "population")["error/worst"] == [(7, 4999.0)]
    assert scalars(folder.tensorboard / "slot_255")["fitness/error"] == [(7, 255.0)]
