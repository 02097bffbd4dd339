"""Example notebooks out of source distributions of public projects; nothing of them is kept here."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CHOSEN: dict[str, tuple[str, ...]] = {
    "awkward": ("jagged-ragged-awkward-arrays",),
    "boost-histogram": ("SimpleExample", "BoostHistogramHandsOn"),
    "control": ("describing_functions", "repr_gallery", "interconnect_tutorial"),
    "corner": ("custom", "sigmas"),
    "formulaic": (
        "contrasts",
        "formulae",
        "missing_data",
        "model_specs",
        "quickstart",
        "splines",
        "transforms",
    ),
    "hdbscan": ("How HDBSCAN Works",),
    "hist": ("Histogram", "Stack", "Reprs", "Transform", "axestuple-setattr"),
    "iminuit": ("correlated_data", "generic_least_squares", "external_minimizer"),
    "lmfit": ("discuss_model_eval_uncertainty",),
    "mesa": ("0_first_model", "3_agentset"),
    "mplhep": ("Examples",),
    "particle": ("ParticleDemo",),
    "statsmodels": ("chi2_fitting", "deterministics", "glm_formula", "gls", "lowess", "metaanalysis1", "ols")
    + ("predict", "robust_models_0", "stats_poisson", "tsa_dates", "wls"),
    "vector": ("object", "numpy", "sympy"),
    "seaborn": (
        "aesthetics",
        "axes_style",
        "blend_palette",
        "color_palette",
        "cubehelix_palette",
        "dark_palette",
    )
    + ("diverging_palette", "hls_palette", "husl_palette", "light_palette", "mpl_palette"),
}
"""Notebooks of projects that run in seconds and without the network, by the names of their files."""


@dataclass(frozen=True)
class Found:
    """One notebook of a distribution, laid down beside its data."""

    package: str
    version: str
    path: Path
    cells: tuple[str, ...]


def source_distribution(package: str, folder: Path) -> Path:
    """The newest final source distribution of a project, downloaded once.

    pip finds and fetches it, from wherever pip is set up to take packages. Its ``download`` would also run the
    project's build to read the metadata, which takes minutes where there is C code; so its parts are used.

    Raises:
        LookupError: there is none.
        OSError: it cannot be had.
    """
    from pip._internal.commands import create_command
    from pip._internal.exceptions import PipError

    command = create_command("download")
    with command.main_context():
        options, _ = command.parse_args(["--no-deps", "--no-binary", ":all:", "--quiet"])
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        try:
            best = finder.find_best_candidate(package).best_candidate
        except PipError as error:
            raise OSError(str(error)) from error
        if best is None:
            raise LookupError(f"{package} has no source distribution")
        target = folder / best.link.filename
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            answer = session.get(best.link.url_without_fragment)
            answer.raise_for_status()
            partial = target.with_suffix(".part")
            partial.write_bytes(answer.content)
            partial.rename(target)
    return target


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder of an archive's content."""
    target = folder / archive.name.removesuffix(".tar.gz").removesuffix(".zip")
    if target.is_dir():
        return target
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return target


def notebooks(package: str, folder: Path, names: Collection[str] = ()) -> list[Found]:
    """All Python notebooks of a project that have at least three code cells, or those of these names."""
    archive = source_distribution(package, folder / "archives")
    root = unpacked(archive, folder / "unpacked")
    found = []
    for path in sorted(root.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in PurePosixPath(path).parts:
            continue
        cells = code_cells(path)
        if len(cells) >= 3 and (not names or path.stem in names):
            version = archive.name.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2]
            found.append(Found(package, version, path, tuple(cells)))
    return found


def code_cells(path: Path) -> list[str]:
    """The sources of a notebook's code cells; none for what is no Python notebook."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return []
    if content.get("metadata", {}).get("kernelspec", {}).get("language", "python") not in ("python", ""):
        return []
    sources = ["".join(c.get("source", "")) for c in content.get("cells", []) if c.get("cell_type") == "code"]
    return [source for source in sources if source.strip()]
