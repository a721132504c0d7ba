"""The generic early-exit model: losses, metrics, thresholds, budgets, inference.

One class, most of it documentation; what its methods compute is in other modules.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo import backends, exits, inputs, losses, records, tensors, weights
from zoo.checks import (
    check_number,
    check_target,
    check_thresholds,
    check_weights,
    whole_number,
)
from zoo.cost import Cost, count
from zoo.exits import OperatingPoint
from zoo.inference import Segments
from zoo.names import valid_name
from zoo.operating_points import check_points
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
        **kwargs: For Keras, such as `name`; what it does not allow in one becomes "_".

    Input shape: `(batch, height, width, 3)`, RGB in 0..255 as uint8 or float.
    Output shape: `(batch, exits, classes)`, logits, the final classifier last.

    Attributes:
        frontier: Pareto-optimal threshold settings measured on validation images, as a
            tuple of `zoo.exits.OperatingPoint` in "standard" MACs, cheapest first;
            empty until measured, and after `fit`. `set_budget` chooses among them.
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
        if isinstance(kwargs.get("name"), str):
            kwargs["name"] = valid_name(kwargs["name"])
        super().__init__(inputs=images, outputs=ops.stack(logits, axis=1), **kwargs)
        self.num_classes = int(logits[-1].shape[-1])
        self._exit_rule = exit_rule
        self.exit_logits = tuple(logits)
        early = len(logits) - 1
        self.exit_features = tuple(features[:early])
        (self.final_features,) = features[early:] or backends.call_of(logits[-1]).inputs
        # Held in an object that Keras does not look into: neither metrics nor segments
        # belong to the weights.
        self._untracked = _Untracked(tensors.means(len(logits)))
        self.macs: Cost = count(self) if cost is None else cost
        self.frontier = tuple(
            point
            if isinstance(point, OperatingPoint)
            else records.convert(point, OperatingPoint, "frontier")
            for point in frontier
        )
        check_points(self.frontier, len(logits))
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
        if values is not None:
            values = check_weights("exit_weights", values, self.num_exits)
        self._exit_weights = values
        self._forget_compiled_steps()

    @property
    def thresholds(self) -> tuple[float, ...]:
        """One per exit but the last; may be set. 1 switches an exit off.

        Training keeps them, although they were chosen for other weights: see `tune`.
        """
        return self._thresholds

    @property
    def thresholds_are_stale(self) -> bool:
        """Whether the model was trained after its thresholds were set."""
        return self._untracked.stale and any(t < 1 for t in self.thresholds)

    @thresholds.setter
    def thresholds(self, values: Sequence[float]) -> None:
        self._thresholds = check_thresholds(values, count=self.num_exits - 1)
        self._untracked.stale = False
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
            images: Shape `(images, height, width, 3)`, RGB in 0..255; or data that
                comes in batches, such as a `tf.data.Dataset`, whose labels are ignored.
            batch_size: Images computed at once. Those that stay are gathered into full
                batches before the next segment runs.

        Returns:
            `EarlyPrediction(labels, probabilities, exits, confidences)`, NumPy arrays.

        Raises:
            ValueError: The images have another shape or dtype, or are not finite.
        """
        batch_size = whole_number("batch_size", batch_size, 1)
        if inputs.is_batched(images):
            parts = [
                self.predict_early(x, batch_size) for x, _ in inputs.batches(images)
            ]
            if not parts:
                raise ValueError("There are no images.")
            return EarlyPrediction(*map(np.concatenate, zip(*parts)))
        images = inputs.check_images(images)
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
            images: Images to choose on; see `tune`. Default: choose from `frontier`.
            labels: Their labels.
            convention: How to count; see `cost`.

        Returns:
            The chosen `OperatingPoint`, in that convention.

        Raises:
            ValueError: The budget cannot be met (the message says what can), or there
                is neither a frontier nor images.
        """
        check_number("average_macs", average_macs)
        if images is not None:
            return self.tune(
                images, labels, max_macs=average_macs, convention=convention
            )
        cost = self.cost(convention)
        if not self.frontier:
            raise ValueError(
                "This model has no measured frontier: pass images and labels that it "
                "was not trained on."
            )
        points = [exits.recount(point, cost) for point in self.frontier]
        chosen = exits.within_budget(points, average_macs)
        self.thresholds = chosen.thresholds
        return chosen

    def tune(
        self,
        images: Any,
        labels: Any = None,
        *,
        max_macs: float | None = None,
        target_macs: float | None = None,
        convention: str = "standard",
    ) -> OperatingPoint:
        """Measure `frontier` on images, and set the thresholds that are best there.

        Thresholds fit the weights that they were chosen for, so call this after
        training.

        Args:
            images: Images that the model was not trained on, RGB in 0..255; or data
                that comes in batches of images and labels, such as a `tf.data.Dataset`.
            labels: Their labels, integers or one-hot; None for data in batches.
            max_macs: The most that an image may cost on average, a count. Default: no
                limit, accuracy alone.
            target_macs: Choose by the paper's score for this many average MACs instead;
                see `zoo.exits.tune_thresholds`.
            convention: How to count; see `cost`.

        Returns:
            The chosen `OperatingPoint`, in that convention.

        Raises:
            ValueError: Images or labels are not usable, the budget cannot be met (the
                message says what can), or both kinds of budget are given.

        Example:
            >>> model.fit(images, labels)
            >>> model.tune(other_images, other_labels, max_macs=1e6)
        """
        if max_macs is not None and target_macs is not None:
            raise ValueError("max_macs and target_macs are two ways; give one of them.")
        if max_macs is not None:
            check_number("max_macs", max_macs)
        if target_macs is not None:
            check_target("target_macs", target_macs)
        cost, rule = self.cost(convention), self.exit_rule
        answer = self.predict_on_batch
        if not inputs.is_batched(images):
            answer = functools.partial(super().predict, batch_size=256, verbose=0)
        answers = [
            (answer(x), exits.check_labels(y, len(x), self.num_classes))
            for x, y in inputs.whole(images, labels)
        ]
        logits, known = map(np.concatenate, zip(*answers))
        points = exits.frontier(logits, known, cost, rule=rule)
        if target_macs is not None:
            chosen = exits.tune_thresholds(
                logits, known, cost, target_macs=target_macs, rule=rule
            )
        else:
            limit = points[-1].average_macs if max_macs is None else max_macs
            chosen = exits.within_budget(points, limit)
        self.thresholds = chosen.thresholds
        self.frontier = (
            points
            if cost == self.macs
            else exits.frontier(logits, known, self.macs, rule=rule)
        )
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

        Without one, or with the name of one, it is the cross-entropy. A loss of your
        own must take logits of shape `(batch, classes)`.
        """
        found = self.exit_losses(y, y_pred, sample_weight)
        return self.total_loss(found) + sum(self.losses)

    def exit_losses(self, y: Any, y_pred: Any, sample_weight: Any = None) -> list:
        """The loss of each exit, a list of scalars.

        Raises:
            ValueError: The loss given to `compile` does not take logits.
        """
        given = getattr(self, "loss", None)
        loss, y = losses.of_logits(given, y, self.num_classes)
        return [
            loss(y, y_pred[:, k], sample_weight=sample_weight)
            for k in range(self.num_exits)
        ]

    def total_loss(self, exit_losses: Sequence[Any]) -> Any:
        """Sum of the exits' losses by `exit_weights`."""
        shares = self.exit_weights or (1.0,) * self.num_exits
        return sum(share * loss for share, loss in zip(shares, exit_losses))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics; those given to `compile` see the exit rule's logits."""
        chosen = self.update_exit_metrics(y, y_pred, sample_weight)
        super().compute_metrics(x, y, chosen, sample_weight)
        return self.get_metrics_result()

    def update_exit_metrics(self, y: Any, y_pred: Any, sample_weight: Any = None):
        """Update `exit_metrics`; returns the logits that the exit rule chooses."""
        values, chosen = tensors.measured(
            y_pred,
            losses.classes(y, self.num_classes),
            self.thresholds,
            self.exit_rule,
            self.macs.per_exit_at(self.thresholds),
        )
        for metric, value in zip(self.exit_metrics, values):
            metric.update_state(value, sample_weight)
        return chosen

    def fit(self, x=None, y=None, *args, **kwargs):
        """Keras's `fit`; images and labels in arrays are checked first.

        The weights change, so that `frontier` is emptied; the thresholds stay, and are
        stale. `tune` chooses them anew.

        Raises:
            ValueError: Images or labels in arrays are not usable.
            FloatingPointError: The weights became NaN or infinite.
        """
        inputs.check_arrays(x, y, self.inputs[0].shape, self.num_classes)
        self.weights_change()
        history = super().fit(x, y, *args, **kwargs)
        broken = weights.not_finite(self)
        if broken:
            raise FloatingPointError(
                f"The weights {broken} became NaN or infinite: the training diverged, "
                "or images are not finite. Load the weights again; a lower learning "
                "rate or clipped gradients may help."
            )
        return history

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Keras's `evaluate`; images and labels in arrays are checked first."""
        inputs.check_arrays(x, y, self.inputs[0].shape, self.num_classes)
        return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Keras's `predict`, the logits of every exit; arrays are checked first."""
        inputs.check_arrays(x, None, self.inputs[0].shape, self.num_classes)
        return super().predict(x, *args, **kwargs)

    def weights_change(self) -> None:
        """Forget what was measured with the weights that a training is to change."""
        self.frontier = ()
        self._untracked.stale = True

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

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Keras's `export`; the exported function gives every exit's logits.

        A SavedModel of TensorFlow takes images of any size. Everywhere else the size is
        fixed: that of the network, or that of `input_signature`, such as
        `[keras.InputSpec(shape=(None, 48, 64, 3), dtype="float32")]`. What it exports
        does not skip; see `zoo.export`.

        Raises:
            ValueError: The size is needed and not known; nothing is written.
        """
        anywhere = format == "tf_saved_model"
        if anywhere and keras.backend.backend() == "tensorflow":
            return super().export(filepath, format, verbose, input_signature, **kwargs)
        from zoo.deploy.graphs import of_fixed_size

        model, signature = of_fixed_size(self, input_signature)
        return keras.Model.export(model, filepath, format, verbose, signature, **kwargs)

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

    def __init__(self, metrics: list[keras.metrics.Metric]) -> None:
        self.metrics = metrics
        self.segments: dict[tuple[bool, ...], Segments] = {}
        self.backbone: keras.Model | None = None
        self.heads: tuple[keras.Model, ...] | None = None
        self.stale = False  # trained since the thresholds were set
