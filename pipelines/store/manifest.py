"""What a manifest must be before anything of it is believed (docs/formats.md): types, ranges, paths in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from pipelines.store.files import StoreError
from pipelines.store.repetition import RepetitionLimits

_TRUST = "do not trust this store"


def _inside(path: str, info: ValidationInfo) -> str:
    if path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"the file path {path!r} leaves the {info.context}'s folder; {_TRUST}")
    return path


Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(_inside)]
Table = dict[str, Any]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _File(_Checked):
    path: RelativePath
    sha256: Sha256
    size: Count
    rows: Count | None = None
    tokens: Count | None = None


class _Stage(_Checked):
    stage: str
    fingerprint: Sha256
    output_id: Sha256
    recipe: Table
    inputs: Table
    files: list[_File]
    ledger: Table
    summary: Table
    side: Table


class _Component(_Checked, extra="forbid"):
    weight: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    variant: str
    records: Count
    tokens: Count
    documents: Count
    tokens_cut: Count
    shards: list[RelativePath]


class _HeldOut(_Checked, extra="forbid"):
    component: str
    out_of_domain: bool
    records: Count
    tokens: Count
    documents: Count
    bytes: Count
    shards: list[RelativePath]


class _VersionSide(_Checked):
    config: str
    created: str
    names: dict[str, str]
    mixture_limits: RepetitionLimits = Field(default_factory=RepetitionLimits)


class _Version(_Checked):
    name: str
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    output_id: Sha256
    recipe: Table
    sequence_length: Annotated[int, Field(ge=1)]
    vocabulary_size: Annotated[int, Field(ge=1)]
    token_dtype: Literal["uint16", "uint32"]
    components: dict[str, _Component]
    heldout: dict[str, _HeldOut]
    tokenizer: RelativePath
    files: list[_File]
    ledger: Table
    side: _VersionSide


_KINDS: Mapping[str, type[_Stage] | type[_Version]] = {"stage": _Stage, "version": _Version}


def check_manifest(path: str, manifest: Any, kind: str) -> None:
    """Check that what was read from `path` is the manifest of a stage or version.

    Raises:
        StoreError: when it is not; the message names the first field that is wrong.
    """
    remedy = f"the manifest of this {kind} was changed or damaged: delete its folder and build again"
    try:
        checked = _KINDS[kind].model_validate(manifest, context=kind)
    except (ValidationError, RecursionError) as error:
        problem = _first(error)
        raise StoreError(f"{path}: {problem}" if problem.endswith(_TRUST) else f"{path}: {problem}; {remedy}") from None
    if isinstance(checked, _Version):
        named = {file.path for file in checked.files}
        shards = [part.shards for part in checked.components.values()]
        shards += [part.shards for part in checked.heldout.values()]
        for shard in chain.from_iterable(shards):
            if shard not in named:
                raise StoreError(f"{path}: the shard {shard!r} is not among its files; {remedy}")


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it nests too deep"
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
