"""Training: recipes, one compiled step with augmentation in it, resume after a kill."""

from __future__ import annotations

import csv
import ctypes
import hashlib
import importlib.util
import json
import os
import pathlib
import sys
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo import augmentation, exits, soft_exits
from zoo.cost import macs
from zoo.data import Dataset, Split
from zoo.files import replacing, write_text
from zoo.model import EarlyExitClassifier

AUGMENTATIONS = ("none", "shift", "resized_crop")


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD with Nesterov momentum and a cosine schedule per step.

    Args:
        name: What the records call it.
        epochs: Passes over the training images.
        batch_size: Images in a step.
        learning_rate: Its peak.
        warmup_epochs: Epochs of linear increase before the cosine; may be a fraction.
        momentum: Of SGD.
        weight_decay: Coefficient of the L2 penalty on all weights.
        clip_norm: Largest global norm of a gradient; None: no clipping.
        augmentation: "none", "shift" (pad-and-crop by 4 pixels) or "resized_crop".
            Mirroring is added for data sets whose classes survive it.
        erase: Share of the images from which a random rectangle is erased.
        crop: Central share of an image that is looked at outside training.
        distillation: Share of each exit's loss that is its distance to a teacher's
            answer: a teacher model's, else for the branches the final exit's own.
        temperature: Of the softmax in the distillation.
        soft_exits: Train as NACHOS does, in three phases: the final exit alone; then
            the mixture of all exits by their confidences, plus `cost_weight` x L_cost;
            then also `peak_weight` x L_peak. See `zoo.soft_exits`.
        phases: Shares of the training that the first two phases take.
        macs_limit: Average MACs above which L_cost counts; None: no such term.
        convention: How the limit counts MACs; see `zoo.macs`.
        cost_weight: Of L_cost.
        peak_weight: Of L_peak.

    Raises:
        ValueError: A value is out of range.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: float = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None
    augmentation: str = "shift"
    erase: float = 0.0
    crop: float = 1.0
    distillation: float = 0.0
    temperature: float = 2.0
    soft_exits: bool = False
    phases: tuple[float, float] = (0.3, 0.4)
    macs_limit: float | None = None
    convention: str = "standard"
    cost_weight: float = 1.0
    peak_weight: float = 1.0

    def __post_init__(self) -> None:
        tiny, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max
        limits = {
            "epochs": (1, most),
            "batch_size": (1, most),
            "learning_rate": (tiny, most),
            "warmup_epochs": (0, self.epochs),
            "momentum": (0, 0.9999),
            "weight_decay": (0, most),
            "clip_norm": (tiny, most),
            "erase": (0, 1),
            "crop": (0.1, 1),
            "distillation": (0, 1),
            "temperature": (tiny, most),
            "macs_limit": (tiny, most),
            "cost_weight": (0, most),
            "peak_weight": (0, most),
        }
        for field, (low, high) in limits.items():
            value = getattr(self, field)
            if value is None and field in ("clip_norm", "macs_limit"):
                continue
            if not low <= value <= high:  # so written, NaN is refused, too
                least = "above 0" if low == tiny else f"{low} or more"
                most_text = "" if high == most else f", at most {high}"
                raise ValueError(
                    f"Recipe.{field} is {value!r}; expected {least}{most_text}."
                )
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(
                f"Recipe.augmentation is {self.augmentation!r}; expected "
                f"{', '.join(AUGMENTATIONS)}."
            )
        object.__setattr__(self, "phases", tuple(self.phases))
        if len(self.phases) != 2 or min(self.phases) < 0 or sum(self.phases) > 1:
            raise ValueError(
                f"Recipe.phases is {self.phases!r}; expected two shares, 0 or "
                "more, together at most 1."
            )
        if self.soft_exits and self.distillation:
            raise ValueError(
                "Recipe.soft_exits and Recipe.distillation are both on; the soft-exit "
                "losses know no teacher. Turn one off."
            )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # AEBNAS's training of a candidate (arXiv 2512.10671), from random weights.
        Recipe(
            "paper",
            epochs=5,
            batch_size=256,
            learning_rate=0.01,
            weight_decay=4e-5,
            clip_norm=1.0,
            augmentation="resized_crop",
            crop=0.875,
        ),
        Recipe(
            "long",
            epochs=60,
            batch_size=128,
            learning_rate=0.06,
            warmup_epochs=2,
            weight_decay=5e-4,
            distillation=0.3,
        ),
        # A few epochs from random weights: the most accuracy for the least time, to
        # rank the candidates of a search.
        Recipe(
            "short",
            epochs=2,
            batch_size=32,
            learning_rate=0.05,
            warmup_epochs=0.2,
            augmentation="none",
        ),
    )
}


def recipe(name: str, **changes: Any) -> Recipe:
    """One of `RECIPES`, with some of its fields changed.

    With fewer epochs the warm-up is shortened to at most a tenth of them.

    Raises:
        ValueError: There is no such recipe, or a value is out of range.
    """
    if name not in RECIPES:
        raise ValueError(
            f"There is no recipe {name!r}; choose from {', '.join(RECIPES)}."
        )
    base = RECIPES[name]
    if "epochs" in changes and "warmup_epochs" not in changes:
        changes["warmup_epochs"] = min(base.warmup_epochs, changes["epochs"] / 10)
    unknown = sorted(set(changes) - {field.name for field in fields(Recipe)})
    if unknown:
        raise ValueError(f"A recipe has no {', '.join(unknown)}.")
    return replace(base, **changes)


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


def train(
    model: EarlyExitClassifier,
    dataset: Dataset,
    recipe: Recipe,
    folder: str | os.PathLike | None = None,
    seed: int = 1,
    teacher: keras.Model | None = None,
    verbose: str | int = "auto",
    validate: bool = True,
) -> dict[str, Any]:
    """Train a model in place.

    With a folder, every epoch ends in a checkpoint, replaced atomically; the same call
    after an interruption continues with the next epoch and takes the same course as
    an uninterrupted run. The folder also gets `log.csv` and, where TensorFlow and
    TensorBoard are installed, `tensorboard/`.

    Args:
        model: What to train.
        dataset: Trained on its `train` part, watched on `validation`.
        recipe: How.
        folder: Where checkpoint and logs go; None: nowhere.
        seed: Seed of the order of the images and of the augmentation. The initial
            weights are the model's.
        teacher: Another classifier of the same classes to learn from, where the recipe
            distils; if it gives several exits' logits, its last exit teaches.
        verbose: Keras's: "auto" or 1 shows a progress bar, 2 a line an epoch, 0
            nothing.
        validate: Whether to measure the validation images after every epoch. Without,
            one graph less is compiled.

    Returns:
        `epochs`, `seconds` (of all sittings), `images_per_second` and `final`: the last
        epoch's logs.

    Raises:
        ValueError: The folder holds another training, the classes, the crop or the
            teacher do not fit, or there are no images.
        FloatingPointError: The loss became NaN or infinite.
    """
    if dataset.num_classes != model.num_classes:
        raise ValueError(
            f"The model has {model.num_classes} classes, {dataset.name} has "
            f"{dataset.num_classes}."
        )
    for part in ("train", "validation"):
        if not len(getattr(dataset, part).labels):
            raise ValueError(f"{dataset.name} has no images in its {part} part.")
    if model.crop != recipe.crop:
        raise ValueError(
            f"The model's crop is {model.crop}, the recipe's is {recipe.crop}: build "
            f"the model with crop={recipe.crop}."
        )
    if teacher is not None:
        _check_teacher(teacher, recipe, dataset)
    batch_size = min(recipe.batch_size, len(dataset.train.labels))
    batches = _Batches(dataset.train, batch_size, seed)
    steps = recipe.epochs * len(batches)
    augmented = augment(recipe, dataset.flip, seed)
    trainer = _Trainer(model, augmented, recipe, teacher, steps)
    trainer.compile(_optimizer(recipe, len(batches)))
    trainer.build((None, *dataset.train.images.shape[1:]))
    trainer.optimizer.build(trainer.trainable_variables)

    callbacks: list[keras.callbacks.Callback] = [_Epoch(), _KeepFreedMemory()]
    log: list[dict[str, Any]] = []
    if folder is not None:
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "model": model.get_config() | {"name": None, "thresholds": None},
            "data": dataset.fingerprint,
            "recipe": asdict(recipe),
            "seed": seed,
            "teacher": None if teacher is None else _weights_digest(teacher),
        }
        checkpoint = folder / "checkpoint.weights.h5"
        _check_same_training(folder, settings, resumes=checkpoint.exists())
        if checkpoint.exists():
            trainer.load_weights(checkpoint)
            steps = int(ops.convert_to_numpy(trainer.optimizer.iterations))
            batches.start_at(steps // len(batches))
        log = _trimmed_log(folder / "log.csv", batches.epoch)
        callbacks += [
            keras.callbacks.CSVLogger(folder / "log.csv", append=True),
            *_tensorboard(folder),
            _Checkpoint(checkpoint),
        ]
    history = trainer.fit(
        batches,
        validation_data=tuple(dataset.validation) if validate else None,
        validation_batch_size=min(500, len(dataset.validation.labels)),
        initial_epoch=batches.epoch,
        epochs=recipe.epochs,
        callbacks=callbacks,
        shuffle=False,  # Keras would shuffle the order of the batches anew
        verbose=verbose,
    ).history
    log += [dict(zip(history, row)) for row in zip(*history.values())]
    if not log:
        raise ValueError(f"{folder} holds a finished training, but its log is gone.")
    seconds = sum(float(row["seconds"]) for row in log)
    return {
        "epochs": len(log),
        "seconds": round(seconds, 1),
        "images_per_second": round(len(log) * len(batches) * batch_size / seconds),
        "final": {k: float(value) for k, value in log[-1].items() if k != "epoch"},
    }


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    steps = recipe.epochs * steps_per_epoch
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    peak = recipe.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(
        peak / warmup if warmup else peak,
        max(steps - warmup, 1),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
    return _SGD(
        schedule,
        name="sgd",
        momentum=recipe.momentum,
        nesterov=True,
        global_clipnorm=recipe.clip_norm,
        # Keras decays weights beside the momentum. A penalty's gradient runs through
        # it, which makes it 1 / (1 - momentum) times as strong.
        weight_decay=recipe.weight_decay / (1 - recipe.momentum) or None,
    )


class _SGD(keras.optimizers.SGD):
    """SGD that leaves nothing behind.

    TensorFlow keeps every graph with an all-reduce in it for good, about 100 MB for
    every network that a process trains. One replica has nothing to reduce.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)


class _Trainer(keras.Model):
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
            self.teacher = keras.models.clone_model(teacher)
            self.teacher.set_weights(teacher.get_weights())
            self.teacher.trainable = False

    def build(self, input_shape):
        self.augmentation.build(input_shape)
        self.built = True

    def call(self, images, training=False):
        if not training:
            return self.model(images, training=False)
        images = self.augmentation(images, training=True)
        logits = self.model(images, training=True)
        if self.teacher is None:
            return logits
        taught = self.teacher(images, training=False)
        taught = taught[:, -1:] if len(taught.shape) == 3 else taught[:, None]
        return ops.concatenate([logits, taught], axis=1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        own = self.model.num_exits
        if training and self.recipe.soft_exits and own > 1:
            return self._soft_exit_loss(y, y_pred)
        losses = self.model.exit_losses(y, y_pred[:, :own], sample_weight)
        share = self.recipe.distillation if training else 0.0
        if share:
            # The last of y_pred teaches: the teacher, else the final exit.
            taught = ops.stop_gradient(y_pred[:, -1])
            for k in range(y_pred.shape[1] - 1):
                soft = _divergence(taught, y_pred[:, k], self.recipe.temperature)
                losses[k] = (1 - share) * losses[k] + share * soft
        return self.model.total_loss(losses)

    def _soft_exit_loss(self, labels, logits):
        recipe = self.recipe
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        confidences = exits.confidence(logits, self.model.exit_rule)
        shares = soft_exits.weights(confidences)
        alone = self.model.exit_losses(labels, logits)[-1]
        mixed = soft_exits.cross_entropy(labels, logits, shares)
        if recipe.macs_limit is not None:
            spent = macs(
                self.model.architecture, self.model.num_classes, recipe.convention
            ).per_exit
            mixed += recipe.cost_weight * soft_exits.cost(
                shares, spent, recipe.macs_limit
            )
        peak = recipe.peak_weight * soft_exits.peak(labels, logits, confidences)
        done = ops.cast(self.optimizer.iterations, "float32") / self.steps
        first, second = recipe.phases
        mixed += ops.where(done >= first + second, peak, 0.0)
        return ops.where(done >= first, mixed, alone)

    @property
    def metrics(self):
        return [self._loss_tracker, *self.model.exit_metrics]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
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


class _Batches(keras.utils.PyDataset):
    """Full batches in an order that depends on seed and epoch alone."""

    def __init__(self, split: Split, batch_size: int, seed: int) -> None:
        # Two threads have Keras switch off the autotuning of TensorFlow's input (2.21),
        # the end of which can take as long as the training where cores are scarce.
        super().__init__(workers=2)
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        self.epoch = epoch
        rng = np.random.default_rng([self.seed, epoch])
        self.order = rng.permutation(len(self.split.labels))

    def __len__(self) -> int:
        return len(self.order) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.split.images[rows].astype(np.float32), self.split.labels[rows]

    def on_epoch_end(self) -> None:
        self.start_at(self.epoch + 1)


class _Epoch(keras.callbacks.Callback):
    """Makes an epoch repeatable, times it and stops at a broken loss."""

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        # The augmentation's only variables are (seed, counter) pairs. A counter that
        # depends on the epoch lets a resumed training draw what it would have drawn.
        for state in self.model.augmentation.variables:
            seed = ops.convert_to_numpy(state)[0]
            state.assign(np.array([seed, epoch << 20], state.dtype))

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss is {logs['loss']} in epoch {epoch + 1}: the training "
                "diverged. A lower learning rate or clip_norm may help."
            )
        logs["seconds"] = round(time.perf_counter() - self.started, 2)


class _KeepFreedMemory(keras.callbacks.Callback):
    """Has glibc keep what TensorFlow frees, which saves page faults in every step.

    When TensorFlow (2.21) first reads batches from Python it tells glibc to return even
    small pieces to the system. A training step frees and asks again for all of its
    activations: with batches of 32 a third of the CPU's time went into that.
    """

    def __init__(self) -> None:
        super().__init__()
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.mallopt = getattr(libc, "mallopt", None)  # other C libraries have none

    def on_train_batch_begin(self, batch, logs=None):
        if self.mallopt is not None:
            self.mallopt(-1, 2**30)  # M_TRIM_THRESHOLD, bytes
            self.mallopt(-3, 2**25)  # M_MMAP_THRESHOLD, bytes: the most that is allowed


class _Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizer and random state after each epoch, whole or not."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        with replacing(self.path) as temporary:
            self.model.save_weights(temporary)


def _tensorboard(folder: pathlib.Path) -> list[keras.callbacks.Callback]:
    """TensorBoard's callback where what it needs is installed."""
    if not all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]


def _check_teacher(teacher: keras.Model, recipe: Recipe, dataset: Dataset) -> None:
    if not recipe.distillation:
        raise ValueError(
            "There is a teacher, but Recipe.distillation is 0: nothing would be learnt "
            "from it."
        )
    if teacher.output_shape[-1] != dataset.num_classes:
        raise ValueError(
            f"The teacher has {teacher.output_shape[-1]} classes, {dataset.name} has "
            f"{dataset.num_classes}."
        )


def _weights_digest(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights))
    return digest.hexdigest()[:16]


def _check_same_training(
    folder: pathlib.Path, settings: dict[str, Any], resumes: bool
) -> None:
    """Note the settings in the folder, or raise if it holds a training with others."""
    path = folder / "training.json"
    settings = json.loads(json.dumps(settings))
    if resumes and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in settings if settings[key] != before.get(key))
        if changed:
            raise ValueError(
                f"{folder} holds a training with another {', '.join(changed)}. Use "
                "the same settings to continue it, or another folder."
            )
    write_text(path, json.dumps(settings, indent=1))


def _trimmed_log(path: pathlib.Path, epochs: int) -> list[dict[str, Any]]:
    """The first rows of the log; later ones belong to an epoch that was interrupted."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epochs]
    with replacing(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
    return rows
