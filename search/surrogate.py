"""Surrogates: cheap predictors of what training a candidate would give.

Each is a scikit-learn regressor, so `fit(X, y)` and `predict(X)` are the interface.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

FOLDS = 3


class AdaptiveRegressor(RegressorMixin, BaseEstimator):
    """Whichever of three regressors ranks best under cross-validation.

    Kernel ridge regression with radial basis functions, a Gaussian process and bagged
    regression trees compete by Kendall's tau, as in NSGANetV2 (Lu et al., ECCV 2020).

    Args:
        seed: Seed of folds and trees.

    Attributes:
        chosen: Name of the winner, after `fit`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Any, y: Any) -> AdaptiveRegressor:
        """Choose and fit; `X` is `(samples, features)`, `y` is `(samples,)`."""
        candidates = {
            "rbf": KernelRidge(kernel="rbf", alpha=0.1),
            "gp": GaussianProcessRegressor(
                ConstantKernel() * Matern(10.0, nu=2.5) + WhiteKernel(0.1),
                normalize_y=True,
                random_state=self.seed,
            ),
            "cart": BaggingRegressor(
                DecisionTreeRegressor(), n_estimators=50, random_state=self.seed
            ),
        }
        candidates = {name: scaled(each) for name, each in candidates.items()}
        folds = KFold(min(FOLDS, len(y)), shuffle=True, random_state=self.seed)
        # Several threads wait for each other most of the time: the matrices are small.
        with quiet(), threadpool_limits(1, "blas"):
            taus = {}
            for name, each in candidates.items():
                try:
                    taus[name] = kendall(y, cross_val_predict(each, X, y, cv=folds))
                except (np.linalg.LinAlgError, ValueError):  # it has no solution
                    taus[name] = -np.inf
            self.chosen = max(taus, key=lambda name: taus[name])
            self._regressor = candidates[self.chosen].fit(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions of shape `(samples,)`."""
        return self._regressor.predict(X)


def scaled(regressor: Any) -> Any:
    """The regressor with inputs and target brought to mean 0 and deviation 1."""
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor), transformer=StandardScaler()
    )


def _mlp(seed: int) -> Any:
    """The authors' network: three hidden layers of 300 ReLU units, full-batch Adam.

    A penalty on the weights stands in for their dropout, and inputs and target are
    scaled. It trains for 100 steps: on few samples, holding some out to choose the best
    of 2,000, as they do, predicted worse.
    """
    return scaled(
        MLPRegressor(
            hidden_layer_sizes=(300, 300, 300),
            learning_rate_init=8e-4,
            batch_size=1_000_000,  # cut down to all samples
            max_iter=100,
            alpha=1.0,
            random_state=seed,
        )
    )


SURROGATES: dict[str, Callable[[int], Any]] = {
    "mlp": _mlp,
    "adaptive": AdaptiveRegressor,
}


def surrogate(name: str, seed: int = 0) -> Any:
    """A new surrogate by name: "mlp" or "adaptive".

    Raises:
        ValueError: The name is unknown.
    """
    if name not in SURROGATES:
        raise ValueError(
            f"The surrogate is {name!r}; choose from {', '.join(SURROGATES)}."
        )
    return SURROGATES[name](seed)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings that a fit stopped early or a batch was cut: both are intended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Got `batch_size`")
        yield


def kendall(truth: Any, predicted: Any) -> float:
    """Kendall's tau-b, -1..1; 0 where one side is constant."""
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(stats.kendalltau(truth, predicted).statistic)


def spearman(truth: Any, predicted: Any) -> float:
    """Spearman's rank correlation, -1..1; 0 where one side is constant."""
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(stats.spearmanr(truth, predicted).statistic)


def quality(truth: Any, predicted: Any) -> dict[str, float]:
    """How good predictions were: `n`, `rmse`, `spearman`, `kendall`."""
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    return {
        "n": len(truth),
        "rmse": float(np.sqrt(np.mean((truth - predicted) ** 2))),
        "spearman": spearman(truth, predicted),
        "kendall": kendall(truth, predicted),
    }
