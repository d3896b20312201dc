"""The table holds the numbers it was given."""

from io import StringIO

from rich.console import Console

from widthwise.report.tables import prediction_table


def text(table, width=100):
    stream = StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def test_the_numbers_are_in_the_table(shown):
    printed = text(prediction_table(**shown))
    for part in (
        "0.13579 ± 0.012", "0.15000", "0.905", "0.012340", "97.5 %", "0.32100", "-123.46", "0.75", "width 200",
        "infinite width", "sound", "τρ 0.12", "0 against 1", "200 training and 100 test", "temperature 0.01",
        "precisions 1, 2.5", "2e-13",
    ):  # fmt: skip
        assert part in printed, part


def test_a_regression_has_no_accuracy(shown):
    shown["data"] |= {"task": "regression", "classes": []}
    assert "accuracy" not in text(prediction_table(**shown))


def test_it_fits_a_narrow_terminal(shown):
    assert max(map(len, text(prediction_table(**shown), 80).splitlines())) <= 80
    assert "…" not in text(prediction_table(**shown), 80)


def test_numbers_that_are_missing_show_as_a_dash(shown):
    shown["score"].negative_log_likelihood = float("nan")
    shown["infinite_score"].total = 0.0
    assert "–" in text(prediction_table(**shown))
