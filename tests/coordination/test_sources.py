"""Where a state is had from comes with the genome of the member that made it."""

from nestedga.coordination.state_directory import StateDirectory
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import Source
from nestedga.record.members import Members, Told


class NoFiles:
    def intact(self, member_id):
        return False

    def remove(self, member_id): ...

    def all(self):
        return ()


def test_a_source_has_the_genotype_of_its_member():
    directory = StateDirectory(NoFiles(), [0, 0], Members(("min",)))
    genotypes = {0: {"optimizer.lr": 0.1}, 1: {"model.layers": [3, 5]}}
    for member_id, genotype in genotypes.items():
        evaluation = Evaluation(member_id, 0.0, checksum=7)
        directory.add(Told(Member(member_id, member_id, 0, genotype, (), (), 1), evaluation, evaluation))
        directory.add_holder(member_id, member_id)
    for member_id, genotype in genotypes.items():
        assert directory.source(member_id, 1 - member_id) == Source(member_id, (member_id,), genotype)
        assert directory.source(member_id, member_id).genotype == genotype
