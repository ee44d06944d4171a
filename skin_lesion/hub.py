"""Fetch a model folder from the Hugging Face Hub into its cache, whole or not at all."""

import hashlib
import logging
import os
from itertools import islice
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from skin_lesion import examples

CONFIG, WEIGHTS, METRICS = "config.json", "model.safetensors", "metrics.json"
DECISION, OOD = "decision.json", "ood.safetensors"  # both, or neither in a folder that was never calibrated
FILES = (CONFIG, WEIGHTS, METRICS, DECISION, OOD)  # what an answer needs; pictures of figures are for readers
SOURCES = "local-dir:PATH, or hf-hub:USER/REPO with an optional @REVISION"

log = logging.getLogger(__name__)


class ModelError(RuntimeError):
    """The model cannot be loaded; the message says why and what to do."""


def download(place: str) -> Path:
    """Fetch USER/REPO[@REVISION] and return the folder in the cache, named by its commit.

    Raises:
        ModelError: there is no such place, it cannot be reached, or a file arrived damaged.
    """
    repo, at, revision = place.partition("@")
    if repo.count("/") != 1 or (at and not revision):
        raise ModelError(f"hf-hub:{place} is not of the form {SOURCES}.")
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=list(FILES)))
    except HFValidationError as error:
        raise ModelError(f"hf-hub:{place} is not of the form {SOURCES}: {error}") from error
    except GatedRepoError as error:
        raise ModelError(f"{repo} asks its users to accept conditions first, on its page on the Hub.") from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{repo} has no revision {revision!r}; look at its branches, tags and commits on the Hub."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no model {repo} on the Hub that you may see. "
            "Check the name; for a private one log in with 'hf auth login' or set HF_TOKEN."
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"The Hub cannot be reached and {place} is not in the cache. Check the network and try again, "
            "or leave the model source out to use the bundled weights."
        ) from error
    except (HTTPError, OSError, RuntimeError) as error:  # RuntimeError: the Xet client's own
        if isinstance(error, HfHubHTTPError) and error.response.status_code == 401:
            raise ModelError(
                "The Hub does not accept your token. Log in again with 'hf auth login', or set HF_TOKEN to a valid one."
            ) from error
        raise ModelError(
            f"Downloading {place} failed: {_first_line(error)}. Try again; files that arrived whole are kept."
        ) from error
    if damaged := [name for name in FILES if (folder / name).is_file() and drop_if_damaged(folder / name)]:
        raise ModelError(
            f"What arrived of {place} is damaged and was removed from the cache: {', '.join(damaged)}. Try again."
        )
    _fetch_examples(repo, folder)
    return folder


def _fetch_examples(repo: str, folder: Path) -> None:
    """Add a repository's examples to its folder in the cache, within their bounds.

    The model answers without them, so a fault is a line in the log.
    """
    try:
        listed = islice(HfApi().list_repo_tree(repo, examples.FOLDER, revision=folder.name), 1000)
        small = {Path(f.path).name for f in listed if isinstance(f, RepoFile) and f.size <= examples.MAX_BYTES}
        if examples.CREDITS not in small:
            return  # uncredited, they would not be shown
        images = sorted(filter(examples.NAME.fullmatch, small))[: examples.MAX_FILES]
        wanted = [f"{examples.FOLDER}/{name}" for name in (examples.CREDITS, *images)]
        snapshot_download(repo, revision=folder.name, allow_patterns=wanted)
        for path in filter(drop_if_damaged, (folder / name for name in wanted)):
            log.warning("The example file %s of %s arrived damaged and is left out.", path.name, repo)
    except RemoteEntryNotFoundError:
        pass  # a model without examples
    except (HTTPError, OSError, RuntimeError) as error:
        log.warning("The examples of %s could not all be fetched: %s", repo, _first_line(error))


def drop_if_damaged(path: Path) -> bool:
    """Remove a file from the Hub's cache if it is not what the Hub announced, or every later try would find it there.

    In the cache a link stands in its place, to a large file's sha256 or to a small one's name in git;
    huggingface_hub compares only the length. Where there are no links nothing is known: False.
    """
    if not path.is_symlink():
        return False
    # this link only: it may lead to another, into a store that names files by a hash of Xet
    name, content = Path(os.readlink(path)).name, path.read_bytes()
    in_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    digest = {64: hashlib.sha256(content), 40: in_git}.get(len(name))
    if digest is None or digest.hexdigest() == name:
        return False
    path.resolve().unlink()
    return True


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(". ") or type(error).__name__
