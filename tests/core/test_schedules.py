import pytest

from core.schedules import linear


@pytest.mark.parametrize(
    ("clock", "steps", "value"),
    [(0, 4, 3.0), (1, 4, 2.5), (2, 4, 2.0), (4, 4, 1.0), (9, 4, 1.0), (0, 0, 3.0), (1, 0, 1.0)],
)
def test_a_straight_line_that_stays_at_its_end(clock: int, steps: int, value: float) -> None:
    assert linear(clock, steps, 3.0, 1.0) == value


def test_a_step_size_falls_to_exactly_nothing() -> None:
    assert linear(700, 700, 2.5e-4, 0.0) == 0.0
