import json

import jax
import numpy as np
import pytest
from workdirs import tiny_config, tiny_params

from jaxgan.core import config as configs
from jaxgan.core.errors import UserError
from jaxgan.speech import parameters


def test_a_file_gives_back_config_and_parameters(tmp_path):
    config = tiny_config()
    params = tiny_params(config)
    parameters.write(tmp_path / "p.npz", config, params)
    found, restored = parameters.read(tmp_path / "p.npz")
    assert configs.to_plain(found) == configs.to_plain(config)
    assert jax.tree.structure(restored) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, restored, params)


@pytest.mark.parametrize("kind", ["absent", "text", "truncated", "pickled", "no config", "list"])
def test_another_file_is_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "p.npz"
    if kind == "text":
        path.write_text("hello")
    elif kind == "truncated":
        parameters.write(path, tiny_config(), {"a": np.zeros(1000)})
        path.write_bytes(path.read_bytes()[:600])
    elif kind == "pickled":
        np.savez(path, config=json.dumps({}), a=np.array([print], object))
    elif kind == "no config":
        np.savez(path, a=np.zeros(3))
    elif kind == "list":
        np.savez(path, config="[1]")
    with pytest.raises(UserError, match="write it with python -m jaxgan") as error:
        parameters.read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
