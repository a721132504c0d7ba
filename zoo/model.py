"""The generic early-exit model: losses, metrics, thresholds, budgets, inference."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo import backends, exits, records, tensors
from zoo.checks import check_thresholds
from zoo.cost import Cost, count
from zoo.exits import OperatingPoint
from zoo.inference import Segments, check_images
from zoo.runtime import EarlyPrediction


@keras.saving.register_keras_serializable(package="aebnas")
class EarlyExitModel(keras.Model):
    """An image classifier that can answer part-way through.

    `model(images)` gives the logits of every exit as one tensor, so that `compile`,
    `fit(x, y)` with one label per image, `evaluate`, `predict`, `save` and `export` are
    plain Keras. `predict_early` stops computing for the images that leave early.

    Args:
        images: Symbolic input of shape `(batch, height, width, 3)`.
        features: Symbolic tensor that the head of each exit is applied to. It must be
            all that the rest of the network needs of what comes before it. The final
            head's may be left out: then that head is the last layer alone.
        logits: Symbolic logits of each exit, the final classifier's last, each of shape
            `(batch, classes)`.
        cost: The `zoo.Cost` of the network in "standard" MACs. Default: counted from
            its layers.
        thresholds: One per exit but the last, in 0..1; 1 switches the exit off.
            Default: all 1.
        exit_rule: "score_margin", "max_probability" or "entropy"; see `zoo.exits`.
        exit_weights: Weight of each exit's loss, the final one last. Default: all 1.
        frontier: See the attribute.
        class_names: See the attribute.

    Input shape: `(batch, height, width, 3)`, RGB in 0..255 as uint8 or float.
    Output shape: `(batch, exits, classes)`, logits, the final classifier last.

    Attributes:
        frontier: Pareto-optimal threshold settings measured on validation images, as a
            tuple of `zoo.exits.OperatingPoint` in "standard" MACs, cheapest first;
            empty until measured. `set_budget` chooses among them.
        class_names: Names of the classes, or None.
        num_classes: Number of classes.
        macs: The `zoo.Cost` of the network in "standard" MACs.
        exit_features: Symbolic tensor that each head but the last is applied to.
        final_features: That of the final head.
        exit_logits: Symbolic logits of each exit.

    Raises:
        ValueError: The numbers of features, logits and thresholds do not match.

    Reference:
        BranchyNet, Teerapittayanon et al., ICPR 2016.
    """

    def __init__(
        self,
        images: Any,
        features: Sequence[Any],
        logits: Sequence[Any],
        cost: Cost | None = None,
        thresholds: Sequence[float] | None = None,
        exit_rule: str = "score_margin",
        exit_weights: Sequence[float] | None = None,
        frontier: Sequence[OperatingPoint | Mapping[str, Any]] = (),
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if len(features) not in (len(logits) - 1, len(logits)):
            raise ValueError(
                f"There are {len(features)} features and logits of {len(logits)} "
                "exits; expected features of every exit, or of all but the final one."
            )
        exits.check_rule(exit_rule)
        super().__init__(inputs=images, outputs=ops.stack(logits, axis=1), **kwargs)
        self.num_classes = int(logits[-1].shape[-1])
        self._exit_rule = exit_rule
        self.exit_logits = tuple(logits)
        early = len(logits) - 1
        self.exit_features = tuple(features[:early])
        (self.final_features,) = features[early:] or backends.call_of(logits[-1]).inputs
        # Held in an object that Keras does not look into: neither metrics nor segments
        # belong to the weights.
        self._untracked = _Untracked(len(logits))
        self.macs: Cost = count(self) if cost is None else cost
        self.frontier = tuple(
            point
            if isinstance(point, OperatingPoint)
            else records.convert(point, OperatingPoint, "frontier")
            for point in frontier
        )
        self.class_names = tuple(class_names) if class_names else None
        self.exit_weights = exit_weights
        off = (1.0,) * early
        self.thresholds = off if thresholds is None else thresholds

    @property
    def backbone(self) -> keras.Model:
        """The network without heads: from images to the features at every exit.

        It shares its layers: `model.backbone.trainable = False` freezes them in this
        model, too; compile again afterwards.
        """
        if self._untracked.backbone is None:
            features = [*self.exit_features, self.final_features]
            self._untracked.backbone = keras.Model(
                self.inputs[0], features, name=f"{self.name}_backbone"
            )
        return self._untracked.backbone

    @property
    def heads(self) -> tuple[keras.Model, ...]:
        """The head of each exit, from features to logits, the final one last.

        They share their layers with this model, as `backbone` does.
        """
        if self._untracked.heads is None:
            features = [*self.exit_features, self.final_features]
            self._untracked.heads = tuple(
                keras.Model(each, logits, name=f"{self.name}_head{k}")
                for k, (each, logits) in enumerate(zip(features, self.exit_logits), 1)
            )
        return self._untracked.heads

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
                f"exit_weights has {len(values)} entries; expected {self.num_exits}, "
                "the final classifier's last."
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
        """Compile again what holds old values of thresholds or exit weights."""
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)

    def cost(self, convention: str = "standard") -> Cost:
        """What the network computes for one image.

        Args:
            convention: How MACs are counted. Networks that no `Architecture` describes
                support only "standard".

        Raises:
            ValueError: The network cannot be counted in that convention.
        """
        if convention != "standard":
            raise ValueError(
                f"convention is {convention!r}; {self.name} supports only 'standard'."
            )
        return self.macs

    def conventions(self) -> tuple[str, ...]:
        """The conventions in which `cost` can count this network."""
        return ("standard",)

    def exit_names(self) -> tuple[str, ...]:
        """What to call the exits, the final classifier last."""
        return (*(f"exit {k}" for k in range(1, self.num_exits)), "final")

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
        return self.segments().run(images, self.thresholds, self.exit_rule, batch_size)

    def segments(self) -> Segments:
        """The compiled sub-models that `predict_early` runs, one per exit in use."""
        off = tuple(threshold == 1 for threshold in self.thresholds)
        cache = self._untracked.segments
        if off not in cache:
            cache[off] = Segments(
                self.inputs[0], self.exit_features, self.exit_logits, self.thresholds
            )
        return cache[off]

    def set_budget(
        self,
        average_macs: float,
        images: Any = None,
        labels: Any = None,
        convention: str = "standard",
    ) -> OperatingPoint:
        """Set the most accurate thresholds within an average number of MACs.

        Args:
            average_macs: Highest allowed average MACs per image, a count.
            images: Images to choose on. Default: choose from `frontier`.
            labels: Their labels.
            convention: How to count; see `cost`.

        Returns:
            The chosen `OperatingPoint`, in that convention.

        Raises:
            ValueError: The budget cannot be met (the message says what can), or there
                is neither a frontier nor images.
        """
        cost = self.cost(convention)
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
        confidences = tensors.RULES[self.exit_rule](y_pred)
        taken = ops.one_hot(
            tensors.first_exit(confidences, self.thresholds), self.num_exits
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

    def with_new_classifiers(self, num_classes: int) -> EarlyExitModel:
        """A copy with new classifiers of random weights, for fine-tuning.

        Every layer whose name ends in "classifier" is new; all others keep their
        weights. The copy shares none with this model.

        Args:
            num_classes: Number of classes of the copy.
        """
        config = self._config_for(num_classes)
        new = type(self).from_config(config | {"frontier": (), "class_names": None})
        for layer in self.layers:
            if layer.weights and not layer.name.endswith("classifier"):
                new.get_layer(layer.name).set_weights(layer.get_weights())
        return new

    def _config_for(self, num_classes: int) -> dict[str, Any]:
        """The configuration with other classifiers."""
        config = self.get_config()
        for layer in config["network"]["config"]["layers"]:
            if layer["config"]["name"].endswith("classifier"):
                layer["config"]["units"] = int(num_classes)
        return config | {"cost": None}

    def get_config(self) -> dict[str, Any]:
        """Everything but the weights, as `from_config` reads it."""
        network = keras.Model(
            self.inputs[0],
            [*self.exit_features, self.final_features, *self.exit_logits],
            name="network",  # not a new name at every call
        )
        return {
            "network": keras.saving.serialize_keras_object(network),
            "cost": asdict(self.macs),
            **self._state(),
        }

    def _state(self) -> dict[str, Any]:
        """The part of the configuration that does not say what the layers are."""
        return {
            "thresholds": list(self.thresholds),
            "exit_rule": self.exit_rule,
            "exit_weights": self.exit_weights and list(self.exit_weights),
            "frontier": records.to_dict(self.frontier),
            "class_names": self.class_names and list(self.class_names),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EarlyExitModel:
        """Build from what `get_config` gave; weights are random."""
        config = copy.deepcopy(dict(config))  # Keras empties what it reads
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        cost = config.pop("cost")
        outputs = network.outputs
        features = len(outputs) // 2  # saved before 0.2 without those of the final head
        return cls(
            network.inputs[0],
            outputs[:features],
            outputs[features:],
            cost and records.convert(cost, Cost, "cost"),
            **config,
        )


class _Untracked:
    """What a model keeps that is neither weight nor configuration."""

    def __init__(self, num_exits: int) -> None:
        names = [f"exit{k}_accuracy" for k in range(1, num_exits)]
        self.metrics = [
            keras.metrics.Mean(name)
            for name in ("accuracy", *names, "final_accuracy", "average_macs")
        ]
        self.segments: dict[tuple[bool, ...], Segments] = {}
        self.backbone: keras.Model | None = None
        self.heads: tuple[keras.Model, ...] | None = None


_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
