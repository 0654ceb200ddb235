import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core.errors import UserError

FILE = """
from ml_collections import ConfigDict

def get_config(preset=None):
    config = ConfigDict({
        "rounds": 200, "rate": 1e-3, "score": "pesq", "strict": False, "init_from": "",
        "data": {"root": "", "snrs": (0.0, 5.0), "names": ("a",), "extra": ()}, "limit": None,
    })
    if preset == "quick":
        config.rounds = 3
    elif preset is not None:
        raise ValueError(f"preset {preset!r}: choose quick")
    return config
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(FILE)
    return str(path)


def test_a_file_and_its_preset(spec):
    assert configs.load(spec).rounds == 200
    assert configs.load(f"{spec}:quick").rounds == 3
    assert configs.name("configs/toy.py") == "toy"
    assert configs.name("configs/toy.py:quick") == "toy-quick"


def test_an_unknown_preset_is_a_user_error(spec):
    with pytest.raises(UserError, match=r"toy\.py:slow: preset 'slow': choose quick"):
        configs.load(f"{spec}:slow")


@pytest.mark.parametrize(
    ("item", "key", "value"),
    [
        ("rounds=7", "rounds", 7),
        ("rate=2", "rate", 2.0),
        ("rate=1e-4", "rate", 1e-4),
        ("score=my.module.score", "score", "my.module.score"),
        ("score=12", "score", "12"),
        ("score=a=b", "score", "a=b"),
        ("init_from=", "init_from", ""),
        ("strict=true", "strict", True),
        ("strict=False", "strict", False),
        ("data.root=/some/where", "data.root", "/some/where"),
        ("data.snrs=(-5, 2.5)", "data.snrs", (-5.0, 2.5)),
        ("data.snrs=7", "data.snrs", (7.0,)),
        ("data.snrs=[]", "data.snrs", ()),
        ("data.names=b", "data.names", ("b",)),
        ("data.extra=(1, 'x')", "data.extra", (1, "x")),
        ("limit=3", "limit", 3),
        ("limit=none", "limit", "none"),
    ],
)
def test_overrides_take_the_type_of_the_key(spec, item, key, value):
    config = configs.load(spec, [f"--config.{item}"])
    for part in key.split("."):
        config = config[part]
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("--config.round=3", r"--config\.round: .*did you mean rounds\?"),
        ("--config.data.snr=3", r"did you mean data\.snrs"),
        ("--config.data=3", "no such key"),
        ("--config.rounds=many", "rounds=many: expected int, such as 200"),
        ("--config.rounds=1.5", "expected int"),
        ("--config.rounds=True", "expected int"),
        ("--config.rate=fast", "expected float"),
        ("--config.rate=1e999", "expected a finite number"),
        ("--config.strict=1", "expected bool"),
        ("--config.data.snrs=loud", r"expected values such as \(0\.0, 5\.0\)"),
        ("--config.rounds", "write it as --config.key=value"),
        ("--round=3", "write it as --config.key=value"),
    ],
)
def test_a_wrong_override_is_reported_in_one_line(spec, item, message):
    with pytest.raises(UserError, match=message) as error:
        configs.load(spec, [item])
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_no_config_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.py does not exist"):
        configs.load(str(tmp_path / "nothing.py"))
    empty = tmp_path / "empty.py"
    empty.write_text("")
    with pytest.raises(UserError, match="defines no get_config"):
        configs.load(str(empty))
    broken = tmp_path / "broken.py"
    broken.write_text("x = 1\ndef get_config(:\n")
    with pytest.raises(UserError, match=r"broken\.py line 2: "):
        configs.load(str(broken))
    broken.write_text("import nothing_of_that_name")
    with pytest.raises(UserError, match=r"broken\.py: ModuleNotFoundError: No module named"):
        configs.load(str(broken))
    broken.write_text("def get_config():\n    return None")
    with pytest.raises(UserError, match="returns None, not a ConfigDict"):
        configs.load(str(broken))
    with pytest.raises(UserError, match="takes 0 positional arguments"):
        configs.load(f"{broken}:quick")
    text = tmp_path / "config.yaml"
    text.write_text("rounds: 3")
    with pytest.raises(UserError, match="is not a Python file"):
        configs.load(str(text))


def test_json_restores_the_config(spec, tmp_path):
    config = configs.load(spec)
    configs.write(config, tmp_path)
    assert configs.differences(configs.read(tmp_path), config) == []
    assert configs.read(tmp_path).data.snrs == (0.0, 5.0)
    assert json.loads((tmp_path / "config.json").read_text())["data"]["snrs"] == [0.0, 5.0]
    assert [path.name for path in Path(tmp_path).iterdir() if "part" in path.name] == []


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not the folder of a run"):
        configs.read(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json cannot be read as JSON"):
        configs.read(tmp_path)


def test_differences_name_dotted_keys():
    old = ConfigDict({"a": 1, "b": {"c": (1, 2), "gone": 5}, "empty": ConfigDict()})
    new = ConfigDict({"a": 1, "b": {"c": (1, 3)}, "d": "x", "empty": ConfigDict()})
    assert configs.differences(old, new) == [
        ("b.c", [1, 2], [1, 3]),
        ("b.gone", 5, None),
        ("d", None, "x"),
    ]


def test_a_run_continues_with_more_rounds_and_keys_that_may_change():
    old = ConfigDict({"rounds": 4, "seed": 1, "scoring": {"workers": 0, "delay": 0}})
    new = ConfigDict({"rounds": 5, "seed": 1, "scoring": {"workers": 3, "delay": 0}})
    configs.check_continues(old, new, "run", may_change=("scoring.workers",))
    new.scoring.delay = 1
    new.seed = 2
    with pytest.raises(UserError) as error:
        configs.check_continues(old, new, "run", may_change=("scoring.workers",))
    assert str(error.value).startswith("run holds a run of another config: ")
    assert "scoring.delay was 0 and is now 1" in str(error.value)
    assert "seed was 1 and is now 2" in str(error.value)
    assert "workers" not in str(error.value)
    with pytest.raises(UserError, match=r"scoring\.workers was 0 and is now 3"):
        configs.check_continues(old, new, "run", may_change=())
    with pytest.raises(UserError, match="rounds was 5 and is now 4"):
        configs.check_continues(ConfigDict({"rounds": 5}), ConfigDict({"rounds": 4}), "run", ())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "x", "config.kind=x: choose one of a, b"),
        ("net.width", 0, "config.net.width=0: must be 1 or more"),
        ("rate", 1.5, "config.rate=1.5: must be from 0 to 1"),
    ],
)
def test_values_that_are_not_allowed_are_refused_and_the_key_is_named(key, value, message):
    config = ConfigDict({"kind": "a", "net": {"width": 1}, "rate": 0.5})
    limits = {"kind": ("a", "b")}, {"net.width": (1, math.inf), "rate": (0, 1)}
    configs.check_values(config, *limits)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        configs.check_values(config, *limits)


OWN = """
from ml_collections import ConfigDict
from jaxgan.images.settings import pair_settings, run_settings

def changed(config, **values):
    return ConfigDict({{**config.to_dict(), **values}})

def get_config(preset=None):
    config = run_settings("gan", rounds=1, batch_size=8)
    pair_settings(config, "mlp")
    config.update(dict(loss="hinge", smoothing=0.0, noise=0.0, noise_steps=9, packing=1))
    {change}
    return config
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "config.batch_sise = 4",
            r"own\.py: config\.batch_sise is unknown; did you mean batch_size\?",
        ),
        ("config.data.rooot = ''", r"config\.data\.rooot is unknown; did you mean data\.root\?"),
        ("config.generator.widht = 3", r"config\.generator\.widht is unknown; did you mean"),
        ("config.fetures = 3", r"config\.fetures is unknown; did you mean features\?"),
        ("del config.packing", r"own\.py: config\.packing is missing, such as packing=1"),
        ("del config.data.ring", r"config\.data\.ring is missing"),
        ("config = changed(config, rounds=2.5)", r"config\.rounds=2\.5: expected int, such as 50"),
        ("config = changed(config, dtype=4)", r"config\.dtype=4: expected str, such as"),
        ("config.generator.widths = (8, 'a')", r"config\.generator\.widths=\(8, 'a'\): expected"),
        ("config.noise = 1", ""),
        ("config.generator.features = 3", ""),  # of another network, in configs/dcgan.py
        ("config.recipe = 'a.module_of_ones_own'; config.anything = 3", ""),
    ],
)
def test_the_keys_of_a_users_own_config_are_those_of_its_recipe(tmp_path, change, message):
    path = tmp_path / "own.py"
    path.write_text(OWN.format(change=change))
    if not message:
        configs.load(str(path))
        return
    with pytest.raises(UserError, match=message) as error:
        configs.load(str(path))
    assert "\n" not in str(error.value)


def test_every_recipe_has_a_config_that_says_its_keys():
    assert {config.recipe for config in configs._own_configs()} == set(recipes.RECIPES)


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_no_config_of_a_recipe_is_skipped(recipe):
    found = configs._references(ConfigDict({"recipe": recipe}))
    assert found == [config for config in configs._own_configs() if config.recipe == recipe]


def test_a_recipe_without_own_configs_reads_none_of_them(monkeypatch):
    def read(path):
        raise AssertionError(path)

    monkeypatch.setattr(configs, "_get_config_of", read)
    configs.check_keys(ConfigDict({"recipe": "a.module_of_ones_own"}), "own.py")


def nested(depth):
    return '{"recipe": "gan", "x": ' + '{"a":' * depth + "1" + "}" * depth + "}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "it holds a list in place of an object"),
        ('"gan"', "it holds a str in place of an object"),
        (nested(900), "recursion"),
        (nested(100_000), "recursion"),
        ({"seed": "one"}, "seed='one': expected int, such as 0"),
        ({"data": 5}, "data=5: expected a section with"),
        ({"data": {}}, "data.grid25 is missing"),
        ({"generator": {"widths": 3}}, "generator.widths=3: expected tuple"),
    ],
)
def test_a_damaged_config_of_a_run_is_refused_in_one_line(tmp_path, content, message):
    if isinstance(content, dict):
        content = json.dumps({**configs.to_plain(configs.load("gan:tiny")), **content})
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError) as error:
        configs.read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/config.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_of_another_version_may_have_more_or_fewer_keys(tmp_path):
    config = configs.load("gan:tiny")
    del config.packing, config.data.seed, config.rounds
    config.removed_since = 3
    configs.write(config, tmp_path)
    found = configs.read(tmp_path)
    assert found.removed_since == 3
    # All presets agree about these, but not about the rounds.
    assert (found.packing, found.data.seed, "rounds" in found) == (1, 0, False)


def test_a_folder_in_the_place_of_the_config_is_refused(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(UserError, match=r"config\.json cannot be read \(.*Is a directory\)"):
        configs.read(tmp_path)


def test_networks_that_do_not_fit_the_config_are_reported_in_one_line(tmp_path):
    with (
        pytest.raises(UserError, match=r"does not describe the networks .*ValueError: first\)"),
        configs.fits(tmp_path),
    ):
        raise ValueError("first\nsecond")
    with pytest.raises(UserError, match=r"^its own message$"), configs.fits(tmp_path):
        raise UserError("its own message")


def test_no_config_imports_jax():
    """Mistakes in flags and configs are reported before jax, which takes a second, is imported."""
    program = "import sys; from jaxgan.core import config; config._own_configs(); "
    program += "print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_run_of_another_recipe_is_named_without_its_differences():
    old, new = ConfigDict({"recipe": "segan", "a": 1}), ConfigDict({"recipe": "metricgan", "b": 2})
    with pytest.raises(UserError) as error:
        configs.check_continues(old, new, "run", ())
    message = "run holds a run of 'segan', not of 'metricgan'; give another --workdir for a new run"
    assert str(error.value) == message
