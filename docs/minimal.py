"""An early-exit network in plain Keras: build it, train it, and skip with it.

Run it with `python docs/minimal.py`; it takes about half a minute. It needs Keras and
scikit-learn, but not this package, whose models do the same for any network.
"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1) / 16
x_train, x_test, y_train, y_test = train_test_split(images, labels, random_state=0)


# The network: three stages, and a classifier (an "exit") after each of them.
def stage(x, width, stride):
    """A convolution with normalisation and activation."""
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def head(x):
    """A classifier on a feature map; it returns logits."""
    return layers.Dense(10)(layers.Flatten()(x))


keras.utils.set_random_seed(0)
pictures = keras.Input((8, 8, 1))
features = [stage(pictures, 4, 2)]
features.append(stage(features[-1], 16, 1))
features.append(stage(features[-1], 64, 2))
exits = [head(x) for x in features]

# Training: every exit learns the labels, and the losses are added up.
network = keras.Model(pictures, exits)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
network.compile("adam", loss=[loss] * 3)
network.fit(x_train, [y_train] * 3, epochs=40, batch_size=64, verbose=0)

# Skipping: the same layers, cut into one segment per exit. A segment continues where
# the one before it stopped, and returns features and logits.
starts = [pictures, *features[:-1]]
segments = [
    keras.Model(start, [x, logits]) for start, x, logits in zip(starts, features, exits)
]
# MACs of each segment: output pixels x 9 x input channels x output channels for the
# convolution, plus values of the feature map x classes for the classifier.
macs = np.array([16 * 9 * 4, 16 * 9 * 4 * 16, 4 * 9 * 16 * 64])
macs += np.array([16 * 4 * 10, 16 * 16 * 10, 4 * 64 * 10])


def predict_early(images, threshold):
    """Labels and exits; an image leaves once its top probability is high enough."""
    answers, left = np.empty(len(images), int), np.empty(len(images), int)
    rows, x = np.arange(len(images)), images
    for k, segment in enumerate(segments):
        x, logits = segment.predict(x, verbose=0)
        probability = np.asarray(keras.ops.softmax(logits))
        sure = probability.max(1) >= (threshold if k < 2 else 0)
        answers[rows[sure]], left[rows[sure]] = probability[sure].argmax(1), k
        rows, x = rows[~sure], x[~sure]  # only the others continue
        if not len(rows):
            break
    return answers, left


for threshold in (0.5, 0.7, 0.9, 0.99):
    answers, left = predict_early(x_test, threshold)
    shares = np.bincount(left, minlength=3) / len(left)
    print(
        f"threshold {threshold}: accuracy {np.mean(answers == y_test):.1%}, "
        f"{np.cumsum(macs)[left].mean():,.0f} average MACs, shares {shares.round(2)}"
    )
