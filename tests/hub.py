"""A hub on loopback: the few endpoints that keeping and reading data calls, over memory.

Files under `LARGE` go the way of LFS, as safetensors do on the real hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from served import free_port, served_app

TOKEN = "hf_of_the_tests"
LARGE = ".safetensors"


@dataclass
class Repository:
    """Its commits: id -> path -> content, the last one being the head."""

    private: bool = True
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def commit(self, files: dict[str, bytes]) -> str:
        made = hashlib.sha1(f"{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[made] = files
        return made


@dataclass
class Hub:
    """What is there, and `down`: whether it answers 500 to everything."""

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    down: bool = False

    def make(self, name: str, private: bool = True) -> Repository:
        made = self.repositories[name] = Repository(private)
        made.commit({".gitattributes": b""})
        return made


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve one until the block ends."""
    state = Hub(f"http://127.0.0.1:{free_port()}")
    with served_app(_app(state), state.address):
        yield state


def _app(hub: Hub) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        if hub.down:
            return Response("down", 500)
        stored = request.url.path.startswith("/large/")  # its address is the secret, as S3's is
        if not stored and request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": "who?"}, 401, {"X-Error-Message": "Invalid token"})
        response: Response = await call_next(request)
        return response

    def missing(code: str) -> JSONResponse:
        return JSONResponse({"error": "not found"}, 404, {"X-Error-Code": code})

    @app.post("/api/repos/create")
    async def create(request: Request) -> Response:
        wanted = await request.json()
        name = f"{wanted['organization']}/{wanted['name']}"
        where = "datasets/" if wanted.get("type") == "dataset" else ""
        made = {"url": f"{hub.address}/{where}{name}"}
        if name in hub.repositories:
            return JSONResponse(made | {"error": "exists"}, 409)
        hub.make(name, wanted.get("visibility") == "private" or wanted.get("private", False))
        return JSONResponse(made)

    @app.get("/api/{kind}/{owner}/{name}")
    @app.get("/api/{kind}/{owner}/{name}/revision/{revision}")
    async def info(owner: str, name: str, revision: str = "main") -> Response:
        found = hub.repositories.get(f"{owner}/{name}")
        if found is None:
            return missing("RepoNotFound")
        if revision not in {"main", *found.commits}:
            return missing("RevisionNotFound")
        at = found.head if revision == "main" else revision
        return JSONResponse(
            {
                "id": f"{owner}/{name}",
                "sha": at,
                "private": found.private,
                "tags": [],
                "siblings": [
                    {"rfilename": path, "size": len(data)}
                    for path, data in found.commits[at].items()
                ],
            }
        )

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}/{folder:path}")
    async def subtree() -> Response:
        return missing("EntryNotFound")  # nothing here has folders

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}")
    async def tree(owner: str, name: str, revision: str) -> Response:
        found = hub.repositories[f"{owner}/{name}"]
        files = found.files if revision == "main" else found.commits[revision]
        rows = [
            {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
            for path, data in files.items()
        ]
        return JSONResponse(rows)

    @app.post("/api/{kind}/{owner}/{name}/paths-info/{revision}")
    async def paths_info(owner: str, name: str, revision: str, request: Request) -> Response:
        wanted = (await request.form()).getlist("paths") or (await request.json())["paths"]
        rows = json.loads(bytes((await tree(owner, name, revision)).body))
        return JSONResponse([row for row in rows if row["path"] in wanted])

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision}")
    async def preupload(owner: str, name: str, request: Request) -> Response:
        there = hub.repositories[f"{owner}/{name}"].files
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": _oid(one["path"], there[one["path"]]) if one["path"] in there else None,
            }
            for one in (await request.json())["files"]
        ]
        return JSONResponse({"files": files})

    @app.post("/datasets/{owner}/{name}.git/info/lfs/objects/batch")
    @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
    async def batch(request: Request) -> Response:
        objects = [
            {
                **one,
                "actions": {"upload": {"href": f"{hub.address}/large/{one['oid']}", "header": {}}},
            }
            for one in (await request.json())["objects"]
        ]
        return JSONResponse({"transfer": "basic", "objects": objects})

    @app.put("/large/{oid}")
    async def put(oid: str, request: Request) -> Response:
        data = await request.body()
        assert hashlib.sha256(data).hexdigest() == oid
        hub.large[oid] = data
        return Response()

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision}")
    async def commit(owner: str, name: str, request: Request) -> Response:
        found = hub.repositories[f"{owner}/{name}"]
        files = dict(found.files)
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header" and value.get("parentCommit", found.head) != found.head:
                return JSONResponse({"error": "A commit has happened since."}, 412)
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = hub.large[value["oid"]]
        made = found.commit(files)
        url = f"{hub.address}/datasets/{owner}/{name}/commit/{made}"
        return JSONResponse({"commitUrl": url, "commitOid": made})

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    @app.api_route("/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    @app.api_route(
        "/datasets/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"]
    )
    async def resolve(owner: str, name: str, revision: str, path: str) -> Response:
        found = hub.repositories[f"{owner}/{name}"]
        at = found.head if revision == "main" else revision
        if at not in found.commits:
            return missing("RevisionNotFound")
        data = found.commits[at].get(path)
        if data is None:
            return missing("EntryNotFound")
        return Response(data, headers={"ETag": f'"{_blob(data)}"', "X-Repo-Commit": at})

    return app


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _oid(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else _blob(data)
