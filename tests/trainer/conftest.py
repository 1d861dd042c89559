import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import Place, train

from vgpt2.embedded import build_tiny


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny(folder)
    return folder


@pytest.fixture
def place(tmp_path: Path, model: Path) -> Place:
    return Place(tmp_path, model)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Callable[..., Path]:
    """The folder of a run that nothing happened to: undisturbed("sft", epochs=1); each is made once."""
    made: dict[str, Path] = {}

    def run_of(stage: str, **settings: object) -> Path:
        key = json.dumps([stage, settings], default=str)
        if key not in made:
            place = Place(tmp_path_factory.mktemp(f"undisturbed-{stage}"), model)
            done = train(place.argv(stage, **settings))
            assert done.code == 0, done.err
            made[key] = place.output / "run"
        return made[key]

    return run_of
