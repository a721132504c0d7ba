"""What one training step computes: augmentation, losses, distillation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo import backends, tensors
from zoo.training import augmentation, soft_exits
from zoo.training.recipes import Recipe


def augment(recipe: Recipe, flip: bool, seed: int) -> keras.layers.Layer:
    """The recipe's augmentation as a Keras layer on images in 0..255.

    Args:
        recipe: The recipe.
        flip: Whether to mirror half of the images.
        seed: Seed of the random numbers.
    """
    parts: list[keras.layers.Layer] = []
    if recipe.augmentation == "shift":
        parts.append(augmentation.RandomShift(4, seed=seed))
    elif recipe.augmentation == "resized_crop":
        parts.append(augmentation.RandomResizedCrop(seed=seed))
    if flip and recipe.augmentation != "none":
        parts.append(
            keras.layers.RandomFlip(
                "horizontal", seed=seed + 1, data_format="channels_last"
            )
        )
    if recipe.erase:
        parts.append(
            keras.layers.RandomErasing(
                (recipe.erase, recipe.erase),
                value_range=(0, 255),
                seed=seed + 2,
                data_format="channels_last",
            )
        )
    return keras.Sequential(parts or [keras.layers.Identity()], name="augmentation")


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, its learning rate a cosine schedule per step."""
    steps = recipe.epochs * steps_per_epoch
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    peak = recipe.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(
        peak / warmup if warmup else peak,
        max(steps - warmup, 1),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
    if recipe.optimizer == "adam":
        return backends.Adam(
            schedule,
            name="adam",
            global_clipnorm=recipe.clip_norm,
            weight_decay=recipe.weight_decay or None,
        )
    return backends.SGD(
        schedule,
        name="sgd",
        momentum=recipe.momentum,
        nesterov=True,
        global_clipnorm=recipe.clip_norm,
        # Keras decays weights beside the momentum. A penalty's gradient runs through
        # it, which makes it 1 / (1 - momentum) times as strong.
        weight_decay=recipe.weight_decay / (1 - recipe.momentum) or None,
    )


class Trainer(keras.Model):
    """A network behind its augmentation and beside its teacher.

    Everything is in one compiled step, on the device, and none of it stays in the
    trained network.
    """

    def __init__(self, model, augmentation, recipe, teacher, steps=1):
        super().__init__(name="trainer")
        self.steps = steps  # of the whole training
        self.model = model
        self.augmentation = augmentation
        self.recipe = recipe
        self.teacher = None
        if teacher is not None:  # a frozen copy, so that the caller's stays as it is
            self.teacher = type(teacher).from_config(teacher.get_config())
            self.teacher.set_weights(teacher.get_weights())
            self.teacher.trainable = False

    def build(self, input_shape):
        """Build the augmentation; the network is built already."""
        self.augmentation.build(input_shape)
        self.built = True

    def call(self, inputs, training=False):
        """Logits of every exit, in training followed by the teacher's, if any.

        Args:
            inputs: Images; or images and the teacher's logits for them.
            training: Whether this is a step of the training.
        """
        if not training:
            return self.model(inputs, training=False)
        images, taught = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        images = self.augmentation(images, training=True)
        logits = self.model(images, training=True)
        if self.teacher is not None:
            taught = self.teacher(images, training=False)
        if taught is None:
            return logits
        taught = taught[:, -1:] if len(taught.shape) == 3 else taught[:, None]
        return ops.concatenate([logits, taught], axis=1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The exits' losses, with the recipe's distillation or soft exits."""
        own = self.model.num_exits
        if training and self.recipe.soft_exits and own > 1:
            return self._soft_exit_loss(y, y_pred)
        losses = self.model.exit_losses(y, y_pred[:, :own], sample_weight)
        smoothing = self.recipe.label_smoothing if training else 0.0
        if smoothing:
            for k in range(own):
                spread = -ops.mean(ops.log_softmax(y_pred[:, k]))
                losses[k] = (1 - smoothing) * losses[k] + smoothing * spread
        share = self.recipe.distillation if training else 0.0
        if share:
            # The last of y_pred teaches: the teacher, else the final exit.
            taught = ops.stop_gradient(y_pred[:, -1])
            for k in range(y_pred.shape[1] - 1):
                soft = _divergence(taught, y_pred[:, k], self.recipe.temperature)
                losses[k] = (1 - share) * losses[k] + share * soft
        if training and self.recipe.scheme == "mixed":
            all_exits = ops.cast(self._done() >= 0.5, "float32")
            losses[:-1] = [loss * all_exits for loss in losses[:-1]]
        return self.model.total_loss(losses)

    def _done(self):
        """Share of the training that is done, a scalar tensor."""
        return ops.cast(self.optimizer.iterations, "float32") / self.steps

    def _soft_exit_loss(self, labels, logits):
        recipe = self.recipe
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        confidences = tensors.RULES[self.model.exit_rule](logits)
        shares = soft_exits.weights(confidences)
        alone = self.model.exit_losses(labels, logits)[-1]
        mixed = soft_exits.cross_entropy(labels, logits, shares)
        if recipe.macs_limit is not None:
            spent = self.model.cost(recipe.convention).per_exit
            mixed += recipe.cost_weight * soft_exits.cost(
                shares, spent, recipe.macs_limit
            )
        peak = recipe.peak_weight * soft_exits.peak(labels, logits, confidences)
        done = self._done()
        first, second = recipe.phases
        mixed += ops.where(done >= first + second, peak, 0.0)
        return ops.where(done >= first, mixed, alone)

    @property
    def metrics(self):
        """The loss, and what the network measures at its exits."""
        return [backends.loss_tracker(self), *self.model.exit_metrics]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics, without the teacher's logits."""
        logits = y_pred[:, : self.model.num_exits]
        self.model.update_exit_metrics(y, logits, sample_weight)
        return self.get_metrics_result()


def _divergence(taught: Any, logits: Any, temperature: float) -> Any:
    """Kullback-Leibler divergence of softened answers, times the squared temperature.

    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015.
    """
    target = ops.log_softmax(taught / temperature)
    answer = ops.log_softmax(logits / temperature)
    divergence = ops.sum(ops.exp(target) * (target - answer), axis=-1)
    return temperature**2 * ops.mean(divergence)
