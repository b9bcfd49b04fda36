"""Model sizes by name: the paper's Table 4, the ladder of Artetxe et al., and small ones for study.

    [model]
    size = "1.7B/64E"         # and any other key of [model] on top of it

In: a name. Out: a `Size`: settings, the vocabulary its published figures fit, and those figures. Importing this
module does not import JAX. Sources: GLaM (Du et al., 2022), Table 4; "Efficient Large Scale Language Modeling with
Mixtures of Experts" (Artetxe et al., 2021) with layers and widths from its released models (fairseq, `moe_lm`).
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Size(NamedTuple):
    """A named size.

    Attributes:
        name: e.g. `64B/64E`: a dense model of 64B parameters of which every other feed-forward has 64 experts.
        source: `GLaM`, `Artetxe et al.` or `study`.
        settings: of the model (`ModelSettings`).
        vocabulary: token ids with which the published figures are compared.
        parameters: as published, None where nothing is.
        active: parameters that work on a token, as published, None where nothing is.
        tolerance: largest relative difference between published and counted figures, of parameters and of active ones.
        remark: what a reader must know of a difference.
    """

    name: str
    source: str
    settings: dict[str, Any]
    vocabulary: int
    parameters: float | None = None
    active: float | None = None
    tolerance: tuple[float, float] = (0.02, 0.006)
    remark: str = ""


GLAM_VOCABULARY, AUTHORS_VOCABULARY, ARTETXE_VOCABULARY, STUDY_VOCABULARY = 256_000, 32_000, 51_200, 4_096


def _glam(
    name: str,
    layers: int,
    model_dim: int,
    hidden_dim: int,
    heads: int,
    head_dim: int,
    experts: int = 0,
    **published: Any,
) -> Size:
    settings = {
        "layers": layers,
        "model_dim": model_dim,
        "hidden_dim": hidden_dim,
        "heads": heads,
        "head_dim": head_dim,
        "experts": experts,
        "twin": "family",
        "capacity_factor": 2.0,
        "group_size": 1024,
    }
    return Size(name, "GLaM", settings, **{"vocabulary": AUTHORS_VOCABULARY, **published})


def _artetxe(name: str, layers: int, width: int, heads: int, experts: int = 0, **published: Any) -> Size:
    size = _glam(name, layers, width, 4 * width, heads, width // heads, experts)
    settings = size.settings | {"feed_forward": "plain", "expert_activation": "gelu"}
    return Size(name, "Artetxe et al.", settings, **{"vocabulary": ARTETXE_VOCABULARY, **published})


def _study(name: str, layers: int, model_dim: int, hidden_dim: int, heads: int, experts: int = 0) -> Size:
    settings = {
        "layers": layers,
        "model_dim": model_dim,
        "hidden_dim": hidden_dim,
        "heads": heads,
        "head_dim": model_dim // heads,
        "experts": experts,
        "capacity_factor": 2.5,
        "group_size": 256,
    }
    return Size(name, "study", settings, STUDY_VOCABULARY)


_SIZES = (
    _glam(
        "0.1B",
        12,
        768,
        3072,
        12,
        64,
        parameters=130e6,
        active=130e6,
        tolerance=(0.07, 0.07),
        remark="printed 130M; no vocabulary of the other rows gives it",
    ),
    _glam(
        "0.1B/64E",
        12,
        768,
        3072,
        12,
        64,
        64,
        parameters=1.9e9,
        active=145e6,
        tolerance=(0.02, 0.06),
        remark="printed 145M active",
    ),
    _glam("1.7B", 24, 2048, 8192, 16, 128, parameters=1.7e9, active=1.7e9, tolerance=(0.04, 0.04)),
    _glam(
        "1.7B/32E",
        24,
        2048,
        8192,
        16,
        128,
        32,
        parameters=20e9,
        active=1.878e9,
        tolerance=(0.31, 0.006),
        remark="printed 20B, but the active count is exact and the rows of 64 to 256 experts agree: a misprint",
    ),
    _glam("1.7B/64E", 24, 2048, 8192, 16, 128, 64, parameters=27e9, active=1.879e9),
    _glam("1.7B/128E", 24, 2048, 8192, 16, 128, 128, parameters=53e9, active=1.881e9),
    _glam("1.7B/256E", 24, 2048, 8192, 16, 128, 256, parameters=105e9, active=1.886e9),
    _glam("8B", 32, 4096, 16384, 32, 128, parameters=8.7e9, active=8.7e9),
    _glam("8B/64E", 32, 4096, 16384, 32, 128, 64, parameters=143e9, active=9.8e9),
    _glam("137B", 64, 8192, 65536, 128, 128, parameters=137e9, active=137e9),
    _glam(
        "64B/64E",
        64,
        8192,
        32768,
        128,
        128,
        64,
        parameters=1.2e12,
        active=96.6e9,
        tolerance=(0.035, 0.006),
        vocabulary=GLAM_VOCABULARY,
        remark="printed 1.2T; the only row that fits the vocabulary of 256,000",
    ),
    _artetxe("dense-125M", 12, 768, 12, parameters=125e6),
    _artetxe("dense-355M", 24, 1024, 16, parameters=355e6),
    _artetxe("dense-1.3B", 24, 2048, 32, parameters=1.3e9),
    _artetxe("dense-2.7B", 32, 2560, 32, parameters=2.7e9, tolerance=(0.025, 0.006)),
    _artetxe("dense-6.7B", 32, 4096, 32, parameters=6.7e9),
    _artetxe("dense-13B", 40, 5120, 40, parameters=13e9),
    _artetxe("moe-15B", 12, 768, 12, 512, parameters=15e9, tolerance=(0.03, 0.006)),
    _artetxe("moe-52B", 24, 1024, 16, 512, parameters=52e9),
    _artetxe("moe-207B", 24, 2048, 32, 512, parameters=207e9),
    _artetxe("moe-1.1T", 32, 4096, 32, 512, parameters=1.1e12),
    _study("tiny", 4, 64, 256, 4),
    _study("tiny/4E", 4, 64, 256, 4, 4),
    _study("small", 4, 256, 1024, 8),
    _study("small/8E", 4, 256, 1024, 8, 8),
    _study("small/64E", 4, 256, 1024, 8, 64),
    _study("medium", 8, 512, 2048, 8),
    _study("medium/16E", 8, 512, 2048, 8, 16),
)

FAMILY: dict[str, Size] = {size.name: size for size in _SIZES}
"""Every size by name, in the order of the tables."""

ARCHITECTURE = frozenset().union(*(size.settings for size in _SIZES)) - {"capacity_factor", "group_size"}
"""The settings that make a model what it is: where a size is chosen anew, those of another one give way."""
