"""Heads: what an exit is made of.

One class says everything about a kind of head: its data, its Keras layers, its cost,
its JSON, and its genes in a search. To add a kind, register a class:

    @zoo.heads.register("average")
    @dataclasses.dataclass(frozen=True)
    class Average(zoo.heads.Head):
        def build(self, features, num_classes, name):
            x = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(features)
            return zoo.layers.classifier(x, num_classes, name)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple, TypeVar

from zoo.arithmetic import (
    Convolution,
    pooled_head,
    resize_products,
)
from zoo.checks import choose, list_of, read_fields, require, require_types, tuple_of
from zoo.names import add, find

BRANCH_SIZES = (8, 10)
BRANCH_KERNELS = (3, 5)
BRANCH_EXPANSIONS = (1, 2)
MODULES = 2
INNER_SIZE = 3  # of feature maps within a branch, for its `parts`
# The authors' own options; a repeated one is only drawn more often by random search.
MODULE_SIZES = ((8, 8, 10), (0, 8, 10))  # 0: no second module
MODULE_GENES = {"kernel": (3, 3, 5), "expansion": (1, 1, 2), "pool": (0, 0, 1)}

H = TypeVar("H", bound="type[Head]")


class Gene(NamedTuple):
    """One choice of a search: its name and what its values 0, 1, ... mean.

    It has an effect only where each gene in `needs` has one of the given meanings.
    """

    name: str
    options: tuple[Any, ...]
    needs: tuple[tuple[str, tuple[Any, ...]], ...] = ()


class Part(NamedTuple):
    """A piece of a network that can be timed by itself.

    Attributes:
        name: Says all that its latency depends on; parts of one name are the same.
        shape: Of its input, `(height, width, channels)`.
        build: Applies its layers to a symbolic tensor of that shape.
    """

    name: str
    shape: tuple[int, int, int]
    build: Callable[[Any], Any]


class Head:
    """What an exit is made of; the base of every kind.

    A kind is a frozen data class with a `build` method, registered with `register`.
    All other methods have defaults: the cost is counted from the layers, JSON holds
    the fields, and there are no genes, so that a search gives every exit the same head.

    Attributes:
        name: Under which it is registered.
        ranks: Ranks of the features that it can be applied to, the batch counted: 4 for
            feature maps, 3 for tokens, 2 for vectors.
    """

    name: ClassVar[str] = ""
    ranks: ClassVar[tuple[int, ...]] = (4,)

    def build(self, features: Any, num_classes: int, name: str) -> Any:
        """Apply the head's layers.

        Args:
            features: Symbolic feature map, shape `(batch, height, width, channels)`.
            num_classes: Number of classes.
            name: What the layers' names begin with, such as "exit1". The classifier's
                is `name` followed by "_classifier".

        Returns:
            Symbolic logits of shape `(batch, num_classes)`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no build().")

    def cost(
        self, channels: int, size: int, num_classes: int, convention: str
    ) -> tuple[int, int]:
        """MACs (a count) and parameters on a `size` x `size` map of `channels`.

        Args:
            channels: Channels of the feature map.
            size: Its height and width.
            num_classes: Number of classes.
            convention: How to count; see `zoo.arithmetic`. The default method walks
                the layers and gives the same numbers in every convention.
        """
        import keras

        from zoo.cost import count_layers

        features = keras.Input((size, size, channels))
        return count_layers(features, self.build(features, num_classes, "exit"))

    def parts(self, channels: int, size: int, num_classes: int) -> tuple[Part, ...]:
        """The pieces whose latencies add up to the head's, for a table of latencies.

        The default is the head as a whole.

        Args:
            channels: Channels of the feature map.
            size: Its height and width.
            num_classes: Number of classes.
        """
        name = f"head {self.to_json()}: {channels} channels, {size} px"
        shape = (size, size, channels)
        return (Part(name, shape, lambda x: self.build(x, num_classes, "exit")),)

    def to_json(self) -> Any:
        """The head as JSON: its kind and its fields."""
        return {"head": self.name, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], field: str) -> Head:
        """Build from the fields in JSON; `field` names the place in messages.

        Raises:
            ValueError: A field is unknown or missing, or its value is not allowed.
        """
        return read_fields(cls, data, field, [f.name for f in fields(cls)])

    @classmethod
    def genes(cls) -> tuple[Gene, ...]:
        """What a search may choose about the head."""
        return ()

    @classmethod
    def from_genes(cls, values: Mapping[str, Any]) -> Head:
        """The head that genes describe, given their meanings by name."""
        return cls()

    def to_genes(self) -> dict[str, Any]:
        """The meanings of the genes that describe this head, by name."""
        return {}


_HEADS: dict[str, type[Head]] = {}


def register(name: str) -> Callable[[H], H]:
    """Class decorator that registers a kind of head under a name.

    Raises:
        ValueError: There is already a head of that name.
        TypeError: The class is not derived from `Head`.
    """

    def decorate(cls: H) -> H:
        if not issubclass(cls, Head):
            raise TypeError(f"{cls.__name__} is not derived from zoo.heads.Head.")
        add(_HEADS, "head", name, cls)
        cls.name = name
        return cls

    return decorate


def names() -> tuple[str, ...]:
    """Names of the registered heads."""
    return tuple(_HEADS)


def get(name: str) -> type[Head]:
    """The registered class of that name.

    Raises:
        ValueError: There is none.
    """
    return find(_HEADS, "head", name)


def from_json(data: Any, field: str = "head") -> Head:
    """The head that JSON describes.

    Args:
        data: An object with the kind in "head" and its fields; the name of a kind
            without fields; or a list of modules, which is a `Branch`.
        field: Name of the place in messages.

    Raises:
        ValueError: It describes no head.
    """
    if isinstance(data, str) and data in _HEADS:
        return get(data).from_json({}, field)
    if isinstance(data, Mapping) and "head" in data:
        try:
            kind = get(str(data["head"]))
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from error
        return kind.from_json({k: v for k, v in data.items() if k != "head"}, field)
    return Branch.from_json(data, field)


@dataclass(frozen=True)
class ConvModule:
    """One module of a searched branch.

    Bicubic resize of the feature map to `size` x `size`, convolution with stride 2 and
    no padding to `expansion` times the channels, batch normalisation, ReLU, and with
    `pool` a 2x2 max pooling of stride 2.
    """

    size: int
    kernel: int = 3
    expansion: int = 1
    pool: bool = False

    def __post_init__(self) -> None:
        choose(self, "size", BRANCH_SIZES)
        choose(self, "kernel", BRANCH_KERNELS)
        choose(self, "expansion", BRANCH_EXPANSIONS)
        if self.pool not in (0, 1):
            raise ValueError(f"ConvModule.pool is {self.pool!r}; expected True, False.")
        object.__setattr__(self, "pool", bool(self.pool))

    @property
    def convolved_size(self) -> int:
        """Height and width after the convolution."""
        return (self.size - self.kernel) // 2 + 1

    @property
    def output_size(self) -> int:
        """Height and width after the optional pooling."""
        return self.convolved_size // 2 if self.pool else self.convolved_size


@register("searched")
@dataclass(frozen=True)
class Branch(Head):
    """The searched branch of AEBNAS: one or two modules, global pooling, classifier.

    Reference:
        AEBNAS, arXiv 2512.10671.
    """

    modules: tuple[ConvModule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", tuple_of("Branch.modules", self.modules))
        require("The number of Branch.modules", len(self.modules), (1, MODULES))
        require_types("Branch.modules", self.modules, ConvModule)

    def build(self, features: Any, num_classes: int, name: str) -> Any:
        """Apply the branch's layers; see `Head.build`."""
        from zoo import layers

        x = features
        for i, module in enumerate(self.modules, 1):
            x = layers.resized_convolution(
                x,
                f"{name}_module{i}",
                module.size,
                module.kernel,
                module.expansion,
                module.pool,
            )
        return layers.classifier(layers.pooled(x, f"{name}_pool"), num_classes, name)

    def cost(
        self, channels: int, size: int, num_classes: int, convention: str
    ) -> tuple[int, int]:
        """MACs and parameters; see `Head.cost`."""
        total = parameters = 0
        for module in self.modules:
            if convention == "standard":
                total += resize_products(channels, size, module.size)
            outputs = channels * module.expansion
            conv = Convolution(module.convolved_size, channels, outputs, module.kernel)
            total += conv.macs
            parameters += conv.weights + 3 * outputs  # bias, scale and shift
            channels, size = outputs, module.output_size
        dense = channels * num_classes
        return total + dense, parameters + dense + num_classes

    def parts(self, channels: int, size: int, num_classes: int) -> tuple[Part, ...]:
        """Its modules and the classifier; see `Head.parts`.

        So that there are few of them, a module is one without pooling, and what follows
        the first one gets a map of `INNER_SIZE` pixels, where it is 1 to 4.
        """
        found = []
        for module in self.modules:

            def build(x: Any, module: ConvModule = module) -> Any:
                from zoo import layers

                given = (module.size, module.kernel, module.expansion, False)
                return layers.resized_convolution(x, "module", *given)

            name = (
                f"module: {channels} channels, {size} to {module.size} px, kernel "
                f"{module.kernel}, expansion {module.expansion}"
            )
            found.append(Part(name, (size, size, channels), build))
            channels, size = channels * module.expansion, INNER_SIZE

        def classify(x: Any) -> Any:
            from zoo import layers

            return layers.classifier(layers.pooled(x, "pool"), num_classes, "exit")

        name = f"classifier: {channels} channels"
        return (*found, Part(name, (size, size, channels), classify))

    def to_json(self) -> list[dict[str, Any]]:
        """The list of modules."""
        return [asdict(module) for module in self.modules]

    @classmethod
    def from_json(cls, data: Any, field: str) -> Branch:
        """Build from a list of modules, or from an object that has one."""
        if isinstance(data, Mapping) and set(data) == {"modules"}:
            data = data["modules"]
        listed = ", ".join(map(repr, _HEADS))
        modules = list_of(
            field,
            data,
            f"null, a list of modules, one of {listed}, or an object with a head",
        )
        optional = ("kernel", "expansion", "pool")
        return cls(
            tuple(
                read_fields(ConvModule, module, f"{field}[{i}]", optional)
                for i, module in enumerate(modules)
            )
        )

    @classmethod
    def from_ofa(cls, modules: Sequence[Sequence[int]]) -> Branch:
        """Read two lists [size, kernel, expansion, pool] of the authors' code.

        Raises:
            ValueError: There are not two lists of four, or a value is not allowed.
        """
        if len(modules) != MODULES or any(len(module) != 4 for module in modules):
            raise ValueError(
                f"A branch in e_ks is {modules!r}; expected two lists "
                "[size, kernel, expansion, pool]."
            )
        first, second = modules
        used = [first] if second[0] == 0 else [first, second]
        return cls(tuple(ConvModule(*module) for module in used))

    @classmethod
    def genes(cls) -> tuple[Gene, ...]:
        """Size, kernel, expansion and pooling of two modules, the second optional."""
        genes = []
        for m, sizes in enumerate(MODULE_SIZES, 1):
            size = f"module{m}/size"
            genes.append(Gene(size, sizes))
            needs = ((size, BRANCH_SIZES),) if 0 in sizes else ()
            for name, options in MODULE_GENES.items():
                genes.append(Gene(f"module{m}/{name}", options, needs))
        return tuple(genes)

    @classmethod
    def from_genes(cls, values: Mapping[str, Any]) -> Branch:
        """The branch that the genes' meanings describe."""
        modules = (f"module{m}" for m in range(1, MODULES + 1))
        return cls(
            tuple(
                ConvModule(
                    values[f"{module}/size"],
                    **{field: values[f"{module}/{field}"] for field in MODULE_GENES},
                )
                for module in modules
                if values[f"{module}/size"]
            )
        )

    def to_genes(self) -> dict[str, Any]:
        """The meanings of the genes that describe this branch."""
        return {
            f"module{m}/{field}": int(getattr(module, field))
            for m, module in enumerate(self.modules, 1)
            for field in ("size", *MODULE_GENES)
        }


@register("fixed")
@dataclass(frozen=True)
class FixedBranch(Head):
    """The branch of EDANAS (Gambella and Roveri, IJCNN 2023), the same at every exit.

    1x1 convolution to 6c channels, batch normalisation, hard-swish; global average
    pooling; 1x1 convolution to 8c without normalisation or bias, hard-swish;
    classifier.
    """

    def build(self, features: Any, num_classes: int, name: str) -> Any:
        """Apply the branch's layers; see `Head.build`."""
        from zoo import layers

        widths = (6 * features.shape[-1], 8 * features.shape[-1])
        return layers.pooled_head(features, num_classes, widths, name)

    def cost(
        self, channels: int, size: int, num_classes: int, convention: str
    ) -> tuple[int, int]:
        """MACs and parameters, the same in both conventions; see `Head.cost`."""
        return pooled_head(channels, (6 * channels, 8 * channels), size, num_classes)

    def to_json(self) -> str:
        """The name of the kind, which has no fields."""
        return self.name


@register("linear")
@dataclass(frozen=True)
class LinearHead(Head):
    """Global average pooling of a feature map, and a dense layer; or that alone."""

    ranks: ClassVar[tuple[int, ...]] = (4, 2)

    def build(self, features: Any, num_classes: int, name: str) -> Any:
        """Apply the head's layers; see `Head.build`."""
        from zoo import layers

        if len(features.shape) == 4:
            features = layers.pooled(features, f"{name}_pool")
        return layers.classifier(features, num_classes, name)


@register("token")
@dataclass(frozen=True)
class TokenHead(Head):
    """One vector from a transformer's tokens, normalised, and a dense layer.

    Attributes:
        token: "mean" of all tokens, or the "first", where that is a class token.
    """

    token: str = "mean"
    ranks: ClassVar[tuple[int, ...]] = (3,)

    def __post_init__(self) -> None:
        if self.token not in ("mean", "first"):
            raise ValueError(
                f"TokenHead.token is {self.token!r}; expected mean, first."
            )

    def build(self, features: Any, num_classes: int, name: str) -> Any:
        """Apply the head's layers; see `Head.build`."""
        import keras

        from zoo import layers

        x = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(features)
        if self.token == "mean":
            x = keras.layers.GlobalAveragePooling1D(name=f"{name}_mean")(x)
        else:
            x = layers.FirstToken(name=f"{name}_token")(x)
        return layers.classifier(x, num_classes, name)
