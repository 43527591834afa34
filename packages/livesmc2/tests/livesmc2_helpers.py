"""A constant and a function that models of test_machine_code refer to through this module."""

SCALE = 2.0


def twice(value: float) -> float:
    return 2.0 * value
