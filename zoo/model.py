"""The Keras model of an `Architecture`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo import exits, layers
from zoo.architecture import STAGE_KINDS, Architecture, check_thresholds
from zoo.cost import Cost, macs
from zoo.inference import EarlyPrediction, Segments, check_images


@keras.saving.register_keras_serializable(package="aebnas")
class EarlyExitClassifier(keras.Model):
    """An image classifier that can answer part-way through.

    `model(images)` gives the logits of every exit as one tensor, so that `compile`,
    `fit(x, y)` with one label per image, `evaluate`, `predict`, `save` and `export` are
    plain Keras. `predict_early` stops computing for the images that leave early.

    Args:
        architecture: What to build; an `Architecture` or the dictionary of one.
        num_classes: Number of classes.
        thresholds: One per existing exit, in 0..1; 1 switches the exit off. Default:
            the architecture's.
        exit_rule: "score_margin", "max_probability" or "entropy"; see `zoo.exits`.
        exit_weights: Weight of each exit's loss, the final one last. Default: all 1.
        crop: Share of an image's height and width that is kept, around the centre,
            outside training; see `zoo.layers.FitResolution`.

    Input shape: `(batch, height, width, 3)`, any height and width, RGB in 0..255 as
    uint8 or float. Resizing and normalisation are inside.
    Output shape: `(batch, exits, num_classes)`, logits, the final classifier last.

    Attributes:
        frontier: Pareto-optimal threshold settings measured on validation images, as a
            tuple of `zoo.exits.OperatingPoint` in "standard" MACs, cheapest first;
            empty until measured. `set_budget` chooses among them. `zoo.save` keeps it
            and `class_names`; Keras's own `save` does not.
        class_names: Names of the classes, or None.
        macs: The `zoo.Cost` of the network in "standard" MACs.
        exit_features: Symbolic feature map at each exit but the last.
        exit_logits: Symbolic logits of each exit.

    Example:
        >>> import zoo
        >>> model = zoo.EarlyExitClassifier(architecture, num_classes=10)
        >>> model.compile("adam")
        >>> model.fit(images, labels)
        >>> labels, probabilities, exits, confidences = model.predict_early(images)

    Reference:
        AEBNAS, arXiv 2512.10671; BranchyNet, Teerapittayanon et al., ICPR 2016.
    """

    def __init__(
        self,
        architecture: Architecture | Mapping[str, Any],
        num_classes: int,
        thresholds: Sequence[float] | None = None,
        exit_rule: str = "score_margin",
        exit_weights: Sequence[float] | None = None,
        crop: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if not isinstance(architecture, Architecture):
            architecture = Architecture.from_dict(architecture)
        cost = macs(architecture, num_classes)
        num_classes = int(num_classes)  # NumPy's integers are no JSON
        images = keras.Input((None, None, 3), name="images")
        x = layers.stem(layers.preprocess(images, architecture.resolution, crop))
        features, logits = [], []
        for position, (stage, kind) in enumerate(zip(architecture.stages, STAGE_KINDS)):
            for i, block in enumerate(stage.blocks):
                x = layers.inverted_residual(
                    x,
                    kind,
                    block.kernel,
                    block.expansion,
                    stride=kind.stride if i == 0 else 1,
                    name=f"stage{position + 1}_block{i + 1}",
                )
            if position in architecture.exits:
                branch = architecture.branches[position]
                name = f"exit{position + 1}"
                features.append(x)
                logits.append(layers.exit_branch(x, branch, num_classes, name))
        logits.append(layers.final_head(x, num_classes))
        super().__init__(inputs=images, outputs=ops.stack(logits, axis=1), **kwargs)

        self.architecture = architecture
        self.num_classes = num_classes
        self._exit_rule = exit_rule
        self.crop = crop
        self.macs: Cost = cost
        self.frontier: tuple[exits.OperatingPoint, ...] = ()
        self.class_names: tuple[str, ...] | None = None
        self.exit_logits = tuple(logits)
        self.exit_features = tuple(features)
        # Held in an object that Keras does not look into: neither metrics nor segments
        # belong to the weights.
        self._untracked = _Untracked(len(logits))
        exits.check_rule(exit_rule)
        self.exit_weights = exit_weights
        self.thresholds = (
            architecture.exit_thresholds if thresholds is None else thresholds
        )

    @property
    def num_exits(self) -> int:
        """Number of exits, the final classifier counted."""
        return len(self.exit_logits)

    @property
    def exit_rule(self) -> str:
        """Which confidence the thresholds are compared with."""
        return self._exit_rule

    @property
    def exit_weights(self) -> tuple[float, ...] | None:
        """Weight of each exit's loss, the final one last; None: all 1. May be set."""
        return self._exit_weights

    @exit_weights.setter
    def exit_weights(self, values: Sequence[float] | None) -> None:
        if values is not None and len(values) != self.num_exits:
            raise ValueError(
                f"exit_weights has {len(values)} entries; expected "
                f"{self.num_exits}, the final classifier's last."
            )
        self._exit_weights = None if values is None else tuple(map(float, values))
        self._forget_compiled_steps()

    @property
    def thresholds(self) -> tuple[float, ...]:
        """One per exit but the last; may be set. 1 switches an exit off."""
        return self._thresholds

    @thresholds.setter
    def thresholds(self, values: Sequence[float]) -> None:
        self._thresholds = check_thresholds(values, count=self.num_exits - 1)
        self._forget_compiled_steps()

    def _forget_compiled_steps(self) -> None:
        """Compile anew what holds old values of thresholds or exit weights."""
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)

    def predict_early(self, images: Any, batch_size: int = 256) -> EarlyPrediction:
        """Predict, and stop computing for each image at the exit where it leaves.

        Same labels and exits as the exit rule applied to the logits of `predict`.

        Args:
            images: Shape `(images, height, width, 3)`, RGB in 0..255.
            batch_size: Images computed at once. Those that stay are gathered into full
                batches before the next segment runs.

        Returns:
            `EarlyPrediction(labels, probabilities, exits, confidences)`, NumPy arrays.

        Raises:
            ValueError: The images have another shape or dtype.
        """
        images = check_images(images)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected 1 or more.")
        return self.segments().run(images, self.thresholds, batch_size)

    def segments(self) -> Segments:
        """The compiled sub-models that `predict_early` runs, one per exit in use."""
        off = tuple(threshold == 1 for threshold in self.thresholds)
        cache = self._untracked.segments
        if off not in cache:
            cache[off] = Segments(
                self.inputs[0],
                self.exit_features,
                self.exit_logits,
                self.thresholds,
                self.exit_rule,
            )
        return cache[off]

    def set_budget(
        self,
        average_macs: float,
        images: Any = None,
        labels: Any = None,
        convention: str = "standard",
    ) -> exits.OperatingPoint:
        """Set the thresholds that answer best within an average number of MACs.

        Args:
            average_macs: The most that an image may cost on average, a count.
            images: Images to choose on. Default: choose from `frontier`.
            labels: Their labels.
            convention: How to count; see `zoo.macs`.

        Returns:
            The chosen `OperatingPoint`, in that convention.

        Raises:
            ValueError: The budget cannot be met (the message says what can), or there
                is neither a frontier nor images.
        """
        cost = macs(self.architecture, self.num_classes, convention)
        if images is not None:
            logits = self.predict(check_images(images), verbose=0)
            points = exits.frontier(logits, labels, cost, rule=self.exit_rule)
        elif self.frontier:
            points = [exits.recount(point, cost) for point in self.frontier]
        else:
            raise ValueError(
                "This model has no measured frontier: pass images and labels that it "
                "was not trained on."
            )
        chosen = exits.within_budget(points, average_macs)
        self.thresholds = chosen.thresholds
        return chosen

    @property
    def metrics(self) -> list:
        """Keras's metrics and `exit_metrics`."""
        return [*super().metrics, *self.exit_metrics]

    @property
    def exit_metrics(self) -> list:
        """Accuracy by the exit rule, accuracy of each exit, average MACs."""
        return self._untracked.metrics

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Weighted sum over the exits of the loss given to `compile`.

        Without one it is the cross-entropy. A loss of your own must take logits of
        shape `(batch, classes)`.
        """
        losses = self.exit_losses(y, y_pred, sample_weight)
        return self.total_loss(losses) + sum(self.losses)

    def exit_losses(self, y: Any, y_pred: Any, sample_weight: Any = None) -> list:
        """The loss of each exit, a list of scalars.

        Raises:
            ValueError: The loss given to `compile` does not take logits.
        """
        loss = getattr(self, "loss", None) or _CROSS_ENTROPY
        if not getattr(loss, "from_logits", isinstance(loss, keras.losses.Loss)):
            raise ValueError(
                f"loss is {loss!r}; the outputs are logits, so leave the loss out "
                "or pass an object that takes logits, such as "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
            )
        return [
            loss(y, y_pred[:, k], sample_weight=sample_weight)
            for k in range(self.num_exits)
        ]

    def total_loss(self, losses: Sequence[Any]) -> Any:
        """Sum of the exits' losses by `exit_weights`."""
        weights = self.exit_weights or (1.0,) * self.num_exits
        return sum(weight * loss for weight, loss in zip(weights, losses))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics; those given to `compile` see the exit rule's logits."""
        chosen = self.update_exit_metrics(y, y_pred, sample_weight)
        super().compute_metrics(x, y, chosen, sample_weight)
        return self.get_metrics_result()

    def update_exit_metrics(self, y: Any, y_pred: Any, sample_weight: Any = None):
        """Update `exit_metrics`; returns the logits that the exit rule chooses."""
        confidences = exits.confidence(y_pred, self.exit_rule)
        taken = ops.one_hot(
            exits.first_exit(confidences, self.thresholds), self.num_exits
        )
        y = ops.cast(ops.reshape(y, (-1,)), "int32")
        correct = ops.cast(
            ops.equal(ops.cast(ops.argmax(y_pred, -1), "int32"), y[:, None]), "float32"
        )
        spent = ops.convert_to_tensor(self.macs.per_exit_at(self.thresholds), "float32")
        values = [
            ops.sum(correct * taken, -1),
            *(correct[:, k] for k in range(self.num_exits)),
            ops.sum(taken * spent, -1),
        ]
        for metric, value in zip(self.exit_metrics, values):
            metric.update_state(value, sample_weight)
        return ops.sum(y_pred * ops.cast(taken[:, :, None], y_pred.dtype), axis=1)

    def fit(self, x=None, y=None, *args, **kwargs):
        """Keras's `fit`; labels in an array are checked first."""
        self._check_labels(y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Keras's `evaluate`; labels in an array are checked first."""
        self._check_labels(y)
        return super().evaluate(x, y, *args, **kwargs)

    def _check_labels(self, labels: Any) -> None:
        if isinstance(labels, np.ndarray):
            exits.check_labels(labels, len(labels), self.num_classes)

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Keras's `export`; the exported function gives every exit's logits.

        On JAX, which cannot export a resize from unknown sizes, the default input is
        `(batch, resolution, resolution, 3)`; `input_signature` sets another size.
        """
        if input_signature is None and keras.backend.backend() == "jax":
            side = self.architecture.resolution
            shape = (None, side, side, 3)
            input_signature = [keras.InputSpec(shape=shape, dtype="float32")]
        return super().export(filepath, format, verbose, input_signature, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "architecture": self.architecture.to_dict(),
            "num_classes": self.num_classes,
            "thresholds": list(self.thresholds),
            "exit_rule": self.exit_rule,
            "exit_weights": self.exit_weights,
            "crop": self.crop,
            "name": self.name,
        }


class _Untracked:
    """What a model keeps that is neither weight nor configuration."""

    def __init__(self, num_exits: int) -> None:
        names = [f"exit{k}_accuracy" for k in range(1, num_exits)]
        self.metrics = [
            keras.metrics.Mean(name)
            for name in ("accuracy", *names, "final_accuracy", "average_macs")
        ]
        self.segments: dict[tuple[bool, ...], Segments] = {}


_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
