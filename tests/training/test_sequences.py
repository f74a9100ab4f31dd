"""Series and text: splits that do not meet, models that do not look ahead, files that are not what they should be."""

import math

import numpy as np
import pytest
import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS
from nestedga.training.data.series import Series, read_csv
from nestedga.training.data.text import UNKNOWN, Text
from nestedga.training.models.autoregressive import AutoRegression
from nestedga.training.models.recurrent import CELLS, Cells, CharacterRNN, Forecaster
from nestedga.training.models.transformer import CharacterTransformer
from nestedga.training.tasks.forecasting import Forecasting
from nestedga.training.tasks.language_model import LanguageModel

LANGUAGE_MODELS = {
    "rnn": lambda: CharacterRNN(11, "rnn", hidden=8, layers=2),
    "lstm": lambda: CharacterRNN(11, "lstm", hidden=8, layers=2),
    "gru": lambda: CharacterRNN(11, "gru", hidden=8, layers=2),
    "transformer": lambda: CharacterTransformer(11, context=12, width=8, heads=2, layers=2),
}
FORECASTERS = {
    **{cell: lambda cell=cell: Forecaster(cell, hidden=8, layers=2, horizon=3, num_columns=2) for cell in CELLS},
    "ar": lambda: AutoRegression(order=5, horizon=3, num_columns=2),
}


def table(path, rows, header=None, name=None):
    """Writes a CSV file of the rows, with dates in the first column."""
    lines = [",".join(["date", *header])] if header else []
    lines += [f"2020-01-{number:02d}," + ",".join(map(repr, row)) for number, row in enumerate(rows, 1)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def everything(dataset, split):
    return dataset.batch(split, np.arange(dataset.size(split)))


# --- series ---


@pytest.fixture
def walk(tmp_path):
    """A series of two columns, 200 rows, and its file."""
    rows = np.random.default_rng(0).standard_normal((200, 2)).cumsum(0) * (3.0, 0.1) + (100.0, -1.0)
    return rows, table(tmp_path / "walk.csv", rows.tolist(), header=["high", "low"])


def test_windows_and_targets_are_the_series_in_order(walk):
    rows, path = walk
    series = Series(path, window=7, horizon=3)
    begins = {"train": 7, "fitness": 140, "test": 170}  # row of the first target
    for split, end in (("train", 140), ("fitness", 170), ("test", 200)):
        inputs, targets = everything(series, split)
        assert inputs.shape[1:] == (7, 2) and targets.shape[1:] == (3, 2)
        assert inputs.dtype == targets.dtype == torch.float32
        assert len(inputs) == end - begins[split] - 3 + 1
        for number in (0, 5, len(inputs) - 1):
            at = begins[split] + number
            whole = torch.cat([inputs[number], targets[number]]).double().numpy()
            np.testing.assert_allclose(whole * series.deviation + series.mean, rows[at - 7 : at + 3], rtol=1e-5)


def test_targets_of_the_splits_do_not_meet_and_training_sees_nothing_later(tmp_path):
    path = table(tmp_path / "rising.csv", [[float(row)] for row in range(100)])
    series = Series(path, window=6, horizon=4, fitness_share=0.2, test_share=0.3)
    seen = {}
    for split in SPLITS:
        _, targets = everything(series, split)
        seen[split] = set((targets.double() * series.deviation[0] + series.mean[0]).round().long().flatten().tolist())
    assert seen == {"train": set(range(6, 50)), "fitness": set(range(50, 70)), "test": set(range(70, 100))}
    inputs, _ = everything(series, "train")
    assert float(inputs.max() * series.deviation[0] + series.mean[0]) < 50


def test_normalisation_knows_the_training_part_alone(walk, tmp_path):
    rows, path = walk
    changed = rows.copy()
    changed[140:] *= 50.0
    one, other = Series(path), Series(table(tmp_path / "changed.csv", changed.tolist(), header=["high", "low"]))
    assert np.array_equal(one.mean, other.mean) and np.array_equal(one.deviation, other.deviation)
    np.testing.assert_allclose(one.mean, rows[:140].mean(0))
    np.testing.assert_allclose(one.deviation, rows[:140].std(0))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_csv_with_and_without_header(tmp_path, delimiter, header):
    lines = [["day", "one", "two"]] * header + [["1 May", "1.5", "-2e3"], ["2 May", "0", "7"], ["3 May", "4", "8"]]
    path = tmp_path / "series.csv"
    path.write_text("\n".join(delimiter.join(line) for line in lines) + "\n\n")
    names, rows = read_csv(path)
    assert names == (["one", "two"] if header else ["1", "2"])
    assert rows.tolist() == [[1.5, -2000.0], [0.0, 7.0], [4.0, 8.0]]
    last = "two" if header else 2
    assert read_csv(path, last)[1].tolist() == read_csv(path, [2])[1].tolist() == [[-2000.0], [7.0], [8.0]]
    assert read_csv(path, [2, 1])[1][0].tolist() == [-2000.0, 1.5]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("date,a\n1 May,1\n2 May,\n3 May,3\n", {}, "row 3, column a holds ''"),
        ("date,a\n1 May,1\n2 May,2\n3 May,nan\n", {}, "row 4, column a holds 'nan'"),
        ("1 May,1,NA\n2 May,2,3\n", {}, "row 1, column 2 holds 'NA'"),
        ("a,b\n1,2\n3\n", {}, "row 3 has 1 fields and row 1 has 2"),
        ("a\n1\n\n3\n", {}, "row 3 has 0 fields"),
        ("a,b\nx,y\n", {}, "no column holds numbers"),
        ("1,5;2,3\n2,5;3,5\n", {}, "row 1 holds '1,5'; write decimals with a point"),
        ("1,5\t2\n2,5\t3\n", {}, "row 1 holds '1,5'"),
        ("date;a;b\n1 May;1;2\n2 May;1;-2,5e3\n", {}, "row 3 holds '-2,5e3'"),
        ('a,b\n"1,234",5\n"2,000",6\n', {}, "row 2 holds '1,234'"),
        ("a;b\n1,5;2\n2,5;3\n", {"columns": "a"}, "row 2, column a holds '1,5'"),
        ("", {}, "no column holds numbers"),
        ("a,b\n1,2\n3,4\n", {"columns": ["c"]}, "data.columns=c is no column of .*; it has a, b"),
        ("a,b\n1,2\n3,4\n", {"columns": 2}, "data.columns=2 is no column"),
        ("date,a\n1 May,1\n", {"columns": "date"}, "row 2, column date holds '1 May'"),
        ("a,b\n" + "\n".join(f"{i},7" for i in range(99)), {"window": 2, "horizon": 1}, "column b is constant"),
        ("a\n" + "\n".join(map(str, range(99))), {}, "leave no fitness sample: that split has 15 of 99 rows"),
        ("a\n1\n2\n", {}, "leave no train sample"),
    ],
)
def test_series_that_cannot_be_used_are_named(tmp_path, content, settings, message):
    path = tmp_path / "series.csv"
    path.write_text(content)
    settings = {"window": 20, "horizon": 16} | settings
    with pytest.raises(SettingError, match=message) as caught:
        Series(str(path), **settings)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(256)) * 4)
    for make in (Series, Text):
        for path in (tmp_path / "missing", tmp_path, binary):
            with pytest.raises(SettingError, match=f"data.path={path} cannot be read") as caught:
                make(str(path))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [Series, Text])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fitness_share": 0.0}, "data.fitness_share=0.0"),
        ({"test_share": 1.5}, "data.test_share=1.5"),
        ({"fitness_share": 0.5, "test_share": 0.5}, "nothing to train on"),
    ],
)
def test_shares_that_cannot_be(make, settings, message):
    with pytest.raises(SettingError, match=message):
        make(**settings)


def test_the_series_that_ships_with_matplotlib():
    series = Series()
    assert sum(len(series._first[split]) for split in SPLITS) == 12_000 - 48 - 3 * 7
    targets = everything(series, "train")[1]
    assert torch.isfinite(targets).all() and 0.9 < float(targets.std()) < 1.1
    with pytest.raises(SettingError, match="data.columns=a needs a data.path"):
        Series(columns="a")


def test_autoregression_trained_to_the_end_is_least_squares(tmp_path):
    noise = np.random.default_rng(0).standard_normal((200, 2))
    series = Series(table(tmp_path / "noise.csv", (noise[1:] + 0.7 * noise[:-1]).tolist()), window=9, horizon=3)
    inputs, targets = (tensor.double() for tensor in everything(series, "train"))
    design = np.hstack([inputs[:, -5:].flatten(1).numpy(), np.ones((len(inputs), 1))])
    best, *_ = np.linalg.lstsq(design, targets.flatten(1).numpy(), rcond=None)
    task, model = Forecasting(), AutoRegression(order=5, horizon=3, num_columns=2).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = task.loss(model, inputs, targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    forecasts = model(inputs).detach().flatten(1).numpy()
    np.testing.assert_allclose(forecasts, design @ best, atol=1e-5)
    mse = float(task.measure(model.requires_grad_(False), inputs, targets)["mse"]) / len(inputs)
    assert mse == pytest.approx(np.square(design @ best - targets.flatten(1).numpy()).mean(), rel=1e-6)


# --- text ---


def test_each_character_of_fitness_and_test_counts_once(tmp_path):
    text = "".join(chr(0x4E00 + number) for number in range(1000))  # no character twice
    (tmp_path / "text").write_text(text, encoding="utf-8")
    data = Text(str(tmp_path / "text"), context=7, stride=3, vocabulary_size=1200)
    known = {split: everything(data, split) for split in SPLITS}
    inputs, targets = known["train"]
    spelt = ["".join(data.vocabulary[index] for index in row) for row in inputs]
    assert spelt[:2] == [text[:7], text[3:10]]
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert spelt[-1] in text[:799] and int(inputs.min()) > UNKNOWN
    # Only the training part is known, so the others are counted by their number.
    assert (known["fitness"][1] == UNKNOWN).all() and known["fitness"][1].numel() == 100 // 7 * 7
    assert known["fitness"][0][0, 0] == data.vocabulary.index(text[799])  # what is known when the split begins
    assert (known["test"][1] == UNKNOWN).all() and known["test"][1].numel() == 100 // 7 * 7
    starts = data._first
    assert starts["fitness"].tolist() == list(range(799, 799 + 98, 7)) and starts["test"][0] == 899


def test_the_vocabulary_holds_the_most_frequent_characters_of_training(tmp_path):
    (tmp_path / "text").write_text("aaabbbccd" * 40 + "dddddddddd" * 9)
    data = Text(str(tmp_path / "text"), context=4, vocabulary_size=4)
    assert data.vocabulary == "\ufffdabc" and data.num_classes == 4
    assert everything(data, "train")[0][0].tolist() == [1, 1, 1, 2]
    assert everything(data, "test")[1].tolist() == [[UNKNOWN] * 4] * 11
    assert Text(str(tmp_path / "text"), context=4, vocabulary_size=9).vocabulary == "\ufffdabcd" + 4 * "\ufffd"


def test_the_text_that_ships_with_python():
    data = Text()
    inputs, targets = data.batch("train", np.array([0, data.size("train") - 1]))
    assert inputs.shape == targets.shape == (2, 64) and inputs.dtype == targets.dtype == torch.int64
    assert data.size("train") > 10_000 and len(data.vocabulary) == 128
    for split in ("fitness", "test"):
        assert (everything(data, split)[1] == UNKNOWN).double().mean() < 0.01


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("", {}, "data.context=64 leaves no train sample: that split has 0 of 0"),
        ("x" * 500, {}, "leaves no fitness sample: that split has 50 of 500 characters"),
        ("x", {"vocabulary_size": 1}, "data.vocabulary_size=1"),
        ("x", {"stride": 0}, "data.stride=0"),
    ],
)
def test_texts_that_cannot_be_used_are_named(tmp_path, content, settings, message):
    (tmp_path / "text").write_text(content)
    with pytest.raises(SettingError, match=message):
        Text(str(tmp_path / "text"), **settings)


# --- models ---


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_future_changes_no_earlier_logit(name):
    torch.manual_seed(0)
    model = LANGUAGE_MODELS[name]().eval()
    one = torch.randint(11, (3, 12))
    with torch.inference_mode():
        before = model(one)
        for at in range(12):
            other = one.clone()
            other[:, at] = (other[:, at] + 1) % 11
            after = model(other)
            assert torch.allclose(before[:, :at], after[:, :at], atol=1e-6)
            assert not torch.allclose(before[:, at], after[:, at], atol=1e-4)
            assert at == 11 or not torch.allclose(before[:, -1], after[:, -1], atol=1e-7)  # it is remembered


@pytest.mark.parametrize("make", [*LANGUAGE_MODELS.values(), *FORECASTERS.values()])
def test_a_sample_is_treated_alike_in_every_batch(make):
    torch.manual_seed(0)
    model = make().eval()
    characters = isinstance(model, CharacterRNN | CharacterTransformer)
    inputs = torch.randint(11, (9, 12)) if characters else torch.randn(9, 12, 2)
    with torch.inference_mode():
        whole = model(inputs)
        assert whole.shape == ((9, 12, 11) if characters else (9, 3, 2))
        for sizes in ([1] * 9, [4, 5]):
            assert torch.allclose(torch.cat([model(part) for part in inputs.split(sizes)]), whole, atol=1e-5)


@pytest.mark.parametrize("make", [*LANGUAGE_MODELS.values(), *FORECASTERS.values()])
def test_weights_come_from_the_seed_and_all_learn(make):
    def built():
        torch.manual_seed(3)
        return make()

    one, other = built(), built()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    characters = isinstance(one, CharacterRNN | CharacterTransformer)
    inputs = torch.randint(11, (5, 12)) if characters else torch.randn(5, 12, 2)
    targets = torch.randint(11, (5, 12)) if characters else torch.randn(5, 3, 2)
    (LanguageModel() if characters else Forecasting()).loss(one, inputs, targets).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in one.parameters())


def test_dropout_is_drawn_from_the_seed_and_only_in_training():
    inputs = torch.randint(11, (4, 12))
    for model in (CharacterRNN(11, hidden=8, layers=2, dropout=0.5), CharacterTransformer(11, 12, 8, 2, dropout=0.5)):
        draws = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(model(inputs))
        assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])
        model.eval()
        assert torch.equal(model(inputs), model(inputs))


def test_an_lstm_begins_by_remembering():
    cells = Cells("lstm", 3, hidden=4, layers=2, dropout=0.0)
    for layer in cells.layers:
        assert torch.equal((layer.bias_ih_l0 + layer.bias_hh_l0)[4:8], torch.ones(4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Forecaster("tree"), "model.cell=tree is unknown; known: rnn, lstm, gru"),
        (lambda: Forecaster(layers=0), "model.layers=0"),
        (lambda: CharacterTransformer(width=10, heads=4), "model.width=10 is no multiple of model.heads=4"),
        (lambda: AutoRegression(order=9)(torch.zeros(1, 8, 1)), "model.order=9 is above data.window=8"),
        (lambda: CharacterTransformer(context=8)(torch.zeros(1, 9, dtype=torch.int64)), "model.context=8 is less"),
    ],
)
def test_models_that_cannot_be_are_named(make, message):
    with pytest.raises(SettingError, match=message):
        make()


# --- tasks ---


def test_measured_means_do_not_depend_on_order_or_chunks():
    torch.manual_seed(0)
    for task, make, inputs, targets in (
        (Forecasting(), FORECASTERS["ar"], torch.randn(20, 12, 2), torch.randn(20, 3, 2)),
        (LanguageModel(), LANGUAGE_MODELS["lstm"], torch.randint(11, (20, 12)), torch.randint(11, (20, 12))),
    ):
        model = make().eval().requires_grad_(False)
        whole = task.measure(model, inputs, targets)
        assert tuple(whole) == task.metrics
        order = torch.randperm(20)
        parts = [task.measure(model, inputs[at], targets[at]) for at in order.split([7, 12, 1])]
        for metric in task.metrics:
            assert whole[metric].shape == ()
            assert sum(float(part[metric]) for part in parts) == pytest.approx(float(whole[metric]), rel=1e-6)
        assert float(whole["loss"]) == pytest.approx(float(task.loss(model, inputs, targets)), rel=1e-5)


class Fixed(torch.nn.Module):
    """Gives what it is told."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs):
        return self.outputs


def test_metrics_by_hand():
    targets = torch.tensor([[[0.0], [2.0]], [[1.0], [1.0]]])
    measured = Forecasting().measure(Fixed(targets + torch.tensor([[[1.0], [3.0]], [[0.0], [-2.0]]])), targets, targets)
    assert {name: float(value) for name, value in measured.items()} == {"mse": 7.0, "mae": 3.0, "loss": 7.0}

    targets = torch.tensor([[0, 1], [2, 3]])
    logits = torch.zeros(2, 2, 4)
    logits[0, 0, 0] = 100.0  # certain and right; three times without any idea, where the first index wins
    measured = LanguageModel().measure(Fixed(logits), targets, targets)
    assert float(measured["bits_per_character"]) == pytest.approx(3 * 2.0 / 2)
    assert float(measured["loss"]) == pytest.approx(3 * math.log(4.0) / 2)
    assert float(measured["accuracy"]) == 0.5


def test_outputs_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match=r"forecasts of shape \(2, 1, 1\) for targets of shape \(2, 3, 1\)"):
        Forecasting().loss(Fixed(torch.zeros(2, 1, 1)), torch.zeros(2, 5, 1), torch.zeros(2, 3, 1))
    characters = torch.zeros(2, 5, dtype=torch.int64)
    with pytest.raises(SettingError, match=r"logits of shape \(2, 11\)"):
        LanguageModel().measure(Fixed(torch.zeros(2, 11)), characters, characters)


def test_a_series_of_other_columns_than_the_model_is_named():
    with pytest.raises(SettingError, match="model.num_columns=2, and the data has 3; use model.num_columns=3"):
        Forecasting().loss(AutoRegression(order=5, num_columns=2), torch.zeros(4, 9, 3), torch.zeros(4, 8, 3))
