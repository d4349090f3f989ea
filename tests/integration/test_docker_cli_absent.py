"""What is not offered is refused as by a docker engine that has none of it."""

import pytest

MANAGER = "This node is not a swarm manager."
REFUSED = {
    "node ls": MANAGER,
    "node inspect x": MANAGER,
    "service ls": MANAGER,
    "service ps x": MANAGER,
    "service create --name s x": MANAGER,
    "stack ls": MANAGER,
    "secret ls": MANAGER,
    "secret inspect x": MANAGER,
    "config ls": MANAGER,
    "config rm x": MANAGER,
    "swarm ca": MANAGER,
    "swarm unlock-key": MANAGER,
    "swarm leave": "This node is not part of a swarm",
    "swarm init": "swarm mode is not offered",
    "swarm join --token t 127.0.0.1:1": "swarm mode is not offered",
    "plugin inspect x": 'plugin "x" not found',
    "plugin enable a/b": 'plugin "a/b:latest" not found',
    "plugin disable x": 'plugin "x" not found',
    "plugin rm x": 'plugin "x" not found',
    "plugin install x": "plugins are not offered",
    "volume update --availability drain x": "no such volume",
    "checkpoint ls x": "experimental features enabled",
}


@pytest.mark.parametrize("words", REFUSED)
def test_it_is_refused_with_its_reason(docker, words):
    assert REFUSED[words].replace(":latest", "") in docker.fails(*words.split(), code=1).replace(":latest", "")


def test_there_is_none_of_it(docker):
    assert docker("plugin", "ls", "-q") == ""
    assert docker("info", "-f", "{{.Swarm.LocalNodeState}}") == "inactive"
