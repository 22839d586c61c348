"""The rest of Replicate's API: models, versions, deployments and the account."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from replicate_emulator.catalogue import DEPLOYMENTS, Model
from replicate_emulator.core import Emulator
from replicate_emulator.routes.entry import EmulatorDep, enter, existing, reply
from replicate_emulator.routes.problems import not_found

router = APIRouter(include_in_schema=False)
_ACCOUNT = {
    "type": "organization",
    "username": "llamakeep",
    "name": "The emulator's only account",
    "github_url": None,
    "avatar_url": None,
}
_HARDWARE = (
    {"name": "CPU", "sku": "cpu"},
    {"name": "Nvidia T4 GPU", "sku": "gpu-t4"},
    {"name": "Nvidia L40S GPU", "sku": "gpu-l40s"},
)
_COLLECTION = {
    "name": "Language models",
    "slug": "language-models",
    "description": "Models that answer prompts.",
}


def _one_page(results: list[Any]) -> dict[str, Any]:
    return {"next": None, "previous": None, "results": results}


def _model(emulator: Emulator, owner: str, name: str) -> Model:
    return existing(emulator.catalogue.find(f"{owner}/{name}"))


@router.get("/models")
async def list_models(emulator: EmulatorDep, request: Request) -> Response:
    """List the models."""
    headers = await enter(emulator, request, "models")
    return reply(_one_page([each.rendered() for each in emulator.catalogue]), headers)


@router.api_route("/models", methods=["QUERY"])
async def search_models(emulator: EmulatorDep, request: Request) -> Response:
    """List the models whose name contains the text in the body."""
    headers = await enter(emulator, request, "models")
    # The JavaScript client puts quotes around it, the Python one does not.
    text = (await request.body()).decode(errors="replace").strip('"').lower()
    found = [each.rendered() for each in emulator.catalogue if text in each.name]
    return reply(_one_page(found), headers)


@router.get("/models/{owner}/{name}")
async def get_model(
    emulator: EmulatorDep, request: Request, owner: str, name: str
) -> Response:
    """Return one model."""
    headers = await enter(emulator, request, "models")
    return reply(_model(emulator, owner, name).rendered(), headers)


@router.get("/models/{owner}/{name}/versions")
async def list_versions(
    emulator: EmulatorDep, request: Request, owner: str, name: str
) -> Response:
    """List a model's versions; official models keep theirs to themselves."""
    headers = await enter(emulator, request, "models")
    model = _model(emulator, owner, name)
    versions = () if model.is_official else model.versions
    return reply(_one_page([each.rendered() for each in versions]), headers)


@router.get("/models/{owner}/{name}/versions/{version_id}")
async def get_version(
    emulator: EmulatorDep, request: Request, owner: str, name: str, version_id: str
) -> Response:
    """Return one version of a model."""
    headers = await enter(emulator, request, "models")
    for version in _model(emulator, owner, name).versions:
        if version.id == version_id:
            return reply(version.rendered(), headers)
    raise not_found()


@router.get("/deployments")
async def list_deployments(emulator: EmulatorDep, request: Request) -> Response:
    """List the deployments."""
    headers = await enter(emulator, request, "account")
    return reply(
        _one_page([_deployment(emulator, each) for each in DEPLOYMENTS]), headers
    )


@router.get("/deployments/{owner}/{name}")
async def get_deployment(
    emulator: EmulatorDep, request: Request, owner: str, name: str
) -> Response:
    """Return one deployment."""
    headers = await enter(emulator, request, "account")
    if f"{owner}/{name}" not in DEPLOYMENTS:
        raise not_found()
    return reply(_deployment(emulator, f"{owner}/{name}"), headers)


def _deployment(emulator: Emulator, deployment: str) -> dict[str, Any]:
    owner, _, name = deployment.partition("/")
    model = _model(emulator, *DEPLOYMENTS[deployment].split("/"))
    return {
        "owner": owner,
        "name": name,
        "current_release": {
            "number": 1,
            "model": model.name,
            "version": model.versions[0].id,
            "created_at": model.versions[0].created_at,
            "created_by": _ACCOUNT,
            "configuration": {
                "hardware": "gpu-t4",
                "min_instances": 0,
                "max_instances": 1,
            },
        },
    }


@router.get("/account")
async def get_account(emulator: EmulatorDep, request: Request) -> Response:
    """Return the account, which is the same for every API token."""
    return reply(_ACCOUNT, await enter(emulator, request, "account"))


@router.get("/hardware")
async def list_hardware(emulator: EmulatorDep, request: Request) -> Response:
    """List the hardware: the one list without a page around it."""
    return reply(_HARDWARE, await enter(emulator, request, "account"))


@router.get("/collections")
async def list_collections(emulator: EmulatorDep, request: Request) -> Response:
    """List the collections."""
    return reply(_one_page([_COLLECTION]), await enter(emulator, request, "account"))


@router.get("/collections/{slug}")
async def get_collection(
    emulator: EmulatorDep, request: Request, slug: str
) -> Response:
    """Return one collection with its models."""
    headers = await enter(emulator, request, "account")
    if slug != _COLLECTION["slug"]:
        raise not_found()
    models = [each.rendered() for each in emulator.catalogue]
    return reply(_COLLECTION | {"full_description": None, "models": models}, headers)


@router.get("/webhooks/default/secret")
async def get_webhook_secret(emulator: EmulatorDep, request: Request) -> Response:
    """Return what webhooks are signed with."""
    headers = await enter(emulator, request, "account")
    return reply({"key": emulator.settings.webhook_secret}, headers)
