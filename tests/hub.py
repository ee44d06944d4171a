"""A small Hub on the loopback interface, for the real huggingface_hub client: create, push, pull.

    with serve() as hub:
        ...  # clients run in other processes with hub.environment(...): they read HF_ENDPOINT on import

It keeps everything in memory, speaks both upload paths (LFS here, Xet in xet_store), and can be told to misbehave:
see Hub.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from xet_store import ROUTES as XET_ROUTES
from xet_store import SETTINGS, XetStore

WRITER, READER = "hf_writer", "hf_reader"  # the two tokens it knows; the second may not write
LFS_SUFFIXES = (".safetensors", ".jpg", ".png")


@dataclass(repr=False)  # a failing test would print megabytes
class Repo:
    private: bool
    branches: dict[str, str] = field(default_factory=dict)  # branch -> commit
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> path -> content

    def commit(self, files: dict[str, bytes], branch: str | None = "main") -> str:
        """Add a commit that holds exactly `files`, and move the branch to it."""
        state = repr((len(self.commits), sorted((p, hashlib.sha1(c).hexdigest()) for p, c in files.items())))
        sha = hashlib.sha1(state.encode()).hexdigest()
        self.commits[sha] = files
        if branch:
            self.branches[branch] = sha
        return sha


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None):
        self.response = JSONResponse({"error": message}, status, {"X-Error-Message": message})
        if code:
            self.response.headers["X-Error-Code"] = code


@dataclass(repr=False)
class Hub:
    """The state that the tests look at and change while it serves."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)  # sha256 -> content, of the large files
    xet: XetStore = field(default_factory=XetStore)
    log: list[str] = field(default_factory=list)  # "METHOD /path", with the Range asked for
    cuts: list[int] = field(default_factory=list)  # of the next contents of megabytes, send only so many bytes
    upload_cuts: list[int] = field(default_factory=list)  # the next upload of so many bytes is cut there
    failing: list[str] = field(default_factory=list)  # the next request whose path contains the first of these is a 500
    lost: list[str] = field(default_factory=list)  # likewise; what it asks for is done, but no answer comes
    damage: Callable[[str, bytes], bytes] | None = None  # (path or hash, content) -> what is sent in its place

    def behave(self) -> None:
        """From now on, no more faults."""
        for faults in (self.cuts, self.upload_cuts, self.failing, self.lost):
            faults.clear()
        self.damage = None

    def environment(self, home: Path, xet: bool = False) -> dict[str, str]:
        """The variables that lead a client process here and nowhere else; xet: on its default path, else LFS."""
        variables = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": WRITER}
        return variables | (SETTINGS if xet else {"HF_HUB_DISABLE_XET": "1"})

    def head(self, repo: str, branch: str = "main") -> str:
        return self.repos[repo].branches[branch]

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """What stands in a branch: path -> content."""
        return self.repos[repo].commits[self.head(repo, branch)]

    def send(self, content: bytes, status: int = 200, headers: dict | None = None) -> Response:
        cut = self.cuts.pop(0) if len(content) > 1_000_000 and self.cuts else None
        headers = {"Content-Length": str(len(content))} | (headers or {})
        return StreamingResponse(_pieces(content, cut), status, headers)

    async def receive(self, request: Request) -> bytes:
        """The body of a large upload."""
        body = b""
        async for piece in request.stream():
            body += piece
            if self.upload_cuts and len(body) >= self.upload_cuts[0]:
                self.upload_cuts.pop(0)
                hang_up(request)
                raise Refused(400, "cut on request")  # nobody hears it
        return body

    def repo(self, request: Request, write: bool = False) -> Repo:
        name = "{user}/{name}".format(**request.path_params)
        token = check_token(request) if write else token_of(request)
        if name not in self.repos or (self.repos[name].private and token is None):
            raise Refused(404, "Repository not found", "RepoNotFound")
        return self.repos[name]

    def commit_of(self, request: Request, repo: Repo) -> str:
        revision = request.path_params.get("revision", "main")
        sha = repo.branches.get(revision, revision)
        if sha not in repo.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha


async def _pieces(content: bytes, cut: int | None):
    yield content[:cut]
    if cut is not None:
        raise ConnectionAbortedError("cut on request")  # the server then closes the connection


def hang_up(request: Request) -> None:
    """Close the connection without an answer: Starlette has no word for it, so ask the server below."""
    request.receive.__self__.transport.abort()


def flipped(content: bytes, at: int) -> bytes:
    """With one other bit, which the Xet client does not notice."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def token_of(request: Request) -> str | None:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and token not in (WRITER, READER):
        raise Refused(401, "Invalid credentials in Authorization header")
    return token or None


def check_token(request: Request) -> str:
    token = token_of(request)
    if token is None:
        raise Refused(401, "Invalid username or password.")
    if token != WRITER:
        raise Refused(403, "You don't have the rights to write there")
    return token


def is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def oid(path: str, content: bytes) -> str:
    """As git and LFS name a file's content; the client compares it to skip what has not changed."""
    if is_lfs(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


async def create(hub: Hub, request: Request) -> Response:
    check_token(request)
    wish = await request.json()
    name = f"{wish['organization'] or 'user'}/{wish['name']}"
    if name.split("/")[0] != "user":
        raise Refused(403, f"You don't have the rights to create a model under {name.split('/')[0]!r}")
    known = name in hub.repos
    if not known:
        hub.repos[name] = Repo(private=wish.get("visibility") == "private")
        hub.repos[name].commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
    return JSONResponse({"url": f"{hub.url}/{name}"}, 409 if known else 200)


async def validate_yaml(hub: Hub, request: Request) -> Response:
    """Refuse a card whose results the Hub could not show."""
    content = (await request.json())["content"]
    try:
        front = yaml.safe_load(content.split("---\n")[1])
        for result in [r for model in front.get("model-index", []) for r in model["results"]]:
            assert result["task"]["type"] and result["dataset"]["type"] and result["dataset"]["name"]
            assert result["metrics"] and all(isinstance(m["value"], float) and m["type"] for m in result["metrics"])
    except (IndexError, KeyError, AttributeError, AssertionError, yaml.YAMLError) as error:
        return JSONResponse({"errors": [{"message": repr(error)}], "warnings": []}, 400)
    return JSONResponse({"errors": [], "warnings": []})


async def info(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request)
    name = "{user}/{name}".format(**request.path_params)
    return JSONResponse({"id": name, "modelId": name, "sha": hub.commit_of(request, repo), "private": repo.private})


async def tree(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request)
    files = repo.commits[hub.commit_of(request, repo)]
    if folder := request.path_params.get("folder"):  # no deeper than this: as it was asked for
        files = {path: content for path, content in files.items() if path.rpartition("/")[0] == folder}
        if not files:
            raise Refused(404, f"{folder} does not exist", "EntryNotFound")
    entries = []
    for path, content in files.items():
        entry = {"type": "file", "path": path, "size": len(content), "oid": oid(path, content)}
        if is_lfs(path):
            entry["lfs"] = {"oid": oid(path, content), "size": len(content), "pointerSize": 130}
            entry |= {"xetHash": name} if (name := hub.xet.hash_of.get(oid(path, content))) else {}
        entries.append(entry)
    return JSONResponse(entries)


async def branch(hub: Hub, request: Request) -> Response:
    repo, name = hub.repo(request, write=True), request.path_params["branch"]
    if name in repo.branches:
        raise Refused(409, "Reference already exists")
    repo.branches[name] = repo.branches["main"]
    return Response(status_code=201)


async def preupload(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request, write=True)
    present = repo.commits[hub.commit_of(request, repo)]
    answer = []
    for path in [file["path"] for file in (await request.json())["files"]]:
        known = oid(path, present[path]) if path in present else None
        mode = "lfs" if is_lfs(path) else "regular"
        answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known})
    return JSONResponse({"files": answer})


async def lfs_batch(hub: Hub, request: Request) -> Response:
    hub.repo(request, write=True)
    objects = (await request.json())["objects"]
    for wanted in [o for o in objects if o["oid"] not in hub.blobs]:
        wanted["actions"] = {"upload": {"href": f"{hub.url}/store/{wanted['oid']}"}}
        wanted["actions"]["verify"] = {"href": f"{hub.url}/store/{wanted['oid']}/verify"}
    return JSONResponse({"transfer": "basic", "objects": objects})


async def lfs_put(hub: Hub, request: Request) -> Response:
    content = await hub.receive(request)
    if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
        raise Refused(400, "The content does not have this oid")
    hub.blobs[request.path_params["oid"]] = content
    return Response()


async def lfs_verify(hub: Hub, request: Request) -> Response:
    check_token(request)
    content = hub.blobs.get(request.path_params["oid"])
    return Response(status_code=200 if content and len(content) == (await request.json())["size"] else 404)


async def commit(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request, write=True)
    files = dict(repo.commits[hub.commit_of(request, repo)])
    for line in (await request.body()).splitlines():
        item = json.loads(line)
        key, value = item["key"], item["value"]
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in hub.blobs:
                raise Refused(400, f"{value['path']} was not uploaded")
            files[value["path"]] = hub.blobs[value["oid"]]
        elif key == "deletedFile":
            del files[value["path"]]
    pull_request = "create_pr" in request.query_params
    sha = repo.commit(files, None if pull_request else request.path_params["revision"])
    page = "{url}/{user}/{name}".format(url=hub.url, **request.path_params)
    url = f"{page}/discussions/1" if pull_request else None
    return JSONResponse({"commitOid": sha, "commitUrl": f"{page}/commit/{sha}", "pullRequestUrl": url})


async def resolve(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request)
    sha, path = hub.commit_of(request, repo), request.path_params["path"]
    if path not in repo.commits[sha]:
        raise Refused(404, "Entry not found", "EntryNotFound")
    content = repo.commits[sha][path]
    headers = {"X-Repo-Commit": sha, "ETag": f'"{oid(path, content)}"', "Accept-Ranges": "bytes"}
    if is_lfs(path):
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        if name := hub.xet.hash_of.get(oid(path, content)):
            route = "/api/models/{user}/{name}/xet-read-token/{sha}".format(sha=sha, **request.path_params)
            headers |= {"X-Xet-Hash": name, "X-Xet-Refresh-Route": f"{hub.url}{route}"}
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(len(content))})
    content, status = hub.damage(path, content) if hub.damage else content, 200
    if asked := re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")):
        start, status = int(asked[1]), 206
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        content = content[start:]
    return hub.send(content, status, headers)


ROUTES = {
    "POST /api/repos/create": create,
    "POST /api/validate-yaml": validate_yaml,
    "GET /api/models/{user}/{name}": info,
    "GET /api/models/{user}/{name}/revision/{revision}": info,
    "GET /api/models/{user}/{name}/tree/{revision}": tree,
    "GET /api/models/{user}/{name}/tree/{revision}/{folder}": tree,
    "POST /api/models/{user}/{name}/branch/{branch}": branch,
    "POST /api/models/{user}/{name}/preupload/{revision}": preupload,
    "POST /api/models/{user}/{name}/commit/{revision}": commit,
    "POST /{user}/{name}.git/info/lfs/objects/batch": lfs_batch,
    "PUT /store/{oid}": lfs_put,
    "POST /store/{oid}/verify": lfs_verify,
    "GET /{user}/{name}/resolve/{revision}/{path:path}": resolve,  # HEAD as well
    **XET_ROUTES,
}


@contextlib.contextmanager
def serve() -> Iterator[Hub]:
    """Serve an empty Hub in a thread, on a free port of the loopback interface."""
    hub = Hub()

    def route(line: str, answer) -> Route:
        async def endpoint(request: Request) -> Response:
            hub.log.append(f"{request.method} {request.url.path} {request.headers.get('range', '')}".strip())
            if hub.failing and hub.failing[0] in request.url.path:
                return Response(f"{hub.failing.pop(0)} fails on request", 500)
            try:
                response = await answer(hub, request)
            except Refused as refused:
                return refused.response
            if hub.lost and hub.lost[0] in request.url.path:
                hub.lost.pop(0)
                hang_up(request)
            return response

        method, path = line.split()
        return Route(path, endpoint, methods=[method])

    app = Starlette(routes=[route(line, answer) for line, answer in ROUTES.items()])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level=60))  # 60: nothing
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    hub.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield hub
    finally:
        server.should_exit = True
        thread.join()
