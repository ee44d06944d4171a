"""Publish a model folder on the Hugging Face Hub, in one commit, with a card made from its figures.

    python -m train.push runs/model --repo USER/NAME --dry-run      # list what would go, no network
    python -m train.push runs/model --repo USER/NAME [--private] [--revision BRANCH | --create-pr]
    python -m train.push runs/model --repo USER/NAME --examples 2 --data HAM10000

Needs a token that may write, where huggingface_hub looks for it: `hf auth login`, or HF_TOKEN.
The commit also removes files of an earlier push that this model lacks, so that no two models mix.
Nothing is written into the model folder or the repository of this code.
"""

import argparse
import csv
import io
import sys
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from skin_lesion import examples
from skin_lesion.classes import CODES
from skin_lesion.model import CONFIG, METRICS, WEIGHTS, ModelError, load, read_metrics
from train.card import model_card
from train.data import DataError, Record, add_data_argument, read_ham10000
from train.evaluate import part_of_training_split
from train.folder import PREDICTIONS
from train.split import merge_lesions

CARD = "README.md"
FILES = (CONFIG, WEIGHTS, METRICS, PREDICTIONS, "decision.json", "ood.safetensors")
FOLDERS = ("figures", "examples")
LICENCE = "CC BY-NC 4.0"
WHOLE = "a push is one commit, so no half of it stands there."
NOTE = "photograph of a patient's lesion, held out of training"
CREDIT = "HAM10000, (c) ViDIR Group, Medical University of Vienna, https://doi.org/10.7910/DVN/DBW86T"

Upload = dict[str, Path | bytes]  # path in the repository -> a file, or its content


class PushError(RuntimeError):
    """The model cannot be published; the message says why and what to do."""


def what_to_upload(folder: Path, repo: str) -> Upload:
    """The files of a model folder, in order, with the card of this repository.

    Raises:
        ModelError: the folder does not load, or has no held-out figures.
    """
    load(f"local-dir:{folder}")
    metrics = read_metrics(folder)
    if "test" not in metrics:
        raise ModelError(
            f"{folder / METRICS} has no held-out figures, and without them nobody can judge the model: "
            f"run python -m train.evaluate {folder} --data HAM10000 first."
        )
    upload: Upload = {name: folder / name for name in FILES if (folder / name).is_file()}
    upload[CARD] = model_card(metrics, repo).encode()
    for path in sorted(p for name in FOLDERS for p in (folder / name).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            upload[path.relative_to(folder).as_posix()] = path
    return upload


def held_out_examples(folder: Path, data: Path, count: int) -> Upload:
    """`count` held-out images of each class, or as many as there are, each of another lesion; with credits.csv.

    Raises:
        DataError, ModelError: the data cannot be read, or gives another split than the model's.
        PushError: an image is larger than the app would show.
    """
    records = read_ham10000(data)
    lesions = merge_lesions(records)
    test = part_of_training_split(records, read_metrics(folder), folder, "test")
    first = {lesions[record.image_id]: record for record in reversed(test)}  # the first image of each lesion
    chosen: list[Record] = []
    for code in CODES:
        chosen += sorted((r for r in first.values() if r.dx == code), key=lambda r: r.image_id)[:count]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "class", "source", "licence", "note"])
    upload: Upload = {}
    for record in chosen:
        if size(record.path) > examples.MAX_BYTES:
            raise PushError(
                f"{record.path} has {size(record.path):,} bytes, and the app shows no example of more than "
                f"{examples.MAX_BYTES:,}. HAM10000's own images are smaller: use those, or leave --examples out."
            )
        writer.writerow([record.path.name, record.dx, CREDIT, LICENCE, NOTE])
        upload[f"{examples.FOLDER}/{record.path.name}"] = record.path
    return upload | {f"{examples.FOLDER}/{examples.CREDITS}": table.getvalue().encode()}


def push(upload: Upload, repo: str, private: bool, revision: str | None, create_pr: bool) -> CommitInfo:
    """Create the repository if need be and upload in one commit: all of it arrives, or nothing."""
    if not get_token():
        raise PushError("The Hub wants to know who you are. Log in with 'hf auth login', or set HF_TOKEN.")
    api = HfApi()
    api.create_repo(repo, private=private or None, exist_ok=True)
    if private and not api.model_info(repo).private:
        raise PushError(f"{repo} exists already and is public. Make it private in its settings, or drop --private.")
    there = api.list_repo_files(repo, revision=revision)
    # examples too: this model may have been trained on what an earlier one held out
    stale = [p for p in there if (p in FILES or p.split("/")[0] in FOLDERS) and p not in upload]
    # not upload_folder: it may split a large folder into several commits
    return api.create_commit(
        repo,
        [
            *(CommitOperationDelete(path) for path in stale),
            *(CommitOperationAdd(path, source) for path, source in upload.items()),
        ],
        commit_message="Upload model, figures and card",
        revision=revision,
        create_pr=create_pr,
    )


def next_step(error: Exception, repo: str, revision: str | None) -> str:
    """One sentence or two for what huggingface_hub raised: what is wrong, and what to do."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{repo} has no branch {revision!r}. Create it with 'hf repos branch create {repo} {revision}', "
            "or leave --revision out to push to its main branch."
        )
    if status == 401:
        return "The Hub does not accept your token. Log in again with 'hf auth login', or set HF_TOKEN to a valid one."
    if status == 403:
        return (
            f"Your token may not write to {repo}. Use one with write permission for {repo.split('/')[0]!r}, "
            "or give --repo a name of your own."
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no model {repo} on the Hub that your token may see. Check --repo and the token."
    reason = " ".join(str(error.__cause__ or error).split())[:300] or type(error).__name__
    if status is None and isinstance(error, (HTTPError, ConnectionError)):
        return f"The Hub cannot be reached ({reason}). Check the network and run this again; {WHOLE}"
    return f"The Hub refused or broke off the upload: {reason} Run this again; {WHOLE}"


def size(source: Path | bytes) -> int:
    """Bytes."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def run(args: argparse.Namespace) -> None:
    if args.repo.count("/") != 1:
        raise PushError(f"--repo {args.repo!r} is not of the form USER/NAME, for example ada/skin-lesion.")
    try:
        validate_repo_id(args.repo)
    except HFValidationError as error:
        raise PushError(f"--repo {args.repo!r} is not a name that the Hub allows: {error}") from error
    if not 0 <= args.examples <= examples.MAX_PER_CLASS:
        raise PushError(
            f"--examples {args.examples} is not a number of images a class from 0 to {examples.MAX_PER_CLASS}."
        )
    if args.examples and not args.data:
        raise PushError("--examples takes its images from HAM10000: add --data DIR, or set HAM10000_DIR.")
    upload = what_to_upload(args.model, args.repo)
    if args.examples:
        upload = {path: source for path, source in upload.items() if not path.startswith("examples/")}
        upload |= held_out_examples(args.model, args.data, args.examples)
    for path, source in upload.items():
        print(f"{size(source):12,} bytes  {path}")
    total = f"{len(upload)} files, {sum(map(size, upload.values())):,} bytes"
    if args.dry_run:
        print(f"dry run: {total} would go to {args.repo}; nothing was sent")
        return
    try:
        commit = push(upload, args.repo, args.private, args.revision, args.create_pr)
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, PushError):
            raise
        raise PushError(next_step(error, args.repo, args.revision)) from error
    print(f"pushed: {total}, {commit.pr_url or commit.commit_url}")
    print(f"revision: {commit.oid}")
    print(f'load it:  skin_lesion.load("hf-hub:{args.repo}@{commit.oid}")')
    print(f'or:       timm.create_model("hf-hub:{args.repo}@{commit.oid}", pretrained=True)')


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m train.push", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a model folder that train.evaluate has been run on")
    add("--repo", required=True, metavar="USER/NAME", help="created if it does not exist")
    add("--private", action="store_true", help="create it private")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--revision", metavar="BRANCH", help="an existing branch (default: main)")
    where.add_argument("--create-pr", action="store_true", help="open a pull request in place of a commit on main")
    add("--dry-run", action="store_true", help="list what would be uploaded; needs neither network nor token")
    shown = f"add N held-out images a class, at most {examples.MAX_PER_CLASS}, with their credits; the app shows them"
    add("--examples", type=int, default=0, metavar="N", help=shown)
    add_data_argument(parser, required=False)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    try:
        run(parse(argv))
    except (DataError, ModelError, PushError) as error:
        print(f"train.push: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
