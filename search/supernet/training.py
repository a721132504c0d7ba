"""Training of the shared weights: the largest network first, then all of them.

The sandwich rule of BigNAS (Yu et al., ECCV 2020): a step sums the gradients of the
largest, the smallest and some random sub-networks; all but the largest learn from its
answers. An interrupted training continues in the middle of an epoch and gives the same
result.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from search.supernet import choices, elastic, notes, shared, stored
from search.supernet.batches import Batches
from search.supernet.plan import Plan
from search.supernet.stored import About
from zoo import files, npz
from zoo.backends import KeepFreedMemory
from zoo.data import Dataset
from zoo.weights import digest

EXITS = ("exit1", "exit2", "exit3", "exit4", "final")


def train(
    folder: str | os.PathLike,
    dataset: Dataset,
    plan: Plan,
    teacher: np.ndarray | None = None,
    minutes: float = 4.0,
    stop_after: int | None = None,
    initial: str | os.PathLike | None = None,
    images: int | None = None,
) -> dict[str, np.ndarray]:
    """Train a supernet on a data set's `train` part; its other parts are not used.

    The folder gets `training.json`, `log.csv` (a line per epoch) and `checkpoint.npz`,
    replaced atomically. The same call continues an interrupted training. Phases that
    have not begun may be changed then, and so may the teacher, for such phases.

    Args:
        folder: Folder for checkpoint and logs.
        dataset: The data set.
        plan: How to train.
        teacher: Logits of a teacher for the training images, `(images, classes)`, or
            for them and their mirror images, `(2, images, classes)`. The largest
            network learns from them.
        minutes: Between two checkpoints; there is one after every epoch, too.
        stop_after: Steps after which to stop, for tests and measurements.
        initial: A supernet to start from; see `search.supernet.stored.path_of`. Weights
            of other shapes, such as classifiers of other classes, start at random.
        images: How many of the first training images to train on; None: all.

    Returns:
        The shared weights by name.

    Raises:
        ValueError: The folder holds another training or a supernet of another source,
            or the teacher does not match.
        FloatingPointError: The loss became NaN or infinite.
    """
    folder = files.make_folder(folder)
    refusal = f"Another process is training in {folder}."
    with files.locked(folder / files.LOCK, refusal), files.naming_full_disk(folder):
        files.remove_partial(folder)
        return _train(
            folder, dataset, plan, teacher, minutes, stop_after, initial, images
        )


def _train(
    folder: pathlib.Path,
    dataset: Dataset,
    plan: Plan,
    teacher: np.ndarray | None,
    minutes: float,
    stop_after: int | None,
    initial: str | os.PathLike | None,
    images: int | None,
) -> dict[str, np.ndarray]:
    if (folder / stored.WEIGHTS).exists():
        raise ValueError(
            f"{folder} holds a supernet, {stored.WEIGHTS}, which would be taken for "
            "the trained one. Train in another folder."
        )
    trainer = Trainer(plan, dataset.num_classes)
    values, about = stored.read(initial) if initial is not None else ({}, About())
    trainer.start_from(values, about, dataset.fingerprint)
    dataset = dataclasses.replace(dataset, train=dataset.train.take(images))
    batches = Batches(dataset, plan, teacher)
    checkpoint = folder / stored.CHECKPOINT
    reached = None
    if checkpoint.exists():
        with np.load(checkpoint, allow_pickle=False) as arrays:
            reached = dict(arrays)
    step = 0 if reached is None else int(reached["step"])
    facts = {
        "data": dataset.fingerprint,
        "classes": dataset.num_classes,
        "initial": stored.digest(values) if initial is not None else None,
    }
    taught_by = None if teacher is None else digest([teacher])
    notes.check(folder, plan, facts, taught_by, step / len(batches))
    state = _State() if reached is None else trainer.restore(reached)
    notes.trim(folder / "log.csv", step // len(batches))
    saved = time.monotonic()
    while state.step < plan.epochs * len(batches):
        epoch, index = divmod(state.step, len(batches))
        for images, labels, targets in batches.of(epoch, index):
            started = time.perf_counter()
            state.sums += trainer.step(
                state.step, len(batches), images, labels, targets
            )
            state.step += 1
            state.seconds += time.perf_counter() - started
            if not np.isfinite(state.sums).all():
                raise FloatingPointError(
                    f"The loss is not finite in epoch {epoch + 1}: the training "
                    "diverged. A lower learning rate may help."
                )
            if state.step == stop_after:
                trainer.save(checkpoint, state)
                return trainer.values()
            if time.monotonic() - saved > 60 * minutes and state.step % len(batches):
                trainer.save(checkpoint, state)
                saved = time.monotonic()
        _log(folder / "log.csv", epoch, plan, state, len(batches))
        state = _State(state.step)
        trainer.save(checkpoint, state)
        saved = time.monotonic()
    return trainer.values()


class _State:
    """Where a training stands, and what its current epoch has summed up so far."""

    def __init__(self, step: int = 0, seconds: float = 0.0, sums: Any = None) -> None:
        self.step = step
        self.seconds = seconds
        self.sums = np.zeros(2 + 2 * len(EXITS)) if sums is None else sums


class Trainer:
    """The weights, their momentum and the compiled steps."""

    def __init__(self, plan: Plan, classes: int) -> None:
        self.plan = plan
        weights = shared.initial(classes, plan.seed)
        self.names = list(weights)
        self.weights = [tf.Variable(value) for value in weights.values()]
        self.momentum = [tf.Variable(tf.zeros_like(w)) for w in self.weights]
        self.about = About()
        self.of_largest = tf.function(self._of_largest, autograph=False)
        self.of_any = tf.function(self._gradients, autograph=False)
        self.apply = tf.function(self._apply, autograph=False)

    def start_from(
        self, values: Mapping[str, np.ndarray], about: About, data: str
    ) -> None:
        """Take over weights where names and shapes agree, before the first step.

        Args:
            values: Weights of another supernet by name, or none.
            about: What is known of it.
            data: Fingerprint of the data set that is trained on.
        """
        for name, weight in zip(self.names, self.weights):
            if name in values and values[name].shape == weight.shape:
                weight.assign(values[name].astype(np.float32))
        sizes = {size for phase in self.plan.phases for size in phase.resolutions}
        self.about = About(about.origin, tuple(sorted(sizes)), data)

    def step(
        self, step: int, per_epoch: int, images: Any, labels: Any, targets: Any
    ) -> np.ndarray:
        """Train on one batch.

        Returns:
            One, the loss of the largest network, the accuracies of its exits, and
            those of the smallest (zeros while the largest is alone).
        """
        plan = self.plan
        index, in_phase = plan.at(step // per_epoch)
        phase = plan.phases[index]
        rng = np.random.default_rng([plan.seed, 2, step])
        resolution = int(rng.choice(phase.resolutions))
        images, targets = tf.constant(images), tf.constant(targets)
        # Largest, fixed and random branches, so that all of them learn from the start.
        branches = choices.random_branches(rng, plan.fixed, largest=0.5)
        loss, logits, gradients = self.of_largest(
            images, targets, tf.constant(resolution), _tensors(branches)
        )
        found = [gradients]
        accuracies = [_accuracies(logits, labels), np.zeros(len(EXITS))]
        if phase.subnets:
            soft = tf.nn.softmax(logits[:, -1])
            others = [choices.smallest(resolution)]
            others += [
                choices.random(resolution, rng, plan.fixed)
                for _ in range(phase.subnets)
            ]
            for k, other in enumerate(others):
                _, answers, gradients = self.of_any(images, soft, _tensors(other))
                found.append(gradients)
                if k == 0:
                    accuracies[1] = _accuracies(answers, labels)
        rate = phase.rate(in_phase + (step % per_epoch + 1) / per_epoch)
        self.apply(found, tf.constant(rate, tf.float32))
        KeepFreedMemory().on_train_batch_begin(0)
        return np.concatenate([[1, float(loss)], *accuracies])

    def _of_largest(self, images, targets, resolution, branches):
        choice = choices.largest(self.plan.phases[0].resolutions[0])
        choice = choice._replace(**branches._asdict())
        return self._gradients(images, targets, choice._replace(resolution=resolution))

    def _gradients(self, images, targets, choice):
        """Summed cross-entropy of all exits; logits; gradients."""
        weights = [tf.convert_to_tensor(weight) for weight in self.weights]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            named = dict(zip(self.names, weights))
            logits, _ = elastic.forward(named, images, choice, origin=self.about.origin)
            scores = tf.nn.log_softmax(logits)
            loss = -tf.reduce_sum(targets[:, None] * scores, (1, 2))
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        return loss, logits, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _apply(self, gradients, rate):
        """SGD with Nesterov momentum on the clipped sum of the gradients."""
        plan = self.plan
        summed = [tf.add_n(same) for same in zip(*gradients)]
        summed, _ = tf.clip_by_global_norm(summed, plan.clip_norm)
        for name, weight, momentum, gradient in zip(
            self.names, self.weights, self.momentum, summed
        ):
            if name.endswith("/kernel"):
                gradient += plan.weight_decay * weight
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=weight.handle,
                accum=momentum.handle,
                lr=rate,
                grad=gradient,
                momentum=plan.momentum,
                use_nesterov=True,
            )

    def values(self) -> dict[str, np.ndarray]:
        """The shared weights by name."""
        return {n: w.numpy() for n, w in zip(self.names, self.weights)}

    def save(self, path: pathlib.Path, state: _State) -> None:
        """Write everything that continuing needs, whole or not at all."""
        arrays = stored.arrays(self.values(), self.about)
        for name, momentum in zip(self.names, self.momentum):
            arrays[f"momentum/{name}"] = momentum.numpy()
        npz.write(path, {**vars(state), **arrays})

    def restore(self, arrays: Any) -> _State:
        """Take over what `save` wrote."""
        for name, weight, momentum in zip(self.names, self.weights, self.momentum):
            weight.assign(arrays[f"weights/{name}"])
            momentum.assign(arrays[f"momentum/{name}"])
        return _State(int(arrays["step"]), float(arrays["seconds"]), arrays["sums"])


def _tensors(values: Any) -> Any:
    """A `Choice` or `Branches` of tensors."""
    return type(values)(*map(tf.constant, values))


def _accuracies(logits: Any, labels: np.ndarray) -> np.ndarray:
    """Share of right answers of every exit."""
    return (logits.numpy().argmax(-1) == labels[:, None]).mean(0)


def _log(
    path: pathlib.Path, epoch: int, plan: Plan, state: _State, per_epoch: int
) -> None:
    """Append one line to the log, and show it."""
    means = state.sums / state.sums[0]
    images = int(state.sums[0]) * plan.batch_size
    row: dict[str, Any] = {
        "epoch": epoch + 1,
        "phase": plan.at(epoch)[0] + 1,
        "loss": round(means[1], 4),
    }
    names = [f"largest_{name}" for name in EXITS] + [f"smallest_{n}" for n in EXITS]
    row |= {name: round(value, 4) for name, value in zip(names, means[2:])}
    row["seconds"] = round(state.seconds, 1)
    row["images_per_second"] = round(images / max(state.seconds, 1e-9), 1)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, row)
    if not path.exists():
        writer.writeheader()
    writer.writerow(row)
    before = path.read_bytes() if path.exists() else b""
    files.write_bytes(path, before + text.getvalue().encode("utf-8"))
    print(json.dumps(row), flush=True)
