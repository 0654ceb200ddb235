"""What is said of recipes before they are made."""

import pytest
from ml_collections import ConfigDict

from configs import metricgan, organ, pesq_loss, seqgan
from jaxgan import recipes


def scored(where="host", delay=0):
    config = metricgan.get_config()
    config.scoring.where, config.scoring.delay = where, delay
    return config


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (scored(), True),
        (scored(where="auto"), True),
        (scored(where="device"), False),
        (scored(delay=1), False),
        (pesq_loss.get_config(), False),
        (seqgan.get_config(), False),
        (organ.get_config(), False),
        (ConfigDict({"recipe": "none"}), False),
    ],
)
def test_steps_call_the_host_where_its_scores_are_waited_for(config, expected):
    assert recipes.calls_host(config) is expected
