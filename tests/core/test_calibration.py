"""The calibration error, by hand: the router and the evaluation have this one."""

from __future__ import annotations

import numpy as np
import pytest

from core.calibration import bin_of, calibration_error
from evaluation.choice_metrics import expected_calibration_error


def test_by_hand() -> None:
    assert calibration_error(np.array([0.9, 0.9]), np.array([True, False])) == pytest.approx(0.4)
    one_bin_each = np.array([0.8, 0.6, 0.9]), np.array([True, False, True])
    assert calibration_error(*one_bin_each) == pytest.approx((0.2 + 0.6 + 0.1) / 3)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    confidence = np.array([0.0, 0.05, 0.1, 0.11, 0.5, 0.51, 0.9, 0.91, 1.0])
    assert bin_of(confidence).tolist() == [0, 0, 0, 1, 4, 5, 8, 9, 9]


def test_an_evaluation_has_the_same() -> None:
    on_an_edge = np.array([0.5, 0.45]), np.array([True, False])
    assert calibration_error(*on_an_edge) == pytest.approx(0.025)
    judged = expected_calibration_error(*on_an_edge)
    assert judged.over_all() == calibration_error(*on_an_edge)
