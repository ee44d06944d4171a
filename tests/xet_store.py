"""The store behind the Hub's Xet uploads and downloads, for the client's default path.

A xorb is a row of chunks, each after 8 bytes of header; a shard says which chunks make up a file. The client
must be told (SETTINGS) not to compress, so that a file can be put together here without LZ4, and to give up soon.
Formats: https://huggingface.co/docs/xet (xorb, shard, api).
"""

import hashlib
import struct
import time
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

SETTINGS = {
    "HF_XET_DATA_XORB_COMPRESSION_POLICY": "none",
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",  # else it is patient
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",
}
RECORD = 48  # bytes of every record of a shard
VERIFIED, WITH_SHA256 = 0x80000000, 0x40000000  # flags of a file


def as_hex(raw: bytes) -> str:
    """A hash as Xet writes it: four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def chunk_ends(xorb: bytes) -> list[int]:
    """[0, where the first chunk ends, the second, ...], headers included."""
    ends = [0]
    while ends[-1] + 8 <= len(xorb) and xorb[ends[-1]] == 0:  # format 0; a footer would begin with "X"
        ends.append(ends[-1] + 8 + int.from_bytes(xorb[ends[-1] + 1 : ends[-1] + 4], "little"))
    return ends


@dataclass
class XetStore:
    xorbs: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, list[tuple[str, int, int, int]]] = field(default_factory=dict)  # (xorb, bytes, chunk, chunk)
    hash_of: dict[str, str] = field(default_factory=dict)  # sha256 -> the file's hash in Xet

    def add_shard(self, shard: bytes) -> dict[str, bytes]:
        """Read its file section, up to the mark of all ones; returns sha256 -> content."""
        contents, at = {}, RECORD
        while shard[at : at + 32] != b"\xff" * 32:
            name = as_hex(shard[at : at + 32])
            flags, count = struct.unpack_from("<II", shard, at + 32)
            assert flags & WITH_SHA256
            terms = []
            for term in range(at + RECORD, at + RECORD * (1 + count), RECORD):
                terms.append((as_hex(shard[term : term + 32]), *struct.unpack_from("<III", shard, term + 36)))
            at += RECORD * (1 + count * (2 if flags & VERIFIED else 1))
            sha256, content = as_hex(shard[at : at + 32]), b"".join(map(self._unpack, terms))
            assert hashlib.sha256(content).hexdigest() == sha256
            self.files[name], self.hash_of[sha256], contents[sha256] = terms, name, content
            at += RECORD
        return contents

    def _unpack(self, term: tuple[str, int, int, int]) -> bytes:
        xorb, length, first, last = term
        ends = chunk_ends(self.xorbs[xorb])
        content = b"".join(self.xorbs[xorb][ends[i] + 8 : ends[i + 1]] for i in range(first, last))
        assert len(content) == length
        return content

    def reconstruction(self, name: str, url: str) -> dict:
        """Which bytes of which xorbs a client has to fetch for a file."""
        terms, fetch = [], {}
        for xorb, length, first, last in self.files[name]:
            chunks, ends = {"start": first, "end": last}, chunk_ends(self.xorbs[xorb])
            terms.append({"hash": xorb, "unpacked_length": length, "range": chunks})
            place = {"url": f"{url}/cas/xorb/{xorb}", "url_range": {"start": ends[first], "end": ends[last] - 1}}
            fetch.setdefault(xorb, []).append({"range": chunks} | place)
        return {"offset_into_first_range": 0, "terms": terms, "fetch_info": fetch}


async def token(hub, request: Request) -> Response:
    hub.repo(request, write="write" in request.url.path)
    url, until = f"{hub.url}/cas", int(time.time()) + 3600
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(until)}
    return JSONResponse({"casUrl": url, "accessToken": "xet", "exp": until}, headers=headers)


async def put_xorb(hub, request: Request) -> Response:
    hub.xet.xorbs[request.path_params["hash"]] = await hub.receive(request)
    return JSONResponse({"was_inserted": True})


async def put_shard(hub, request: Request) -> Response:
    hub.blobs |= hub.xet.add_shard(await request.body())
    return Response('{"type":"result"}\n', media_type="application/x-ndjson")


async def reconstruct(hub, request: Request) -> Response:
    if request.headers.get("range", "bytes=0-").startswith("bytes=0-"):
        return JSONResponse(hub.xet.reconstruction(request.path_params["hash"], hub.url))
    return Response(status_code=416)  # these files are small: one answer is all of it


async def get_xorb(hub, request: Request) -> Response:
    start, end = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
    name = request.path_params["hash"]
    content = hub.damage(name, hub.xet.xorbs[name]) if hub.damage else hub.xet.xorbs[name]
    return hub.send(content[start : end + 1], 206)


ROUTES = {  # whatever else the client tries (deduplication, newer versions, telemetry) is a 404, which it takes
    "GET /api/models/{user}/{name}/xet-write-token/{revision}": token,
    "GET /api/models/{user}/{name}/xet-read-token/{revision}": token,
    "POST /cas/v1/xorbs/default/{hash}": put_xorb,
    "POST /cas/v2/shards": put_shard,
    "GET /cas/v1/reconstructions/{hash}": reconstruct,
    "GET /cas/xorb/{hash}": get_xorb,
}
