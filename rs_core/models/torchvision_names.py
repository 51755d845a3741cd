"""torchvision's classification networks by name, with what has to be known before one is built. Torch-free.

Sides were measured: at ``smallest`` pixels a network of the family gives logits in training and in evaluation, at one
less it does not. A side must be a multiple of ``multiple``, and both sides equal where ``square``. ``head`` names the
last layer in the state dict. How a network is built stands in ``torchvision_models``.
"""

from dataclasses import dataclass

PREFIX = "torchvision/"


@dataclass(frozen=True, kw_only=True)
class ArchitectureFamily:
    """Networks of one paper; ``features`` as in the table."""

    names: tuple[str, ...]
    head: str
    reference: str
    smallest: int = 1
    multiple: int = 1
    square: bool = False
    features: tuple[str, str] | None = None


def _family(
    names: str,
    head: str,
    reference: str,
    *,
    smallest: int = 1,
    multiple: int = 1,
    square: bool = False,
    features: tuple[str, str] | None = None,
) -> ArchitectureFamily:
    return ArchitectureFamily(
        names=tuple(names.split()),
        head=head,
        reference=reference,
        smallest=smallest,
        multiple=multiple,
        square=square,
        features=features,
    )


_LAYERS = ("layer1", "layer2")
_DENSENET = "Huang et al., Densely Connected Convolutional Networks, 2016, arXiv 1608.06993"
_RESNET = "He et al., Deep Residual Learning for Image Recognition, 2015, arXiv 1512.03385"
_RESNEXT = "Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2016, arXiv 1611.05431"
_SQUEEZENET = "Iandola et al., SqueezeNet, 2016, arXiv 1602.07360"
_VIT = "Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv 2010.11929"
_VGG = "Simonyan and Zisserman, Very Deep Convolutional Networks, 2014, arXiv 1409.1556"

FAMILIES = (
    _family(
        "alexnet",
        "classifier.6",
        "Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, arXiv 1404.5997",
        smallest=63,
    ),
    _family(
        "convnext_tiny convnext_small convnext_base convnext_large",
        "classifier.2",
        "Liu et al., A ConvNet for the 2020s, 2022, arXiv 2201.03545",
        smallest=32,
        features=("features.1", "features.3"),
    ),
    _family(
        "densenet121 densenet161 densenet169 densenet201",
        "classifier",
        _DENSENET,
        smallest=29,
        features=("features.denseblock1", "features.denseblock2"),
    ),
    _family(
        "efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 "
        "efficientnet_b6 efficientnet_b7",
        "classifier.1",
        "Tan and Le, EfficientNet, 2019, arXiv 1905.11946",
        features=("features.2", "features.3"),
    ),
    _family(
        "efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l",
        "classifier.1",
        "Tan and Le, EfficientNetV2, 2021, arXiv 2104.00298",
        features=("features.2", "features.3"),
    ),
    _family("googlenet", "fc", "Szegedy et al., Going Deeper with Convolutions, 2014, arXiv 1409.4842", smallest=15),
    _family(
        "inception_v3",
        "fc",
        "Szegedy et al., Rethinking the Inception Architecture, 2015, arXiv 1512.00567",
        smallest=75,
    ),
    _family(
        "maxvit_t",
        "classifier.5",
        "Tu et al., MaxViT: Multi-Axis Vision Transformer, 2022, arXiv 2204.01697",
        smallest=224,
        multiple=224,
    ),
    _family(
        "mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3",
        "classifier.1",
        "Tan et al., MnasNet, 2018, arXiv 1807.11626",
    ),
    _family("mobilenet_v2", "classifier.1", "Sandler et al., MobileNetV2, 2018, arXiv 1801.04381"),
    _family(
        "mobilenet_v3_small mobilenet_v3_large",
        "classifier.3",
        "Howard et al., Searching for MobileNetV3, 2019, arXiv 1905.02244",
    ),
    _family(
        "regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf "
        "regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf "
        "regnet_y_128gf",
        "fc",
        "Radosavovic et al., Designing Network Design Spaces, 2020, arXiv 2003.13678",
        features=("trunk_output.block1", "trunk_output.block2"),
    ),
    _family("resnet18 resnet34 resnet50 resnet101 resnet152", "fc", _RESNET, features=_LAYERS),
    _family("resnext50_32x4d resnext101_32x8d resnext101_64x4d", "fc", _RESNEXT, features=_LAYERS),
    _family(
        "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0",
        "fc",
        "Ma et al., ShuffleNet V2, 2018, arXiv 1807.11164",
        features=("stage2", "stage3"),
    ),
    _family("squeezenet1_0", "classifier.1", _SQUEEZENET, smallest=21),
    _family("squeezenet1_1", "classifier.1", _SQUEEZENET, smallest=17),
    _family("swin_t swin_s swin_b", "head", "Liu et al., Swin Transformer, 2021, arXiv 2103.14030", smallest=4),
    _family(
        "swin_v2_t swin_v2_s swin_v2_b", "head", "Liu et al., Swin Transformer V2, 2021, arXiv 2111.09883", smallest=4
    ),
    _family("vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn", "classifier.6", _VGG, smallest=32),
    _family("vit_b_16 vit_l_16", "heads.head", _VIT, smallest=16, multiple=16, square=True),
    _family("vit_b_32 vit_l_32", "heads.head", _VIT, smallest=32, multiple=32, square=True),
    _family("vit_h_14", "heads.head", _VIT, smallest=14, multiple=14, square=True),
    _family(
        "wide_resnet50_2 wide_resnet101_2",
        "fc",
        "Zagoruyko and Komodakis, Wide Residual Networks, 2016, arXiv 1605.07146",
        features=_LAYERS,
    ),
)
