import math

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import QED, Crippen

from jaxgan.core.errors import UserError
from jaxgan.sequences.data import molecules
from jaxgan.sequences.data.vocabulary import build, split

ASPIRIN, ETHANOL = "CC(=O)Oc1ccccc1C(=O)O", "CCO"
NOT_MOLECULES = ["", "C", "CC(", "c1ccccc", "hello"]


def test_objectives_are_rdkit_s_on_organ_s_scale():
    aspirin = Chem.MolFromSmiles(ASPIRIN)
    assert molecules.druglikeness([ASPIRIN]) == [pytest.approx(QED.qed(aspirin))]
    log_p = Crippen.MolLogP(aspirin)
    expected = (log_p + 2.12178879609) / (6.0429063424 + 2.12178879609)
    assert molecules.solubility([ASPIRIN]) == [pytest.approx(expected)]
    # Ertl and Schuffenhauer's score of aspirin, as RDKit prints it, is 1.58.
    assert molecules.synthesizability([ASPIRIN]) == [pytest.approx((1.58 - 5) / -3.5, abs=0.01)]
    assert molecules.validity([ASPIRIN, ETHANOL]) == [1.0, 1.0]


def test_values_stay_between_0_and_1():
    extremes = ["C" * 40, "O=S(=O)(O)OS(=O)(=O)O", ETHANOL, "FC(F)(F)C(F)(F)F"]
    for objective in (molecules.solubility, molecules.synthesizability, molecules.druglikeness):
        assert all(0 <= value <= 1 for value in objective(extremes))


def test_what_is_no_molecule_has_no_value():
    for name in ("druglikeness", "solubility", "synthesizability", "validity"):
        found = getattr(molecules, name)([*NOT_MOLECULES, ETHANOL])
        assert [math.isnan(value) for value in found] == [True] * 5 + [False]


def test_molecules_are_made_valid_different_and_the_same_again():
    made = molecules.make_molecules(800, 1)
    assert made == molecules.make_molecules(800, 1)
    assert len({molecules.canonical(line) for line in made}) == 800
    assert not np.isnan(molecules.validity(made)).any()
    with pytest.raises(UserError, match=r"config\.data\.count=1000000: only \d+ molecules"):
        molecules.make_molecules(1_000_000, 0)


def test_one_molecule_has_one_name():
    assert molecules.canonical("OCC") == molecules.canonical(ETHANOL)
    assert molecules.canonical("CC(") == "CC("


def test_diversity():
    assert molecules.diversity([ETHANOL, "OCC"]) == 0.0
    assert 0.5 < molecules.diversity([ETHANOL, ASPIRIN]) < 1
    assert molecules.diversity([ETHANOL, "CC(", ASPIRIN]) == molecules.diversity([ETHANOL, ASPIRIN])
    assert math.isnan(molecules.diversity([ETHANOL, "CC("]))


def test_tokens_of_a_molecule():
    line = "C[C@@H](Cl)c1cc(Br)c[nH]1"
    assert split(line, "smiles")[:6] == ["C", "[C@@H]", "(", "Cl", ")", "c"]
    vocabulary = build([line], "smiles", 20, 0)
    assert vocabulary.decode(vocabulary.encode([line])) == [line]
