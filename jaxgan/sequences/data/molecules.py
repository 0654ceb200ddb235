"""Molecules as SMILES: the objectives of ORGAN (Guimaraes et al. 2017), and a set of molecules.

Needs RDKit: `pip install 'jaxgan[chem]'`. Objectives return NaN for text that is not a molecule of
at least two heavy atoms.
"""

import importlib.util
import itertools
import math
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

from jaxgan.core.errors import UserError

try:
    from rdkit import Chem, DataStructs, rdBase
    from rdkit.Chem import QED, RDConfig, rdFingerprintGenerator, rdMolDescriptors
except ImportError as error:
    raise UserError(
        f"molecules need RDKit ({error}): pip install 'jaxgan[chem]', or pip install rdkit"
    ) from error

# Generated text that is not a molecule is common and must not print a line each time.
rdBase.DisableLog("rdApp.*")

# The lowest and the highest Crippen logP of ORGAN's training molecules, from the authors' code.
LOWEST_LOGP, HIGHEST_LOGP = -2.12178879609, 6.0429063424
# Ertl and Schuffenhauer's score is 1 (easy to make) to 10; ORGAN maps 5 to 0 and 1.5 to 1.
HARD, EASY = 5.0, 1.5
RADIUS, BITS = 2, 2048

SCAFFOLDS = (
    "{}C{}",
    "{}CC{}",
    "{}CCC{}",
    "{}CCO{}",
    "{}C(=O)N{}",
    "{}C(=O)O{}",
    "{}OCC{}",
    "{}NCC{}",
    "{}C=C{}",
    "{}C1CC1{}",
    "{}C1CCC1{}",
    "{}C1CCNC1{}",
    "{}C1CCOC1{}",
    "{}C1CCCCC1{}",
    "{}c1ccccc1{}",
    "{}c1ccc(cc1){}",
    "{}c1cccc(c1){}",
    "{}c1ccncc1{}",
    "{}c1ccoc1{}",
    "{}c1cc[nH]c1{}",
    "{}C1CCN(CC1){}",
    "{}C1CCC(CC1){}",
    "{}N1CCN(CC1){}",
    "{}N1CCOC(C1){}",
)
LEFT = (
    "C",
    "CC",
    "N",
    "O",
    "F",
    "Cl",
    "CO",
    "CN",
    "OC",
    "N#C",
    "CC(C)",
    "CC(=O)",
    "NC(=O)",
    "OC(=O)",
)
RIGHT = ("", "C", "CC", "O", "N", "F", "Cl", "OC", "NC", "C#N", "CO", "C(C)C", "C(=O)N", "C(=O)O")


def druglikeness(smiles: list[str]) -> list[float]:
    """Returns the QED, 0 to 1 (Bickerton et al. 2012)."""
    return _each(smiles, QED.qed)


def solubility(smiles: list[str]) -> list[float]:
    """Returns Crippen's logP on ORGAN's scale, clipped to 0..1; high logP means soluble in fat."""
    width = HIGHEST_LOGP - LOWEST_LOGP

    def measure(found: Any) -> float:
        log_p, _ = rdMolDescriptors.CalcCrippenDescriptors(found)
        return _clip((log_p - LOWEST_LOGP) / width)

    return _each(smiles, measure)


def synthesizability(smiles: list[str]) -> list[float]:
    """Returns the synthetic accessibility of Ertl and Schuffenhauer (2009), in 0..1 as in ORGAN."""
    scorer = _accessibility()
    return _each(smiles, lambda found: _clip((scorer(found) - HARD) / (EASY - HARD)))


def validity(smiles: list[str]) -> list[float]:
    """Returns 1 for every molecule."""
    return _each(smiles, lambda found: 1.0)


def read(smiles: str) -> Any:
    """Returns RDKit's molecule; None if the text is not one of at least two heavy atoms."""
    found = Chem.MolFromSmiles(smiles)
    return found if found is not None and found.GetNumAtoms() > 1 else None


def canonical(smiles: str) -> str:
    """Returns the canonical SMILES of a molecule; other text stays as it is."""
    found = read(smiles)
    return smiles if found is None else str(Chem.MolToSmiles(found))


def diversity(smiles: Sequence[str]) -> float:
    """Returns 1 minus the mean Tanimoto similarity of two molecules; NaN for fewer than two.

    It compares Morgan fingerprints, radius 2, 2048 bits. Text that is not a molecule is left out.
    """
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    molecules = [found for line in smiles if (found := read(line)) is not None]
    prints = [morgan.GetFingerprint(found) for found in molecules]
    pairs = [
        similarity
        for place, one in enumerate(prints)
        for similarity in DataStructs.BulkTanimotoSimilarity(one, prints[:place])
    ]
    return 1 - sum(pairs) / len(pairs) if pairs else math.nan


def make_molecules(count: int, seed: int) -> list[str]:
    """Returns different small molecules as canonical SMILES: scaffolds with a group on either side.

    Raises:
        UserError: there are fewer than `count`.
    """
    written = itertools.product(SCAFFOLDS, LEFT, RIGHT)
    texts = (
        scaffold.format(left, f"({right})" if right else "") for scaffold, left, right in written
    )
    found = dict.fromkeys(canonical(text) for text in texts if read(text) is not None)
    if count > len(found):
        raise UserError(f"config.data.count={count}: only {len(found)} molecules can be made")
    return random.Random(seed).sample(list(found), count)


def _each(smiles: list[str], measure: Callable[[Any], float]) -> list[float]:
    molecules = [read(line) for line in smiles]
    return [math.nan if found is None else float(measure(found)) for found in molecules]


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _accessibility() -> Callable[[Any], float]:
    """Returns the score's function from the file that RDKit ships next to its package."""
    path = os.path.join(RDConfig.RDContribDir, "SA_Score", "sascorer.py")
    spec = importlib.util.spec_from_file_location("jaxgan_sascorer", path)
    if spec is None or spec.loader is None:
        raise UserError(f"this RDKit has no {path}: install another build, such as pip's")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    calculate: Callable[[Any], float] = module.calculateScore
    return calculate
