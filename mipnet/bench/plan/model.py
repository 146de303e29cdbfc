"""A plan as frozen records: what is compared, over what, within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mipnet.bench.data import Data
from mipnet.bench.problems.base import Problem


@dataclass(frozen=True)
class NetworkSpec:
    """A network to start from.

    Attributes
    ----------
    name : str
    file : Path or None
        Any file :func:`mipnet.load` reads; or
    hidden : tuple of int
        widths of a ReLU network trained on the data, and
    training : mapping
        arguments of :func:`mipnet.train_mlp`.
    data : str or None
        Name of the data set: of the training, and of the questions.
    n_inputs, n_outputs : int or None
        Where they are known before the network is there.
    """

    name: str
    file: Path | None = None
    hidden: tuple[int, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    n_inputs: int | None = None
    n_outputs: int | None = None


@dataclass(frozen=True)
class MaskSpec:
    """One pruning of a network.

    Attributes
    ----------
    method : str
        Registered name.
    keep : float
        Budget: share of the units that stay.
    seed : int
    options : mapping
        Parameters of the method.
    finetune : mapping or None
        Arguments of :func:`mipnet.finetune`; None leaves the weights as they are.
    networks : tuple of str
        Networks it is for; all when empty.
    """

    method: str
    keep: float
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    finetune: Mapping[str, Any] | None = None
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProblemSpec:
    """A question, and of which networks it is asked.

    Attributes
    ----------
    name : str
    problem : Problem
    data : str or None
        Data set of the items; the network's own when absent.
    networks : tuple of str
        All when empty.
    masks : bool
        Whether pruned networks are asked too.
    line : int
        Of the plan, for faults found later.
    """

    name: str
    problem: Problem
    data: str | None = None
    networks: tuple[str, ...] = ()
    masks: bool = True
    line: int = 0


@dataclass(frozen=True)
class SolverSpec:
    """A solver and how it is set.

    Attributes
    ----------
    label : str
        What tables call it.
    name : str
        Registered name.
    profile : str
        ``auto`` leaves it to the search.
    options : mapping
        Solver options on top.
    """

    label: str = "highs"
    name: str = "highs"
    profile: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArraySpec:
    """A systolic array masks are costed on.

    Attributes
    ----------
    name : str
    options : mapping
        Arguments of :func:`mipnet.hardware.cost` beside network and mask.
    files : mapping of str to Path
        Those of them that are files.
    """

    name: str
    options: Mapping[str, Any]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What a cell may use.

    Attributes
    ----------
    time : float
        Seconds the search is given.
    wall : float
        Seconds after which the process of a cell is killed, whatever it does.
    prune_wall : float
        The same for a training or pruning.
    memory_mb : int
        Resident memory of the process and its children.
    """

    time: float = 60.0
    wall: float = 102.0
    prune_wall: float = 3600.0
    memory_mb: int = 4096


@dataclass(frozen=True)
class RunSpec:
    """How a run is carried out; none of it changes a result.

    Attributes
    ----------
    jobs : int
        Cells at once.
    backend : str
        joblib backend: ``loky``, ``dask``, ``ray``.
    options : mapping
        Of the backend: ``scheduler`` (address of a dask scheduler), ``address`` (of a ray
        cluster); everything else goes to the backend.
    shuffle : bool
        Random order of cells, so that drift of the machine favours nobody.
    """

    jobs: int = 1
    backend: str = "loky"
    options: Mapping[str, Any] = field(default_factory=dict)
    shuffle: bool = True


@dataclass(frozen=True)
class Plan:
    """Everything a plan file says, checked.

    Attributes
    ----------
    name : str
    path : Path
    text : str
        The file itself.
    seed : int
        Of the order of cells.
    data : mapping of str to Data
    networks : tuple of NetworkSpec
    dense : bool
        Whether the networks are asked unpruned too.
    masks : tuple of MaskSpec
    problems : tuple of ProblemSpec
    formulations, bounds : tuple of str
    restarts : int or None
        Start points of the attack; each question's own default when absent.
    permute : bool
        Whether rows and columns of every program are shuffled by the seed.
    seeds : tuple of int
    solvers : tuple of SolverSpec
    arrays : tuple of ArraySpec
    limits : Limits
    run : RunSpec
    pin_code : bool
        Whether the code of mipnet, not just its version, is part of what identifies a cell.
    """

    name: str
    path: Path
    text: str
    seed: int
    data: Mapping[str, Data]
    networks: tuple[NetworkSpec, ...]
    dense: bool
    masks: tuple[MaskSpec, ...]
    problems: tuple[ProblemSpec, ...]
    formulations: tuple[str, ...]
    bounds: tuple[str, ...]
    restarts: int | None
    permute: bool
    seeds: tuple[int, ...]
    solvers: tuple[SolverSpec, ...]
    arrays: tuple[ArraySpec, ...]
    limits: Limits
    run: RunSpec
    pin_code: bool = False
