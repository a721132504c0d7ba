"""Networks on devices: exported segments that skip, without Keras or TensorFlow.

`zoo.deploy.export` writes a folder, `zoo.deploy.runner` is what runs it there.
"""
