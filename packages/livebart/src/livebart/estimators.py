"""`BARTRegressor` and `BARTClassifier`: scikit-learn estimators."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtr
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from livebart.errors import NotConverged
from livebart.messages import Sink
from livebart.model.columns import (
    MAX_CUTS,
    Column,
    active_columns,
    chosen_categories,
    describe,
    encode,
    is_frame,
    learn_columns,
    number_categories,
    numeric_frame,
    sorted_categories,
    frame_values,
)
from livebart.model.forest import Forest, tree_as_data
from livebart.model.problem import Prior, Problem, make_problem
from livebart.runtime.chain import Chain
from livebart.runtime.checkpoint import Store
from livebart.runtime.run import Plan, new_chains, run
from livebart.summary import Summary, summarize

_WATCHED_ROWS = 20
