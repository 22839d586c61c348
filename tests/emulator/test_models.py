import pytest

from replicate_emulator import EmulatorSettings, open_emulator
from tests.emulator.driver import MAVERICK, Driver


def test_a_model_tells_the_schema_of_its_input(emulator: Driver) -> None:
    model = emulator.http.get(f"/v1/models/{MAVERICK}").json()

    schemas = model["latest_version"]["openapi_schema"]["components"]["schemas"]
    fields = schemas["Input"]["properties"]
    assert model["is_official"] is True
    assert fields["max_tokens"]["default"] == 4096
    assert fields["stop_sequences"]["type"] == "string"
    assert schemas["Output"]["x-cog-array-display"] == "concatenate"
    assert [each["x-order"] for each in fields.values()] == list(range(len(fields)))


def test_a_version_has_all_that_the_python_client_insists_on(emulator: Driver) -> None:
    path = "/v1/models/llamakeep/parrot/versions"
    versions = emulator.http.get(path).json()["results"]

    version = emulator.http.get(f"{path}/{versions[0]['id']}").json()

    assert len(versions) == 2
    assert version == versions[0]
    assert version["cog_version"]
    assert version["openapi_schema"]["openapi"] == "3.0.2"


def test_official_models_keep_their_versions_to_themselves(emulator: Driver) -> None:
    page = emulator.http.get(f"/v1/models/{MAVERICK}/versions").json()

    assert page["results"] == []


def test_models_are_listed_and_found_by_name(emulator: Driver) -> None:
    listed = emulator.http.get("/v1/models").json()["results"]
    found = emulator.http.request("QUERY", "/v1/models", content="Scout").json()

    assert len(listed) == 8
    assert [each["name"] for each in found["results"]] == ["llama-4-scout-instruct"]


def test_more_official_models_can_be_added() -> None:
    settings = EmulatorSettings(official_models=("acme/llama",), start_delay=0)

    with open_emulator(settings) as origin:
        driver = Driver(origin)
        body = driver.create(model="acme/llama")
        driver.close()

    assert body["model"] == "acme/llama"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/llamakeep/parrot/versions/nothing",
        "/v1/deployments/llamakeep/nothing",
        "/v1/collections/nothing",
    ],
)
def test_there_is_no_more_than_there_is(emulator: Driver, path: str) -> None:
    assert emulator.http.get(path).status_code == 404


def test_deployments_and_collections_name_their_models(emulator: Driver) -> None:
    deployments = emulator.http.get("/v1/deployments").json()["results"]
    collections = emulator.http.get("/v1/collections").json()["results"]

    assert deployments[0]["current_release"]["model"] == MAVERICK
    assert collections[0]["slug"] == "language-models"


def test_hardware_is_a_bare_list(emulator: Driver) -> None:
    assert {"name": "CPU", "sku": "cpu"} in emulator.http.get("/v1/hardware").json()
